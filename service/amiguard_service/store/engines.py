"""Connections, and transactions: how they begin and end, and when they are tried again."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Final, TypeVar

import sqlalchemy
from sqlalchemy import URL, BigInteger, Connection, Integer, bindparam, event, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import StaticPool

from amiguard_service.store.clocks import CLOCK_TIME, Clock, Clocks
from amiguard_service.store.damage import check_pages, is_damage
from amiguard_service.store.errors import (
    SchemaChangedError,
    StoreBrokenError,
    StoreConflictError,
    StoreDamagedError,
    StoreError,
    StoreReplacedError,
    StoreUnavailableError,
)
from amiguard_service.store.file_guard import FileGuard

T = TypeVar("T")

POSTGRESQL: Final = "postgresql"
SQLITE: Final = "sqlite"

MAX_ATTEMPTS: Final = 5
LOCK_COUNT: Final = 1_024
"""Locks that all lanes share on PostgreSQL: a transaction that takes every one of them still fits
the lock table of a server with default settings."""

_BUSY_TIMEOUT_MS: Final = 30_000
_IDLE_SECONDS: Final = 60
"""After so long without a statement PostgreSQL ends a transaction: a server that is frozen would
keep its locks, and every other one from the lanes, for as long as its connection stands."""

_CHECKPOINT_PAGES: Final = 4_000
"""So many pages are written to the log, 16 MiB of them, before SQLite folds it into the database: a
commit touches a page for each of its records, and those of the common indexes again and again."""

_LANE_LOCK_CLASS: Final = 0x616D69
_CHANGE_LOG_LOCK: Final = 0x616D6A
_POLICY_LOCK: Final = 0x616D6C
_IMAGES_LOCK: Final = 0x616D6D
_TRY_AGAIN: Final = {"40001", "40P01", "55P03", "23505"}
"""Serialization failure, deadlock, lock timeout, and a row that another transaction made first."""
_UNAVAILABLE_CLASSES: Final = {"08", "53", "57", "58"}
"""PostgreSQL's error classes for lost connections, lack of resources, shutdown, and I/O."""
_READ_ONLY: Final = "25006"
_SQLITE_UNAVAILABLE: Final = ("locked", "full", "readonly", "disk i/o", "unable to open")

_KEYS: Final = bindparam("keys", type_=ARRAY(Integer))
_LOCK_LANES: Final = select(
    # Counted, so that there is one row to be sent and read, not one a lock.
    func.count(
        func.pg_advisory_xact_lock(
            _LANE_LOCK_CLASS, func.unnest(_KEYS).table_valued("key").render_derived(name="k").c.key
        )
    )
)
_KEY: Final = bindparam("key", type_=BigInteger)
_LOCK: Final = select(func.pg_advisory_xact_lock(_KEY))
_LOCK_SHARED: Final = select(func.pg_advisory_xact_lock_shared(_KEY))
_HOLD_BOTH: Final = select(
    *(
        func.pg_advisory_xact_lock_shared(literal(key, BigInteger))
        for key in (_POLICY_LOCK, _IMAGES_LOCK)
    ),
    CLOCK_TIME.label("now"),
)


