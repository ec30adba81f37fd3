"""The occurrences of findings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace
from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Row,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    true,
    tuple_,
    update,
)

from amiguard_core.clients import client_of
from amiguard_core.events import Launch, Search
from amiguard_core.findings import Evidence, Occurrence, Suppression
from amiguard_core.pipeline import occur
from amiguard_service.ledger import Change
from amiguard_service.store.connect import POSTGRESQL
from amiguard_service.store.rows import encode_rows, insert_values, rows_of
from amiguard_service.store.schema import Text, occurrences
from amiguard_service.store.tuning_schema import retired_occurrences
from amiguard_service.stored import MAX_RECENT_OCCURRENCES, StoredOccurrence

_decode_search = msgspec.json.Decoder(Search).decode
_decode_launch = msgspec.json.Decoder(Launch).decode
_decode_evidence = msgspec.json.Decoder(tuple[Evidence, ...]).decode


class OccurrenceKey(NamedTuple):
    """Which occurrence: the key of its row."""

    account_id: str
    finding_id: str
    launch_event_id: str


def key_of(occurrence: Occurrence) -> OccurrenceKey:
    """Returns the key of an occurrence's row."""
    return OccurrenceKey(
        occurrence.key.account_id,
        occurrence.key.finding_id(),
        occurrence.launch.origin.event_id,
    )


def fetch_occurrences(
    connection: Connection, keys: Iterable[OccurrenceKey]
) -> dict[OccurrenceKey, Occurrence]:
    """Returns those of the occurrences that are stored."""
    rows = list(keys)
    if not rows:
        return {}
    statement = _by_key(connection.dialect.name)
    return {
        OccurrenceKey(row.account_id, row.finding_id, row.launch_event_id): _occurrence(row)
        for row in connection.execute(statement, {"rows": encode_rows(rows)})
    }


def _occurrence(row: Row[Any]) -> Occurrence:
    """Returns an occurrence with the confidence it was stored with."""
    pin = None if row.pin is None else _decode_launch(row.pin)
    made = occur(_decode_search(row.search), _decode_launch(row.launch), pin=pin)
    return replace(
        made,
        confidence=row.confidence,
        suppression=row.suppression and Suppression(row.suppression),
        evidence=() if row.evidence is None else _decode_evidence(row.evidence),
    )


def write_changes(connection: Connection, changes: Sequence[Change]) -> None:
    """Adds the new occurrences, and attributes the others to their later searches."""
    new = [_values(change.occurrence) for change in changes if change.is_new]
    moved = [_values(change.occurrence) for change in changes if not change.is_new]
    insert_values(connection, occurrences, new)
    if moved:
        connection.execute(_MOVE, [{f"new_{name}": v for name, v in row.items()} for row in moved])


def greatest_confidence(connection: Connection, *, account_id: str, finding_id: str) -> int:
    """Returns the greatest confidence of a finding's occurrences."""
    table = occurrences.c
    greatest: int = connection.execute(
        select(func.max(table.confidence)).where(
            table.account_id == account_id, table.finding_id == finding_id
        )
    ).scalar_one()
    return greatest


