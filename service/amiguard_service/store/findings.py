"""The rows of findings, and what hangs on them: images, patterns, labels and the change log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Connection,
    Insert,
    Row,
    Select,
    Table,
    Update,
    bindparam,
    delete,
    func,
    insert,
    select,
    tuple_,
    update,
)

from amiguard_core.events import SearchRequest, lane_of
from amiguard_core.findings import FindingKey, ScoreStep
from amiguard_core.judge import NAME_FILTER
from amiguard_core.pipeline import UNNAMED_IMAGE
from amiguard_service.ledger import FindingRow
from amiguard_service.store.connect import POSTGRESQL
from amiguard_service.store.engines import lock_change_log
from amiguard_service.store.occurrences import fetch_recent
from amiguard_service.store.rows import (
    encode_rows,
    execute_rows,
    insert_values,
    rows_of,
    update_of,
)
from amiguard_service.store.schema import (
    finding_changes,
    finding_images,
    finding_labels,
    finding_patterns,
    findings,
    to_micros,
)
from amiguard_service.stored import (
    MAX_IMAGE_IDS,
    Disposition,
    State,
    StoredFinding,
)

_decode_request = msgspec.json.Decoder(SearchRequest).decode
_decode_reasons = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_steps = msgspec.json.Decoder(tuple[ScoreStep, ...]).decode

_KEY_FIELDS = ("account_id", "finding_id")
_DOCUMENTS = ("request", "reasons", "steps")


def fetch_rows(connection: Connection, finding_ids: Iterable[str]) -> dict[str, FindingRow]:
    """Returns those of the findings that are stored, by id, locked until the transaction ends."""
    keys = [(account_of(i), i) for i in sorted(set(finding_ids))]
    if not keys:
        return {}
    statement = _by_key(connection.dialect.name)
    rows = connection.execute(statement, {"rows": encode_rows(keys)})
    return {row.finding_id: _finding_row(row) for row in rows}


def fetch_lane(connection: Connection, *, account_id: str, lane: str) -> dict[str, FindingRow]:
    """Returns the findings of a lane, by id."""
    statement = select(findings).where(findings.c.account_id == account_id, findings.c.lane == lane)
    return {row.finding_id: _finding_row(row) for row in connection.execute(statement)}


def next_lane(connection: Connection, *, after: tuple[str, str] | None) -> tuple[str, str] | None:
    """Returns the first (account, lane) after another that has a finding."""
    table = findings.c
    statement = select(table.account_id, table.lane).order_by(table.account_id, table.lane).limit(1)
    if after is not None:
        statement = statement.where(tuple_(table.account_id, table.lane) > tuple_(*after))
    row = connection.execute(statement).one_or_none()
    return None if row is None else (row.account_id, row.lane)


def next_ids(connection: Connection, *, after: tuple[str, str] | None, limit: int) -> list[str]:
    """Returns the ids of findings that come after an (account, id), in that order."""
    table = findings.c
    statement = select(table.finding_id).order_by(table.account_id, table.finding_id).limit(limit)
    if after is not None:
        statement = statement.where(tuple_(table.account_id, table.finding_id) > tuple_(*after))
    return list(connection.execute(statement).scalars())


def replace_images(connection: Connection, images: Mapping[str, Iterable[str]]) -> None:
    """Stores the images of findings, by id, in place of what is stored of them."""
    table = finding_images.c
    for finding_id in images:
        connection.execute(
            delete(finding_images).where(
                table.account_id == account_of(finding_id), table.finding_id == finding_id
            )
        )
    add_images(connection, ((f, image_id) for f, of_it in images.items() for image_id in of_it))


def read_rows(connection: Connection, finding_ids: Iterable[str]) -> dict[str, FindingRow]:
    """Returns those of the findings that are stored, by id, without keeping others from them."""
    statement = select(findings).where(
        tuple_(findings.c.account_id, findings.c.finding_id).in_(
            sorted((account_of(finding_id), finding_id) for finding_id in finding_ids)
        )
    )
    return {row.finding_id: _finding_row(row) for row in connection.execute(statement)}


def account_of(finding_id: str) -> str:
    """Returns the account that a finding's id begins with."""
    return finding_id.partition("-")[0]


