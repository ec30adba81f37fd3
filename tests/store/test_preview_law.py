"""A preview says what then happens: for any records, and any change of the policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from amiguard_core.events import Launch, Search
from amiguard_core.policy import AllowlistEntry, CorrelateBy, EntryKind, Mode, RuleConfig
from amiguard_service.engine import Engine
from amiguard_service.ledger import FindingRow
from amiguard_service.lifecycle import Closure
from amiguard_service.proposals import Proposal, with_entry, with_rule, without_entry
from amiguard_service.stored import Disposition, State, StoredFinding
from amiguard_service.tuned import ENTRY_PREFIX
from amiguard_service.tuning import EntryDraft, Guard
from tests.data.strategies import ACCOUNTS
from tests.store.clock import ManualClock
from tests.store.pairs import pairs
from tests.store.test_laws import clear
from tests.store.test_tuning_laws import RULES, SUBJECTS, counted, make_move, operator_moves
from tests.store.values import batch

PAIRING: tuple[Mapping[str, Any], ...] = (
    {"window": timedelta(seconds=60)},
    {"window": timedelta(hours=1)},
    {"correlate_by": CorrelateBy.ROLE},
    {"correlate_by": CorrelateBy.PRINCIPAL, "window": timedelta(seconds=1)},
    {"mode": Mode.STRICT},
)
# More of those that decide which findings there are than of those that score them.
SETTINGS: tuple[Mapping[str, Any], ...] = (*RULES, *PAIRING, *PAIRING)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Change:
    """One change of the policy, to be tried and to be made."""

    proposal: Proposal
    make: Callable[[Engine], object]


def creation(vouched: tuple[EntryKind, str], *, account_ids: tuple[str, ...]) -> Change:
    """Makes the change that adds an entry."""
    kind, subject = vouched
    draft = EntryDraft(kind, subject, justification="because", account_ids=account_ids)
    entry = AllowlistEntry(f"{ENTRY_PREFIX}entry-new", kind, subject, account_ids)
    guard = Guard(force=True)
    return Change(
        with_entry(entry),
        lambda engine: engine.tuning.create_entry("entry-new", draft, actor="t", guard=guard),
    )


def deletion(entry_id: str) -> Change:
    """Makes the change that deletes an entry."""
    return Change(
        without_entry(ENTRY_PREFIX + entry_id),
        lambda engine: engine.tuning.delete_entry(entry_id, etag=None, actor="t"),
    )


def revision(values: Mapping[str, Any]) -> Change:
    """Makes the change that puts other settings in force."""

    def patch(rule: RuleConfig) -> RuleConfig:
        return replace(rule, **values)

    def make(engine: Engine) -> None:
        current = engine.tuning.get_rule()
        assert current is not None
        engine.tuning.update_rule(patch, etag=current.etag, actor="t")

    return Change(with_rule(patch), make)


def changes(engine: Engine) -> st.SearchStrategy[Change]:
    """Draws a change that the policy in force allows."""
    scopes = st.sampled_from(((), (ACCOUNTS[0],)))
    entry_ids = [entry.entry_id for entry in engine.tuning.list_entries()]
    return st.one_of(
        st.sampled_from(SETTINGS).map(revision),
        st.builds(creation, st.sampled_from(SUBJECTS), account_ids=scopes),
        st.sampled_from(entry_ids).map(deletion),
    )


def closures(clock: ManualClock) -> tuple[Closure | None, ...]:
    """Returns ways to close a finding, and not to."""
    tomorrow = clock.now + timedelta(days=1)
    accepted = Closure(Disposition.RISK_ACCEPTED, "for now", tomorrow)
    return None, Closure(Disposition.TRUE_POSITIVE, "true"), accepted


def summary(found: StoredFinding | FindingRow) -> tuple[object, ...]:
    """Returns what a preview says of a finding."""
    return (
        found.finding_id,
        found.score,
        found.steps,
        found.reasons,
        found.confidence,
        found.occurrence_count,
        found.state,
        found.suppression,
        found.disposition,
        found.client,
        found.first_launch_time,
        found.last_launch_time,
    )


def by_id(engine: Engine) -> dict[str, tuple[object, ...]]:
    """Returns the findings that count, by id."""
    return {found.finding_id: summary(found) for found in counted(engine)}


@pytest.mark.category("tuning")
def test_preview_is_what_then_happens(engine: Engine, clock: ManualClock) -> None:
    """The counts and the examples are the difference that the change then makes."""

    @settings(max_examples=100, suppress_health_check=list(HealthCheck))
    @given(data=st.data(), records=pairs())
    def law(data: st.DataObject, records: list[Search | Launch]) -> None:
        clear(engine)
        engine.commit([batch(*records)])
        for number, move in enumerate(data.draw(st.lists(operator_moves(), max_size=3))):
            make_move(engine, clock, move, number)
        for found in counted(engine):
            closure = data.draw(st.sampled_from(closures(clock)))
            if found.state is not State.CLOSED and closure is not None:
                engine.move_finding(found.finding_id, closure, actor="t")
        change = data.draw(changes(engine))
        before = by_id(engine)

        said = engine.tuning.preview(change.proposal, since=EPOCH, max_examples=100)
        untouched = by_id(engine)
        change.make(engine)
        engine.passes.run(max_steps=1_000)

        after = by_id(engine)
        assert untouched == before
        both = before.keys() & after.keys()
        rescored = {i for i in both if before[i][1] != after[i][1]}
        assert (
            said.evaluated_count,
            said.removed_count,
            said.rescored_count,
            said.added_count,
        ) == (
            len(before),
            len(before.keys() - after.keys()),
            len(rescored),
            len(after.keys() - before.keys()),
        )
        assert {
            (d.row.finding_id, d.before and summary(d.before), d.after and summary(d.after))
            for d in said.examples
        } == {(i, before.get(i), after.get(i)) for i in rescored | (before.keys() ^ after.keys())}

    law()
