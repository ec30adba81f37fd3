"""The history of findings: one row for every move from state to state, and for every edit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import asdict
from sqlalchemy import Connection, Row, select

from amiguard_service.store.findings import account_of
from amiguard_service.store.rows import insert_values
from amiguard_service.store.schema import finding_history
from amiguard_service.stored import Disposition, FindingEdit, HistoryEntry, State

_decode_edit = msgspec.json.Decoder(FindingEdit).decode


def insert_entries(connection: Connection, entries: Iterable[HistoryEntry]) -> None:
    """Adds entries, none of which is stored yet."""
    insert_values(connection, finding_history, [_values(entry) for entry in entries])


def fetch_history(
    connection: Connection, finding_id: str, *, after: int, limit: int
) -> list[HistoryEntry]:
    """Returns the moves of a finding, oldest first, from just after the one of a number."""
    table = finding_history.c
    statement = (
        select(finding_history)
        .where(
            table.account_id == account_of(finding_id),
            table.finding_id == finding_id,
            table.change_number > after,
        )
        .order_by(table.change_number)
        .limit(limit)
    )
    return [_entry(row) for row in connection.execute(statement)]


def _values(entry: HistoryEntry) -> dict[str, Any]:
    values = asdict(entry)
    values["change_number"] = values.pop("number")
    values["change_time"] = values.pop("time")
    values["edit"] = None if entry.edit is None else msgspec.json.encode(entry.edit)
    return {"account_id": account_of(entry.finding_id)} | values


def _entry(row: Row[Any]) -> HistoryEntry:
    return HistoryEntry(
        finding_id=row.finding_id,
        number=row.change_number,
        time=row.change_time,
        actor=row.actor,
        state_before=row.state_before and State(row.state_before),
        state_after=State(row.state_after),
        comment=row.comment,
        disposition=row.disposition and Disposition(row.disposition),
        assignee=row.assignee,
        accept_until_time=row.accept_until_time,
        edit=None if row.edit is None else _decode_edit(row.edit),
    )
