"""What a finding becomes when occurrences join it: values in, values out, no SQL and no clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from amiguard_core.clients import client_of
from amiguard_core.events import SearchRequest
from amiguard_core.findings import Finding, FindingKey, Occurrence, ScoreStep
from amiguard_core.judge import judge
from amiguard_core.pipeline import KnownImages, assess, join
from amiguard_core.policy import Policy
from amiguard_core.score import LaunchedImages, score
from amiguard_service.stored import Disposition, FindingEdit, HistoryEntry, State

WITHDRAWN: Final = "SAFE_BY_POLICY"
"""The suppression of a finding whose every occurrence the policy has made safe or out of reach."""

RULE_ACTOR: Final = "amiguard"
"""Who moves a finding where no person does."""


class Change(Struct, frozen=True):
    """An occurrence that is new, or another than `before`: a later search, another copy."""

    occurrence: Occurrence
    before: Occurrence | None

    @property
    def is_new(self) -> bool:
        """Whether the launch had no occurrence in this finding yet."""
        return self.before is None

    @property
    def adds_unsuppressed(self) -> bool:
        """Whether the finding has one more occurrence that the rule does not set aside."""
        was_set_aside = self.before is None or self.before.suppression is not None
        return was_set_aside and self.occurrence.suppression is None


class FindingRow(Struct, frozen=True):
    """One finding as its row holds it: what the lists of occurrences and images do not say."""

    key: FindingKey
    request: SearchRequest
    reasons: tuple[str, ...]
    steps: tuple[ScoreStep, ...]
    client: str
    confidence: int
    occurrence_count: int
    unsuppressed_count: int
    first_launch_time: datetime
    last_launch_time: datetime
    last_launch_event_id: str
    rule_revision: int
    state: State
    create_time: datetime
    update_time: datetime
    change_count: int = 1
    suppression: str | None = None
    disposition: Disposition | None = None
    assignee: str = ""
    accept_until_time: datetime | None = None
    accepted_score: int | None = None

    @property
    def finding_id(self) -> str:
        """The id that the key gives."""
        return self.key.finding_id()

    @property
    def is_withdrawn(self) -> bool:
        """Whether no occurrence counts under the policy any more."""
        return self.occurrence_count == 0

    @property
    def score(self) -> int:
        """The likelihood as a number."""
        return self.steps[-1].score


def move_of(
    before: FindingRow | None, after: FindingRow, *, actor: str = RULE_ACTOR, comment: str = ""
) -> HistoryEntry | None:
    """Returns the history's entry of a change; None where the state stayed the same.

    `before` is None where the change made the finding.
    """
    state_before = None if before is None else before.state
    if state_before is after.state:
        return None
    edit = None
    if before is not None and before.assignee != after.assignee:
        edit = FindingEdit(assignee_before=before.assignee)
    return history_entry(after, state_before, actor=actor, comment=comment, edit=edit)


def history_entry(
    after: FindingRow,
    state_before: State | None,
    *,
    actor: str,
    comment: str = "",
    edit: FindingEdit | None = None,
) -> HistoryEntry:
    """Returns the entry of a finding as it stands after a move or an edit."""
    return HistoryEntry(
        finding_id=after.finding_id,
        number=after.change_count,
        time=after.update_time,
        actor=actor,
        state_before=state_before,
        state_after=after.state,
        comment=comment,
        disposition=after.disposition,
        assignee=after.assignee,
        accept_until_time=after.accept_until_time,
        edit=edit,
    )


def change_of(
    occurrence: Occurrence, before: Occurrence | None, *, images: KnownImages
) -> Change | None:
    """Returns the change that an occurrence makes; None when it says nothing new.

    `images` are those known of what either used.
    """
    if before is not None:
        occurrence = join(before, occurrence, images=images)
        if occurrence == before:
            return None
    elif images:
        occurrence = assess(occurrence, images)
    return Change(occurrence=occurrence, before=before)


def loses_its_confidence(row: FindingRow, changes: Sequence[Change]) -> bool:
    """Says whether the greatest confidence may have been that of an occurrence that lost some."""
    return any(
        change.before is not None
        and change.before.confidence == row.confidence
        and change.occurrence.confidence < change.before.confidence
        for change in changes
    )


def open_finding(
    changes: Sequence[Change], policy: Policy, *, images: LaunchedImages, now: datetime
) -> FindingRow:
    """Returns the finding that the first occurrences of a key make."""
    first = changes[0].occurrence
    request = first.search.request
    row = FindingRow(
        key=first.key,
        request=request,
        reasons=(),
        steps=(),
        client="",
        confidence=0,
        occurrence_count=0,
        unsuppressed_count=0,
        first_launch_time=first.first_launch_time,
        last_launch_time=first.first_launch_time,
        last_launch_event_id="",
        rule_revision=policy.rule.revision,
        state=State.OPEN,
        create_time=now,
        update_time=now,
        change_count=0,
    )
    return add_occurrences(row, changes, policy, images=images, now=now)


def add_occurrences(
    row: FindingRow,
    changes: Sequence[Change],
    policy: Policy,
    *,
    images: LaunchedImages,
    now: datetime,
    remaining_confidence: int | None = None,
) -> FindingRow:
    """Returns the finding after changes to its occurrences, judged by the policy.

    `remaining_confidence` is the greatest of all occurrences, needed where `loses_its_confidence`.
    """
    account_id = row.key.account_id
    if row.is_withdrawn:
        row = _emptied(row, changes[0].occurrence)
    latest = max(changes, key=lambda change: change.occurrence.recency).occurrence
    is_latest = latest.recency >= (row.last_launch_time, row.last_launch_event_id)
    if remaining_confidence is None:
        remaining_confidence = row.confidence
    unsuppressed = row.unsuppressed_count + sum(
        (change.occurrence.suppression is None)
        - (change.before is not None and change.before.suppression is None)
        for change in changes
    )
    times = [change.occurrence.first_launch_time for change in changes]
    grown = replace(
        row,
        reasons=judge(row.request, policy, account_id=account_id).reasons,
        steps=score(row.request, policy, account_id=account_id, images=images),
        client=client_of(latest.search.origin.user_agent) if is_latest else row.client,
        confidence=max(remaining_confidence, *(c.occurrence.confidence for c in changes)),
        occurrence_count=row.occurrence_count + sum(change.is_new for change in changes),
        unsuppressed_count=unsuppressed,
        first_launch_time=min(row.first_launch_time, *times),
        last_launch_time=latest.recency[0] if is_latest else row.last_launch_time,
        last_launch_event_id=latest.recency[1] if is_latest else row.last_launch_event_id,
        suppression=None if unsuppressed else _suppression(row, changes),
        rule_revision=policy.rule.revision,
        update_time=time_of_change(row, now),
        change_count=row.change_count + 1,
    )
    return _move(grown, changes, now=now)


def _suppression(row: FindingRow, changes: Sequence[Change]) -> str | None:
    codes = [change.occurrence.suppression for change in changes]
    return next((code for code in codes if code is not None), row.suppression)


def _move(row: FindingRow, changes: Sequence[Change], *, now: datetime) -> FindingRow:
    """Returns the finding in the state after its new occurrences (docs/rule.md, section 6)."""
    return _moved(row, recurs=any(change.adds_unsuppressed for change in changes), now=now)


def _moved(row: FindingRow, *, recurs: bool, now: datetime) -> FindingRow:
    if row.state in {State.OPEN, State.SUPPRESSED}:
        return replace(row, state=State.OPEN if row.unsuppressed_count else State.SUPPRESSED)
    if row.state is not State.CLOSED or not (recurs or _outgrows_acceptance(row)):
        return row
    if (
        row.disposition is Disposition.RISK_ACCEPTED
        and (row.accept_until_time is None or now < row.accept_until_time)
        and not _outgrows_acceptance(row)
    ):
        return row
    return replace(
        row, state=State.OPEN, disposition=None, accept_until_time=None, accepted_score=None
    )


def _outgrows_acceptance(row: FindingRow) -> bool:
    """Says whether a finding has become worse than what was accepted."""
    return row.accepted_score is not None and row.score > row.accepted_score


def rescore(
    row: FindingRow,
    policy: Policy,
    *,
    images: LaunchedImages,
    occurrences: Sequence[Occurrence],
    now: datetime,
) -> FindingRow:
    """Returns the finding as the policy scores it, and as its occurrences are assessed now.

    The same row comes back where nothing is another than before.
    """
    if row.is_withdrawn or not occurrences:
        return row
    unsuppressed = sum(occurrence.suppression is None for occurrence in occurrences)
    latest = max(occurrences, key=lambda occurrence: occurrence.recency)
    scored = replace(
        row,
        reasons=judge(row.request, policy, account_id=row.key.account_id).reasons,
        steps=score(row.request, policy, account_id=row.key.account_id, images=images),
        confidence=max(occurrence.confidence for occurrence in occurrences),
        unsuppressed_count=unsuppressed,
        suppression=None if unsuppressed else latest.suppression,
    )
    scored = _moved(scored, recurs=unsuppressed > row.unsuppressed_count, now=now)
    if scored == row:
        return row
    return replace(
        scored,
        rule_revision=policy.rule.revision,
        update_time=time_of_change(row, now),
        change_count=row.change_count + 1,
    )


def settle(row: FindingRow | None, finding: Finding, *, now: datetime) -> FindingRow:
    """Returns the row of a finding that the core has worked out anew, from all its records.

    What its handlers did stays. The same row comes back where nothing is another than before.
    """
    latest = finding.latest
    unsuppressed = sum(o.suppression is None for o in finding.occurrences)
    adds = row is not None and unsuppressed > row.unsuppressed_count
    settled = FindingRow(
        key=finding.key,
        request=latest.search.request,
        reasons=finding.reasons,
        steps=finding.steps,
        client=client_of(latest.search.origin.user_agent),
        confidence=finding.confidence,
        occurrence_count=len(finding.occurrences),
        unsuppressed_count=unsuppressed,
        first_launch_time=min(o.first_launch_time for o in finding.occurrences),
        last_launch_time=latest.recency[0],
        last_launch_event_id=latest.recency[1],
        rule_revision=finding.rule_revision if row is None else row.rule_revision,
        state=State.OPEN if row is None else row.state,
        create_time=now if row is None else row.create_time,
        update_time=now if row is None else row.update_time,
        change_count=0 if row is None else row.change_count,
        suppression=finding.suppression,
        disposition=None if row is None else row.disposition,
        assignee="" if row is None else row.assignee,
        accept_until_time=None if row is None else row.accept_until_time,
        accepted_score=None if row is None else row.accepted_score,
    )
    moved = _moved(settled, recurs=adds, now=now)
    if moved == row:
        return row
    return replace(
        moved,
        rule_revision=finding.rule_revision,
        update_time=time_of_change(moved, now),
        change_count=moved.change_count + 1,
    )


def withdraw(row: FindingRow, *, now: datetime) -> FindingRow:
    """Returns a finding of which the policy leaves no occurrence: set aside, not deleted.

    It keeps what it showed last, so that a person can see what the policy has hidden.
    """
    if row.is_withdrawn:
        return row
    state = State.CLOSED if row.state is State.CLOSED else State.SUPPRESSED
    return replace(
        row,
        occurrence_count=0,
        unsuppressed_count=0,
        suppression=WITHDRAWN,
        state=state,
        update_time=time_of_change(row, now),
        change_count=row.change_count + 1,
    )


def time_of_change(row: FindingRow, now: datetime) -> datetime:
    """Returns when a change of a finding is made: its times never run backwards, whosever clock."""
    return max(now, row.update_time)


def _emptied(row: FindingRow, occurrence: Occurrence) -> FindingRow:
    """Returns a withdrawn finding as it is before its next occurrence joins it."""
    time = occurrence.first_launch_time
    return replace(
        row,
        confidence=0,
        first_launch_time=time,
        last_launch_time=time,
        last_launch_event_id="",
        suppression=None,
    )
