"""What is stored, judged again under another policy: to apply it, or to say what it would do."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy import Connection

from amiguard_core.correlate import pair, unique
from amiguard_core.events import Launch, Search
from amiguard_core.findings import Finding, Occurrence
from amiguard_core.pipeline import KnownImages, assess, find, launched_images, used_images
from amiguard_core.policy import EntryKind, Mode, Policy
from amiguard_service.ledger import Change, FindingRow, move_of, rescore, settle, withdraw
from amiguard_service.pins import fetch_launched, joined_pins
from amiguard_service.store import findings as finding_store
from amiguard_service.store import images as image_store
from amiguard_service.store import occurrences as occurrence_store
from amiguard_service.store import pending
from amiguard_service.store import pins as pin_store
from amiguard_service.store.history import insert_entries
from amiguard_service.store.occurrences import OccurrenceKey, key_of
from amiguard_service.store.pins import PinKey, StoredPin
from amiguard_service.store.tuning import count_matches
from amiguard_service.tuned import ENTRY_PREFIX, PassScope


class Lane(Struct, frozen=True, order=True):
    """The records of one lane of one account."""

    account_id: str
    lane: str


class LaneView(Struct, frozen=True):
    """All that is known of one lane: its records, and the findings made of them.

    Among the records are those of other lanes that were launched from what this one pinned.
    """

    records: tuple[Search | Launch, ...]
    rows: dict[str, FindingRow]
    occurrences: dict[OccurrenceKey, Occurrence]
    images: KnownImages

    def judge(self, policy: Policy) -> tuple[Finding, ...]:
        """Returns the findings of the lane under a policy."""
        searches, launches = unique(self.records)
        return find(searches, launches, policy, images=self.images)

    def pins(self, policy: Policy) -> dict[PinKey, StoredPin]:
        """Returns what pins images in the lane under a policy."""
        searches, launches = unique(self.records)
        pins = [launch for launch in launches if launch.is_pin]
        return joined_pins(pair(searches, pins, policy)) if pins else {}


def scope_of(before: Policy, after: Policy) -> PassScope:
    """Returns what has to be gone over when one policy follows another."""
    one, other = before.rule, after.rule
    pairs_alike = (one.window, one.mode, one.correlate_by, one.launch_paths) == (
        other.window,
        other.mode,
        other.correlate_by,
        other.launch_paths,
    )
    judges_alike = other.mode is Mode.DOCUMENTED or _owners(before) == _owners(after)
    return PassScope.FINDINGS if pairs_alike and judges_alike else PassScope.LANES


def _owners(policy: Policy) -> set[tuple[str, tuple[str, ...]]]:
    return {
        (entry.subject, entry.account_ids)
        for entry in policy.entries
        if entry.kind is not EntryKind.ORGANIZATION_PATTERN
    }


def view_lane(connection: Connection, lane: Lane) -> LaneView:
    """Returns what is stored of a lane: what waits, and what findings were made of."""
    rows = finding_store.fetch_lane(connection, account_id=lane.account_id, lane=lane.lane)
    keys = [(row.key.account_id, finding_id) for finding_id, row in rows.items()]
    stored = occurrence_store.fetch_of_findings(connection, keys)
    records: list[Search | Launch] = [
        *pending.fetch_lane(connection, account_id=lane.account_id, lane=lane.lane),
        *occurrence_store.fetch_retired(connection, account_id=lane.account_id, lane=lane.lane),
    ]
    for occurrence in stored.values():
        for each in occurrence.all_evidence:
            records += [each.search, each.launch]
            if each.pin is not None:
                records.append(each.pin)
    for kept in pin_store.fetch_of_findings(connection, keys).values():
        records += kept.records()
    records += fetch_launched(connection, records)
    images = image_store.fetch_images(connection, _images_of(records))
    return LaneView(tuple(records), rows, stored, images)


def _images_of(records: Iterable[Search | Launch]) -> set[tuple[str, str]]:
    return {
        (record.origin.region, image_id)
        for record in records
        if isinstance(record, Launch)
        for image_id in record.image_ids
    }


def next_lane(connection: Connection, *, after: Lane | None) -> Lane | None:
    """Returns the first lane after another in which a record waits or a finding stands."""
    cursor = None if after is None else (after.account_id, after.lane)
    found = (
        pending.next_lane(connection, after=cursor),
        finding_store.next_lane(connection, after=cursor),
    )
    return min((Lane(*lane) for lane in found if lane is not None), default=None)


def apply_to_lane(connection: Connection, lane: Lane, policy: Policy, *, now: datetime) -> None:
    """Makes what is stored of a lane what the policy makes of its records.

    The caller holds the lane's lock.
    """
    view = view_lane(connection, lane)
    judged = {finding.key.finding_id(): finding for finding in view.judge(policy)}
    known = finding_store.fetch_rows(connection, judged.keys() | view.rows.keys())
    wanted = {key_of(o): o for finding in judged.values() for o in finding.occurrences}
    changes = [
        Change(occurrence=occurrence, before=view.occurrences.get(key))
        for key, occurrence in wanted.items()
        if view.occurrences.get(key) != occurrence
    ]
    occurrence_store.write_changes(connection, changes)
    pin_store.replace_pins(connection, view.pins(policy))
    gone = [o for key, o in view.occurrences.items() if key not in wanted]
    occurrence_store.retire(connection, gone, lane=lane.lane, now=now)
    occurrence_store.unretire(connection, (key_of(c.occurrence) for c in changes))
    after = [settle(known.get(i), finding, now=now) for i, finding in judged.items()]
    after += [withdraw(row, now=now) for i, row in known.items() if i not in judged]
    _write_rows(connection, known, after, now=now)
    finding_store.replace_images(
        connection,
        {
            row.finding_id: launched_images(judged[row.finding_id].occurrences)
            for row in after
            if row.finding_id in judged and row is not known.get(row.finding_id)
        },
    )


def apply_to_findings(
    connection: Connection, finding_ids: Sequence[str], policy: Policy, *, now: datetime
) -> None:
    """Makes the scores and confidences of findings what the policy and the known images make."""
    known = finding_store.fetch_rows(connection, finding_ids)
    after = rescored(connection, known, policy, now=now, write=True)
    _write_rows(connection, known, after, now=now)


def rescored(
    connection: Connection,
    rows: Mapping[str, FindingRow],
    policy: Policy,
    *,
    now: datetime,
    write: bool = False,
) -> list[FindingRow]:
    """Returns findings as the policy and the known images score them.

    With `write`, the confidences of their occurrences are stored too.
    """
    keys = [(row.key.account_id, finding_id) for finding_id, row in rows.items()]
    launched = image_store.fetch_launched(connection, {i: row.key for i, row in rows.items()})
    assessed = _assessed(connection, keys, write=write)
    return [
        rescore(
            row,
            policy,
            images=launched[finding_id],
            occurrences=assessed[finding_id],
            now=now,
        )
        for finding_id, row in rows.items()
    ]


def _assessed(
    connection: Connection, keys: Sequence[tuple[str, str]], *, write: bool
) -> dict[str, list[Occurrence]]:
    """Returns the occurrences of findings, by id, as the known images assess them."""
    stored = occurrence_store.fetch_of_findings(connection, keys)
    used = {image for occurrence in stored.values() for image in used_images(occurrence)}
    images = image_store.fetch_images(connection, used)
    of_finding: defaultdict[str, list[Occurrence]] = defaultdict(list)
    changes = []
    for key, before in stored.items():
        occurrence = assess(before, images)
        of_finding[key.finding_id].append(occurrence)
        if occurrence != before:
            changes.append(Change(occurrence, before=before))
    if write:
        occurrence_store.write_changes(connection, changes)
    return of_finding


def _write_rows(
    connection: Connection,
    before: Mapping[str, FindingRow],
    after: Iterable[FindingRow],
    *,
    now: datetime,
) -> None:
    changed = sorted(
        (row for row in after if row is not before.get(row.finding_id)),
        key=lambda row: row.finding_id,
    )
    finding_store.insert_rows(connection, [r for r in changed if r.finding_id not in before])
    finding_store.update_rows(
        connection, [row for row in changed if row.finding_id in before], before=before
    )
    moves = (move_of(before.get(row.finding_id), row) for row in changed)
    insert_entries(connection, (move for move in moves if move is not None))
    count_matches(connection, _new_matches(before, changed), now=now)
    finding_store.log_changes(connection, [row.finding_id for row in changed], now=now)


def _new_matches(before: Mapping[str, FindingRow], after: Iterable[FindingRow]) -> Counter[str]:
    """Returns how many scores each allowlist entry affects that it did not before, by entry id."""
    return Counter(
        name.removeprefix(ENTRY_PREFIX)
        for row in after
        for name in _entries_of(row) - _entries_of(before.get(row.finding_id))
    )


def _entries_of(row: FindingRow | None) -> set[str]:
    steps = () if row is None else row.steps
    return {step.allowlist_entry for step in steps if step.allowlist_entry is not None}
