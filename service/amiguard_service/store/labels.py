"""The labels that clients give findings."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, delete, insert

from amiguard_service.store.findings import account_of
from amiguard_service.store.schema import finding_labels


def replace_labels(connection: Connection, finding_id: str, labels: Mapping[str, str]) -> None:
    """Gives a finding these labels and no others."""
    account_id, table = account_of(finding_id), finding_labels.c
    connection.execute(
        delete(finding_labels).where(table.account_id == account_id, table.finding_id == finding_id)
    )
    values = [
        {"account_id": account_id, "finding_id": finding_id, "key": key, "value": value}
        for key, value in labels.items()
    ]
    if values:
        connection.execute(insert(finding_labels), values)
