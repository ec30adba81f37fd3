"""What people do to findings: moves from state to state with their history, and edits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from amiguard_service.engine import Engine
from amiguard_service.ledger import RULE_ACTOR
from amiguard_service.lifecycle import (
    MAX_ACCEPTANCE,
    Acknowledgement,
    Closure,
    Edit,
    Move,
    StateTransitionError,
)
from amiguard_service.refusals import FieldInvalidError
from amiguard_service.stored import Disposition, HistoryEntry, State, finding_name
from tests.store.clock import ManualClock
from tests.store.lives import AGAIN, DONE, NAME, PACKER, edit, get, history, move, occur, states
from tests.store.values import batch, launch, origin, search

UNKNOWN = "111122223333-00"


@pytest.mark.category("lifecycle")
class TestMoves:
    """From state to state."""

    def test_open_finding_is_acknowledged(self, engine: Engine) -> None:
        """Who takes an open finding up is its assignee."""
        finding_id = occur(engine, 1)

        found = move(engine, finding_id, Acknowledgement("bob"))

        assert (found.state, found.assignee) == (State.ACKNOWLEDGED, "bob")
        assert found == get(engine, finding_id)

    @pytest.mark.parametrize("disposition", Disposition)
    def test_finding_is_closed_with_its_disposition(
        self, engine: Engine, clock: ManualClock, disposition: Disposition
    ) -> None:
        """A closed finding says what it turned out to be, and until when a risk is accepted."""
        is_acceptance = disposition is Disposition.RISK_ACCEPTED
        until = clock.now + MAX_ACCEPTANCE if is_acceptance else None
        finding_id = occur(engine, 1)

        found = move(engine, finding_id, Closure(disposition, "because", until))

        assert found.state is State.CLOSED
        assert (found.disposition, found.accept_until_time) == (disposition, until)

    @pytest.mark.parametrize(
        ("agent", "before", "after"),
        [
            ("aws-cli/2.17.32", State.OPEN, State.OPEN),
            (PACKER, State.SUPPRESSED, State.SUPPRESSED),
        ],
    )
    def test_closed_finding_is_reopened_to_where_the_rule_has_it(
        self, engine: Engine, agent: str, before: State, after: State
    ) -> None:
        """It is open, or suppressed while every occurrence is; nothing of the closing stays."""
        finding_id = occur(engine, 1, agent=agent)
        assert get(engine, finding_id).state is before
        move(engine, finding_id, DONE)

        found = move(engine, finding_id, AGAIN)

        assert found.state is after
        assert (found.disposition, found.accept_until_time) == (None, None)

    def test_assignee_outlives_closing_and_reopening(self, engine: Engine) -> None:
        """Who handled a finding handles it when it comes back."""
        finding_id = occur(engine, 1)
        for how in (Acknowledgement("bob"), DONE, AGAIN):
            move(engine, finding_id, how)

        assert get(engine, finding_id).assignee == "bob"

    @pytest.mark.parametrize(
        ("agent", "before", "refused"),
        [
            ("", [], AGAIN),
            ("", [Acknowledgement("bob")], Acknowledgement("bob")),
            ("", [Acknowledgement("bob")], AGAIN),
            ("", [DONE], Acknowledgement("bob")),
            ("", [DONE], DONE),
            (PACKER, [], Acknowledgement("bob")),
            (PACKER, [], AGAIN),
        ],
    )
    def test_move_from_another_state_is_refused(
        self, engine: Engine, agent: str, before: list[Move], refused: Move
    ) -> None:
        """A move that does not start from the finding's state says so, and changes nothing."""
        finding_id = occur(engine, 1, agent=agent)
        for how in before:
            move(engine, finding_id, how)
        found, entries = get(engine, finding_id), history(engine, finding_id)

        with pytest.raises(StateTransitionError) as caught:
            move(engine, finding_id, refused)

        assert (caught.value.name, caught.value.state) == (finding_name(finding_id), found.state)
        assert (get(engine, finding_id), history(engine, finding_id)) == (found, entries)

    @pytest.mark.parametrize(
        ("disposition", "ahead"),
        [
            (Disposition.RISK_ACCEPTED, None),
            (Disposition.RISK_ACCEPTED, timedelta(0)),
            (Disposition.RISK_ACCEPTED, timedelta(days=-1)),
            (Disposition.RISK_ACCEPTED, MAX_ACCEPTANCE + timedelta(microseconds=1)),
            (Disposition.TRUE_POSITIVE, timedelta(days=1)),
        ],
    )
    def test_time_of_acceptance_goes_with_acceptance(
        self,
        engine: Engine,
        clock: ManualClock,
        disposition: Disposition,
        ahead: timedelta | None,
    ) -> None:
        """An accepted risk needs a time in the next 400 days, and nothing else takes one."""
        finding_id = occur(engine, 1)
        until = None if ahead is None else clock.now + ahead

        with pytest.raises(FieldInvalidError) as caught:
            move(engine, finding_id, Closure(disposition, "because", until))

        assert caught.value.field == "accept_until_time"
        assert get(engine, finding_id).state is State.OPEN

    def test_unknown_finding_is_none(self, engine: Engine) -> None:
        """Nothing happens to a finding that is not there."""
        assert engine.move_finding(UNKNOWN, DONE, actor="ann") is None
        assert engine.update_finding("nonsense", Edit(assignee="bob"), actor="tests") is None
        assert engine.list_finding_history(UNKNOWN, after=0, limit=1) is None


