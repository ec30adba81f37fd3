"""How a damaged database is told from one that is away."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from time import monotonic
from typing import Any, Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import PoolProxiedConnection

from amiguard_service.store.errors import StoreDamagedError

_POSTGRESQL: Final = {"XX001", "XX002"}
"""Damage in a table, and in an index."""
_SQLITE: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_CHECK_STEPS: Final = 1_000
"""Steps of SQLite between two looks at the time: well under a millisecond."""


def check_pages(connection: PoolProxiedConnection, limit: timedelta) -> None:
    """Raises StoreDamagedError where SQLite finds damage within a time."""
    driver_connection: Any = connection.driver_connection
    deadline = monotonic() + limit.total_seconds()
    driver_connection.set_progress_handler(lambda: monotonic() > deadline, _CHECK_STEPS)
    try:
        ((found,),) = driver_connection.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return
        raise StoreDamagedError from error
    finally:
        driver_connection.set_progress_handler(None, 0)
    if found != "ok":
        raise StoreDamagedError


def is_damage(error: DBAPIError) -> bool:
    """Says whether a driver tells of damage."""
    if getattr(error.orig, "sqlstate", None) in _POSTGRESQL:
        return True
    # The lowest byte is the kind, the others say more of it.
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in _SQLITE
