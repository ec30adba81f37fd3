"""`amiguardctl findings list --watch`: what is listed, and what changes after that."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest

from amiguard_client import Client
from tests.clients.cli.command_line import INTERRUPTIBLE, run
from tests.clients.live_server import Live
from tests.clients.scripted_server import reason, serve, status
from tests.clients.scripted_watch import line, playing

EXPIRED = status(grpc.StatusCode.OUT_OF_RANGE, "too old", (reason("CURSOR_EXPIRED"),))
TIMEOUT_SECONDS = 60


@contextmanager
def watching(live: Live, *args: str, stdout: int) -> Iterator[subprocess.Popen[bytes]]:
    """Lists and watches as a program of its own, which is interrupted at the end of the block."""
    command = [*INTERRUPTIBLE, sys.executable, "-m", "amiguard_client.cli", "--server", live.target]
    with subprocess.Popen(
        [*command, "findings", "list", "--watch", *args],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "200", "LINES": "50"},
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=TIMEOUT_SECONDS)


def test_changes_are_added_to_the_list(live: Live, live_client: Client) -> None:
    """Piped, it is the list and then each change, and an interrupt is its good end."""
    first = live.occur(1)
    with watching(live, "-o", "ndjson", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        listed = json.loads(process.stdout.readline())
        live_client.acknowledge_finding(first)
        changed = json.loads(process.stdout.readline())
        second = live.occur(2)
        added = json.loads(process.stdout.readline())

    assert (listed["name"], listed["state"]) == (first, "STATE_OPEN")
    assert (changed["name"], changed["state"]) == (first, "STATE_ACKNOWLEDGED")
    assert (added["name"], added["state"]) == (second, "STATE_OPEN")
    assert process.returncode == 0


def test_rows_are_added_to_a_table(live: Live, live_client: Client) -> None:
    """A table that is piped has its headers once, and its columns stay where they are."""
    finding = live.occur(1)
    with watching(live, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        header, listed = (process.stdout.readline().decode() for _ in range(2))
        live_client.update_finding(finding, assignee="me")
        changed = process.stdout.readline().decode()

    assert header.startswith("FINDING ")
    assert listed == changed
    assert listed[header.index("STATE") :].startswith("OPEN ")


def test_rows_of_csv_are_added(live: Live, live_client: Client) -> None:
    """CSV has its headers once."""
    finding = live.occur(1)
    with watching(live, "-o", "csv", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        header, listed = (process.stdout.readline().decode() for _ in range(2))
        live_client.update_finding(finding, assignee="me")
        changed = process.stdout.readline().decode()

    before, after = csv.DictReader([header, listed, changed])
    assert (before["ASSIGNEE"], after["ASSIGNEE"]) == ("", "me")


def test_table_on_a_terminal_is_drawn_anew(live: Live, live_client: Client) -> None:
    """What ceases to fulfil the filter leaves the table, and what begins to comes in."""
    first, second = live.occur(1), live.occur(2)
    keyboard, terminal = os.openpty()

    def shows(*there: str, gone: str = "nothing of this kind") -> None:
        """Reads drawings until one has all of the texts, and not the one that is gone."""
        shown = ""
        while gone in shown or not all(text in shown for text in there):
            more = os.read(keyboard, 65_536).decode(errors="replace")
            # Each drawing begins with the way home, to the top of the screen.
            shown = (shown + more).rpartition("\x1b[H")[2]

    try:
        with watching(live, "--filter", "state = OPEN", stdout=terminal) as process:
            ids = [name.removeprefix("findings/") for name in (first, second)]
            shows("state = OPEN", *ids, "OPEN")
            live_client.acknowledge_finding(first)
            shows(ids[1], gone=ids[0])
            third = live.occur(3).removeprefix("findings/")
            shows(ids[1], third, gone=ids[0])
    finally:
        os.close(keyboard)
        os.close(terminal)

    assert process.returncode == 0


@pytest.mark.parametrize(("form", "separators"), [("yaml", 2), ("json", 0)])
def test_documents_follow_each_other(form: str, separators: int) -> None:
    """JSON and YAML are a stream of documents, one for each finding."""
    played = playing(([line("c1"), line("c2", "b")], EXPIRED))
    played.findings = list(line("c", "a").findings)

    with serve(findings=played) as server:
        result = run("--server", server.target, "findings", "list", "--watch", "-o", form)

    assert result.exit_code == 1
    assert result.stdout.count("findings/") == 2
    assert result.stdout.count("---") == separators


def test_what_changes_while_the_list_is_read_is_not_lost() -> None:
    """The watch begins before the list: what comes in between is shown after it."""
    played = playing(([line("c1", "b")], EXPIRED))
    played.findings = list(line("c", "a").findings)

    with serve(findings=played) as server:
        result = run("--server", server.target, "findings", "list", "--watch", "-o", "ndjson")

    assert [json.loads(text)["name"] for text in result.stdout.splitlines()] == [
        "findings/a",
        "findings/b",
    ]


def test_page_token_does_not_go_with_it() -> None:
    """What is watched is what the filter says, not one page of it."""
    result = run("findings", "list", "--watch", "--page-token", "x")

    assert result.exit_code == 2
    assert "--watch and --page-token" in result.stderr