class Database:
    """One database: short transactions to read, and to write under the locks of lanes.

    Safe to use from any thread. Transactions that write are one at a time on SQLite; on PostgreSQL
    they run side by side unless they share a lane, whichever server they come from.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 4,
        check_schema: Callable[[sqlalchemy.Engine], None] = lambda _: None,
        clock: Clock | None = None,
        server_clock: Clock | None = None,
    ) -> None:
        """Makes the pool; connects to nothing yet. Raises StoreError for an unusable URL.

        `check_schema` raises SchemaChangedError where the schema is not the one that is needed.
        Clocks are given by tests: see `Clocks`.
        """
        parsed = _parse_url(url)
        self.backend = parsed.get_backend_name()
        self.engine = _make_engine(parsed, pool_size)
        self._check_schema = check_schema
        self.clocks = Clocks(
            asks_database=self.backend == POSTGRESQL, clock=clock, server_clock=server_clock
        )
        self.writer_count = pool_size if self.backend == POSTGRESQL else 1
        self._one_writer: AbstractContextManager[Any] = nullcontext()
        self._one_reader: AbstractContextManager[Any] = nullcontext()
        if self.backend == SQLITE:
            self._one_writer = threading.RLock()
        if isinstance(self.engine.pool, StaticPool):
            self._one_reader = self._one_writer
        self._guard: FileGuard | None = None
        self._breakage: StoreBrokenError | None = None

    def read(self, work: Callable[[Connection], T]) -> T:
        """Returns what `work` makes of one transaction that sees one state of the database."""
        with self._one_reader, self._noticing_migrations(), self._unbroken():
            return _attempt(work, begin=self._begin_read)

    def write(self, work: Callable[[Connection], T], *, lanes: Iterable[tuple[str, str]] = ()) -> T:
        """Returns what `work` makes of one transaction, which is committed when this returns.

        While it runs nobody else writes to these lanes, each an account and a lane of it. `work`
        may run more than once: a transaction that collides is rolled back and tried again.
        """
        keys: list[int] = []
        if self.backend == POSTGRESQL:
            keys = sorted({_lock_of(account, lane) for account, lane in lanes})

        @contextmanager
        def begin() -> Iterator[Connection]:
            with self.engine.connect() as connection, connection.begin():
                if keys:
                    connection.execute(_LOCK_LANES, {"keys": keys})
                yield connection

        with self._one_writer, self._noticing_migrations(), self._unbroken():
            return _attempt(work, begin=begin)

    def now(self, connection: Connection) -> datetime:
        """Returns the time that all servers of the database go by."""
        return self.clocks.now(connection)

    def hold_policy_and_images(self, connection: Connection) -> datetime:
        """Keeps the policy and the known images as they are until this transaction ends.

        Returns the time as `now` does, which costs nothing on the way.
        """
        if self.backend == POSTGRESQL:
            return self.clocks.take(lambda: connection.execute(_HOLD_BOTH).one().now)
        return self.now(connection)

    def check_schema(self) -> None:
        """Raises SchemaChangedError where the schema is not the one that is needed."""
        with self._one_reader, naming_the_unavailable():
            self._check_schema(self.engine.execution_options(amiguard_begin="BEGIN"))

    @property
    def breakage(self) -> StoreBrokenError | None:
        """Why the database is of no use any more, None while it is."""
        return self._breakage

    def guard_file(self) -> None:
        """Has every transaction from now on fail once a SQLite file is removed or replaced."""
        if self.backend != SQLITE or isinstance(self.engine.pool, StaticPool):
            return
        with naming_the_unavailable():
            connection = self.engine.raw_connection()
        driver_connection: Any = connection.driver_connection
        connection.detach()
        self._guard = FileGuard(driver_connection)

    def check_file(self) -> None:
        """Raises StoreReplacedError where a SQLite file was removed or replaced."""
        with self._unbroken():
            pass

    def check_pages(self, limit: timedelta) -> None:
        """Raises StoreDamagedError where SQLite finds damage within a time."""
        if self.backend != SQLITE:
            return
        with naming_the_unavailable(), closing(self.engine.raw_connection()) as connection:
            check_pages(connection, limit)

    @contextmanager
    def _unbroken(self) -> Iterator[None]:
        """Raises StoreBrokenError before and after a block, once the database is broken, for good.

        After it, because what was committed to a file without a name must not be acknowledged.
        """
        if self._breakage is not None:
            raise self._breakage
        try:
            if self._guard is not None:
                self._guard.check()
            yield
            if self._guard is not None:
                self._guard.check()
        except StoreBrokenError as error:
            self._breakage = error
            raise

    @contextmanager
    def _noticing_migrations(self) -> Iterator[None]:
        """Raises SchemaChangedError for what fails because the schema is another one now.

        What works with a newer schema goes on working.
        """
        try:
            yield
        except (DBAPIError, ValueError) as error:
            try:
                self.check_schema()
            except SchemaChangedError as changed:
                raise changed from error
            except StoreUnavailableError:
                pass  # What went wrong first says more.
            raise

    @contextmanager
    def _begin_read(self) -> Iterator[Connection]:
        with self.engine.connect() as plain:
            if self.backend == POSTGRESQL:
                connection = plain.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            else:
                connection = plain.execution_options(amiguard_begin="BEGIN")
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Closes every connection; leaves to the process's end what would touch another file."""
        if isinstance(self._breakage, StoreReplacedError) and not self._breakage.may_close:
            return
        self.engine.dispose()
        if self._guard is not None:
            self._guard.close()


@contextmanager
def naming_the_unavailable() -> Iterator[None]:
    """Raises StoreUnavailableError for what a block raises of a database that is not there.

    For work outside of `Database.read` and `write`, such as migrations.
    """
    try:
        yield
    except DBAPIError as error:
        if _is_unavailable(error, getattr(error.orig, "sqlstate", None)):
            raise StoreUnavailableError("the database is unavailable") from error
        if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            raise StoreError("database: got a file that is no SQLite database") from error
        if is_damage(error):
            raise StoreDamagedError from error
        raise


def lock_change_log(connection: Connection) -> None:
    """Makes this transaction the only one that appends to the change log until it ends.

    Ids are taken before the commit; without the lock a reader could pass a row that commits late.
    SQLite has one writer at a time anyway.
    """
    _lock(connection, _CHANGE_LOG_LOCK, shared=False)