@pytest.mark.category("lifecycle")
class TestRecurrence:
    """What an occurrence does to a finding that somebody has handled."""

    @pytest.mark.parametrize(
        "disposition", [each for each in Disposition if each is not Disposition.RISK_ACCEPTED]
    )
    def test_new_occurrence_reopens_a_closed_finding(
        self, engine: Engine, disposition: Disposition
    ) -> None:
        """Whatever it turned out to be, it is back."""
        finding_id = occur(engine, 1)
        move(engine, finding_id, Closure(disposition, "because"))

        occur(engine, 2)

        found = get(engine, finding_id)
        assert (found.state, found.disposition) == (State.OPEN, None)

    def test_acknowledged_finding_stays_acknowledged(self, engine: Engine) -> None:
        """Somebody is working on it; one more occurrence changes nothing about that."""
        finding_id = occur(engine, 1)
        move(engine, finding_id, Acknowledgement("bob"))

        occur(engine, 2)

        assert get(engine, finding_id).state is State.ACKNOWLEDGED

    def test_accepted_risk_holds_until_its_time(self, engine: Engine, clock: ManualClock) -> None:
        """Before the time a new occurrence does not reopen the finding, at the time it does."""
        until = clock.now + timedelta(days=30)
        finding_id = occur(engine, 1)
        move(engine, finding_id, Closure(Disposition.RISK_ACCEPTED, "fine", until))

        clock.now = until - timedelta(microseconds=1)
        occur(engine, 2)
        before = get(engine, finding_id)
        clock.now = until
        occur(engine, 3)
        after = get(engine, finding_id)

        assert (before.state, before.accept_until_time) == (State.CLOSED, until)
        assert (after.state, after.disposition, after.accept_until_time) == (State.OPEN, None, None)

    def test_suppressed_occurrence_reopens_nothing(self, engine: Engine) -> None:
        """An occurrence that the rule sets aside is no reason to look again."""
        finding_id = occur(engine, 1)
        move(engine, finding_id, DONE)

        occur(engine, 2, agent=PACKER)

        assert get(engine, finding_id).state is State.CLOSED

    def test_occurrence_no_longer_suppressed_reopens(self, engine: Engine) -> None:
        """A later search by another program takes the launch over: it is new to whoever closed."""
        finding_id = occur(engine, 1, agent=PACKER)
        move(engine, finding_id, DONE)

        engine.commit([batch(search(origin("s", 10_000.5, agent="aws-cli/2.17.32"), NAME))])

        assert get(engine, finding_id).state is State.OPEN

    def test_repeated_batch_reopens_nothing(self, engine: Engine) -> None:
        """What was there when the finding was closed is not new when it is sent again."""
        records = (search(origin("s")), launch(origin("l", 1)))
        (outcome,) = engine.commit([batch(*records)])
        (finding_id,) = outcome.finding_ids
        move(engine, finding_id, DONE)

        engine.commit([batch(*records)])

        assert get(engine, finding_id).state is State.CLOSED


