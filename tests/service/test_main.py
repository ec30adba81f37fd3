"""Laws of the command `amiguard-server`, as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from sqlalchemy import make_url

from amiguard.v1 import finding_service_pb2
from amiguard.v1.finding_service_pb2_grpc import FindingServiceStub
from amiguard_migrations import downgrade, head, upgrade
from amiguard_service.main import EXIT_FAILURE, EXIT_SCHEMA, EXIT_USAGE
from amiguard_service.store.engines import Database
from tests.databases import Postgres
from tests.service.running import TIMEOUT
from tests.service.talking import PAIR, Talk, log_file, records, submit

COMMAND = (sys.executable, "-m", "amiguard_service.main")


def environment(**variables: str) -> dict[str, str]:
    """The environment of a process that takes no setting from ours."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("AMIGUARD_")}
    return ours | variables


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(**variables),
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


@dataclass
class Process:
    """A server that serves."""

    process: subprocess.Popen[bytes]
    ready_file: Path
    target: str
    listening: dict[str, object]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, list[dict[str, object]]]:
        """Ends it with a signal; returns the exit code and its log."""
        self.process.send_signal(number)
        _, log = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, [json.loads(line) for line in log.splitlines()]

    def await_event(self, *names: str) -> dict[str, object]:
        """Returns the next line of the log with one of these events."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            told: dict[str, object] = json.loads(line)
            if told["event"] in names:
                return told
        raise AssertionError(f"the log ended without {names}")

    def wait(self) -> int:
        """Returns the exit code of a server that was asked to stop."""
        return self.process.wait(TIMEOUT)


@contextmanager
def served(directory: Path, *arguments: str) -> Iterator[Process]:
    """Runs a server on a database in a directory, at a free port."""
    ready_file = directory / "ready"
    ready_file.unlink(missing_ok=True)
    process = subprocess.Popen(
        [
            *COMMAND,
            "serve",
            "--insecure",
            "--listen=127.0.0.1:0",
            f"--database=sqlite:///{directory / 'amiguard.db'}",
            f"--ready-file={ready_file}",
            *arguments,
        ],
        env=environment(),
        stderr=subprocess.PIPE,
        # Nothing is read ahead, so that the rest of the log is there to be read at the end.
        bufsize=0,
    )
    try:
        assert process.stderr is not None
        listening = json.loads(process.stderr.readline())
        target = ready_file.read_text(encoding="utf-8").strip()
        yield Process(process, ready_file, target, listening)
    finally:
        process.kill()
        process.communicate()


def test_files_of_a_server_are_its_own(tmp_path: Path) -> None:
    """The database, what SQLite writes beside it, and the ready file: nobody else reads them."""
    with served(tmp_path) as server, grpc.insecure_channel(server.target) as channel:
        finding_count(channel)
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}

    assert {"amiguard.db", "amiguard.db-wal", "ready"} <= modes.keys()
    assert set(modes.values()) == {0o600}


def test_sighup_reads_the_files_again(tmp_path: Path) -> None:
    """Those that cannot be used change nothing; a server that drains passes the signal over."""
    events = "config.reloaded", "config.reload_failed"
    sinks = tmp_path / "sinks.toml"
    good = """[[sinks]]
