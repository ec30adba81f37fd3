"""How transactions end when they cannot have what they need, and what they lock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from amiguard_service.store import engines
from amiguard_service.store.engines import MAX_ATTEMPTS, Database
from amiguard_service.store.errors import StoreConflictError, StoreUnavailableError
from tests.databases import Postgres


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    """An empty PostgreSQL database, over one connection."""
    opened = Database(postgres.make_empty(), pool_size=1)
    yield opened
    opened.close()


def locks_of(connection: Connection) -> set[tuple[int, int, int, str]]:
    """Returns the advisory locks that a transaction holds: class, object, kind of key, mode."""
    rows = connection.execute(
        text(
            "SELECT classid::bigint, objid::bigint, objsubid, mode FROM pg_locks"
            " WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        )
    )
    return {(row[0], row[1], row[2], row[3]) for row in rows}


PREPARED = text("SELECT count(*) FROM pg_prepared_statements")


@pytest.mark.parametrize(
    ("parameter", "prepares"), [("", True), ("?prepare_threshold=none", False)]
)
def test_statements_are_prepared_unless_the_url_says_otherwise(
    postgres: Postgres, parameter: str, *, prepares: bool
) -> None:
    """A commit runs the same statements again and again; planning them is a tenth of it."""
    url = postgres.make_empty()
    parameter = parameter.replace("?", "&") if "?" in url else parameter
    opened = Database(url + parameter, pool_size=1)
    for _ in range(10):
        opened.write(lambda c: c.execute(text("SELECT 1")))
    count = opened.write(lambda c: c.execute(PREPARED).scalar_one())
    opened.close()

    assert (count > 0) is prepares


class TestLockKeys:
    """Two releases that run side by side must lock the same: these keys never change."""

    @pytest.mark.parametrize(
        ("take", "key", "mode"),
        [
            (engines.lock_change_log, 0x616D6A, "ExclusiveLock"),
            (engines.hold_policy, 0x616D6C, "ShareLock"),
            (engines.change_policy, 0x616D6C, "ExclusiveLock"),
            (engines.change_images, 0x616D6D, "ExclusiveLock"),
        ],
        ids=lambda value: getattr(value, "__name__", ""),
    )
    def test_each_lock_has_its_key(
        self, database: Database, take: object, key: int, mode: str
    ) -> None:
        """What one release takes the other waits for."""
        assert callable(take)

        def work(connection: Connection) -> set[tuple[int, int, int, str]]:
            take(connection)
            return locks_of(connection)

        assert database.write(work) == {(0, key, 1, mode)}

    def test_commit_holds_both_policy_and_images(self, database: Database) -> None:
        """With the keys that changes of them take."""

        def work(connection: Connection) -> set[tuple[int, int, int, str]]:
            database.hold_policy_and_images(connection)
            return locks_of(connection)

        assert database.write(work) == {
            (0, 0x616D6C, 1, "ShareLock"),
            (0, 0x616D6D, 1, "ShareLock"),
        }

    def test_lane_has_its_lock(self, database: Database) -> None:
        """A lane's lock is derived from its name alone, by a digest and not by Python's hash."""
        lanes = [("111122223333", "role/ci"), ("", "é")]

        held = database.write(locks_of, lanes=lanes)

        assert held == {
            (0x616D69, 134, 2, "ExclusiveLock"),
            (0x616D69, 931, 2, "ExclusiveLock"),
        }


class TestFailures:
    """What is said where a transaction cannot be had, or collides for good."""

    def test_too_few_connections_say_that_every_one_is_busy(self, tmp_path: Path) -> None:
        """Whoever asks for more transactions than there are connections may try again later."""
        database = Database(f"sqlite:///{tmp_path / 'a.db'}", pool_size=1)
        pool = database.engine.pool
        assert isinstance(pool, QueuePool)
        pool._timeout = 0

        def nested(depth: int) -> None:
            database.read(lambda _: nested(depth + 1))

        with pytest.raises(StoreUnavailableError, match=r"every connection is busy$"):
            nested(0)

        assert database.read(lambda c: c.execute(text("SELECT 1")).scalar_one()) == 1
        database.close()

    def test_connection_that_was_closed_in_the_pool_is_replaced(self, database: Database) -> None:
        """Nobody is told of it, and the work is done once."""
        used: list[int] = []

        def work(connection: Connection) -> None:
            used.append(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())

        database.write(work)
        with database.engine.connect() as connection:
            driver_connection = connection.connection.driver_connection
        assert driver_connection is not None
        driver_connection.close()
        database.write(work)

        first, second = used
        assert first != second

    def test_transaction_that_collides_each_time_is_a_conflict(self, database: Database) -> None:
        """It is tried so often and no oftener; the last time it collides its caller is told."""
        attempts: list[int] = []

        def collide(connection: Connection) -> None:
            attempts.append(1)
            connection.execute(
                text("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$")
            )

        with pytest.raises(StoreConflictError, match=r"^the transaction collided 5 times$"):
            database.write(collide)

        assert len(attempts) == MAX_ATTEMPTS == 5

    def test_transaction_that_collides_once_less_is_done(self, database: Database) -> None:
        """Nobody learns of collisions that pass."""
        attempts: list[int] = []

        def collide(connection: Connection) -> str:
            attempts.append(1)
            if len(attempts) < MAX_ATTEMPTS:
                connection.execute(
                    text("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40P01'; END $$")
                )
            return "done"

        assert database.write(collide) == "done"

    def test_error_that_is_no_collision_is_not_tried_again(self, database: Database) -> None:
        """A wrong statement stays wrong."""
        attempts: list[int] = []

        def err(connection: Connection) -> None:
            attempts.append(1)
            connection.execute(text("SELECT 1 / 0"))

        with pytest.raises(DBAPIError):
            database.write(err)

        assert len(attempts) == 1
