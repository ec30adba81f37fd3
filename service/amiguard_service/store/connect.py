"""Connections: the URL of a database, its pool, and what each connection is set to."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import sqlalchemy
from sqlalchemy import URL, Connection, Dialect, event
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.pool import StaticPool

from amiguard_service.store.errors import DatabaseUrlError, StoreError
from amiguard_service.store.links import Links

POSTGRESQL: Final = "postgresql"
SQLITE: Final = "sqlite"

WRITING: Final = "READ COMMITTED"
"""The isolation on PostgreSQL of every transaction but those that only read, migrations included.
With a snapshot from before it waited for its lanes, a commit would miss what the other one wrote;
so the default of the database, its role or its configuration must not decide."""
READING: Final = "REPEATABLE READ"
"""The isolation on PostgreSQL of transactions that only read: each sees one state."""

_NOTICING: Final = {
    "connect_timeout": "5",
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}
"""What libpq is told unless the URL says otherwise, so that a host that is gone is noticed in
seconds. Its own defaults wait as long as the system does, which is up to hours."""
_THRESHOLD: Final = "prepare_threshold"
_NO_THRESHOLD: Final = "none"
_PREPARED_AFTER: Final = 5
"""A statement is prepared when it runs for this time, as is the driver's default."""
_THRESHOLDS: Final = re.compile(r"none|[0-9]{1,6}", re.ASCII)
_MAX_PORT: Final = 65_535
IN_MEMORY: Final = "sqlite://"
"""The URL of a database that is in memory alone."""
_URLS: Final = "sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME"
_HOSTS: Final = (
    "postgresql://USER:PASSWORD@HOST:PORT/NAME, with @ : / of a password as %40 %3A %2F, and "
    "several hosts as ?host=HOST:PORT&host=HOST:PORT"
)

_BUSY_TIMEOUT_MS: Final = 30_000
_IDLE_SECONDS: Final = 60
"""After so long without a statement PostgreSQL ends a transaction: a server that is frozen would
keep its locks, and every other one from the lanes, for as long as its connection stands."""

_CHECKPOINT_PAGES: Final = 4_000
"""So many pages are written to the log, 16 MiB of them, before SQLite folds it into the database: a
commit touches a page for each of its records, and those of the common indexes again and again."""


def parse_url(text: str) -> URL:
    """Returns the URL of a database with its driver.

    Raises DatabaseUrlError for a text that is none, and for one that cannot be meant.
    """
    try:
        url = make_url(text)
        name = url.get_backend_name()
    except ArgumentError:
        raise DatabaseUrlError(_URLS) from None
    except ValueError:
        raise DatabaseUrlError(_HOSTS) from None
    if name == POSTGRESQL:
        return _checked_postgresql(url.set(drivername="postgresql+psycopg"))
    if name == SQLITE:
        return _checked_sqlite(url.set(drivername="sqlite+pysqlite"))
    raise DatabaseUrlError(_URLS)


def is_in_memory(url: URL) -> bool:
    """Says whether a database is in memory alone, and gone when its pool is closed."""
    return url.get_backend_name() == SQLITE and url.database in {None, "", ":memory:"}


def _checked_sqlite(url: URL) -> URL:
    if url.host is not None:
        raise DatabaseUrlError(
            "sqlite:///PATH with three slashes, four for a path that begins at /"
        )
    if url.query:
        # `mode=memory` would be a database that the end of the server deletes.
        raise DatabaseUrlError("sqlite:///PATH without parameters")
    return url


