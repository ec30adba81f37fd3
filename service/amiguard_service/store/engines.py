"""Transactions: how they begin and end, what they lock, and when they are tried again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Final, TypeVar

import sqlalchemy
from sqlalchemy import BigInteger, Connection, Integer, bindparam, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import StaticPool

from amiguard_service.store.clocks import CLOCK_TIME, Clock, Clocks, SteadyClock
from amiguard_service.store.connect import POSTGRESQL, READING, SQLITE, make_engine, parse_url
from amiguard_service.store.damage import check_pages, is_damage
from amiguard_service.store.errors import (
    SchemaChangedError,
    StatementTimeoutError,
    StoreBrokenError,
    StoreConflictError,
    StoreDamagedError,
    StoreError,
    StoreReplacedError,
    StoreUnavailableError,
)
from amiguard_service.store.failures import advice_on, is_unavailable, reason_of
from amiguard_service.store.file_guard import FileGuard
from amiguard_service.store.links import Links

T = TypeVar("T")

MAX_ATTEMPTS: Final = 5
LOCK_COUNT: Final = 1_024
"""Locks that all lanes share on PostgreSQL: a transaction that takes every one of them still fits
the lock table of a server with default settings."""

_LANE_LOCK_CLASS: Final = 0x616D69
_CHANGE_LOG_LOCK: Final = 0x616D6A
_POLICY_LOCK: Final = 0x616D6C
_IMAGES_LOCK: Final = 0x616D6D
_TRY_AGAIN: Final = {"40001", "40P01", "55P03", "23505"}
"""Serialization failure, deadlock, lock timeout, and a row that another transaction made first."""
_CANCELED: Final = "57014"
"""A statement that `statement_timeout` or an administrator ended: that is about the statement, not
about the database, and trying it again at once would cost as much."""

_ASK: Final = select(literal(1))
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
        steady_clock: SteadyClock | None = None,
    ) -> None:
        """Makes the pool; connects to nothing yet. Raises StoreError for an unusable URL.

        `check_schema` raises SchemaChangedError where the schema is not the one that is needed.
        Clocks are given by tests: see `Clocks`.
        """
        parsed = parse_url(url)
        self.backend = parsed.get_backend_name()
        self._links = Links()
        self.engine = make_engine(parsed, pool_size, self._links)
        self._check_schema = check_schema
        self.clocks = Clocks(
            asks_database=self.backend == POSTGRESQL,
            clock=clock,
            server_clock=server_clock,
            steady_clock=steady_clock,
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

    def check_answers(self) -> None:
        """Raises StoreUnavailableError where nobody answers; waits for as long as nobody does.

        Needs a connection of its own alone. Of SQLite only the file is looked at, which answers at
        once: it raises StoreReplacedError where the file was removed or replaced.
        """
        with self._unbroken(), suppress(StatementTimeoutError):
            if self.backend == POSTGRESQL:
                _attempt(lambda c: c.execute(_ASK), begin=self._begin_read)

    def cut(self) -> None:
        """Ends with an error whatever waits for PostgreSQL to answer."""
        self._links.cut()

    def abandon(self) -> None:
        """Ends with an error whatever waits for PostgreSQL, now and from now on."""
        self._links.close()

    def guard_file(self) -> None:
        """Has every transaction from now on fail once a SQLite file is removed or replaced."""
        if self.backend != SQLITE or isinstance(self.engine.pool, StaticPool):
            return
        with naming_the_unavailable():
            connection = self.engine.raw_connection()
        driver_connection: Any = connection.driver_connection
        connection.detach()
        self._guard = FileGuard(driver_connection)

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
                    isolation_level=READING, postgresql_readonly=True
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
        if is_unavailable(error):
            raise StoreUnavailableError(reason_of(error)) from error
        advice = advice_on(error)
        if advice is not None:
            raise StoreError(f"database: {advice}") from error
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
            if state == _CANCELED:
                raise StatementTimeoutError(reason_of(error)) from error
            if is_damage(error):
                raise StoreDamagedError from error
            if is_unavailable(error):
                raise StoreUnavailableError(reason_of(error)) from error
            raise
    raise StoreConflictError(f"the transaction collided {MAX_ATTEMPTS} times") from last
