"""Findings go through their life on a real server, as values."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta

import pytest

from amiguard.v1 import finding_pb2
from amiguard_client import (
    Client,
    ConflictError,
    Disposition,
    FindingHistoryEntry,
    InvalidRequestError,
    NotFoundError,
    State,
)
from tests.clients.live_server import Live


def test_finding_goes_through_its_life(live: Live, live_client: Client) -> None:
    """Each change answers with the finding after it, and the history has every move as a value."""
    name = live.occur(1)
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)

    taken = live_client.acknowledge_finding(name, assignee="ann")
    closed = live_client.close_finding(
        name, Disposition.RISK_ACCEPTED, comment="for now", accept_until_time=until
    )
    reopened = live_client.reopen_finding(name, comment="sooner", etag=closed.etag)
    moves = list(live_client.list_finding_history(name, page_size=2))

    assert (taken.state, taken.assignee) == (State.ACKNOWLEDGED, "ann")
    assert (closed.state, closed.disposition) == (State.CLOSED, Disposition.RISK_ACCEPTED)
    assert closed.accept_until_time == until
    assert (reopened.state, reopened.disposition) == (State.OPEN, None)
    assert [(m.state_before, m.state_after, m.comment) for m in moves] == [
        (None, State.OPEN, None),
        (State.OPEN, State.ACKNOWLEDGED, None),
        (State.ACKNOWLEDGED, State.CLOSED, "for now"),
        (State.CLOSED, State.OPEN, "sooner"),
    ]
    assert [(m.disposition, m.accept_until_time, m.assignee) for m in moves] == [
        (None, None, None),
        (None, None, "ann"),
        (Disposition.RISK_ACCEPTED, until, "ann"),
        (None, None, "ann"),
    ]
    assert moves[0].actor == "amiguard"
    assert all(move.change_time is not None for move in moves)


def test_history_entry_mirrors_its_message() -> None:
    """The value has the fields of the message, by the same names and in the same order."""
    expected = [field.name for field in finding_pb2.FindingHistoryEntry.DESCRIPTOR.fields]

    assert [field.name for field in fields(FindingHistoryEntry)] == expected


def test_what_is_not_given_stays(live: Live, live_client: Client) -> None:
    """None leaves a field as it is; an empty assignee is nobody, no labels are none."""
    name = live.occur(1)

    live_client.update_finding(name, assignee="ann", labels={"team": "blue"})
    assigned = live_client.update_finding(name, assignee="bob")
    labelled = live_client.update_finding(name, labels={"ticket": "7"})
    bare = live_client.update_finding(name, assignee="", labels={})

    assert (assigned.assignee, dict(assigned.labels)) == ("bob", {"team": "blue"})
    assert (labelled.assignee, dict(labelled.labels)) == ("bob", {"ticket": "7"})
    assert (bare.assignee, dict(bare.labels)) == (None, {})


def test_etag_of_before_is_a_conflict(live: Live, live_client: Client) -> None:
    """A change at an etag of before does nothing, and names the present one."""
    name = live.occur(1)
    before = live_client.get_finding(name)
    after = live_client.update_finding(name, assignee="ann")

    with pytest.raises(ConflictError) as raised:
        live_client.acknowledge_finding(name, etag=before.etag)

    assert raised.value.reason == "ETAG_MISMATCH"
    assert raised.value.metadata["current_etag"] == after.etag
    assert live_client.get_finding(name) == after


def test_move_from_another_state_is_a_conflict(live: Live, live_client: Client) -> None:
    """A move that does not start from the finding's state says which state that is."""
    name = live.occur(1)

    with pytest.raises(ConflictError) as raised:
        live_client.reopen_finding(name, comment="again")

    assert (raised.value.reason, raised.value.metadata["state"]) == ("STATE_TRANSITION", "OPEN")


def test_unknown_disposition_is_not_sent(live_client: Client) -> None:
    """What this client does not know it cannot close a finding with."""
    with pytest.raises(ValueError, match="UNKNOWN"):
        live_client.close_finding("f", Disposition.UNKNOWN, comment="?")


def test_missing_finding_is_not_found(live_client: Client) -> None:
    """A finding that is not there cannot be changed."""
    with pytest.raises(NotFoundError):
        live_client.update_finding("111122223333-00", assignee="ann")


def test_missing_comment_is_named(live: Live, live_client: Client) -> None:
    """A refused change names the field."""
    name = live.occur(1)

    with pytest.raises(InvalidRequestError) as raised:
        live_client.close_finding(name, Disposition.TRUE_POSITIVE, comment="")

    assert [violation.field for violation in raised.value.violations] == ["comment"]


def test_watch_sees_what_others_do(live: Live, live_client: Client) -> None:
    """Changes come as values in the order they were made, and a cursor leads on from there."""
    watching = live_client.watch_findings()
    start = next(watching)
    name = live.occur(1)
    made = next(watching)
    live_client.acknowledge_finding(name, assignee="ann")
    taken = next(watching)
    again = next(live_client.watch_findings(cursor=made.cursor))
    watching.close()

    assert start.findings == ()
    assert [(f.name, f.state) for f in made.findings] == [(name, State.OPEN)]
    assert [(f.name, f.state) for f in taken.findings] == [(name, State.ACKNOWLEDGED)]
    assert again.cursor
