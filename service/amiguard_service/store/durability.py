"""Settings under which what is acknowledged may be lost."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, func, select

from amiguard_service.store.connect import POSTGRESQL, is_in_memory

_NAMES: Final = ("fsync", "full_page_writes", "synchronous_commit", "synchronous_standby_names")
_SETTINGS: Final = select(*(func.current_setting(name).label(name) for name in _NAMES))
EPHEMERAL: Final = "ephemeral = true"


def fetch_gaps(connection: Connection) -> tuple[str, ...]:
    """Returns the settings of a database that let it lose what it has committed, as NAME = VALUE.

    Of PostgreSQL as they are for this session: a database or a role may have its own.
    """
    if connection.dialect.name != POSTGRESQL:
        return (EPHEMERAL,) if is_in_memory(connection.engine.url) else ()
    found = connection.execute(_SETTINGS).one()._asdict()
    gaps = [name for name in ("fsync", "full_page_writes") if found[name] == "off"]
    if found["synchronous_commit"] == "off" or (
        # A standby is named to be waited for, and this session does not.
        found["synchronous_commit"] == "local" and found["synchronous_standby_names"]
    ):
        gaps.append("synchronous_commit")
    return tuple(f"{name} = {found[name]}" for name in gaps)
