"""`amiguardctl findings watch`: every change is shown, whatever breaks in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from amiguard_client import Client
from tests.clients.cli.command_line import INTERRUPTIBLE, run
from tests.clients.live_server import Live
from tests.clients.scripted_server import reason, serve, status
from tests.clients.scripted_watch import line, playing

AWAY = status(grpc.StatusCode.UNAVAILABLE, "restarting")
EXPIRED = status(grpc.StatusCode.OUT_OF_RANGE, "too old", (reason("CURSOR_EXPIRED"),))


@contextmanager
def watching(live: Live, *args: object) -> Iterator[subprocess.Popen[str]]:
    """Runs a watch as a program of its own, which is interrupted at the end of the block."""
    command = [*INTERRUPTIBLE, sys.executable, "-m", "amiguard_client.cli", "--server", live.target]
    with subprocess.Popen(
        [*command, "findings", "watch", "-o", "ndjson", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)


def next_change(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Waits for a change; returns which finding it was, and its state."""
    assert process.stdout is not None
    finding = json.loads(process.stdout.readline())
    return finding["name"], finding["state"]


def test_second_run_goes_on_where_the_first_ended(
    live: Live, live_client: Client, tmp_path: Path
) -> None:
    """With --cursor nothing that happens between two runs is missed; interrupting is no failure."""
    place = tmp_path / "cursor"
    before = live.occur(1)

    with watching(live, "--since", "2026-01-01", "--cursor", place) as first:
        first_seen = next_change(first)
        while_watched = live.occur(2)
        second_seen = next_change(first)
    between = live.occur(3)
    with watching(live, "--since", "2026-01-01", "--cursor", place) as second:
        third_seen = next_change(second)
        while third_seen[0] == while_watched:
            # At least once: the first run may have ended before it kept its place.
            third_seen = next_change(second)
        live_client.acknowledge_finding(between)
        fourth_seen = next_change(second)

    assert [first_seen, second_seen] == [(before, "STATE_OPEN"), (while_watched, "STATE_OPEN")]
    assert third_seen == (between, "STATE_OPEN")
    assert fourth_seen == (between, "STATE_ACKNOWLEDGED")
    assert (first.returncode, second.returncode) == (0, 0)
    assert [path.name for path in place.parent.glob("*cursor*")] == ["cursor"]


def test_interrupt_while_the_place_is_kept_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupt in the middle of it ends the watch after it, with one whole file."""
    place = tmp_path / "cursor"
    replace = Path.replace

    def interrupted(self: Path, target: Path) -> Path:
        signal.raise_signal(signal.SIGINT)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with serve(findings=playing(([line("c1", "a"), line("c2", "b")], None))) as server:
        result = run("--server", server.target, "findings", "watch", "--cursor", place)

    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["cursor"]
    assert place.read_text() == "c1\n"


def test_watch_outlives_a_restart(tmp_path: Path) -> None:
    """A stream that breaks is followed by one from the last change that was shown."""
    place = tmp_path / "cursor"
    played = playing(([line("c1", "a"), line("c2")], AWAY), ([line("c3", "b")], EXPIRED))

    with serve(findings=played) as server:
        result = run(
            *("--server", server.target, "findings", "watch"),
            *("--filter", "state = OPEN", "--cursor", place, "-o", "ndjson"),
        )

    assert [json.loads(text)["name"] for text in result.stdout.splitlines()] == [
        "findings/a",
        "findings/b",
    ]
    assert [(request.filter, request.cursor) for request in played.opened] == [
        ("state = OPEN", ""),
        ("state = OPEN", "c2"),
    ]
    assert place.read_text() == "c3\n"


def test_kept_place_comes_before_since(tmp_path: Path) -> None:
    """Where there is a cursor, --since is for the first run only."""
    place = tmp_path / "cursor"
    place.write_text("c7\n")
    played = playing(([], EXPIRED))

    with serve(findings=played) as server:
        run(
            *("--server", server.target, "findings", "watch"),
            *("--cursor", place, "--since", "2026-01-01"),
        )

    assert played.opened[0].cursor == "c7"


def test_expired_cursor_exits_1_with_what_to_do(tmp_path: Path) -> None:
    """A cursor that the server has forgotten is said, kept, and comes with the way out."""
    place = tmp_path / "cursor"
    place.write_text("old\n")

    with serve(findings=playing(([], EXPIRED))) as server:
        result = run("--server", server.target, "findings", "watch", "--cursor", place)

    assert (result.exit_code, result.stdout) == (1, "")
    assert "list the findings, then watch anew" in result.stderr
    assert place.read_text() == "old\n"


def test_server_that_stays_away_exits_3() -> None:
    """Past --give-up-after the watch ends as unreachable."""
    with serve() as stopped:
        target = stopped.target

    result = run("--server", target, "findings", "watch", "--give-up-after", "0s")

    assert result.exit_code == 3
    assert target in result.stderr


def test_change_is_a_line_for_people() -> None:
    """Without -o a change is one line of text, safe for a terminal."""
    hostile = "x\x1b[2J-*"
    played = playing(([line("c1", "a")], EXPIRED))
    played.script[0][0][0].findings[0].search.name_patterns.append(hostile)

    with serve(findings=played) as server:
        result = run("--server", server.target, "findings", "watch")

    (shown,) = result.stdout.splitlines()
    assert "a" in shown
    assert "\x1b" not in shown
    assert r"x\x1b[2J-*" in shown


@pytest.mark.parametrize("content", [b"", b"\n", b"{}\n{}\n", b"x" * 5000, b"\x00\xff"])
def test_file_that_is_no_cursor_exits_2(tmp_path: Path, content: bytes) -> None:
    """A file given by mistake is neither sent nor overwritten."""
    place = tmp_path / "notes"
    place.write_bytes(content)

    result = run("--server", "127.0.0.1:1", "findings", "watch", "--cursor", place)

    assert result.exit_code == 2
    assert "wanted a file that a former run wrote" in " ".join(result.stderr.split())
    assert place.read_bytes() == content


def test_place_that_cannot_be_kept_exits_1(tmp_path: Path) -> None:
    """A watch that cannot keep its place says so instead of going on without."""
    place = tmp_path / "missing" / "cursor"

    with serve(findings=playing(([line("c1")], None))) as server:
        result = run("--server", server.target, "findings", "watch", "--cursor", place)

    assert result.exit_code == 1
    assert "cannot write" in result.stderr


def test_filter_error_points_at_the_place(live: Live) -> None:
    """A filter the server does not understand is shown with a mark, as with list."""
    result = run("--server", live.target, "findings", "watch", "--filter", "state = ")

    assert result.exit_code == 1
    assert result.stderr.splitlines()[:2] == ["  state = ", "          ^"]
