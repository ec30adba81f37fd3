"""Secrets that the replicas of one database share."""

from __future__ import annotations

import secrets
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from amiguard_service.store.schema import server_keys

_KEY_BYTES = 32
_PROBE = "probe"
_PROBE_BYTES = 256 << 10


def fetch_or_make_key(connection: Connection, name: str, *, now: datetime) -> bytes:
    """Returns the key of a name, made at the first call."""
    statement = select(server_keys.c.key).where(server_keys.c.name == name)
    found = connection.execute(statement).scalar_one_or_none()
    if found is not None:
        return bytes(found)
    made = secrets.token_bytes(_KEY_BYTES)
    connection.execute(insert(server_keys), {"name": name, "key": made, "create_time": now})
    return made


def store_probe(connection: Connection, *, now: datetime) -> None:
    """Makes the database write as much as a commit may, until `delete_probe`.

    What is made and deleted in one transaction would not: it leaves no page to be written. Nor
    would a few bytes, for which there is room on a disk that is full.
    """
    delete_probe(connection)
    probe = secrets.token_bytes(_PROBE_BYTES)
    connection.execute(insert(server_keys), {"name": _PROBE, "key": probe, "create_time": now})


def delete_probe(connection: Connection) -> None:
    """Takes away what `store_probe` left."""
    connection.execute(delete(server_keys).where(server_keys.c.name == _PROBE))