def _checked_postgresql(url: URL) -> URL:
    if "@" in (url.host or "") or not (url.port is None or 0 < url.port <= _MAX_PORT):
        raise DatabaseUrlError(_HOSTS)
    threshold = url.query.get(_THRESHOLD)
    if threshold is not None and not _THRESHOLDS.fullmatch(str(threshold)):
        raise DatabaseUrlError(f"{_THRESHOLD}=none, or a number from 0")
    try:
        # Of an extra of its own.
        from psycopg import ProgrammingError  # noqa: PLC0415
        from psycopg.conninfo import make_conninfo  # noqa: PLC0415
    except ImportError:
        raise StoreError(
            "database: PostgreSQL needs the driver psycopg; install amiguard[postgres]"
        ) from None
    try:
        url.get_dialect()().create_connect_args(url)
    except ArgumentError:
        raise DatabaseUrlError(_HOSTS) from None
    for name in url.query.keys() - {_THRESHOLD}:
        try:
            make_conninfo(**{name: ""})
        except ProgrammingError:
            raise DatabaseUrlError(f"parameters that libpq knows, {name} is none") from None
    return url


def make_engine(url: URL, pool_size: int, links: Links) -> sqlalchemy.Engine:
    """Returns the pool of a database, whose connections to PostgreSQL can be cut."""
    if url.get_backend_name() == POSTGRESQL:
        return _make_postgresql(url, pool_size, links)
    if is_in_memory(url):
        engine = sqlalchemy.create_engine(
            url, poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        event.listen(engine, "connect", configure_sqlite)
    else:
        engine = sqlalchemy.create_engine(url, pool_size=pool_size, max_overflow=pool_size)
        event.listen(engine, "do_connect", _connect_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_postgresql(url: URL, pool_size: int, links: Links) -> sqlalchemy.Engine:
    threshold = url.query.get(_THRESHOLD)
    plain = url.difference_update_query([_THRESHOLD])
    engine = sqlalchemy.create_engine(
        plain.set(query={**_NOTICING, **plain.query}),
        pool_size=pool_size,
        # One more than writers and readers, for the probe.
        max_overflow=pool_size + 1,
        pool_timeout=30,
        isolation_level=WRITING,
        connect_args={
            _THRESHOLD: int(str(threshold)) if threshold not in {None, _NO_THRESHOLD} else None
        },
    )
    links.follow(engine)
    if threshold is None:
        event.listen(engine, "connect", _prepare_without_pooler)
    event.listen(engine, "begin", _begin_postgresql)
    event.listen(engine, "checkout", _leave_to_postgresql)
    return engine


def _prepare_without_pooler(connection: DBAPIConnection, _record: object) -> None:
    """Prepares statements on a connection that goes straight to the database.

    A pooler that lends a session for a transaction gives the next one a session without them. It
    shows by the process that serves the connection: the one it announces is no process of
    PostgreSQL's.
    """
    driver_connection: Any = connection
    cursor = driver_connection.execute("SELECT pg_backend_pid()")
    (process,) = cursor.fetchone()
    driver_connection.rollback()
    if process == driver_connection.info.backend_pid:
        driver_connection.prepare_threshold = _PREPARED_AFTER


def _begin_postgresql(connection: Connection) -> None:
    """Keeps a transaction from outliving who works on it.

    For this transaction alone: behind a pooler the next one on the session is somebody else's.
    """
    connection.exec_driver_sql(
        f"SET LOCAL idle_in_transaction_session_timeout = '{_IDLE_SECONDS}s'"
    )


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


def _connect_sqlite(
    dialect: Dialect, _record: object, arguments: list[Any], parameters: dict[str, Any]
) -> Any:
    """Opens a file, or says what is in the way of it."""
    try:
        connection: Any = dialect.connect(*arguments, **parameters)
        # Here, because the first statements are what needs the file and those beside it.
        configure_sqlite(connection, None)
    except sqlite3.OperationalError as error:
        with suppress(OSError):
            error.args = (f"{error}{_obstacle(Path(arguments[0]))}",)
        raise
    return connection


def _obstacle(path: Path) -> str:
    """Returns what keeps a file from being opened and written to; nothing where it cannot be told.

    SQLite says of all of it that it cannot open the file.
    """
    if path.is_dir():
        return f": {path} is a folder, wanted a file"
    if not path.parent.is_dir():
        return f": there is no folder {path.parent}"
    for each in (path.parent, path):
        if each.exists() and not os.access(each, os.W_OK):
            return f": {each} cannot be written to"
    return ""


def configure_sqlite(connection: DBAPIConnection, _record: object) -> None:
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
