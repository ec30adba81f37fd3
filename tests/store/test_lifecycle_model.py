"""A finding's life held against a model of a few lines, whatever happens in whatever order."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from amiguard_service.engine import Batch, Engine
from amiguard_service.filters import MatchAll
from amiguard_service.ledger import RULE_ACTOR
from amiguard_service.lifecycle import (
    Acknowledgement,
    Closure,
    Edit,
    Move,
    Reopening,
    StateTransitionError,
)
from amiguard_service.refusals import EtagMismatchError
from amiguard_service.store.schema import metadata
from amiguard_service.stored import Disposition, State
from tests.store.clock import ManualClock
from tests.store.values import batch, launch, origin, search

PEOPLE = st.sampled_from(["ann", "bob"])


@dataclass
class Model:
    """What is to be true of the one finding; None where there is none yet."""

    state: State | None = None
    unsuppressed_count: int = 0
    occurrence_count: int = 0
    disposition: Disposition | None = None
    accept_until: datetime | None = None
    assignee: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    moves: list[tuple[str, State | None, State]] = field(default_factory=list)

    def go(self, state: State, *, actor: str) -> None:
        """Moves to a state, if it is another."""
        if state is not self.state:
            self.moves.append((actor, self.state, state))
        self.state = state
        if state is not State.CLOSED:
            self.disposition = self.accept_until = None

    @property
    def by_the_rule(self) -> State:
        """Where the rule has a finding that nobody has handled."""
        return State.OPEN if self.unsuppressed_count else State.SUPPRESSED

    def occur(self, *, suppressed: bool, now: datetime) -> None:
        """One more occurrence."""
        self.occurrence_count += 1
        self.unsuppressed_count += not suppressed
        if self.state in {None, State.OPEN, State.SUPPRESSED}:
            self.go(self.by_the_rule, actor=RULE_ACTOR)
        elif self.state is State.CLOSED and not suppressed and not self.is_accepted(now):
            self.go(State.OPEN, actor=RULE_ACTOR)

    def is_accepted(self, now: datetime) -> bool:
        """Whether its risk is accepted for the time."""
        return self.accept_until is not None and now < self.accept_until


class Life(RuleBasedStateMachine):
    """Occurrences, moves, edits and the passing of time."""

    def __init__(self, engine: Engine, clock: ManualClock) -> None:
        super().__init__()
        self.engine = engine
        self.clock = clock
        self.model = Model()
        self.sent: list[Batch] = []
        self.finding_id = ""
        self.cursor = 0
        self.seen: dict[str, str] = {}

    @initialize()
    def empty(self) -> None:
        """Begins without data."""
        self.engine._database.write(
            lambda c: [c.execute(table.delete()) for table in metadata.tables.values()]
        )
        self.cursor = self.engine.last_cursor()

    @rule(suppressed=st.booleans())
    def occur(self, *, suppressed: bool) -> None:
        """A search and its launch, far from all others."""
        number = len(self.sent)
        agent = "Packer/1.9" if suppressed else "aws-cli/2.17.32"
        seconds = 10_000 * number
        records = (
            search(origin(f"s{number}", seconds, agent=agent), "acme-base"),
            launch(origin(f"l{number}", seconds + 1)),
        )
        self.sent.append(batch(*records))
        (outcome,) = self.engine.commit([self.sent[-1]])
        (self.finding_id,) = outcome.finding_ids
        self.model.occur(suppressed=suppressed, now=self.clock.now)

    @rule(place=st.integers(0, 100))
    def resend(self, place: int) -> None:
        """A batch comes again."""
        if self.sent:
            self.engine.commit([self.sent[place % len(self.sent)]])

    @rule(hours=st.integers(1, 48))
    def wait(self, hours: int) -> None:
        """Time passes."""
        self.clock.now += timedelta(hours=hours)

    @rule(actor=PEOPLE, assignee=PEOPLE)
    def acknowledge(self, actor: str, assignee: str) -> None:
        """Somebody takes it up."""
        if self._move(Acknowledgement(assignee), actor, allowed={State.OPEN}):
            self.model.go(State.ACKNOWLEDGED, actor=actor)
            self.model.assignee = assignee

    @rule(actor=PEOPLE, disposition=st.sampled_from(Disposition), hours=st.integers(1, 72))
    def close(self, actor: str, disposition: Disposition, hours: int) -> None:
        """Somebody is done with it."""
        until = None
        if disposition is Disposition.RISK_ACCEPTED:
            until = self.clock.now + timedelta(hours=hours)
        closure = Closure(disposition, "because", until)
        if self._move(closure, actor, allowed=set(State) - {State.CLOSED}):
            self.model.go(State.CLOSED, actor=actor)
            self.model.disposition, self.model.accept_until = disposition, until

    @rule(actor=PEOPLE)
    def reopen(self, actor: str) -> None:
        """Somebody is not done with it after all."""
        if self._move(Reopening("again"), actor, allowed={State.CLOSED}):
            self.model.go(self.model.by_the_rule, actor=actor)

    @rule(
        assignee=st.none() | PEOPLE | st.just(""),
        labels=st.none() | st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy")),
    )
    def edit(self, assignee: str | None, labels: dict[str, str] | None) -> None:
        """Somebody hands it over or labels it."""
        found = self.engine.update_finding(self.finding_id, Edit(assignee, labels), actor="tests")
        if found is not None:
            model = self.model
            before = model.assignee, model.labels
            model.assignee = model.assignee if assignee is None else assignee
            model.labels = model.labels if labels is None else labels
            if (model.assignee, model.labels) != before:
                assert model.state is not None
                model.moves.append(("tests", model.state, model.state))

    @rule()
    def change_blindly(self) -> None:
        """Somebody who saw it otherwise is refused."""
        if self.model.state is not None:
            with pytest.raises(EtagMismatchError):
                self.engine.update_finding(self.finding_id, Edit("eve"), etag="0", actor="tests")

    @rule(size=st.integers(1, 5))
    def watch(self, size: int) -> None:
        """A reader of the change log reads on for a page."""
        page = self.engine.changes_after(self.cursor, MatchAll(), limit=size)
        self.seen |= {one.finding.finding_id: one.finding.etag for one in page.changed}
        self.cursor = page.cursor

    @invariant()
    def finding_is_as_the_model_has_it(self) -> None:
        """The stored finding and its history are the model's."""
        found = self.engine.get_finding(self.finding_id)
        if found is None:
            assert self.model.state is None
            return
        model = self.model
        assert (found.state, found.disposition, found.accept_until_time) == (
            *(model.state, model.disposition, model.accept_until),
        )
        assert (found.assignee, found.labels) == (model.assignee, model.labels)
        assert found.occurrence_count == model.occurrence_count
        entries = self.engine.list_finding_history(self.finding_id, after=0, limit=1_000)
        assert entries is not None
        assert [(e.actor, e.state_before, e.state_after) for e in entries] == model.moves

    @invariant()
    def reader_at_the_end_has_seen_it_as_it_is(self) -> None:
        """Whoever has read to the end of the change log knows the finding as it stands."""
        found = self.engine.get_finding(self.finding_id)
        if found is not None and self.cursor == self.engine.last_cursor():
            assert self.seen[self.finding_id] == found.etag

    def _move(self, how: Move, actor: str, *, allowed: set[State]) -> bool:
        """Says whether a move took place, which has to be whether the model allows it."""
        if self.model.state is None:
            assert self.engine.move_finding(self.finding_id, how, actor=actor) is None
            return False
        if self.model.state in allowed:
            self.engine.move_finding(self.finding_id, how, actor=actor)
            return True
        with pytest.raises(StateTransitionError):
            self.engine.move_finding(self.finding_id, how, actor=actor)
        return False


@pytest.mark.category("lifecycle")
def test_life_of_a_finding_follows_the_model(engine: Engine, clock: ManualClock) -> None:
    """Any sequence of occurrences, moves, edits and time leaves what a few lines of Python say."""
    run_state_machine_as_test(
        lambda: Life(engine, clock),  # type: ignore[arg-type]  # any callable that makes one
        settings=settings(max_examples=20, stateful_step_count=25),
    )