name = "siem"
kind = "webhook"
url = "https://127.0.0.1:9/"
secret_file = "siem.secret"
private_network = true
"""
    (tmp_path / "siem.secret").write_text(f"whsec_{'A' * 43}=", encoding="utf-8")
    (tmp_path / "siem.secret").chmod(0o600)
    sinks.write_text(good, encoding="utf-8")
    with (
        served(tmp_path, f"--sinks={sinks}") as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        told = []
        for text in (good.replace('siem"', 'other"', 1), "nonsense", good):
            sinks.write_text(text, encoding="utf-8")
            server.process.send_signal(signal.SIGHUP)
            told.append(server.await_event(*events)["event"])
            assert finding_count(channel) == 0
        server.process.send_signal(signal.SIGTERM)
        server.process.send_signal(signal.SIGHUP)
        code = server.wait()

    assert (code, told) == (0, [events[0], events[1], events[0]])


def finding_count(channel: grpc.Channel) -> int:
    """How many findings a server has."""
    request = finding_service_pb2.GetFindingsRequest()
    return len(FindingServiceStub(channel).GetFindings(request, timeout=TIMEOUT).findings)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_server_well(tmp_path: Path, number: signal.Signals) -> None:
    """A server that is asked to stop ends with 0, takes its ready file away and says so."""
    with served(tmp_path) as server:
        code, log = server.stop(number)

    events = [line["event"] for line in log]
    assert (code, server.ready_file.exists()) == (0, False)
    assert events == ["server.draining", "server.stopped"]
    assert ("server.listening", server.target) == (
        server.listening["event"],
        server.listening["address"],
    )


def test_batches_in_flight_are_acked_before_the_end(tmp_path: Path) -> None:
    """A stream is asked to go away, gets the acks of what it sent, and loses nothing."""
    with served(tmp_path) as server, grpc.insecure_channel(server.target) as channel:
        with Talk(channel) as talk:
            talk.open()
            for sequence in range(1, 21):
                talk.send_batch(log_file(*PAIR, sequence=sequence))
            first = talk.receive_ack()
            server.process.send_signal(signal.SIGTERM)
            told = []
            for response in iter(talk.receive, None):
                told.append(response)
                if response.HasField("go_away"):
                    talk.finish()
                    told += talk.rest()
                    break
        code = server.wait()

    acks = [first.sequence, *(r.ack.sequence for r in told if r.HasField("ack"))]
    assert list(range(1, 21)) == acks
    assert sum(response.HasField("go_away") for response in told) == 1
    assert code == 0


def test_a_client_that_does_not_leave_is_not_waited_for_longer_than_said(tmp_path: Path) -> None:
    """A stream that ignores the request to go is ended within the grace period."""
    with (
        served(tmp_path, "--grace-seconds=1") as server,
        grpc.insecure_channel(server.target) as channel,
        Talk(channel) as talk,
    ):
        talk.open()
        server.process.send_signal(signal.SIGTERM)
        responses, refused = talk.end()
        code = server.wait()

    assert [response.WhichOneof("message") for response in responses] == ["go_away"]
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    assert code == 0


def test_a_killed_server_loses_nothing_it_acked(tmp_path: Path) -> None:
    """What was acked is there when the next server starts on the same database."""
    with served(tmp_path) as server, grpc.insecure_channel(server.target) as channel:
        submit(channel, records(*PAIR))
        server.process.kill()
    with served(tmp_path) as server, grpc.insecure_channel(server.target) as channel:
        count = finding_count(channel)

    assert count == 1


def test_a_log_line_tells_of_a_call_and_of_no_record(tmp_path: Path) -> None:
    """Each call is one line at its end: who, what, how it ended, how long, how much."""
    with served(tmp_path) as server, grpc.insecure_channel(server.target) as channel:
        submit(channel, records(*PAIR, b"no record"))
        _, log = server.stop()

    (line,) = [line for line in log if line["event"] == "rpc.done"]
    assert {
        "principal": "anonymous",
        "method": "amiguard.v1.IngestService/SubmitBatch",
        "code": "OK",
        "batch_count": 1,
        "record_count": 3,
        "rejected_count": 1,
        "level": "info",
    }.items() <= line.items()
    assert {"request_id", "duration_ms", "timestamp"} <= line.keys()
    assert "ubuntu" not in json.dumps(log)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["serve", "--insecure", "--listen=0.0.0.0:0"], "listen"),
        (["serve"], "tls_certificate"),
        (["serve", "--insecure", "--grace-seconds=never"], "grace_seconds"),
        (["serve", "--insecure", "--config=/nowhere/amiguard.toml"], "config"),
        (["serve", "--insecure", "--database=oracle://host/name"], "database"),
        (["migrate", "--database=nothing"], "database"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_one_line(arguments: list[str], named: str) -> None:
    """A wrong setting is one line on the error output, and an exit code of its own."""
    ended = run(*arguments)

    assert (ended.returncode, ended.stdout) == (EXIT_USAGE, "")
    assert ended.stderr.startswith(f"amiguard-server: {named}: got ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [[], ["dance"], ["serve", "--lisen=1"], ["serve", "--list=1"], ["migrate", "--listen=1"]],
)
def test_a_wrong_argument_is_a_usage_error(arguments: list[str]) -> None:
    """What the command does not know is refused, abbreviations too."""
    ended = run(*arguments)

    assert ended.returncode == EXIT_USAGE
    assert ended.stderr.startswith("usage: amiguard-server")


def test_an_unknown_variable_stops_the_start() -> None:
    """A misspelt variable is not taken for no variable."""
    ended = run("serve", "--insecure", AMIGUARD_LISEN="127.0.0.1:0")

    assert ended.returncode == EXIT_USAGE
    assert "AMIGUARD_LISEN" in ended.stderr


def test_an_address_in_use_is_one_line(tmp_path: Path) -> None:
    """A server whose address is taken says so and ends."""
    with served(tmp_path) as server:
        ended = run(
            "serve",
            "--insecure",
            f"--listen={server.target}",
            f"--database=sqlite:///{tmp_path / 'other.db'}",
        )

    assert ended.returncode == EXIT_FAILURE
    assert f"amiguard-server: listen: got {server.target}" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "database", ["postgresql://u:hunter2@127.0.0.1:1/name", "sqlite:////nowhere/at/all.db"]
)
@pytest.mark.parametrize("command", [["serve", "--insecure", "--listen=127.0.0.1:0"], ["migrate"]])
def test_an_unreachable_database_is_one_line(command: list[str], database: str) -> None:
    """A database that nobody answers for ends the start without a traceback or a password."""
    ended = run(*command, f"--database={database}")

    assert ended.returncode == EXIT_FAILURE
    assert ended.stderr.count("\n") == 1
    assert "hunter2" not in ended.stderr


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing/amiguard.db", "there is no folder"),
        ("", "is a folder, wanted a file"),
        ("x" * 300, "unable to open"),
    ],
)
def test_a_file_that_cannot_be_says_why(tmp_path: Path, name: str, reason: str) -> None:
    """An operator learns what to look at."""
    ended = run("migrate", f"--database=sqlite:///{tmp_path / name}")

    assert (ended.returncode, ended.stderr.count("\n")) == (EXIT_FAILURE, 1)
    assert reason in ended.stderr


def test_a_truncated_file_is_one_line(tmp_path: Path) -> None:
    """A database that was cut short ends the start with what to do."""
    path = tmp_path / "amiguard.db"
    run("migrate", f"--database=sqlite:///{path}")
    path.write_bytes(path.read_bytes()[:6_000])

    ended = run("serve", "--insecure", "--listen=127.0.0.1:0", f"--database=sqlite:///{path}")

    assert (ended.returncode, ended.stderr.count("\n")) == (EXIT_FAILURE, 1)
    assert "the database is damaged" in ended.stderr


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"database": "no_such_database"}, "does not exist"),
        ({"username": "no_such_user"}, "does not exist"),
        ({"username": "guest"}, "GRANT USAGE, CREATE ON SCHEMA"),
        ({"query": {"options": "-c search_path=nowhere"}}, "create the schema"),
        ({"query": {"connect_timeout": "soon"}}, "connect_timeout"),
        ({"query": {"host": "no-such-host.invalid"}}, "no-such-host.invalid"),
    ],
    ids=str,
)
@pytest.mark.parametrize("command", [["serve", "--insecure", "--listen=127.0.0.1:0"], ["migrate"]])
def test_a_postgresql_that_cannot_be_used_says_why(
    postgres: Postgres, command: list[str], change: dict[str, Any], reason: str
) -> None:
    """What is missing is in the line, and no traceback, whoever makes the schema."""
    postgres.add_guest()
    url = make_url(postgres.make_empty())
    query = dict(url.query) | change.get("query", {})
    url = url.set(**{**change, "query": query})

    ended = run(*command, f"--database={url.render_as_string(hide_password=False)}")

    assert (ended.returncode, ended.stderr.count("\n")) == (EXIT_FAILURE, 1), ended.stderr
    assert reason in ended.stderr


def test_an_ephemeral_server_says_that_all_is_lost(tmp_path: Path) -> None:
    """It serves without a database and without a file, and its log warns first."""
    process = subprocess.Popen(
        [*COMMAND, "serve", "--insecure", "--listen=127.0.0.1:0", "--ephemeral"],
        env=environment(),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    assert process.stderr is not None
    warning, listening = (json.loads(process.stderr.readline()) for _ in range(2))
    process.terminate()
    process.communicate(timeout=TIMEOUT)

    assert (warning["event"], warning["settings"]) == ("store.not_durable", ["ephemeral = true"])
    assert "lost" in listening["database"]
    assert (process.returncode, list(tmp_path.iterdir())) == (0, [])


def test_migrate_brings_an_older_database_up(tmp_path: Path) -> None:
    """A server refuses an older schema, naming the command that helps; after it, it serves."""
    url = f"sqlite:///{tmp_path / 'amiguard.db'}"
    database = Database(url)
    upgrade(database.engine)
    downgrade(database.engine, "0001")
    database.close()

    refused = run("serve", "--insecure", "--listen=127.0.0.1:0", f"--database={url}")
    migrated = run("migrate", f"--database={url}")
    again = run("migrate", f"--database={url}")
    with served(tmp_path) as server, grpc.insecure_channel(server.target) as channel:
        count = finding_count(channel)

    assert refused.returncode == EXIT_SCHEMA
    assert "amiguard-server migrate" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert (migrated.returncode, again.returncode, count) == (0, 0, 0)
    assert migrated.stdout == f"the database is at schema {head()}, it was at 0001\n"
    assert again.stdout == f"the database is at schema {head()}, it was at {head()}\n"


def test_a_foreign_database_is_left_alone(tmp_path: Path) -> None:
    """A database that holds something else is refused, by a start and by a migration."""
    path = tmp_path / "amiguard.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE somebody_elses (id INTEGER)")
    url = f"sqlite:///{path}"

    started = run("serve", "--insecure", "--listen=127.0.0.1:0", f"--database={url}")
    migrated = run("migrate", f"--database={url}")

    assert [started.returncode, migrated.returncode] == [EXIT_SCHEMA] * 2
    assert 1 == started.stderr.count("\n") == migrated.stderr.count("\n")


def test_config_shows_what_is_in_force(tmp_path: Path) -> None:
    """The settings in force are shown with their sources, as a file, without the password."""
    file = tmp_path / "amiguard.toml"
    file.write_text('listen = "127.0.0.1:1"\ngrace_seconds = 5\n', encoding="utf-8")

    shown = run(
        "config",
        "--grace-seconds=6",
        AMIGUARD_CONFIG=str(file),
        AMIGUARD_DATABASE="postgresql://u:hunter2@host/name",
    )

    settings = tomllib.loads(shown.stdout)
    assert shown.returncode == 0
    assert (settings["listen"], settings["grace_seconds"]) == ("127.0.0.1:1", 6)
    assert settings["database"] == "postgresql://u:***@host/name"
    assert "hunter2" not in shown.stdout
    for source in (str(file), "AMIGUARD_DATABASE", "--grace-seconds", "the default"):
        assert source in shown.stdout


def test_help_names_every_setting() -> None:
    """Whatever can be set can be found in the help, with its default."""
    ended = run("serve", "--help")

    assert ended.returncode == 0
    for flag in ("--listen", "--database", "--insecure", "--tls-certificate", "--ready-file"):
        assert flag in ended.stdout
    assert "127.0.0.1:7443" in ended.stdout
