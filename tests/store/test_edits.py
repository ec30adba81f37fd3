"""Laws of what people do to a finding: nothing goes unseen, and no acceptance is for worse."""

from __future__ import annotations

from datetime import timedelta

import pytest

from amiguard_core.policy import KnownImage
from amiguard_service.engine import Engine
from amiguard_service.lifecycle import Closure, Edit
from amiguard_service.stored import Disposition, FindingEdit, HistoryEntry, State
from tests.store.clock import ManualClock
from tests.store.values import batch, launch, origin, search

NAME = "ubuntu/images/hvm-ssd/ubuntu-focal-20.04-amd64-server-1"
STRANGER = KnownImage("ami-1", "eu-west-1", owner_account_id="999999999999", image_name=NAME)


@pytest.fixture
def finding_id(engine: Engine) -> str:
    """A finding of one launch of ami-1."""
    (outcome,) = engine.commit([batch(search(origin("s")), launch(origin("l", 60), "ami-1"))])
    (found,) = outcome.finding_ids
    return found


def history(engine: Engine, finding_id: str) -> list[HistoryEntry]:
    """Returns the history, without the entry of the beginning."""
    entries = engine.list_finding_history(finding_id, after=0, limit=50)
    assert entries is not None
    return entries[1:]


def state_of(engine: Engine, finding_id: str) -> State:
    """Returns the state of the finding."""
    found = engine.get_finding(finding_id)
    assert found is not None
    return found.state


def test_every_edit_is_in_the_history(engine: Engine, finding_id: str) -> None:
    """With both values and who made it; what stayed is not told."""
    for actor, edit in (
        ("ann", Edit(assignee="bob")),
        ("bob", Edit(labels={"team": "sandbox"})),
        ("eve", Edit(assignee="eve", labels={})),
        ("eve", Edit(assignee="eve")),
    ):
        engine.update_finding(finding_id, edit, actor=actor)

    entries = history(engine, finding_id)

    assert [(e.actor, e.assignee, e.edit) for e in entries] == [
        ("ann", "bob", FindingEdit(assignee_before="")),
        ("bob", "bob", FindingEdit(labels_before={}, labels_after={"team": "sandbox"})),
        ("eve", "eve", FindingEdit("bob", labels_before={"team": "sandbox"}, labels_after={})),
    ]
    assert {(e.state_before, e.state_after) for e in entries} == {(State.OPEN, State.OPEN)}


def accept(engine: Engine, clock: ManualClock, finding_id: str) -> None:
    """Accepts the risk of the finding as it is."""
    until = clock.now + timedelta(days=100)
    closure = Closure(Disposition.RISK_ACCEPTED, "known", accept_until_time=until)
    engine.move_finding(finding_id, closure, actor="ann")


def test_risk_is_accepted_as_it_was(engine: Engine, clock: ManualClock, finding_id: str) -> None:
    """A further launch leaves it closed; a score above what was accepted reopens it."""
    accept(engine, clock, finding_id)
    engine.commit([batch(launch(origin("l2", 70), "ami-1"))])
    same = state_of(engine, finding_id)
    engine.known_images.register([STRANGER], actor="tests")
    worse = state_of(engine, finding_id)
    last = history(engine, finding_id)[-1]

    assert (same, worse) == (State.CLOSED, State.OPEN)
    assert (last.actor, last.state_before, last.disposition) == ("amiguard", State.CLOSED, None)


def test_launch_of_a_strangers_image_reopens_an_accepted_risk(
    engine: Engine, clock: ManualClock, finding_id: str
) -> None:
    """The fact was there before; the launch makes the finding worse than what was accepted."""
    stranger = KnownImage("ami-2", "eu-west-1", owner_account_id="999999999999", image_name=NAME)
    engine.known_images.register([stranger], actor="tests")
    accept(engine, clock, finding_id)
    engine.commit([batch(launch(origin("l2", 70), "ami-2"))])

    assert state_of(engine, finding_id) is State.OPEN


def test_accepted_again_is_accepted_as_it_is_then(
    engine: Engine, clock: ManualClock, finding_id: str
) -> None:
    """What was worse is then what was accepted."""
    engine.known_images.register([STRANGER], actor="tests")
    accept(engine, clock, finding_id)
    engine.known_images.forget([("eu-west-1", "ami-1")], actor="tests")
    engine.known_images.register([STRANGER], actor="tests")

    assert state_of(engine, finding_id) is State.CLOSED
