"""What one commit leaves behind, besides the findings that everybody looks at."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace
from sqlalchemy import select

from amiguard_core.events import (
    Launch,
    LaunchPath,
    Search,
    SearchFilter,
    SearchRequest,
    TemplateVersion,
)
from amiguard_core.pipeline import find
from amiguard_core.policy import EntryKind, KnownImage, Mode, Policy, RuleConfig
from amiguard_service.engine import Engine
from amiguard_service.filters import MatchAll
from amiguard_service.lifecycle import Edit
from amiguard_service.ordering import DEFAULT_ORDER
from amiguard_service.store.pending import WaitingKind
from amiguard_service.store.schema import finding_images, waiting_records
from amiguard_service.stored import StoredFinding
from amiguard_service.tuning import EntryDraft
from tests.store.lives import DONE, edit, move, occur
from tests.store.test_laws import put_policy
from tests.store.test_pins import set_rule
from tests.store.values import ALICE, batch, launch, origin, search

KNOWN = KnownImage("ami-2", "eu-west-1", "099720109477", "amazon", "ubuntu/images/x")


def only(engine: Engine) -> StoredFinding:
    """Returns the one finding that is stored."""
    (found,) = engine.list_findings(MatchAll(), DEFAULT_ORDER, after=None, limit=10)
    return found


def images_of_findings(engine: Engine) -> set[str]:
    """Returns the images that findings are listed under."""
    statement = select(finding_images.c.image_id)
    return set(engine._database.read(lambda c: c.execute(statement).scalars().all()))


def waiting(engine: Engine) -> dict[tuple[str, str], WaitingKind]:
    """Returns the kind of every record that waits, by event and lane."""
    table = waiting_records.c
    statement = select(table.event_id, table.lane, table.kind)
    rows = engine._database.read(lambda c: c.execute(statement).all())
    return {(row.event_id, row.lane): WaitingKind(row.kind) for row in rows}


@pytest.mark.category("laws")
@pytest.mark.parametrize("fuller_first", [True, False])
def test_images_of_every_copy_stay_whatever_else_a_commit_brings(
    engine: Engine,
    fuller_first: bool,  # noqa: FBT001
) -> None:
    """A fuller copy that names another image adds it to that of the cut one."""
    searched = search(origin("s"))
    cut, whole = launch(origin("l", 1, agent=""), "ami-1"), launch(origin("l", 1), "ami-2")
    another = launch(origin("l2", 2), "ami-2")
    engine.known_images.register([KNOWN], actor="tests")
    engine.commit([batch(searched, cut)])
    assert images_of_findings(engine) == {"ami-1"}

    together = (whole, another) if fuller_first else (another, whole)
    engine.commit([batch(*together)])

    (expected,) = find(
        [searched],
        [cut, whole, another],
        Policy(),
        images={(KNOWN.image_id, KNOWN.region): KNOWN},
    )
    assert images_of_findings(engine) == {"ami-1", "ami-2"}
    assert (only(engine).image_ids, only(engine).steps) == (("ami-1", "ami-2"), expected.steps)


@pytest.mark.category("pairing")
def test_pin_waits_as_a_pin_in_the_lane_of_its_template(engine: Engine) -> None:
    """In its own lane it is a launch, which searches find; in the template's, launches find it."""
    put_policy(engine, Policy(rule=RuleConfig(launch_paths=tuple(LaunchPath))))
    made = TemplateVersion("lt-web", "1")
    pin = Launch(
        origin("t"), path=LaunchPath.CREATE_LAUNCH_TEMPLATE, image_ids=("ami-1",), template=made
    )
    started = replace(launch(origin("l", 5)), template=made)

    engine.commit([batch(pin, started)])

    assert waiting(engine) == {
        ("t", ALICE): WaitingKind.LAUNCH,
        ("t", made.lane): WaitingKind.PIN,
        ("l", ALICE): WaitingKind.LAUNCH,
        ("l", made.lane): WaitingKind.LAUNCH,
    }


def by_id() -> Search:
    """Makes a search in which every image is given by its id: no policy finds it unsafe."""
    request = SearchRequest(
        filters=(SearchFilter("name", ("acme-*",)), SearchFilter("image-id", ("ami-1",)))
    )
    return Search(origin("by-id"), request, request.fingerprint())


@pytest.mark.category("tuning")
def test_search_waits_by_what_any_policy_makes_of_it(engine: Engine) -> None:
    """One that is safe now pairs once the policy changes; one that is always safe never does."""
    now_safe = search(origin("now-safe"), "acme-base-1", owners=("444455556666",))
    engine.tuning.create_entry(
        "theirs",
        EntryDraft(EntryKind.TRUSTED_ACCOUNT, "444455556666", "They are ours."),
        actor="tests",
    )
    engine.commit([batch(by_id(), now_safe, launch(origin("l", 5)))])
    kinds = {event_id: kind for (event_id, _), kind in waiting(engine).items()}
    before = engine.list_findings(MatchAll(), DEFAULT_ORDER, after=None, limit=10)

    engine.tuning.delete_entry("theirs", etag=None, actor="tests")
    set_rule(engine, mode=Mode.STRICT, window=timedelta(hours=1))

    assert kinds == {
        "by-id": WaitingKind.SAFE_SEARCH,
        "now-safe": WaitingKind.CANDIDATE_SEARCH,
        "l": WaitingKind.LAUNCH,
    }
    assert before == []
    assert only(engine).recent_occurrences[0].search_event_id == "now-safe"


@pytest.mark.category("lifecycle")
def test_each_change_of_a_finding_counts_one(engine: Engine) -> None:
    """Whatever changes it, and however much a commit brings; what changes nothing is no change."""
    finding_id = occur(engine, 1)
    more = batch(*(launch(origin(f"more{n}", 10_002 + n)) for n in range(3)))
    pattern = EntryDraft(EntryKind.ORGANIZATION_PATTERN, "acme-*", "ours")
    account = EntryDraft(EntryKind.TRUSTED_ACCOUNT, "444455556666", "ours")
    steps: tuple[tuple[Callable[[], object], int], ...] = (
        (lambda: None, 1),
        (lambda: engine.commit([more]), 1),
        (lambda: engine.commit([more]), 0),
        (lambda: engine.tuning.create_entry("p", pattern, actor="tests"), 1),
        (lambda: engine.tuning.create_entry("a", account, actor="tests"), 0),
        (lambda: set_rule(engine, window=timedelta(seconds=2)), 1),
        (lambda: set_rule(engine, window=timedelta(seconds=3)), 1),
        (lambda: set_rule(engine, launch_paths=(LaunchPath.CREATE_FLEET,)), 1),
        (lambda: set_rule(engine, launch_paths=(LaunchPath.RUN_INSTANCES,)), 1),
        (lambda: edit(engine, finding_id, Edit(assignee="ann")), 1),
        (lambda: move(engine, finding_id, DONE), 1),
    )

    counted: list[int] = []
    expected: list[int] = []
    for act, more_changes in steps:
        act()
        engine.passes.run(max_steps=1_000)
        counted.append(only(engine).revision)
        expected.append(more_changes + (expected[-1] if expected else 0))

    assert counted == expected
