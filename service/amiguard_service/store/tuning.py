"""The allowlist, the rule's revisions, the audit, and which policy is in force."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from amiguard_core.policy import AllowlistEntry, EntryKind, RuleConfig
from amiguard_service.store.tuning_schema import (
    allowlist_entries,
    policy_state,
    rule_revisions,
    tuning_changes,
    tuning_requests,
)
from amiguard_service.tuned import (
    ENTRY_PREFIX,
    AuditDocument,
    AuditRow,
    PassScope,
    PolicyState,
    RuleRevision,
    StoredEntry,
    seal,
)

_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)

_decode_ids = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_rule = msgspec.json.Decoder(RuleConfig).decode
_decode_entry = msgspec.json.Decoder(StoredEntry).decode


def fetch_state(connection: Connection, *, for_update: bool = False) -> PolicyState | None:
    """Returns which policy is in force; None in a database that never had one."""
    statement = select(policy_state)
    if for_update:
        statement = statement.with_for_update()
    row = connection.execute(statement).one_or_none()
    if row is None:
        return None
    return PolicyState(
        version=row.version,
        rule_revision=row.rule_revision,
        expired_through=row.expired_through,
        audit_count=row.audit_count,
        audit_hash=row.audit_hash,
        pass_scope=row.pass_scope and PassScope(row.pass_scope),
        pass_cursor=_decode_ids(row.pass_cursor) if row.pass_cursor else (),
        pass_done=row.pass_done,
        pass_start_time=row.pass_start_time,
    )


def fetch_version(connection: Connection) -> tuple[int, datetime]:
    """Returns the policy's version, and the time through which its expired entries are left out.

    Version 0 in a database that never had a policy.
    """
    row = connection.execute(
        select(policy_state.c.version, policy_state.c.expired_through)
    ).one_or_none()
    return (0, _NEVER) if row is None else (row.version, row.expired_through)


def insert_state(connection: Connection, state: PolicyState) -> None:
    """Makes the row that says which policy is in force."""
    connection.execute(insert(policy_state), {"only": 1, **_state_values(state)})


def update_state(connection: Connection, state: PolicyState) -> None:
    """Replaces the row that says which policy is in force."""
    connection.execute(update(policy_state).values(_state_values(state)))


def _state_values(state: PolicyState) -> dict[str, Any]:
    return msgspec.structs.asdict(state) | {"pass_cursor": msgspec.json.encode(state.pass_cursor)}


def fetch_entries(connection: Connection) -> list[StoredEntry]:
    """Returns every entry, the expired too, by id."""
    rows = connection.execute(select(allowlist_entries).order_by(allowlist_entries.c.entry_id))
    return [_entry(row) for row in rows]


def fetch_rule_entries(
    connection: Connection, *, without: EntryKind | None = None
) -> tuple[AllowlistEntry, ...]:
    """Returns what the rule needs of every entry, or of every one but of a kind."""
    table = allowlist_entries.c
    statement = select(
        table.entry_id, table.kind, table.subject, table.account_ids, table.expire_time
    )
    if without is not None:
        statement = statement.where(table.kind != without)
    return tuple(
        AllowlistEntry(
            ENTRY_PREFIX + entry_id, EntryKind(kind), subject, _decode_ids(account_ids), expire_time
        )
        for entry_id, kind, subject, account_ids, expire_time in connection.execute(statement)
    )


def fetch_expired(
    connection: Connection, *, after: datetime, through: datetime
) -> list[StoredEntry]:
    """Returns the entries that expire after one time and not after another, by id."""
    table = allowlist_entries.c
    statement = (
        select(allowlist_entries)
        .where(table.expire_time > after, table.expire_time <= through)
        .order_by(table.entry_id)
    )
    return [_entry(row) for row in connection.execute(statement)]


def count_entries(connection: Connection) -> int:
    """Returns how many entries there are, the expired too."""
    counted: int = connection.execute(
        select(func.count()).select_from(allowlist_entries)
    ).scalar_one()
    return counted


def fetch_entry(connection: Connection, entry_id: str) -> StoredEntry | None:
    """Returns one entry; None when there is none of this id."""
    statement = select(allowlist_entries).where(allowlist_entries.c.entry_id == entry_id)
    row = connection.execute(statement).one_or_none()
    return None if row is None else _entry(row)


def insert_entry(connection: Connection, entry: StoredEntry) -> None:
    """Adds an entry."""
    connection.execute(insert(allowlist_entries), _entry_values(entry))


def update_entry(connection: Connection, entry: StoredEntry) -> None:
    """Replaces an entry but for its counts of matches, which others may be adding to."""
    values = _entry_values(entry)
    for counted in ("entry_id", "match_count", "last_match_time"):
        del values[counted]
    connection.execute(
        update(allowlist_entries)
        .where(allowlist_entries.c.entry_id == entry.entry_id)
        .values(values)
    )


def delete_entry(connection: Connection, entry_id: str) -> None:
    """Deletes an entry."""
    connection.execute(delete(allowlist_entries).where(allowlist_entries.c.entry_id == entry_id))


def count_matches(connection: Connection, matches: Mapping[str, int], *, now: datetime) -> None:
    """Adds to the counts of entries, by id, that affected scores."""
    # In one order everywhere: two transactions that count the same entries must not deadlock.
    given = [
        {"of_entry": entry_id, "more": matches[entry_id], "now": now}
        for entry_id in sorted(matches)
    ]
    if given:
        connection.execute(_COUNT, given)


def fetch_revision(connection: Connection, revision: int) -> RuleRevision | None:
    """Returns one rule configuration; None when there never was such a revision."""
    statement = select(rule_revisions).where(rule_revisions.c.revision == revision)
    row = connection.execute(statement).one_or_none()
    return None if row is None else _revision(row)


def fetch_revisions(
    connection: Connection, *, before: int | None, limit: int
) -> list[RuleRevision]:
    """Returns rule configurations, newest first, from just before a revision."""
    statement = select(rule_revisions).order_by(rule_revisions.c.revision.desc()).limit(limit)
    if before is not None:
        statement = statement.where(rule_revisions.c.revision < before)
    return [_revision(row) for row in connection.execute(statement)]


def fetch_former_rules(
    connection: Connection, *, ended_since: datetime
) -> list[tuple[RuleConfig, datetime]]:
    """Returns the rules that were replaced since a time, each with when that was."""
    table = rule_revisions.c
    before = select(func.max(table.revision)).where(table.create_time < ended_since)
    statement = (
        select(rule_revisions)
        .where(table.revision >= func.coalesce(before.scalar_subquery(), 0))
        .order_by(table.revision)
    )
    found = [_revision(row) for row in connection.execute(statement)]
    return [(one.config, following.create_time) for one, following in pairwise(found)]


def insert_revision(connection: Connection, revision: RuleRevision) -> None:
    """Adds a rule configuration."""
    connection.execute(
        insert(rule_revisions),
        {
            "revision": revision.config.revision,
            "config": msgspec.json.encode(revision.config),
            "create_time": revision.create_time,
            "creator": revision.creator,
        },
    )


def append_audit(
    connection: Connection,
    state: PolicyState,
    document: AuditDocument,
    *,
    actor: str,
    method: str,
    now: datetime,
) -> PolicyState:
    """Adds a change to the audit; returns the state with the audit's new head, to be stored."""
    change_id, encoded = state.audit_count + 1, msgspec.json.encode(document)
    digest = seal(
        state.audit_hash,
        change_id=change_id,
        change_time=now,
        actor=actor,
        method=method,
        document=encoded,
    )
    connection.execute(
        insert(tuning_changes),
        {
            "change_id": change_id,
            "change_time": now,
            "actor": actor,
            "method": method,
            "document": encoded,
            "previous_hash": state.audit_hash,
            "hash": digest,
        },
    )
    return msgspec.structs.replace(state, audit_count=change_id, audit_hash=digest)


