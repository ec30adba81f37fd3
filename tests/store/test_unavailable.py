"""What is said of a database that cannot be reached, or that cannot write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from amiguard_service.engine import Engine
from amiguard_service.store.engines import Database
from amiguard_service.store.errors import StoreError, StoreUnavailableError
from tests.databases import Postgres

NOBODY = "postgresql://127.0.0.1:1/amiguard"
"""Nobody listens at the port of a service that nobody runs."""


def test_opening_where_nobody_answers_says_so() -> None:
    """A server that is started before its database learns that it may try again."""
    with pytest.raises(StoreUnavailableError):
        Engine.open(NOBODY)


def test_opening_a_file_that_cannot_be_says_so(tmp_path: Path) -> None:
    """A file in a directory that is not there is a database that is not there."""
    with pytest.raises(StoreUnavailableError):
        Engine.open(f"sqlite:///{tmp_path}/missing/amiguard.db")


def test_opening_a_file_of_another_kind_says_so(tmp_path: Path) -> None:
    """It is left as it is."""
    other = tmp_path / "notes.txt"
    other.write_text("no database, but some text\n" * 50)

    with pytest.raises(StoreError, match="no SQLite database"):
        Engine.open(f"sqlite:///{other}")

    assert other.read_text().startswith("no database")


def test_database_that_is_made_read_only_is_left_alone(postgres: Postgres) -> None:
    """Who freezes a database finds nothing written to it after, whatever was read before."""
    database = Database(postgres.make_empty())
    database.read(lambda c: c.execute(text("SELECT 1")))
    with database.engine.begin() as connection:
        # As ALTER DATABASE has it for the sessions to come.
        connection.execute(text("SET default_transaction_read_only = on"))

    database.read(lambda c: c.execute(text("SELECT 1")))
    with pytest.raises(StoreUnavailableError):
        database.write(lambda c: c.execute(text("CREATE TABLE late (id INTEGER)")))

    database.close()


def test_server_without_a_database_ends_with_one_line() -> None:
    """Whoever starts the server before its database reads one line, and no traceback."""
    command = (sys.executable, "-m", "amiguard_service.main", "serve", "--insecure")

    ended = subprocess.run(
        [*command, "--database", NOBODY, "--listen", "127.0.0.1:0"],
        check=False,
        capture_output=True,
        text=True,
    )

    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert ended.stderr.startswith("amiguard-server: the database is unavailable: ")
    assert "Connection refused" in ended.stderr


FILE_THAT_CANNOT_GROW = """
import resource, sys
from pathlib import Path
from amiguard_service.engine import Engine
from amiguard_service.store.errors import StoreUnavailableError

path = Path(sys.argv[1])
engine = Engine.open(f"sqlite:///{path}")
engine.page_token_keys()
size = path.with_name(f"{path.name}-wal").stat().st_size + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
try:
    engine.ping()
except StoreUnavailableError:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    engine.ping()
    print("noticed, and noticed again")
"""


@pytest.mark.parametrize("room", [0, 50_000])
def test_probe_notices_a_disk_that_takes_no_commit(tmp_path: Path, room: int) -> None:
    """A server whose disk is full, or has room for a little, does not call itself serving."""
    ended = subprocess.run(
        [sys.executable, "-c", FILE_THAT_CANNOT_GROW, str(tmp_path / "amiguard.db"), str(room)],
        check=False,
        capture_output=True,
        text=True,
    )

    assert (ended.stdout, ended.stderr) == ("noticed, and noticed again\n", "")