def fetch_page(
    connection: Connection,
    *,
    account_id: str,
    finding_id: str,
    after: tuple[datetime, str] | None,
    limit: int,
) -> list[StoredOccurrence]:
    """Returns occurrences of a finding, newest launch first, from just after a position."""
    table = occurrences.c
    recency = tuple_(table.launch_time, table.launch_event_id)
    statement = (
        select(occurrences)
        .where(table.account_id == account_id, table.finding_id == finding_id)
        .order_by(table.launch_time.desc(), table.launch_event_id.desc())
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(recency < tuple_(*after, types=_RECENCY_TYPES))
    return [_stored(row) for row in connection.execute(statement)]


def fetch_recent(
    connection: Connection, finding_keys: Sequence[tuple[str, str]]
) -> dict[str, list[StoredOccurrence]]:
    """Returns the latest occurrences of findings by their ids, newest launch first.

    The findings are given by account and id.
    """
    recent: defaultdict[str, list[StoredOccurrence]] = defaultdict(list)
    if connection.dialect.name == POSTGRESQL:
        rows = connection.execute(_recent_of_all(), {"rows": encode_rows(finding_keys)}).all()
    else:
        # SQLite cannot say "ten of each" without reading them all, and is asked at no distance.
        rows = [
            row
            for account_id, finding_id in finding_keys
            for row in connection.execute(
                _RECENT, {"account_id": account_id, "finding_id": finding_id}
            )
        ]
    for row in rows:
        recent[row.finding_id].append(_stored(row))
    return recent


def fetch_of_findings(
    connection: Connection, finding_keys: Iterable[tuple[str, str]]
) -> dict[OccurrenceKey, Occurrence]:
    """Returns every occurrence of findings, given by account and id."""
    rows = list(finding_keys)
    if not rows:
        return {}
    statement = _of_findings(connection.dialect.name)
    return {
        OccurrenceKey(row.account_id, row.finding_id, row.launch_event_id): _occurrence(row)
        for row in connection.execute(statement, {"rows": encode_rows(rows)})
    }


def retire(
    connection: Connection, retired: Sequence[Occurrence], *, lane: str, now: datetime
) -> None:
    """Takes occurrences out of their findings, and keeps what they were made of."""
    if not retired:
        return
    keys = [key_of(occurrence) for occurrence in retired]
    _delete_all(connection, occurrences, keys)
    unretire(connection, keys)
    connection.execute(
        insert(retired_occurrences),
        [
            key._asdict()
            | {
                "lane": lane,
                "search": msgspec.json.encode(occurrence.search),
                "launch": msgspec.json.encode(occurrence.launch),
                "evidence": (
                    msgspec.json.encode(occurrence.evidence) if occurrence.evidence else None
                ),
                "retire_time": now,
            }
            for key, occurrence in zip(keys, retired, strict=True)
        ],
    )


def fetch_retired(connection: Connection, *, account_id: str, lane: str) -> list[Search | Launch]:
    """Returns the records of a lane's retired occurrences."""
    table = retired_occurrences.c
    statement = select(table.search, table.launch, table.evidence).where(
        table.account_id == account_id, table.lane == lane
    )
    records: list[Search | Launch] = []
    for row in connection.execute(statement):
        if row.evidence is None:
            records += [_decode_search(row.search), _decode_launch(row.launch)]
        else:
            for each in _decode_evidence(row.evidence):
                records += [each.search, each.launch]
    return records


def unretire(connection: Connection, keys: Iterable[OccurrenceKey]) -> None:
    """Forgets retired occurrences that are back in their findings."""
    _delete_all(connection, retired_occurrences, keys)


def _delete_all(connection: Connection, table: Table, keys: Iterable[OccurrenceKey]) -> None:
    rows = list(keys)
    if rows:
        connection.execute(_delete(table, connection.dialect.name), {"rows": encode_rows(rows)})


def _values(occurrence: Occurrence) -> dict[str, Any]:
    search, launch = occurrence.search, occurrence.launch
    return key_of(occurrence)._asdict() | {
        "launch_time": occurrence.recency[0],
        "search_event_id": search.origin.event_id,
        "search_time": search.origin.event_time,
        "confidence": occurrence.confidence,
        "suppression": occurrence.suppression,
        "search": msgspec.json.encode(search),
        "launch": msgspec.json.encode(launch),
        "pin": None if occurrence.pin is None else msgspec.json.encode(occurrence.pin),
        "evidence": msgspec.json.encode(occurrence.evidence) if occurrence.evidence else None,
    }


def _stored(row: Row[Any]) -> StoredOccurrence:
    search, launch = _decode_search(row.search), _decode_launch(row.launch)
    pin = None if row.pin is None else _decode_launch(row.pin)
    return StoredOccurrence(
        search_event_id=row.search_event_id,
        search_time=row.search_time,
        launch_event_id=row.launch_event_id,
        launch_time=row.launch_time,
        principal_arn=launch.origin.principal_arn,
        image_ids=launch.image_ids,
        instance_ids=launch.instance_ids,
        source_ip_address=launch.origin.source_ip_address,
        user_agent=launch.origin.user_agent,
        client=client_of(search.origin.user_agent),
        launch_path=launch.path,
        confidence=row.confidence,
        suppression=row.suppression,
        used_time=(launch if pin is None else pin).origin.event_time,
        pin=pin,
        copy_count=1 if row.evidence is None else _copy_count(_decode_evidence(row.evidence)),
    )


def _copy_count(evidence: Iterable[Evidence]) -> int:
    return len({each.launch for each in evidence})


@lru_cache
def _by_key(backend: str) -> Select[Any]:
    given = rows_of(OccurrenceKey._fields, backend)
    table = occurrences.c
    same = and_(*(table[name] == given.c[name] for name in OccurrenceKey._fields))
    return select(occurrences).select_from(given.join(occurrences, same))


@lru_cache
def _of_findings(backend: str) -> Select[Any]:
    given = rows_of(("account_id", "finding_id"), backend)
    table = occurrences.c
    same = (table.account_id == given.c.account_id) & (table.finding_id == given.c.finding_id)
    return select(occurrences).select_from(given.join(occurrences, same))


def _recent(account_id: ColumnElement[str], finding_id: ColumnElement[str]) -> Select[Any]:
    table = occurrences.c
    return (
        select(occurrences)
        .where(table.account_id == account_id, table.finding_id == finding_id)
        .order_by(table.launch_time.desc(), table.launch_event_id.desc())
        .limit(MAX_RECENT_OCCURRENCES)
    )


_RECENT = _recent(bindparam("account_id", type_=Text), bindparam("finding_id", type_=Text))


@lru_cache
def _recent_of_all() -> Select[Any]:
    given = rows_of(("account_id", "finding_id"), POSTGRESQL)
    recent = _recent(given.c.account_id, given.c.finding_id).correlate(given).lateral("recent")
    return select(recent).select_from(given.join(recent, true()))


@lru_cache
def _delete(table: Table, backend: str) -> Delete:
    given = rows_of(OccurrenceKey._fields, backend)
    key = tuple_(*(table.c[name] for name in OccurrenceKey._fields))
    return delete(table).where(key.in_(select(given)))


_RECENCY_TYPES = (occurrences.c.launch_time.type, occurrences.c.launch_event_id.type)

_MOVE = (
    update(occurrences)
    .where(*(occurrences.c[name] == bindparam(f"new_{name}") for name in OccurrenceKey._fields))
    .values(
        {
            column.name: bindparam(f"new_{column.name}", type_=column.type)
            for column in occurrences.c
            if column.name not in OccurrenceKey._fields
        }
    )
)