@pytest.mark.category("lifecycle")
class TestHistory:
    """Who moved a finding, when and why."""

    def test_every_move_is_in_the_history(self, engine: Engine, clock: ManualClock) -> None:
        """Moves by people and by the rule are there, oldest first, each with what it left."""
        start, until = clock.now, clock.now + timedelta(days=1)
        accepted = Closure(Disposition.RISK_ACCEPTED, "fine\nfor now", until)
        steps: list[Callable[[], object]] = [
            lambda: occur(engine, 1, agent=PACKER),
            lambda: occur(engine, 2),
            lambda: move(engine, finding_id, Acknowledgement("bob")),
            lambda: move(engine, finding_id, accepted),
            lambda: move(engine, finding_id, AGAIN),
            lambda: move(engine, finding_id, DONE),
            lambda: occur(engine, 3),
        ]
        finding_id = get(engine, str(steps[0]())).finding_id
        for step in steps[1:]:
            clock.now += timedelta(minutes=1)
            step()

        entries = history(engine, finding_id)

        assert states(engine, finding_id) == [
            (RULE_ACTOR, None, State.SUPPRESSED),
            (RULE_ACTOR, State.SUPPRESSED, State.OPEN),
            ("ann", State.OPEN, State.ACKNOWLEDGED),
            ("ann", State.ACKNOWLEDGED, State.CLOSED),
            ("ann", State.CLOSED, State.OPEN),
            ("ann", State.OPEN, State.CLOSED),
            (RULE_ACTOR, State.CLOSED, State.OPEN),
        ]
        assert [entry.time for entry in entries] == [
            start + timedelta(minutes=minutes) for minutes in range(7)
        ]
        assert [entry.comment for entry in entries] == [
            *("", "", "", "fine\nfor now", "not mended after all", "mended", ""),
        ]
        assert [entry.assignee for entry in entries] == ["", "", *["bob"] * 5]
        assert [(e.disposition, e.accept_until_time) for e in entries] == [
            *[(None, None)] * 3,
            (Disposition.RISK_ACCEPTED, until),
            (None, None),
            (Disposition.TRUE_POSITIVE, None),
            (None, None),
        ]

    def test_change_that_moves_nothing_is_not_in_it(self, engine: Engine) -> None:
        """Occurrences that join an open finding leave the history as it is, as does no edit."""
        finding_id = occur(engine, 1)

        occur(engine, 2)
        edit(engine, finding_id, Edit(assignee="", labels={}))

        assert states(engine, finding_id) == [(RULE_ACTOR, None, State.OPEN)]

    @pytest.mark.parametrize("size", [1, 2, 3, 7])
    def test_pages_make_the_whole_history(self, engine: Engine, size: int) -> None:
        """Pages of any size join to the history, nothing missing and nothing twice."""
        finding_id = occur(engine, 1)
        for _ in range(3):
            move(engine, finding_id, DONE)
            move(engine, finding_id, AGAIN)

        seen: list[HistoryEntry] = []
        while True:
            after = seen[-1].number if seen else 0
            page = engine.list_finding_history(finding_id, after=after, limit=size)
            assert page is not None
            seen += page
            if len(page) < size:
                break

        assert seen == history(engine, finding_id)
        assert len(seen) == 7

    def test_histories_are_apart(self, engine: Engine) -> None:
        """The history of one finding holds nothing of another's."""
        first = occur(engine, 1)
        (outcome,) = engine.commit([batch(search(origin("s")), launch(origin("l", 1)))])
        (second,) = outcome.finding_ids
        move(engine, first, DONE)

        assert states(engine, second) == [(RULE_ACTOR, None, State.OPEN)]

    def test_move_that_fails_leaves_no_trace(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """State, history and change log are of one transaction."""
        finding_id = occur(engine, 1)
        found, entries = get(engine, finding_id), history(engine, finding_id)
        cursor = engine.last_cursor()

        def fail(*_args: Any, **_kwargs: Any) -> None:
            raise RuntimeError

        with monkeypatch.context() as patched:
            patched.setattr("amiguard_service.store.findings.log_changes", fail)
            with pytest.raises(RuntimeError):
                move(engine, finding_id, DONE)

        assert get(engine, finding_id) == found
        assert history(engine, finding_id) == entries
        assert engine.last_cursor() == cursor


@pytest.mark.category("lifecycle")
class TestEdits:
    """Assignees and labels."""

    def test_edit_sets_what_it_names(self, engine: Engine) -> None:
        """What an edit does not name stays; labels are replaced as a whole."""
        finding_id = occur(engine, 1)

        first = edit(engine, finding_id, Edit(assignee="bob", labels={"team": "a", "ticket": "1"}))
        second = edit(engine, finding_id, Edit(labels={"team": "b"}))
        third = edit(engine, finding_id, Edit(assignee=""))

        assert (first.assignee, first.labels) == ("bob", {"team": "a", "ticket": "1"})
        assert (second.assignee, second.labels) == ("bob", {"team": "b"})
        assert (third.assignee, third.labels) == ("", {"team": "b"})
        assert third == get(engine, finding_id)

    def test_edit_is_a_change(self, engine: Engine, clock: ManualClock) -> None:
        """It gives another etag and update time, and is in the change log."""
        finding_id = occur(engine, 1)
        before, cursor = get(engine, finding_id), engine.last_cursor()
        clock.now += timedelta(minutes=1)

        after = edit(engine, finding_id, Edit(labels={"team": "a"}))

        assert after.etag != before.etag
        assert after.update_time == clock.now
        assert engine.last_cursor() == cursor + 1

    def test_edit_to_what_is_set_changes_nothing(self, engine: Engine) -> None:
        """An edit sent again has the effect of an edit sent once."""
        finding_id = occur(engine, 1)
        wanted = Edit(assignee="bob", labels={"team": "a"})
        before = edit(engine, finding_id, wanted)
        cursor = engine.last_cursor()

        after = edit(engine, finding_id, wanted)

        assert after == before
        assert engine.last_cursor() == cursor

    def test_occurrence_leaves_labels_and_assignee(self, engine: Engine) -> None:
        """What people said of a finding outlives what the rule finds later."""
        finding_id = occur(engine, 1)
        edit(engine, finding_id, Edit(assignee="bob", labels={"team": "a"}))

        occur(engine, 2)

        found = get(engine, finding_id)
        assert (found.assignee, found.labels) == ("bob", {"team": "a"})
