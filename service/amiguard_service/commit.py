"""One transaction that takes batches in: records, occurrences, findings, change log."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

from sqlalchemy import Connection

from amiguard_core.correlate import can_pair, pair, unique
from amiguard_core.events import Launch, Search
from amiguard_core.findings import Occurrence
from amiguard_core.judge import is_candidate
from amiguard_core.pipeline import join, launched_images, occur, used_images
from amiguard_core.policy import Policy
from amiguard_core.score import LaunchedImages
from amiguard_service.intake import Arrival, Intake, Outcome
from amiguard_service.ledger import (
    Change,
    FindingRow,
    add_occurrences,
    change_of,
    loses_its_confidence,
    move_of,
    open_finding,
)
from amiguard_service.pins import LaneKey, Pair, pair_through_pins
from amiguard_service.policies import Policies
from amiguard_service.store import findings as finding_store
from amiguard_service.store import images as image_store
from amiguard_service.store import occurrences as occurrence_store
from amiguard_service.store import pending
from amiguard_service.store.history import insert_entries
from amiguard_service.store.occurrences import OccurrenceKey, key_of
from amiguard_service.store.pending import (
    EARLIEST,
    LATEST,
    Span,
    WaitingKey,
    WaitingKind,
    WaitingRow,
)
from amiguard_service.store.rejections import insert_rejections
from amiguard_service.store.tuning import count_matches
from amiguard_service.tally import Counted
from amiguard_service.tuned import ENTRY_PREFIX


def commit(
    connection: Connection,
    intake: Intake,
    policies: Policies,
    *,
    held: AbstractSet[LaneKey],
    now: datetime,
) -> tuple[list[Outcome], Counted]:
    """Stores batches with everything they cause.

    The caller holds the policy, the known images and the locks of these lanes. Those of the batches
    must be among them. Raises LanesNeededError where others are needed too:
    the transaction is then to be begun again with all of them.

    Returns what became of each, and the searches and launches that are new, to be counted.
    """
    policy = policies.read(connection, now=now)
    rows = [
        _waiting_row(key, arrival) for arrival in intake.arrivals.values() for key in arrival.keys
    ]
    added = pending.add_records(connection, rows, arrival_time=now)
    fresh = {
        key: arrival
        for key, arrival in intake.arrivals.items()
        if not added.isdisjoint(arrival.keys)
    }
    arrived = [arrival.record for arrival in fresh.values()]
    direct = _pair_fresh(connection, fresh, policy)
    pairs = [
        *((search, launch, None) for search, launch in direct),
        *pair_through_pins(connection, direct, arrived, policy, held=held),
    ]
    changes = _changes(connection, pairs)
    write_changes(connection, changes, policy, now=now)
    insert_rejections(
        connection,
        [(b.source, rejection) for b in intake.batches for rejection in b.decoded.rejections],
        arrival_time=now,
    )
    known = intake.arrivals.keys() - fresh.keys()
    counted = [
        arrival.record
        for arrival in fresh.values()
        if arrival.is_counted and arrival.record.origin.is_identified
    ]
    outcomes = intake.outcomes(known, _touched(intake, fresh, changes))
    return outcomes, Counted(counted, arrival_time=now, rule=policy.rule)


def _waiting_row(key: WaitingKey, arrival: Arrival) -> WaitingRow:
    record = arrival.record
    if isinstance(record, Launch):
        of_template = record.is_pin and key.lane != record.origin.lane
        kind = WaitingKind.PIN if of_template else WaitingKind.LAUNCH
    elif is_candidate(record.request):
        kind = WaitingKind.CANDIDATE_SEARCH
    else:
        kind = WaitingKind.SAFE_SEARCH
    return WaitingRow(
        key=key,
        region=record.origin.region,
        kind=kind,
        event_time=record.origin.event_time,
        body=arrival.body,
    )


def _pair_fresh(
    connection: Connection, fresh: Mapping[WaitingKey, Arrival], policy: Policy
) -> list[tuple[Search, Launch]]:
    """Returns the pairs in which a fresh record takes part."""
    able = [
        (key, arrival.record)
        for key, arrival in fresh.items()
        if arrival.record.origin.is_identified and can_pair(arrival.record, policy)
    ]
    partners = pending.fetch_spans(connection, _spans(able, policy.rule.window))
    # Most launches follow no search at all: those need not be sorted among the others.
    searched = {(key.account_id, key.lane) for key, record in able if isinstance(record, Search)}
    searched |= {
        (record.origin.account_id or "", record.origin.lane or "")
        for record in partners
        if isinstance(record, Search)
    }
    records = {record for key, record in able if (key.account_id, key.lane) in searched}
    return [
        (search, launch)
        for search, launch in pair(*unique([*records, *partners]), policy)
        if search in records or launch in records
    ]


def _spans(records: Iterable[tuple[WaitingKey, Search | Launch]], window: timedelta) -> list[Span]:
    """Returns where partners can be: launches after a search, searches before a launch."""
    spans: defaultdict[tuple[str, str, str, WaitingKind], list[tuple[datetime, datetime]]]
    spans = defaultdict(list)
    for key, record in records:
        line = (key.account_id, key.lane, record.origin.region)
        time = record.origin.event_time
        if isinstance(record, Search):
            end = time + min(window, LATEST - time)
            spans[*line, WaitingKind.LAUNCH].append((time, end))
        else:
            start = time - min(window, time - EARLIEST)
            spans[*line, WaitingKind.CANDIDATE_SEARCH].append((start, time))
    return [
        Span(*line, start=start, end=end)
        for line, times in spans.items()
        for start, end in _merged(times)
    ]


def _merged(times: list[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """Returns the same stretches of time without overlaps, so that nothing is read twice."""
    merged: list[tuple[datetime, datetime]] = []
    for start, end in sorted(times):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _changes(connection: Connection, pairs: Sequence[Pair]) -> list[Change]:
    """Returns what pairs make new, against the occurrences stored."""
    if not pairs:
        return []
    joined: dict[OccurrenceKey, Occurrence] = {}
    for search, launch, pin in pairs:
        occurrence = occur(search, launch, pin=pin)
        key = key_of(occurrence)
        known = joined.get(key)
        joined[key] = join(known, occurrence) if known else occurrence
    stored = occurrence_store.fetch_occurrences(connection, joined)
    images = image_store.fetch_images(
        connection,
        (used for o in (*joined.values(), *stored.values()) for used in used_images(o)),
    )
    changes = (
        change_of(occurrence, stored.get(key), images=images) for key, occurrence in joined.items()
    )
    return [change for change in changes if change is not None]


def write_changes(
    connection: Connection, changes: Sequence[Change], policy: Policy, *, now: datetime
) -> None:
    """Stores occurrences and the findings they make or change."""
    if not changes:
        return
    occurrence_store.write_changes(connection, changes)
    by_finding: defaultdict[str, list[Change]] = defaultdict(list)
    for change in changes:
        by_finding[change.occurrence.key.finding_id()].append(change)
    known = finding_store.fetch_rows(connection, by_finding)
    # A finding keeps its row for as long as any occurrence of it is retired.
    back = (key_of(c.occurrence) for i in known for c in by_finding[i] if c.is_new)
    occurrence_store.unretire(connection, back)
    # A withdrawn finding shows what it had last, which is of no occurrence of it any more.
    withdrawn = [finding_id for finding_id, row in known.items() if row.is_withdrawn]
    finding_store.replace_images(connection, dict.fromkeys(withdrawn, ()))
    finding_store.add_images(
        connection,
        (
            (finding_id, image_id)
            for finding_id, of_finding in by_finding.items()
            for image_id in launched_images(change.occurrence for change in of_finding)
        ),
    )
    keys = {i: of_it[0].occurrence.key for i, of_it in by_finding.items()}
    launched = image_store.fetch_launched(connection, keys)
    opened = [
        open_finding(by_finding[i], policy, images=launched[i], now=now)
        for i in sorted(by_finding.keys() - known.keys())
    ]
    grown = [
        _grow(connection, row, by_finding[i], policy, images=launched[i], now=now)
        for i, row in known.items()
    ]
    finding_store.insert_rows(connection, opened)
    finding_store.update_rows(connection, grown, before=known)
    moves = (move_of(known.get(row.finding_id), row) for row in (*opened, *grown))
    insert_entries(connection, (move for move in moves if move is not None))
    count_matches(connection, _matches((*opened, *grown)), now=now)
    finding_store.log_changes(connection, by_finding, now=now)


def _grow(
    connection: Connection,
    row: FindingRow,
    changes: Sequence[Change],
    policy: Policy,
    *,
    images: LaunchedImages,
    now: datetime,
) -> FindingRow:
    remaining = None
    if loses_its_confidence(row, changes):
        remaining = occurrence_store.greatest_confidence(
            connection, account_id=row.key.account_id, finding_id=row.finding_id
        )
    return add_occurrences(
        row, changes, policy, images=images, now=now, remaining_confidence=remaining
    )


def _matches(rows: Iterable[FindingRow]) -> Counter[str]:
    """Returns how many scores each allowlist entry affected, by entry id."""
    return Counter(
        step.allowlist_entry.removeprefix(ENTRY_PREFIX)
        for row in rows
        for step in row.steps
        if step.allowlist_entry is not None
    )


def _touched(
    intake: Intake, fresh: Mapping[WaitingKey, Arrival], changes: Iterable[Change]
) -> list[set[str]]:
    """Returns, for each batch, the findings that its fresh records opened or added to."""
    parts = [
        (part, change.occurrence)
        for change in changes
        for part in (change.occurrence.search, change.occurrence.launch, change.occurrence.pin)
        if part is not None
    ]
    event_ids = {part.origin.event_id for part, _ in parts}
    batch_of = {
        arrival.record: arrival.batch_index
        for key, arrival in fresh.items()
        if key.event_id in event_ids
    }
    touched: list[set[str]] = [set() for _ in intake.batches]
    for part, occurrence in parts:
        if part in batch_of:
            touched[batch_of[part]].add(occurrence.key.finding_id())
    return touched