def insert_rows(connection: Connection, rows: Sequence[FindingRow]) -> None:
    """Adds findings that are not stored yet, with the name patterns of their searches."""
    if not rows:
        return
    insert_values(connection, findings, [_values(row) for row in rows])
    patterns = [
        {"account_id": row.key.account_id, "finding_id": row.finding_id, "pattern": pattern}
        for row in rows
        for pattern in row.request.values_of(NAME_FILTER)
    ]
    insert_values(connection, finding_patterns, patterns)


def update_rows(
    connection: Connection, rows: Sequence[FindingRow], *, before: Mapping[str, FindingRow]
) -> None:
    """Replaces what is stored of findings; `before` has the rows as this transaction read them."""
    if not rows:
        return
    values = [_changing_values(row) for row in rows]
    if connection.dialect.name == POSTGRESQL:
        # It writes to all indexes or to none, whatever is set.
        execute_rows(connection, _update_all(tuple(values[0])), findings, values)
        return
    alike: defaultdict[frozenset[str], list[dict[str, Any]]] = defaultdict(list)
    for row, of_it in zip(rows, values, strict=True):
        former = before[row.finding_id]
        same = frozenset(n for n in _INDEXED if getattr(row, n) == getattr(former, n))
        alike[same].append(of_it)
    for same, some in alike.items():
        given = [{f"new_{k}": v for k, v in of_it.items() if k not in same} for of_it in some]
        connection.execute(_update_all_but(same), given)


def add_images(connection: Connection, images: Iterable[tuple[str, str]]) -> None:
    """Adds images, each with the id of a finding, that may be there already."""
    values = [
        {"account_id": account_of(finding_id), "finding_id": finding_id, "image_id": image_id}
        for finding_id, image_id in sorted(set(images))
    ]
    insert_values(connection, finding_images, values, skips_present=True)


def log_changes(connection: Connection, finding_ids: Iterable[str], *, now: datetime) -> None:
    """Appends to the change log. Done last: from here to the commit nobody else appends.

    Times never fall along the log, whatever the clocks of the servers say.
    """
    rows = [(account_of(finding_id), finding_id) for finding_id in sorted(finding_ids)]
    if not rows:
        return
    lock_change_log(connection)
    statement = _log(connection.dialect.name)
    connection.execute(statement, {"rows": encode_rows(rows), "now": to_micros(now)})


def is_stored(connection: Connection, finding_id: str) -> bool:
    """Says whether there is a finding of this id."""
    found = select(findings.c.finding_id).where(
        findings.c.account_id == account_of(finding_id), findings.c.finding_id == finding_id
    )
    return connection.execute(found).first() is not None


def fetch_finding(connection: Connection, finding_id: str) -> StoredFinding | None:
    """Returns one finding; None when it is not stored."""
    statement = select(findings).where(
        findings.c.account_id == account_of(finding_id), findings.c.finding_id == finding_id
    )
    rows = connection.execute(statement).all()
    return next(iter(complete(connection, rows)), None)


def complete(connection: Connection, rows: Sequence[Row[Any]]) -> list[StoredFinding]:
    """Returns the findings of rows of the table, in their order, with what hangs on them."""
    if not rows:
        return []
    finding_keys = [(row.account_id, row.finding_id) for row in rows]
    keys = encode_rows(finding_keys)
    recent = fetch_recent(connection, finding_keys)
    images: defaultdict[str, list[str]] = defaultdict(list)
    for finding_id, image_id in connection.execute(
        _children(finding_images, "image_id", connection.dialect.name), {"rows": keys}
    ):
        if image_id != UNNAMED_IMAGE:
            images[finding_id].append(image_id)
    labels: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for finding_id, key, value in connection.execute(
        _children(finding_labels, "key", connection.dialect.name, "value"), {"rows": keys}
    ):
        labels[finding_id][key] = value
    stored = []
    for row in rows:
        finding = _finding_row(row)
        stored.append(
            StoredFinding(
                finding_id=row.finding_id,
                key=finding.key,
                state=finding.state,
                request=finding.request,
                reasons=finding.reasons,
                client=finding.client,
                steps=finding.steps,
                score=finding.score,
                confidence=finding.confidence,
                occurrence_count=finding.occurrence_count,
                recent_occurrences=tuple(recent[row.finding_id]),
                image_ids=tuple(images[row.finding_id][:MAX_IMAGE_IDS]),
                first_launch_time=finding.first_launch_time,
                last_launch_time=finding.last_launch_time,
                rule_revision=finding.rule_revision,
                create_time=finding.create_time,
                update_time=finding.update_time,
                etag=etag_of(finding),
                suppression=finding.suppression,
                disposition=finding.disposition,
                assignee=finding.assignee,
                labels=labels[row.finding_id],
                accept_until_time=finding.accept_until_time,
            )
        )
    return stored