def fetch_audit(
    connection: Connection, *, after: int, since: datetime | None, limit: int
) -> list[AuditRow]:
    """Returns changes, oldest first, from just after a number."""
    table = tuning_changes.c
    statement = (
        select(tuning_changes).where(table.change_id > after).order_by(table.change_id).limit(limit)
    )
    if since is not None:
        statement = statement.where(table.change_time >= since)
    return [
        AuditRow(
            change_id=row.change_id,
            change_time=row.change_time,
            actor=row.actor,
            method=row.method,
            document=bytes(row.document),
            previous_hash=row.previous_hash,
            hash=row.hash,
        )
        for row in connection.execute(statement)
    ]


def fetch_request(connection: Connection, request_id: str) -> tuple[str, StoredEntry] | None:
    """Returns what a request id was used for, and the outcome; None when it was not used."""
    statement = select(tuning_requests).where(tuning_requests.c.request_id == request_id)
    row = connection.execute(statement).one_or_none()
    return None if row is None else (row.digest, _decode_entry(row.document))


def insert_request(
    connection: Connection, request_id: str, *, digest: str, entry: StoredEntry, now: datetime
) -> None:
    """Remembers the outcome of a request."""
    connection.execute(
        insert(tuning_requests),
        {
            "request_id": request_id,
            "digest": digest,
            "entry_id": entry.entry_id,
            "document": msgspec.json.encode(entry),
            "create_time": now,
        },
    )


def _entry(row: Row[Any]) -> StoredEntry:
    return StoredEntry(
        entry_id=row.entry_id,
        kind=EntryKind(row.kind),
        subject=row.subject,
        justification=row.justification,
        creator=row.creator,
        create_time=row.create_time,
        update_time=row.update_time,
        account_ids=_decode_ids(row.account_ids),
        expire_time=row.expire_time,
        last_match_time=row.last_match_time,
        match_count=row.match_count,
        change_count=row.change_count,
    )


def _entry_values(entry: StoredEntry) -> dict[str, Any]:
    return msgspec.structs.asdict(entry) | {"account_ids": msgspec.json.encode(entry.account_ids)}


def _revision(row: Row[Any]) -> RuleRevision:
    return RuleRevision(_decode_rule(row.config), row.create_time, row.creator)


_COUNT = (
    update(allowlist_entries)
    .where(allowlist_entries.c.entry_id == bindparam("of_entry"))
    .values(
        match_count=allowlist_entries.c.match_count + bindparam("more"),
        last_match_time=bindparam("now", type_=allowlist_entries.c.last_match_time.type),
    )
)
