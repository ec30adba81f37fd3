"""Laws 2 and 3 with an operator at work: the policy and the known images change between batches."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from amiguard_core.decode import decode_records
from amiguard_core.events import LaunchPath
from amiguard_core.pipeline import evaluate
from amiguard_core.policy import CorrelateBy, EntryKind, KnownImage, Mode, RuleConfig
from amiguard_service.engine import Batch, Engine
from amiguard_service.filters import MatchAll
from amiguard_service.ledger import WITHDRAWN
from amiguard_service.ordering import DEFAULT_ORDER
from amiguard_service.policies import load
from amiguard_service.stored import StoredFinding
from amiguard_service.tuning import EntryDraft, Guard
from tests.data.shapes import Record
from tests.data.strategies import (
    ACCOUNTS,
    IMAGES,
    REGIONS,
    deliveries,
    record_sets,
    template_sets,
)
from tests.store.clock import ManualClock
from tests.store.test_laws import clear, summary_of_core, summary_of_stored

START = datetime(2026, 3, 2, 12, tzinfo=UTC)

SUBJECTS = (
    (EntryKind.ORGANIZATION_PATTERN, "acme-*"),
    (EntryKind.ORGANIZATION_PATTERN, "acme-bastion-*"),
    (EntryKind.TRUSTED_ACCOUNT, "099720109477"),
    (EntryKind.TRUSTED_ACCOUNT, "444455556666"),
)
RULES = (
    {"mode": Mode.STRICT},
    {"mode": Mode.DOCUMENTED},
    {"window": timedelta(seconds=60)},
    {"window": timedelta(minutes=15)},
    {"window": timedelta(hours=1)},
    {"correlate_by": CorrelateBy.ROLE},
    {"correlate_by": CorrelateBy.PRINCIPAL},
    {"public_patterns": ("acme-base-*",)},
    {"launch_paths": (LaunchPath.RUN_INSTANCES,)},
    {"launch_paths": tuple(LaunchPath)},
)


def known_images() -> st.SearchStrategy[KnownImage]:
    """Draws what might be registered of the images that are launched."""
    return st.builds(
        KnownImage,
        image_id=st.sampled_from(IMAGES),
        region=st.sampled_from(REGIONS),
        owner_account_id=st.sampled_from((*ACCOUNTS, "099720109477", "999999999999")),
        owner_alias=st.sampled_from((None, "amazon")),
        image_name=st.sampled_from((None, "acme-base-1", "ubuntu/images/x", "other")),
    )


def operator_moves() -> st.SearchStrategy[tuple[str, object]]:
    """Draws what an operator might do."""
    return st.one_of(
        st.tuples(st.just("create"), st.tuples(st.sampled_from(SUBJECTS), st.booleans())),
        st.tuples(st.just("delete"), st.integers(0, 7)),
        st.tuples(st.just("rule"), st.sampled_from(RULES)),
        st.tuples(st.just("image"), known_images()),
        st.tuples(st.just("forget"), st.tuples(st.sampled_from(REGIONS), st.sampled_from(IMAGES))),
        st.tuples(st.just("wait"), st.integers(1, 90)),
    )


def make_move(engine: Engine, clock: ManualClock, move: tuple[str, object], number: int) -> None:
    """Does what an operator does."""
    match move:
        case ("create", ((kind, subject), expires)):
            draft = EntryDraft(
                EntryKind(str(kind)),
                str(subject),
                justification="because",
                expire_time=clock.now + timedelta(minutes=60) if expires else None,
            )
            # The further public family of a move below may be one that the pattern reaches.
            guard = Guard(force=True)
            engine.tuning.create_entry(f"entry-{number}", draft, actor="tests", guard=guard)
        case ("delete", int() as index):
            entries = engine.tuning.list_entries()
            chosen = entries[index % len(entries)].entry_id if entries else "none"
            engine.tuning.delete_entry(chosen, etag=None, actor="tests", allow_missing=True)
        case ("rule", dict() as given):
            current = engine.tuning.get_rule()
            assert current is not None
            engine.tuning.update_rule(
                lambda rule: replace(rule, **given), etag=current.etag, actor="tests"
            )
        case ("image", KnownImage() as image):
            engine.known_images.register([image], actor="tests")
        case ("forget", (str() as region, str() as image_id)):
            engine.known_images.forget([(region, image_id)], actor="tests")
        case ("wait", int() as minutes):
            clock.now += timedelta(minutes=minutes)
            engine.tuning.expire()
        case other:
            raise AssertionError(other)
    progress = engine.passes.run(max_steps=1_000)
    assert progress.scope is None


def counted(engine: Engine) -> list[StoredFinding]:
    """Lists the findings that count under the policy."""
    found = engine.list_findings(MatchAll(), DEFAULT_ORDER, after=None, limit=10_000)
    return [finding for finding in found if finding.suppression != WITHDRAWN]


@pytest.mark.category("tuning")
def test_store_equals_the_core_whatever_an_operator_does(
    engine: Engine, clock: ManualClock
) -> None:
    """After every batch and every change the store holds what the policy makes of all records."""

    @settings(max_examples=40, suppress_health_check=list(HealthCheck))
    @given(data=st.data(), records=record_sets() | template_sets())
    def law(data: st.DataObject, records: list[Record]) -> None:
        clear(engine)
        clock.now = START
        arrived: list[bytes] = []
        images: dict[tuple[str, str], KnownImage] = {}
        for number, batch in enumerate(data.draw(deliveries(records))):
            arrived += batch
            decoded = decode_records(batch, launch_paths=LaunchPath)
            engine.commit([Batch(decoded, source="tests")])
            for move in data.draw(st.lists(operator_moves(), max_size=2)):
                make_move(engine, clock, move, number)
                if move[0] == "image" and isinstance(move[1], KnownImage):
                    images[move[1].image_id, move[1].region] = move[1]
                if move[0] == "forget" and isinstance(move[1], tuple):
                    images.pop((move[1][1], move[1][0]), None)
                number += 100  # noqa: PLW2901 - entries need ids of their own

            policy = engine._database.read(load).at(clock.now)
            expected = evaluate(arrived, policy, images=images)
            assert sorted(map(summary_of_core, expected), key=str) == sorted(
                (summary_of_stored(engine, found) for found in counted(engine)), key=str
            )

    law()


def test_rules_are_the_core_s() -> None:
    """What the moves above set are settings of the rule."""
    for settings_of_rule in RULES:
        replace(RuleConfig(), **settings_of_rule).check()
