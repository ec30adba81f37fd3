"""Laws of a database that is of no use any more: its file is gone, or it is damaged."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from amiguard_service.engine import Engine
from amiguard_service.store.errors import (
    StoreBrokenError,
    StoreDamagedError,
    StoreError,
    StoreReplacedError,
)
from tests.databases import Postgres
from tests.store.test_retention import listed
from tests.store.values import batch, launch, origin, search

FIRST = batch(search(origin("s1")), launch(origin("l1", 60)))
SECOND = batch(search(origin("s2"), "acme-*"), launch(origin("l2", 60)))


@pytest.fixture
def path(migrated_sqlite: Path, tmp_path: Path) -> Path:
    """A database file."""
    path = tmp_path / "amiguard.db"
    shutil.copy(migrated_sqlite, path)
    return path


@pytest.fixture
def sqlite(path: Path) -> Iterator[Engine]:
    """An engine on the file, with one finding."""
    opened = Engine.open(f"sqlite:///{path}")
    opened.commit([FIRST])
    yield opened
    opened.close()


def beside(path: Path, suffix: str) -> Path:
    """Returns the path of SQLite's log or of its index."""
    return Path(f"{path}{suffix}")


def remove(*suffixes: str) -> Callable[[Path], None]:
    """Makes what removes files."""

    def work(path: Path) -> None:
        for suffix in suffixes:
            beside(path, suffix).unlink()

    return work


def replace(path: Path) -> None:
    """Moves a copy over the file, as an editor or a restore does."""
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.rename(path)


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (remove("", "-wal", "-shm"), "amiguard.db was removed"),
        (remove(""), "amiguard.db was removed"),
        (remove("-wal"), "amiguard.db-wal was removed"),
        (remove("-shm"), "amiguard.db-shm was removed"),
        (replace, "amiguard.db was replaced"),
        (lambda path: replace(beside(path, "-wal")), "amiguard.db-wal was replaced"),
        (lambda path: path.parent.rename(path.parent.with_name("moved")), "amiguard.db was"),
    ],
    ids=["all", "database", "log", "index", "other database", "other log", "folder"],
)
def test_nothing_is_acknowledged_once_the_file_is_gone(
    sqlite: Engine, path: Path, fault: Callable[[Path], None], named: str
) -> None:
    """Neither reads nor writes go on, for good, and the error says which file it is."""
    fault(path)

    with pytest.raises(StoreReplacedError, match=named):
        sqlite.commit([SECOND])
    with pytest.raises(StoreReplacedError):
        sqlite.check_answers()
    with pytest.raises(StoreReplacedError):
        listed(sqlite)
    with pytest.raises(StoreReplacedError):
        sqlite.ping()


def test_file_that_goes_while_a_commit_runs_fails_it(sqlite: Engine, path: Path) -> None:
    """The files are looked at after the commit, before anybody is told of it."""
    listener = sqlite._policies.read

    def take_away(*arguments: object, **named: object) -> object:
        path.unlink()
        return listener(*arguments, **named)  # type: ignore[arg-type]

    sqlite._policies.read = take_away  # type: ignore[method-assign, assignment]

    with pytest.raises(StoreReplacedError):
        sqlite.commit([SECOND])


def test_what_stood_in_a_lost_log_is_saved_at_the_end(sqlite: Engine, path: Path) -> None:
    """A server that ends in order folds the log that it holds open into the database."""
    beside(path, "-wal").unlink()
    with pytest.raises(StoreReplacedError):
        sqlite.check_answers()

    sqlite.close()

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM findings").fetchone() == (1,)


def test_end_leaves_the_files_of_another_database(sqlite: Engine, path: Path) -> None:
    """Whatever was put in place is neither changed nor deleted."""
    for suffix in ("", "-wal", "-shm"):
        beside(path, suffix).unlink()
        beside(path, suffix).write_bytes(b"restored")
    with pytest.raises(StoreReplacedError):
        sqlite.check_answers()

    sqlite.close()

    assert [beside(path, s).read_bytes() for s in ("", "-wal", "-shm")] == [b"restored"] * 3


