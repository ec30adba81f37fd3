"""PgBouncer between servers and PostgreSQL, which lends a session for a transaction."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from amiguard_service.engine import Engine
from amiguard_service.filters import MatchAll
from amiguard_service.ordering import DEFAULT_ORDER
from amiguard_service.store.engines import Database
from amiguard_service.store.errors import StoreUnavailableError
from tests.databases import Postgres
from tests.robustness.waiting import wait_until
from tests.store.values import ACCOUNT, batch, launch, origin, search

PROGRAM = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
PAIRS = 40

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed")


def free_port() -> int:
    """Returns a port that nobody listens at: PgBouncer takes none of its own choice."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        return int(door.getsockname()[1])


def answers(port: int) -> bool:
    """Says whether somebody listens at a port."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def pooled(url: str, directory: Path, *, mode: str) -> Iterator[str]:
    """Gives the URL of a database through a PgBouncer of three sessions."""
    parsed, port = make_url(url), free_port()
    host = parsed.query["host"]
    configuration = directory / "pgbouncer.ini"
    configuration.write_text(
        f"""
[databases]
{parsed.database} = host={host} user={parsed.username}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = 3
""",
        encoding="utf-8",
    )
    # It refuses to run as root. The server's user gets at the socket, but not at our files.
    as_root = getpass.getuser() == "root"
    other_user = ["-u", Path(str(host)).owner()] if as_root else []
    with configuration.open("rb") as settings, (directory / "pgbouncer.log").open("wb") as log:
        process = subprocess.Popen(
            [str(PROGRAM), *other_user, "/dev/stdin"], stdin=settings, stdout=log, stderr=log
        )
    try:
        wait_until(lambda: answers(port), "PgBouncer listens", seconds=30)
        yield f"postgresql://postgres@127.0.0.1:{port}/{parsed.database}"
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_servers_share_sessions(postgres: Postgres, tmp_path: Path, mode: str) -> None:
    """Two servers on three sessions take everything, and find everything."""
    with pooled(postgres.make_empty(), tmp_path, mode=mode) as url:
        size = 4 if mode == "transaction" else 1
        first, second = Engine.open(url, pool_size=size), Engine.open(url, pool_size=size)
        calls = []
        for number in range(PAIRS):
            principal = f"arn:aws:iam::{ACCOUNT}:user/user{number}"
            found = batch(search(origin(f"s{number}", principal=principal)))
            used = batch(launch(origin(f"l{number}", 120, principal=principal)))
            calls += [(first, found), (second, used)]

        with ThreadPoolExecutor(8 if mode == "transaction" else 2) as threads:
            list(threads.map(lambda call: call[0].commit([call[1]]), calls))

        stored = second.list_findings(MatchAll(), DEFAULT_ORDER, after=None, limit=PAIRS + 1)
        first.close()
        second.close()
    assert len(stored) == PAIRS


def test_nothing_is_left_on_a_session(postgres: Postgres, tmp_path: Path) -> None:
    """Other applications of the pool find its sessions as they were."""
    shown = text(
        "SELECT current_setting('idle_in_transaction_session_timeout'), "
        "current_setting('transaction_isolation'), current_setting('transaction_read_only'), "
        "(SELECT count(*) FROM pg_prepared_statements), "
        "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')"
    )
    with pooled(postgres.make_empty(), tmp_path, mode="transaction") as url:
        database = Database(url)
        inside = database.read(lambda c: c.execute(shown).one())
        for _ in range(10):
            database.write(lambda c: c.execute(text("SELECT 1")), lanes=[("1", "lane")])
        with database.engine.connect() as plain:
            driver = plain.connection.driver_connection
            assert driver is not None
            driver.rollback()
            driver.read_only, driver.isolation_level = None, None
            left = driver.execute(str(shown)).fetchone()
            driver.rollback()
        database.close()

    assert tuple(inside) == ("1min", "repeatable read", "on", 0, 0)
    assert left == ("0", "read committed", "off", 0, 0)


def test_statement_mode_is_refused_in_a_line(postgres: Postgres, tmp_path: Path) -> None:
    """Without transactions nothing works, and the message says that this is why."""
    with (
        pooled(postgres.make_empty(), tmp_path, mode="statement") as url,
        pytest.raises(StoreUnavailableError, match="statement pooling mode") as caught,
    ):
        Engine.open(url)

    assert "\n" not in str(caught.value)
