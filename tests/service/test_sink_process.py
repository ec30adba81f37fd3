"""Laws of delivering by `amiguard-server`, as a process that is started, killed and misled."""

from __future__ import annotations

import signal
from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event as Flag

import grpc
import pytest

from amiguard_service.engine import Engine, read_clock
from amiguard_service.main import EXIT_USAGE
from amiguard_service.sink_files import read_sinks
from tests.service.receiving import Answer, Receiver, receiving
from tests.service.running import serving
from tests.service.talking import PAIR, records, submit
from tests.service.test_main import run, served

SECRET = f"whsec_{b64encode(b's' * 32).decode()}"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Somebody's system."""
    with receiving() as started:
        yield started


@pytest.fixture
def sinks(tmp_path: Path, receiver: Receiver) -> Path:
    """A file with one sink."""
    (tmp_path / "secret").write_text(SECRET, encoding="utf-8")
    path = tmp_path / "sinks.toml"
    path.write_text(
        f"""
        [[sinks]]
        name = "siem"
        kind = "webhook"
        url = "{receiver.url}"
        secret_file = "secret"
        private_network = true
        timeout_seconds = 60
        """,
        encoding="utf-8",
    )
    return path


def test_server_killed_after_sending_is_followed_by_one_that_sends_the_same(
    tmp_path: Path, receiver: Receiver, sinks: Path
) -> None:
    """Between delivery and its record a server dies; the receiver gets the same key once more."""
    never = Flag()
    receiver.answer = Answer(waits_for=never)
    with served(tmp_path, f"--sinks={sinks}") as server:
        with grpc.insecure_channel(server.target) as channel:
            submit(channel, records(*PAIR))
        first = receiver.take()
        server.process.send_signal(signal.SIGKILL)
        server.wait()
    never.set()
    receiver.answer = Answer()
    # Where nobody waits for it, the time is over in which the dead server might have lived.
    later = Engine.open(
        f"sqlite:///{tmp_path / 'amiguard.db'}", clock=lambda: read_clock() + timedelta(minutes=5)
    )
    with serving(later, sinks=read_sinks(sinks, {})):
        second = receiver.take()
    later.close()

    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


def test_server_asked_to_stop_does_not_wait_for_a_receiver_beyond_its_grace(
    tmp_path: Path, receiver: Receiver, sinks: Path
) -> None:
    """An attempt that takes longer than a stop may is broken off, and the server ends well."""
    never = Flag()
    receiver.answer = Answer(waits_for=never)
    with served(tmp_path, f"--sinks={sinks}", "--grace-seconds=1") as server:
        with grpc.insecure_channel(server.target) as channel:
            submit(channel, records(*PAIR))
        receiver.take()
        code, log = server.stop()
    never.set()

    assert code == 0
    assert log[-1]["event"] == "server.stopped"


def test_wrong_file_stops_the_start_in_one_line(tmp_path: Path, sinks: Path) -> None:
    """The setting, the file and the key in it are named, and no secret."""
    text = sinks.read_text(encoding="utf-8")
    sinks.write_text(text.replace("private_network = true", ""), encoding="utf-8")
    database = f"--database=sqlite:///{tmp_path / 'x.db'}"

    done = run("serve", "--insecure", database, f"--sinks={sinks}")
    missing = run("serve", "--insecure", database, f"--sinks={tmp_path / 'nowhere'}")

    assert (done.returncode, missing.returncode) == (EXIT_USAGE, EXIT_USAGE)
    assert done.stderr.count("\n") == missing.stderr.count("\n") == 1
    assert "sinks[0].url: got http://, expected https://" in done.stderr
    assert "expected a readable file (No such file or directory)" in missing.stderr
    assert SECRET not in done.stderr


def test_variables_of_sinks_are_no_settings(sinks: Path) -> None:
    """What a file of sinks names may begin as our own variables do."""
    text = sinks.read_text(encoding="utf-8")
    named = text.replace('secret_file = "secret"', 'secret_env = "AMIGUARD_SINK_SIEM"')
    sinks.write_text(named, encoding="utf-8")

    shown = run("config", f"--sinks={sinks}", AMIGUARD_SINK_SIEM=SECRET)

    assert shown.returncode == 0
    assert SECRET not in shown.stdout
