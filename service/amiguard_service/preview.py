"""What a change of the policy would do to what is stored, worked out and not done."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from msgspec import Struct
from sqlalchemy import Connection

from amiguard_core.findings import Likelihood
from amiguard_core.policy import Policy
from amiguard_service.ledger import FindingRow, settle
from amiguard_service.reevaluation import Lane, next_lane, rescored, scope_of, view_lane
from amiguard_service.store import findings as finding_store
from amiguard_service.store import pending
from amiguard_service.stored import Disposition
from amiguard_service.tuned import PassScope

_CHUNK: Final = 500


class Difference(Struct, frozen=True):
    """One finding that would be another: `before` is None for a new one, `after` for one gone."""

    before: FindingRow | None
    after: FindingRow | None

    @property
    def loss(self) -> int:
        """How much the score would fall; a finding that goes loses all of it, a new one gains."""
        before = 0 if self.before is None else self.before.score
        after = 0 if self.after is None else self.after.score
        return before - after

    @property
    def row(self) -> FindingRow:
        """The finding, as it would be or as it was."""
        row = self.after or self.before
        assert row is not None  # noqa: S101 - one of them is there
        return row


class Preview(Struct, frozen=True):
    """What a change would do. `examples` are the worst: those that would lose most, first.

    `evidence_start_time` is the arrival of the oldest record that still waits: what came before
    can be judged again only where a finding was made of it. None where nothing waits.
    """

    evaluated_count: int
    removed_count: int
    rescored_count: int
    added_count: int
    examples: tuple[Difference, ...]
    evidence_start_time: datetime | None


def preview(
    connection: Connection,
    before: Policy,
    after: Policy,
    *,
    since: datetime,
    now: datetime,
    max_examples: int,
) -> Preview:
    """Returns what the change from one policy to another would do to findings made since a time.

    A finding that would be new counts when its latest launch is not before that time.
    """
    evaluated = removed = changed = added = 0
    examples: list[Difference] = []
    for difference in _differences(connection, before, after, now=now):
        old, new = difference.before, difference.after
        if old is None:
            if difference.row.last_launch_time >= since:
                added += 1
                examples.append(difference)
            continue
        if old.create_time < since:
            continue
        evaluated += 1
        if new is None:
            removed += 1
        elif new.score != old.score:
            changed += 1
        else:
            continue
        examples.append(difference)
    examples.sort(key=lambda d: (d.after is not None, -d.loss, d.row.finding_id))
    return Preview(
        evaluated_count=evaluated,
        removed_count=removed,
        rescored_count=changed,
        added_count=added,
        examples=tuple(examples[:max_examples]),
        evidence_start_time=pending.oldest_arrival(connection),
    )


def lost_true_positives(
    connection: Connection, before: Policy, after: Policy, *, now: datetime
) -> tuple[str, ...]:
    """Returns the ids of findings closed as TRUE_POSITIVE that would vanish or fall to LOW."""
    return tuple(
        sorted(
            difference.before.finding_id
            for difference in _differences(connection, before, after, now=now)
            if difference.before is not None
            and difference.before.disposition is Disposition.TRUE_POSITIVE
            and _vanishes(difference)
        )
    )


def _vanishes(difference: Difference) -> bool:
    if difference.after is None:
        return True
    was_low = difference.before is not None and _is_low(difference.before)
    return _is_low(difference.after) and not was_low


def _is_low(row: FindingRow) -> bool:
    return Likelihood.of_score(row.score) is Likelihood.LOW


def _differences(
    connection: Connection, before: Policy, after: Policy, *, now: datetime
) -> Iterator[Difference]:
    """Gives every finding that counts now or would, as it is and as it would be."""
    if scope_of(before, after) is PassScope.FINDINGS:
        return _by_finding(connection, after, now)
    return _by_lane(connection, after, now)


def _by_finding(connection: Connection, policy: Policy, now: datetime) -> Iterator[Difference]:
    after: tuple[str, str] | None = None
    while ids := finding_store.next_ids(connection, after=after, limit=_CHUNK):
        rows = finding_store.read_rows(connection, ids)
        for row in rescored(connection, rows, policy, now=now):
            if not row.is_withdrawn:
                yield Difference(rows[row.finding_id], row)
        after = (finding_store.account_of(ids[-1]), ids[-1])


def _by_lane(connection: Connection, policy: Policy, now: datetime) -> Iterator[Difference]:
    lane: Lane | None = None
    while (lane := next_lane(connection, after=lane)) is not None:
        view = view_lane(connection, lane)
        judged = {finding.key.finding_id(): finding for finding in view.judge(policy)}
        for finding_id in sorted(judged.keys() | view.rows.keys()):
            row, finding = view.rows.get(finding_id), judged.get(finding_id)
            old = None if row is None or row.is_withdrawn else row
            new = None if finding is None else settle(row, finding, now=now)
            if old is not None or new is not None:
                yield Difference(old, new)
