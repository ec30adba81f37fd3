"""`amiguardctl forward` as a program: signals, metrics, exit codes and what it says."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from amiguard_client.forward.counts import METRICS
from amiguard_client.forward.metrics import PREFIX
from tests.clients.cli.command_line import run
from tests.clients.forward.cloud import Cloud, s3_event
from tests.clients.forward.process import STOP_SECONDS, forwarding
from tests.clients.forward.scene import OTHER, log_file
from tests.clients.live_server import live_server, people
from tests.clients.scripted_server import ScriptedServer, serve
from tests.robustness.waiting import wait_until

KINDS = ("sqs", "directory", "stdin")


@pytest.mark.parametrize("kind", KINDS)
def test_every_source_has_help(kind: str) -> None:
    """Each source says how it is used."""
    result = run("forward", kind, "--help")

    assert result.exit_code == 0
    assert f"Usage: main forward {kind}" in " ".join(result.stdout.split())


def test_a_queue_is_emptied_once(server: ScriptedServer, cloud: Cloud, tmp_path: Path) -> None:
    """`--once` stops when nothing is left, says what was done, and exits 5 when some was bad."""
    queue = cloud.make_queue()
    cloud.send(queue, s3_event(cloud.put("a.json.gz", log_file(OTHER))))
    options = ("--once", "--wait", "1s", "--dead-letter", tmp_path / "dead")

    good = run("--server", server.target, "forward", "sqs", queue, *options)
    cloud.send(queue, "no notification")
    bad = run("--server", server.target, "forward", "sqs", queue, *options, "-o", "json")

    assert good.exit_code == 0
    assert good.stdout.split("  ") == [
        "1 object forwarded",
        "0 passed over",
        "0 bad",
        "1 record accepted",
        "0 relevant",
        "0 duplicates",
        "0 rejected\n",
    ]
    assert good.stderr == f"forwarding {queue} to {server.target}\n"
    assert bad.exit_code == 5
    assert json.loads(bad.stdout)["objects_bad"] == 1
    assert json.loads(bad.stdout)["messages_dead_lettered"] == 1
    assert "got text that is no JSON" in bad.stderr


def test_it_stops_in_order(server: ScriptedServer, tmp_path: Path) -> None:
    """SIGTERM ends it with exit code 0, after it has said what was done."""
    trail = tmp_path / "trail"
    trail.mkdir()
    (trail / "a.json.gz").write_bytes(log_file(OTHER))
    command = ("directory", trail, "--settle", "0s", "--poll", "60s")

    with forwarding(*command, target=server.target, log=tmp_path / "log") as process:
        process.wait_for_word("forwarding ")
        wait_until(lambda: len(server.ingest.committed) == 1, "it is forwarded", seconds=30)
        code = process.stop()

    assert code == 0
    assert "1 object forwarded" in (tmp_path / "log").read_text()
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_second_signal_is_obeyed_at_once(tmp_path: Path) -> None:
    """Whoever does not want to wait for the grace need not."""
    with serve() as gone:
        target = gone.target
    (tmp_path / "a.json").write_bytes(OTHER)
    command = ("directory", tmp_path, "--settle", "0s", "--grace", "10m")

    with forwarding(*command, target=target, log=tmp_path / "log") as process:
        process.wait_for_word("cannot be reached")
        process.popen.send_signal(signal.SIGINT)
        wait_until(lambda: not _catches(process.popen.pid, signal.SIGTERM), "it drains", seconds=30)
        code = process.stop()

    assert code == -signal.SIGTERM


def _catches(process_id: int, number: signal.Signals) -> bool:
    """Says whether a process has a handler for a signal."""
    status = Path(f"/proc/{process_id}/status").read_text()
    (caught,) = re.findall(r"SigCgt:\s*([0-9a-f]+)", status)
    return bool(int(caught, 16) >> (number - 1) & 1)


def test_lines_come_through_a_pipe(server: ScriptedServer, tmp_path: Path) -> None:
    """Lines are forwarded as they are written, until the pipe ends."""
    with forwarding(
        "stdin", target=server.target, log=tmp_path / "log", stdin=subprocess.PIPE
    ) as process:
        assert process.popen.stdin is not None
        for number in range(3):
            process.popen.stdin.write(b'{"eventName":"GetUser","eventID":"%d"}\n' % number)
            process.popen.stdin.flush()
            wait_until(
                lambda n=number: sum(map(len, server.ingest.committed)) == n + 1,  # type: ignore[misc]  # mypy takes no default
                "the line is forwarded",
                seconds=STOP_SECONDS,
            )
        process.popen.stdin.close()
        assert process.popen.wait(STOP_SECONDS) == 0

    assert "1 object" not in (tmp_path / "log").read_text()
    assert "3 records accepted" in (tmp_path / "log").read_text()


def test_lines_that_a_stop_leaves_are_told_of(tmp_path: Path) -> None:
    """A pipe gives nothing again, so the exit code says that something is lost."""
    with serve() as gone:
        target = gone.target

    with forwarding(
        "stdin", "--grace", "0s", target=target, log=tmp_path / "log", stdin=subprocess.PIPE
    ) as process:
        assert process.popen.stdin is not None
        process.popen.stdin.write(OTHER + b"\n")
        process.popen.stdin.flush()
        process.wait_for_word("cannot be reached")
        code = process.stop()
        process.popen.stdin.close()

    assert code == 1
    assert "1 line read and not acknowledged" in (tmp_path / "log").read_text()


def test_metrics_are_served_while_it_runs(server: ScriptedServer, tmp_path: Path) -> None:
    """Prometheus reads every metric, and finds in them what was done."""
    trail = tmp_path / "trail"
    trail.mkdir()
    (trail / "a.json.gz").write_bytes(log_file(OTHER, OTHER))
    command = ("directory", trail, "--settle", "0s", "--poll", "60s", "--metrics", "0")

    with forwarding(*command, target=server.target, log=tmp_path / "log") as process:
        said = process.wait_for_word("forwarding ")
        (url,) = re.findall(r"metrics at (http://127\.0\.0\.1:\d+/metrics)", said)
        wait_until(lambda: 'forwarded"} 1.0' in _get(url), "it is counted", seconds=30)
        text = _get(url)

    assert f'{PREFIX}objects_total{{outcome="forwarded"}} 1.0' in text
    assert f'{PREFIX}records_total{{outcome="accepted"}} 2.0' in text
    assert f'{PREFIX}up{{peer="server"}} 1.0' in text
    for metric in METRICS:
        name = PREFIX + metric.name + ("_total" if metric.is_counter else "")
        assert f"# TYPE {name} {'counter' if metric.is_counter else 'gauge'}" in text
        assert len(re.findall(rf"^{name}(?:{{| )", text, re.MULTILINE)) == len(metric.values)


def _get(url: str) -> str:
    with urlopen(url) as answer:  # noqa: S310 - of this machine
        return str(answer.read().decode())


@pytest.mark.parametrize(
    ("args", "exit_code", "message"),
    [
        (["sqs", "my-queue"], 2, "got 'my-queue', wanted the URL of a queue"),
        (["sqs", "https://q", "--wait", "0s"], 2, "--wait: got 0 s, wanted whole seconds"),
        (["sqs", "https://q", "--visibility", "0.5s"], 2, "--visibility: got 0.5 s"),
        (["sqs", "https://q", "--in-flight", "0"], 2, "0 is not in the range"),
        (["sqs", "https://q", "--max-bytes-in-flight", "1MiB"], 1, "wanted at least 134217728"),
        (["sqs", "https://q", "--max-bytes-in-flight", "lots"], 2, "got 'lots', wanted a number"),
        (["sqs", "https://q", "--source", "My Forwarder"], 1, "got 'My Forwarder', wanted 1 to 64"),
        (["directory", "no/such"], 2, "does not exist"),
        (["directory", ".", "--dead-letter", "a/b"], 2, "wanted one outside of it"),
        (["directory", ".", "--dead-letter", "/dev/null/dead"], 1, "'/dev/null/dead'"),
        (["directory", ".", "--state", "state.json"], 2, "got the name of a log file"),
        (["stdin", "--metrics", "somewhere"], 2, "got 'somewhere', wanted HOST:PORT"),
        (["stdin", "--metrics", "999999"], 2, "got '999999', wanted HOST:PORT"),
    ],
)
def test_a_mistake_is_one_clear_line(args: list[str], exit_code: int, message: str) -> None:
    """What cannot be meant is told before anything is done."""
    result = run("--server", "127.0.0.1:1", "forward", *args)

    assert result.exit_code == exit_code
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.stderr


def test_help_loads_nothing_that_is_not_needed() -> None:
    """AWS, gRPC and Prometheus are loaded by those who forward."""
    code = (
        "import sys; from amiguard_client.cli import forward, submit_s3; "
        "print(*sorted({'boto3', 'botocore', 'grpc', 'prometheus_client'} & sys.modules.keys()))"
    )

    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout == "\n"


def test_a_port_that_is_taken_is_one_clear_line(server: ScriptedServer) -> None:
    """Where metrics cannot be served, nothing is forwarded."""
    args = ("forward", "directory", ".", "--metrics", server.target)

    result = run("--server", server.target, *args)

    assert result.exit_code == 1
    assert result.stderr == f"Error: {server.target}: Address already in use\n"


def test_no_credentials_are_one_clear_line(
    server: ScriptedServer, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without credentials of AWS it ends with what is missing."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    result = run("--server", server.target, "forward", "sqs", f"{cloud.url}/1/q", "--wait", "1s")

    assert result.exit_code == 1
    assert "Unable to locate credentials" in result.stderr.splitlines()[-1]


def test_a_missing_boto3_is_said_with_what_mends_it(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra the command says how to install it."""
    monkeypatch.setitem(sys.modules, "boto3", None)

    result = run("--server", server.target, "forward", "sqs", "https://sqs.test/1/q")

    assert result.exit_code == 1
    assert result.stderr == "Error: boto3 is not installed: pip install 'amiguard[aws]'\n"


def test_a_wrong_token_is_one_clear_line(migrated_sqlite: Path, tmp_path: Path) -> None:
    """A token that is not accepted ends it: it would be no other by waiting."""
    (tmp_path / "a.json").write_bytes(OTHER)
    with live_server(migrated_sqlite, tmp_path, authenticator=people()) as live:
        result = run(
            "--server", live.target, "--insecure", "--token", "wrong",
            "forward", "directory", tmp_path, "--settle", "0s",
        )  # fmt: skip

    assert result.exit_code not in {0, 2}
    assert "token" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert not (tmp_path / ".amiguardctl-forward").read_text()


def test_a_server_that_is_away_is_given_up_where_asked(tmp_path: Path) -> None:
    """With `--once` a time to give up is set, and the exit code says that nobody was there."""
    with serve() as gone:
        target = gone.target
    (tmp_path / "a.json").write_bytes(OTHER)

    result = run(
        "--server", target, "forward", "directory", tmp_path, "--once", "--settle", "0s",
        "--give-up-after", "0.1s",
    )  # fmt: skip

    assert result.exit_code == 3
    assert "cannot be reached" in result.stderr
