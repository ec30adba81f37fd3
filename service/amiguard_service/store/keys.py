"""Secrets that the replicas of one database share."""

from __future__ import annotations

import secrets
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from amiguard_service.store.schema import server_keys

_KEY_BYTES = 32


def fetch_or_make_key(connection: Connection, name: str, *, now: datetime) -> bytes:
    """Returns the key of a name, made at the first call."""
    statement = select(server_keys.c.key).where(server_keys.c.name == name)
    found = connection.execute(statement).scalar_one_or_none()
    if found is not None:
        return bytes(found)
    made = secrets.token_bytes(_KEY_BYTES)
    connection.execute(insert(server_keys), {"name": name, "key": made, "create_time": now})
    return made


def make_and_delete_key(connection: Connection, name: str, *, now: datetime) -> None:
    """Leaves everything as it is, and yet makes the database write.

    An update to what stands there already would not: SQLite leaves such a page alone.
    """
    connection.execute(insert(server_keys), {"name": name, "key": b"", "create_time": now})
    connection.execute(delete(server_keys).where(server_keys.c.name == name))