def hold_policy(connection: Connection) -> None:
    """Keeps the policy as it is until this transaction ends."""
    _lock(connection, _POLICY_LOCK, shared=True)


def change_policy(connection: Connection) -> None:
    """Waits for every transaction that holds the policy, and keeps others from beginning to.

    Whatever was judged by the policy before is then committed, and there to be judged again.
    """
    _lock(connection, _POLICY_LOCK, shared=False)


def change_images(connection: Connection) -> None:
    """Waits for every transaction that holds the known images, and keeps others from beginning."""
    _lock(connection, _IMAGES_LOCK, shared=False)


def _lock(connection: Connection, key: int, *, shared: bool) -> None:
    if connection.dialect.name == POSTGRESQL:
        connection.execute(_LOCK_SHARED if shared else _LOCK, {"key": key})


def _lock_of(account_id: str, lane: str) -> int:
    digest = blake2b(f"{account_id}\0{lane}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % LOCK_COUNT


def _parse_url(text: str) -> URL:
    try:
        url = make_url(text)
        name = url.get_backend_name()
    except ArgumentError:
        raise StoreError(
            "database: got a text that is no URL, wanted sqlite:///PATH or postgresql://..."
        ) from None
    if name == POSTGRESQL:
        return url.set(drivername="postgresql+psycopg")
    if name == SQLITE:
        return url.set(drivername="sqlite+pysqlite")
    raise StoreError(f"database: got {name}://, wanted sqlite:///PATH or postgresql://...")


def _make_engine(url: URL, pool_size: int) -> sqlalchemy.Engine:
    if url.get_backend_name() == POSTGRESQL:
        try:
            engine = sqlalchemy.create_engine(
                url, pool_size=pool_size, max_overflow=pool_size, pool_timeout=30
            )
        except (NoSuchModuleError, ImportError):
            raise StoreError(
                "database: PostgreSQL needs the driver psycopg; install amiguard[postgres]"
            ) from None
        event.listen(engine, "connect", _configure_postgresql)
        event.listen(engine, "checkout", _leave_to_postgresql)
        return engine
    if url.database in {None, "", ":memory:"}:
        engine = sqlalchemy.create_engine(
            url, poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
    else:
        engine = sqlalchemy.create_engine(url, pool_size=pool_size, max_overflow=pool_size)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_postgresql(connection: DBAPIConnection, _record: object) -> None:
    """Keeps a transaction from outliving who works on it."""
    cursor = connection.cursor()
    cursor.execute(f"SET idle_in_transaction_session_timeout = '{_IDLE_SECONDS}s'")
    cursor.close()
    connection.commit()


def _leave_to_postgresql(connection: DBAPIConnection, _record: object, _connection: object) -> None:
    """Lets the database say whether a transaction may write, unless we do.

    After a transaction that only reads SQLAlchemy would have the next one write in any case, also
    where the database has been set to be read alone.
    """
    driver_connection: Any = connection
    if driver_connection.closed:
        # The pool makes another one.
        raise DisconnectionError
    driver_connection.read_only = None


def _configure_sqlite(connection: DBAPIConnection, _record: object) -> None:
    """Sets a connection up to keep what it acknowledges, and hands transactions to us."""
    # The driver would begin a transaction as it sees fit; _begin_sqlite says which kind.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {_BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "cache_size = -65536",
        "temp_store = MEMORY",
        f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Begins to write at once: a read that turns into a write fails whatever the timeout."""
    options = connection.get_execution_options()
    connection.exec_driver_sql(options.get("amiguard_begin", "BEGIN IMMEDIATE"))


def _attempt(
    work: Callable[[Connection], T], *, begin: Callable[[], AbstractContextManager[Connection]]
) -> T:
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            with begin() as connection:
                return work(connection)
        except PoolTimeoutError as error:
            raise StoreUnavailableError("every connection is busy") from error
        except DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None)
            if state in _TRY_AGAIN or (error.connection_invalidated and attempt == 1):
                last = error
                continue
            if is_damage(error):
                raise StoreDamagedError from error
            if _is_unavailable(error, state):
                raise StoreUnavailableError("the database is unavailable") from error
            raise
    raise StoreConflictError(f"the transaction collided {MAX_ATTEMPTS} times") from last


def _is_unavailable(error: DBAPIError, state: str | None) -> bool:
    if error.connection_invalidated:
        return True
    if state is not None:
        return state[:2] in _UNAVAILABLE_CLASSES or state == _READ_ONLY
    if not isinstance(error, sqlalchemy.exc.OperationalError):
        return False
    # psycopg gives no SQLSTATE where the server was never reached; SQLite never gives one.
    text = str(error.orig).lower()
    is_sqlite = type(error.orig).__module__.startswith("sqlite3")
    return not is_sqlite or any(sign in text for sign in _SQLITE_UNAVAILABLE)