def shell(path: Path, statement: str) -> None:
    """Has another process open the database, run a statement, and close it."""
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
        "c.execute(sys.argv[2]).fetchall(); c.commit(); c.close()"
    )
    subprocess.run([sys.executable, "-c", program, path, statement], check=True, timeout=60)


def open_another(path: Path) -> None:
    """Has another server open the database, write to it and end."""
    other = Engine.open(f"sqlite:///{path}")
    other.commit([SECOND])
    other.close()


@pytest.mark.parametrize(
    "act",
    [
        lambda path: shell(path, f"VACUUM INTO '{path}.backup'"),
        lambda path: shell(path, "VACUUM"),
        lambda path: shell(path, "SELECT count(*) FROM findings"),
        lambda path: shell(path, "UPDATE findings SET assignee = 'ann'"),
        lambda path: shell(path, "PRAGMA wal_checkpoint(TRUNCATE)"),
        open_another,
        lambda path: shutil.copy(path, f"{path}.copy"),
        lambda path: path.chmod(0o600),
    ],
    ids=["backup", "vacuum", "read", "write", "truncate", "server", "copy", "mode"],
)
def test_what_others_may_do_is_no_alarm(
    sqlite: Engine, path: Path, act: Callable[[Path], object]
) -> None:
    """Backups, shells, checkpoints and other servers leave the files what they are."""
    act(path)
    sqlite.check_answers()
    sqlite.commit([SECOND])
    # Every connection of the pool may go, and SQLite's log stays.
    sqlite._database.engine.dispose()
    log_stays = beside(path, "-wal").exists()
    sqlite.check_answers()

    assert (log_stays, len(listed(sqlite))) == (True, 2)


def damage(path: Path) -> None:
    """Overwrites the pages that tables begin with."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        statement = "SELECT rootpage FROM sqlite_schema WHERE tbl_name = 'waiting_records'"
        roots = [root for (root,) in connection.execute(statement) if root]
    with path.open("r+b") as file:
        for root in roots:
            file.seek((root - 1) * size)
            file.write(b"\xff" * size)


def test_damage_is_found_at_the_start(path: Path) -> None:
    """Nobody writes to a database that is damaged."""
    damage(path)

    with pytest.raises(StoreDamagedError, match="restore the backup"):
        Engine.open(f"sqlite:///{path}")


@pytest.mark.parametrize("size", [100, 5_000, 40_000])
def test_file_that_was_cut_is_damaged_or_no_database(path: Path, size: int) -> None:
    """Wherever a file was cut, the error is one of the store."""
    with path.open("r+b") as file:
        file.truncate(size)

    with pytest.raises(StoreError):
        Engine.open(f"sqlite:///{path}")


def test_database_that_is_damaged_is_never_written_to_again(sqlite: Engine, path: Path) -> None:
    """It is unavailable for good, for whatever a caller asks."""
    damage(path)
    sqlite._database.engine.dispose()

    with pytest.raises(StoreDamagedError):
        sqlite.commit([SECOND])
    with pytest.raises(StoreDamagedError):
        sqlite.last_cursor()
    with pytest.raises(StoreBrokenError):
        sqlite.ping()


@pytest.mark.parametrize("state", ["XX001", "XX002"])
def test_damage_of_postgresql_is_told_as_such(postgres: Postgres, state: str) -> None:
    """A page or an index entry that cannot be read is no outage, and no fault of ours."""
    engine = Engine.open(postgres.clear())
    fail = text(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{state}'; END $$")

    with pytest.raises(StoreDamagedError):
        engine._database.write(lambda connection: connection.execute(fail))
    with pytest.raises(StoreDamagedError):
        engine.commit([FIRST])
    engine.close()