def etag_of(row: FindingRow) -> str:
    """Returns a text that is another after every change."""
    return f"{row.change_count:x}"


def _values(row: FindingRow) -> dict[str, Any]:
    return {
        "account_id": row.key.account_id,
        "finding_id": row.finding_id,
        "lane": lane_of(row.key.actor_arn),
        "region": row.key.region,
        "actor_arn": row.key.actor_arn,
        "fingerprint": row.key.fingerprint,
        "request": msgspec.json.encode(row.request),
        "reasons": msgspec.json.encode(row.reasons),
        "steps": msgspec.json.encode(row.steps),
        "score": row.score,
    } | {name: getattr(row, name) for name in _PLAIN_FIELDS}


def _changing_values(row: FindingRow) -> dict[str, Any]:
    return {name: value for name, value in _values(row).items() if name not in _FIXED}


def _finding_row(row: Row[Any]) -> FindingRow:
    return FindingRow(
        key=FindingKey(row.account_id, row.region, row.actor_arn, row.fingerprint),
        request=_decode_request(row.request),
        reasons=_decode_reasons(row.reasons),
        steps=_decode_steps(row.steps),
        state=State(row.state),
        disposition=row.disposition and Disposition(row.disposition),
        **{
            name: getattr(row, name)
            for name in _PLAIN_FIELDS
            if name not in {"state", "disposition"}
        },
    )


_PLAIN_FIELDS = tuple(
    name for name in FindingRow.__struct_fields__ if name in findings.c and name not in _DOCUMENTS
)
"""The fields of a row that its columns hold as they are."""

_FIXED = ("lane", "region", "actor_arn", "fingerprint", "create_time")
"""What a finding keeps for good."""

_INDEXED = frozenset(
    column.name
    for index in findings.indexes
    for column in index.columns
    if column.name not in (*_KEY_FIELDS, *_FIXED)
)
"""What may change, and stands in an index: SQLite writes to every index of what is set, even where
the value stays."""


@lru_cache
def _update_all(names: tuple[str, ...]) -> Update:
    return update_of(findings, names)


@lru_cache
def _update_all_but(same: frozenset[str]) -> Update:
    kept = {*_KEY_FIELDS, *_FIXED, *same}
    return (
        update(findings)
        .where(*(findings.c[name] == bindparam(f"new_{name}") for name in _KEY_FIELDS))
        .values(
            {
                column.name: bindparam(f"new_{column.name}", type_=column.type)
                for column in findings.c
                if column.name not in kept
            }
        )
    )


@lru_cache
def _log(backend: str) -> Insert:
    given = rows_of(_KEY_FIELDS, backend).c
    now = bindparam("now", type_=BigInteger)
    latest = func.coalesce(select(func.max(finding_changes.c.change_time)).scalar_subquery(), now)
    greatest = func.greatest if backend == POSTGRESQL else func.max
    return insert(finding_changes).from_select(
        ["change_time", *_KEY_FIELDS],
        select(greatest(now, latest), *(given[name] for name in _KEY_FIELDS)).order_by(
            given.finding_id
        ),
    )


@lru_cache
def _by_key(backend: str) -> Select[Any]:
    given = rows_of(_KEY_FIELDS, backend)
    statement = select(findings).select_from(
        given.join(
            findings,
            (findings.c.account_id == given.c.account_id)
            & (findings.c.finding_id == given.c.finding_id),
        )
    )
    return statement.order_by(findings.c.finding_id).with_for_update(of=findings)


@lru_cache
def _children(table: Table, name: str, backend: str, *more: str) -> Select[Any]:
    given = rows_of(_KEY_FIELDS, backend)
    return (
        select(table.c.finding_id, *(table.c[column] for column in (name, *more)))
        .select_from(
            given.join(
                table,
                (table.c.account_id == given.c.account_id)
                & (table.c.finding_id == given.c.finding_id),
            )
        )
        .order_by(table.c.finding_id, table.c[name])
    )
