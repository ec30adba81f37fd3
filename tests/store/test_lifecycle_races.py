"""Changes of one finding that meet: none is lost, whichever servers they come from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Barrier, Thread

import pytest

from amiguard_service.engine import Engine
from amiguard_service.lifecycle import Acknowledgement, Edit, StateTransitionError
from amiguard_service.refusals import EtagMismatchError
from amiguard_service.stored import State, StoredFinding, finding_name
from tests.store.lives import AGAIN, DONE, edit, get, move, occur, states


@pytest.mark.category("concurrency")
class TestEtags:
    """Changes that depend on what the caller saw."""

    @pytest.mark.parametrize(
        "change",
        [
            lambda engine, i, etag: move(engine, i, Acknowledgement("bob"), etag=etag),
            lambda engine, i, etag: move(engine, i, DONE, etag=etag),
            lambda engine, i, etag: edit(engine, i, Edit(assignee="bob"), etag=etag),
            lambda engine, i, etag: edit(engine, i, Edit(assignee=""), etag=etag),
        ],
        ids=["acknowledge", "close", "edit", "edit to what is set"],
    )
    def test_stale_etag_is_refused_with_the_current_one(
        self, engine: Engine, change: Callable[[Engine, str, str], StoredFinding]
    ) -> None:
        """A change by who saw the finding otherwise changes nothing; the current etag lets it."""
        finding_id = occur(engine, 1)
        stale = get(engine, finding_id).etag
        occur(engine, 2)
        found = get(engine, finding_id)

        with pytest.raises(EtagMismatchError) as caught:
            change(engine, finding_id, stale)

        assert (caught.value.name, caught.value.current) == (finding_name(finding_id), found.etag)
        assert get(engine, finding_id) == found
        assert change(engine, finding_id, caught.value.current).finding_id == finding_id


def side_by_side(*calls: Callable[[], object]) -> list[object]:
    """Makes calls at the same time, and returns what each gives or raises."""
    together = Barrier(len(calls))
    results: list[object] = [None] * len(calls)

    def run(index: int, call: Callable[[], object]) -> None:
        together.wait(timeout=30)
        try:
            results[index] = call()
        except Exception as error:  # noqa: BLE001 - it is what the test is about
            results[index] = error

    threads = [Thread(target=run, args=item) for item in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return results


@pytest.mark.category("concurrency")
class TestRaces:
    """Two servers, one finding."""

    def test_one_of_two_acknowledgements_wins(self, engine: Engine, other: Engine) -> None:
        """Who comes second is told; the finding is who came first's."""
        finding_id = occur(engine, 1)
        for number in range(20):
            results = side_by_side(
                partial(move, engine, finding_id, Acknowledgement("bob")),
                partial(move, other, finding_id, Acknowledgement("eve")),
            )

            won = [result for result in results if isinstance(result, StoredFinding)]
            lost = [result for result in results if isinstance(result, StateTransitionError)]
            assert (number, len(won), len(lost)) == (number, 1, 1)
            assert get(engine, finding_id) == won[0]
            move(engine, finding_id, DONE)
            move(engine, finding_id, AGAIN)

    def test_one_of_two_edits_of_one_etag_wins(self, engine: Engine, other: Engine) -> None:
        """No update is lost: of two that saw the same finding one has to look again."""
        finding_id = occur(engine, 1)
        for number in range(20):
            etag = get(engine, finding_id).etag
            results = side_by_side(
                partial(edit, engine, finding_id, Edit(f"bob{number}"), etag=etag),
                partial(edit, other, finding_id, Edit(f"eve{number}"), etag=etag),
            )

            won = [result for result in results if isinstance(result, StoredFinding)]
            lost = [result for result in results if isinstance(result, EtagMismatchError)]
            assert (number, len(won), len(lost)) == (number, 1, 1)
            assert lost[0].current == won[0].etag

    def test_edits_of_different_fields_are_both_kept(self, engine: Engine, other: Engine) -> None:
        """An edit writes what it names and nothing else."""
        finding_id = occur(engine, 1)
        for number in range(20):
            side_by_side(
                partial(edit, engine, finding_id, Edit(assignee=f"bob{number}")),
                partial(edit, other, finding_id, Edit(labels={"number": str(number)})),
            )

            found = get(engine, finding_id)
            assert (found.assignee, found.labels) == (f"bob{number}", {"number": str(number)})

    def test_closing_beside_an_occurrence_loses_neither(
        self, engine: Engine, other: Engine
    ) -> None:
        """Whichever is first, both happen, and the history tells which was."""
        finding_id = occur(engine, 0)
        rounds = 20
        for number in range(1, rounds + 1):
            results = side_by_side(
                partial(move, engine, finding_id, DONE),
                partial(occur, other, number),
            )
            assert not [result for result in results if isinstance(result, Exception)]
            if get(engine, finding_id).state is State.CLOSED:
                move(engine, finding_id, AGAIN)

        found, moves = get(engine, finding_id), states(engine, finding_id)
        assert found.occurrence_count == rounds + 1
        assert [before for _, before, _ in moves[1:]] == [after for _, _, after in moves[:-1]]
        assert moves[-1][2] is found.state is State.OPEN
