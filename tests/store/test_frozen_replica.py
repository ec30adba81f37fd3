"""A replica that is frozen in the middle of a transaction."""

from __future__ import annotations

from threading import Event, Thread

import pytest
from sqlalchemy import Connection, text

from amiguard_service.store import connect
from amiguard_service.store.engines import Database
from tests.databases import Postgres

LANE = ("111122223333", "role/ci")


def backend_of(connection: Connection) -> int:
    """Returns the number of the server's process that works for a connection."""
    return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())


def test_lanes_of_a_frozen_replica_are_freed(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others get its lanes without it; when it goes on, its work is done again from the start."""
    monkeypatch.setattr(connect, "_IDLE_SECONDS", 1)
    url = postgres.make_empty()
    frozen, other = Database(url), Database(url)
    is_frozen, goes_on = Event(), Event()
    seen: list[int] = []

    def freeze(connection: Connection) -> None:
        seen.append(backend_of(connection))
        is_frozen.set()
        goes_on.wait(60)
        seen.append(backend_of(connection))

    thread = Thread(target=frozen.write, args=[freeze], kwargs={"lanes": [LANE]})
    thread.start()
    assert is_frozen.wait(60)

    other.write(backend_of, lanes=[LANE])

    goes_on.set()
    thread.join(60)
    frozen.close()
    other.close()
    first, second, third = seen
    assert first != second == third
