"""What people do to a finding: move it from state to state, hand it to somebody, label it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

from msgspec.structs import replace
from sqlalchemy import Connection

from amiguard_service.ledger import FindingRow, history_entry, move_of, time_of_change
from amiguard_service.refusals import EtagMismatchError, FieldInvalidError, RefusalError
from amiguard_service.store import findings as finding_store
from amiguard_service.store.history import insert_entries
from amiguard_service.store.labels import replace_labels
from amiguard_service.stored import Disposition, FindingEdit, State, StoredFinding, finding_name

MAX_ACCEPTANCE: Final = timedelta(days=400)
"""How far ahead a risk can be accepted: an acceptance is looked at again once a year or so."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Somebody takes an open finding up."""

    assignee: str


@dataclass(frozen=True, slots=True)
class Closure:
    """Somebody is done with a finding that is not closed, suppressed or not.

    `accept_until_time` goes with RISK_ACCEPTED, and with nothing else.
    """

    disposition: Disposition
    comment: str
    accept_until_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Reopening:
    """Somebody puts a closed finding back to where the rule has it.

    That is open, or suppressed while every occurrence of it is.
    """

    comment: str


Move: TypeAlias = Acknowledgement | Closure | Reopening


@dataclass(frozen=True, slots=True)
class Edit:
    """What to set of a finding; None leaves it as it is. Labels are replaced as a whole."""

    assignee: str | None = None
    labels: Mapping[str, str] | None = None


class StateTransitionError(RefusalError):
    """The finding is in a state that the move does not start from."""

    def __init__(self, name: str, *, state: State, wanted: str) -> None:
        super().__init__(f"{name} is {state}, expected {wanted}")
        self.name = name
        self.state = state


def move_finding(
    connection: Connection,
    finding_id: str,
    move: Move,
    *,
    actor: str,
    etag: str | None,
    now: datetime,
) -> StoredFinding | None:
    """Returns the finding after a move that is in its history; None when there is none.

    Raises EtagMismatchError where `etag` is given and not the current one, and what `moved` raises.
    """
    row = _fetch(connection, finding_id, etag)
    if row is None:
        return None
    after = moved(row, move, now=now)
    comment = "" if isinstance(move, Acknowledgement) else move.comment
    entry = move_of(row, after, actor=actor, comment=comment)
    finding_store.update_rows(connection, [after], before={finding_id: row})
    insert_entries(connection, [] if entry is None else [entry])
    finding_store.log_changes(connection, [finding_id], now=now)
    return finding_store.fetch_finding(connection, finding_id)


def edit_finding(
    connection: Connection,
    finding_id: str,
    edit: Edit,
    *,
    actor: str,
    etag: str | None,
    now: datetime,
) -> StoredFinding | None:
    """Returns the finding after an edit that is in its history; None when there is none.

    An edit that sets what is set already changes nothing. Raises EtagMismatchError where `etag`
    is given and not the current one.
    """
    row = _fetch(connection, finding_id, etag)
    found = finding_store.fetch_finding(connection, finding_id)
    if row is None or found is None:
        return None
    assignee = found.assignee if edit.assignee is None else edit.assignee
    labels = found.labels if edit.labels is None else edit.labels
    if (assignee, labels) == (found.assignee, found.labels):
        return found
    after = _changed(row, now=now, assignee=assignee)
    finding_store.update_rows(connection, [after], before={finding_id: row})
    replace_labels(connection, finding_id, labels)
    is_relabelled = labels != found.labels
    told = FindingEdit(
        assignee_before=found.assignee if assignee != found.assignee else None,
        labels_before=dict(found.labels) if is_relabelled else None,
        labels_after=dict(labels) if is_relabelled else None,
    )
    insert_entries(connection, [history_entry(after, row.state, actor=actor, edit=told)])
    finding_store.log_changes(connection, [finding_id], now=now)
    return finding_store.fetch_finding(connection, finding_id)


def moved(row: FindingRow, move: Move, *, now: datetime) -> FindingRow:
    """Returns what a move makes of a finding.

    Raises StateTransitionError where the move does not start from its state, FieldInvalidError for
    a time of acceptance that is missing, past, too far ahead or out of place.
    """
    match move:
        case Acknowledgement(assignee):
            _expect(row, row.state is State.OPEN, wanted=State.OPEN)
            return _changed(row, now=now, state=State.ACKNOWLEDGED, assignee=assignee)
        case Closure(disposition, _, accept_until_time):
            _check_acceptance(disposition, accept_until_time, now=now)
            _expect(row, row.state is not State.CLOSED, wanted=f"any state but {State.CLOSED}")
            return _changed(
                row,
                now=now,
                state=State.CLOSED,
                disposition=disposition,
                accept_until_time=accept_until_time,
                accepted_score=row.score if disposition is Disposition.RISK_ACCEPTED else None,
            )
        case Reopening():
            _expect(row, row.state is State.CLOSED, wanted=State.CLOSED)
            return _changed(
                row,
                now=now,
                state=State.OPEN if row.unsuppressed_count else State.SUPPRESSED,
                disposition=None,
                accept_until_time=None,
                accepted_score=None,
            )


def _fetch(connection: Connection, finding_id: str, etag: str | None) -> FindingRow | None:
    """Returns a finding, locked until the transaction ends, after a look at its etag."""
    row = finding_store.fetch_rows(connection, [finding_id]).get(finding_id)
    if row is None:
        return None
    current = finding_store.etag_of(row)
    if etag is not None and etag != current:
        raise EtagMismatchError(finding_name(finding_id), got=etag, current=current)
    return row


def _changed(row: FindingRow, *, now: datetime, **values: Any) -> FindingRow:
    """Returns a finding with other values."""
    return replace(
        row,
        update_time=time_of_change(row, now),
        change_count=row.change_count + 1,
        **values,
    )


def _expect(row: FindingRow, is_met: bool, *, wanted: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not is_met:
        raise StateTransitionError(finding_name(row.finding_id), state=row.state, wanted=wanted)


def _check_acceptance(disposition: Disposition, until: datetime | None, *, now: datetime) -> None:
    is_acceptance = disposition is Disposition.RISK_ACCEPTED
    if is_acceptance != (until is not None):
        raise FieldInvalidError(
            "accept_until_time",
            got="nothing" if until is None else "a time",
            expected=f"{'a time' if is_acceptance else 'nothing'} with {disposition}",
        )
    if until is not None and not now < until <= now + MAX_ACCEPTANCE:
        raise FieldInvalidError(
            "accept_until_time",
            got=until.isoformat(),
            expected=f"a time in the next {MAX_ACCEPTANCE.days} days",
        )
