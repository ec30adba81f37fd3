"""`amiguardctl findings ack|close|reopen|assign|label|history` on a real server."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import Result

from amiguard_client import Client
from tests.clients.cli.command_line import run, run_program
from tests.clients.live_server import Live


def findings(live: Live, *args: object) -> Result:
    """Runs a verb of `findings` on the server."""
    return run("--server", live.target, "findings", *args)


def after(live: Live, *args: object) -> Any:
    """Returns the JSON of the finding after a change that succeeds."""
    result = findings(live, *args, "-o", "json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_finding_goes_through_its_life(live: Live) -> None:
    """Each verb shows the finding after the change; history shows every move."""
    name = live.occur(1)

    taken = after(live, "ack", name, "--assignee", "ann")
    closed = after(live, "close", name, "--as", "true-positive", "--comment", "mended")
    reopened = after(live, "reopen", name.removeprefix("findings/"), "--comment", "not quite")
    history = findings(live, "history", name, "--all", "-o", "json")

    assert (taken["state"], taken["assignee"]) == ("STATE_ACKNOWLEDGED", "ann")
    assert (closed["state"], closed["disposition"]) == (
        "STATE_CLOSED",
        "DISPOSITION_TRUE_POSITIVE",
    )
    assert reopened["state"] == "STATE_OPEN"
    assert [entry.get("comment", "") for entry in json.loads(history.stdout)["entries"]] == [
        "",
        "",
        "mended",
        "not quite",
    ]


def test_change_as_table_is_the_finding(live: Live) -> None:
    """Without -o a change shows the finding as in a list."""
    name = live.occur(1)

    result = findings(live, "ack", name)

    header, _, row = result.stdout.splitlines()
    assert header.split()[0] == "FINDING"
    assert row.startswith(name.removeprefix("findings/"))
    assert "ACKNOWLEDGED" in row


def test_history_as_table(live: Live) -> None:
    """History for people says who moved the finding, from where to where, and why."""
    name = live.occur(1)
    after(
        *(live, "close", name, "--as", "risk-accepted"),
        *("--accept-until", "2026-12-31", "--comment", "until the new image"),
    )

    result = findings(live, "history", name, "--page-size", 1)
    rest = findings(live, "history", name, "--all")

    assert result.stderr.startswith("There is more: --all, or --page-token ")
    assert "OPEN" in result.stdout
    assert "CLOSED (RISK_ACCEPTED) until 2026-12-31 00:00:00" in rest.stdout
    assert "until the new image" in rest.stdout


def test_acceptance_is_counted_from_now(live: Live) -> None:
    """--accept-for is a time from now on."""
    name = live.occur(1)
    before = datetime.now(UTC)

    closed = after(
        *(live, "close", name, "--as", "risk-accepted"),
        *("--accept-for", "90d", "--comment", "known"),
    )

    until = datetime.fromisoformat(closed["accept_until_time"])
    assert timedelta(0) <= until - before - timedelta(days=90) < timedelta(minutes=1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("close", "f", "--as", "true-positive"),
        ("close", "f", "--comment", "why"),
        ("close", "f", "--as", "solved", "--comment", "why"),
        ("close", "f", "--as", "risk-accepted", "--comment", "why"),
        ("close", "f", "--as", "true-positive", "--comment", "why", "--accept-for", "1d"),
        (
            *("close", "f", "--as", "risk-accepted", "--comment", "why"),
            *("--accept-for", "1d", "--accept-until", "2026-12-31"),
        ),
        ("close", "f", "--as", "risk-accepted", "--comment", "why", "--accept-until", "soon"),
        ("reopen", "f"),
        ("assign", "f"),
        ("assign", "f", "ann", "--nobody"),
        ("label", "f"),
        ("label", "f", "team"),
        ("label", "f", "=blue"),
        ("label", "f", "-"),
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_2(arguments: tuple[str, ...]) -> None:
    """What cannot be meant is refused before any server is asked."""
    result = run("--server", "127.0.0.1:1", "findings", *arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr != ""


def test_assign_and_take_away(live: Live) -> None:
    """A finding goes from hand to hand, and to nobody, without a move."""
    name = live.occur(1)

    assigned = after(live, "assign", name, "bob")
    bare = after(live, "assign", name, "--nobody")

    assert (assigned["assignee"], assigned["state"]) == ("bob", "STATE_OPEN")
    assert "assignee" not in bare


def test_labels_are_set_beside_those_there_are(live: Live) -> None:
    """KEY=VALUE sets, KEY- takes away, and what is not named stays."""
    name = live.occur(1)
    after(live, "label", name, "team=blue", "ticket=7", "note=a=b")

    labelled = after(live, "label", name, "ticket-", "team=red")

    assert labelled["labels"] == {"team": "red", "note": "a=b"}


def test_labels_of_two_people_are_both_kept(
    live: Live, live_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A label set by somebody else between our look and our change is not lost."""
    from amiguard_client._finding_calls import FindingCalls

    name = live.occur(1)
    update, others = FindingCalls.update, iter(["theirs"])

    def late(self: FindingCalls, name: str, **values: Any) -> Any:
        for other in others:
            live_client.update_finding(name, labels={other: "1"})
        return update(self, name, **values)

    monkeypatch.setattr(FindingCalls, "update", late)
    labelled = after(live, "label", name, "ours=1")

    assert labelled["labels"] == {"ours": "1", "theirs": "1"}


@pytest.mark.parametrize(
    "verb",
    [
        ("ack",),
        ("close", "--as", "false-positive", "--comment", "why"),
        ("assign", "bob"),
        ("label", "team=blue"),
    ],
    ids=lambda verb: verb[0],
)
def test_etag_makes_a_change_conditional(live: Live, verb: tuple[str, ...]) -> None:
    """With the etag of before, a change does nothing and says that the finding has changed."""
    name = live.occur(1)
    old = json.loads(findings(live, "get", name, "-o", "json").stdout)["etag"]
    new = after(live, "assign", name, "ann")

    result = findings(live, verb[0], name, *verb[1:], "--etag", old)

    assert (result.exit_code, result.stdout) == (1, "")
    assert "etag" in result.stderr
    assert "Reason: ETAG_MISMATCH" in result.stderr
    assert json.loads(findings(live, "get", name, "-o", "json").stdout) == new


def test_move_from_another_state_exits_1(live: Live) -> None:
    """A move that does not start from the finding's state ends with 1 and the state."""
    name = live.occur(1)

    done = run_program("--server", live.target, "findings", "reopen", name, "--comment", "again")

    assert (done.returncode, done.stdout) == (1, b"")
    assert b"is OPEN, expected CLOSED" in done.stderr
    assert b"Reason: STATE_TRANSITION" in done.stderr


def test_refused_field_is_named(live: Live) -> None:
    """What the server does not take is told with the field."""
    name = live.occur(1)

    result = findings(live, "close", name, "--as", "true-positive", "--comment", "x" * 2001)

    assert result.exit_code == 1
    assert "comment" in result.stderr
    assert "Reason: INVALID_FIELD" in result.stderr


def test_history_as_lines(live: Live) -> None:
    """-o ndjson is the JSON of the contract, a move a line."""
    name = live.occur(1)

    result = findings(live, "history", name, "-o", "ndjson")

    (line,) = result.stdout.splitlines()
    assert json.loads(line)["state_after"] == "STATE_OPEN"
