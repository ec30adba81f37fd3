"""Times that all servers of a database keep together, by name."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from amiguard_service.store.connect import POSTGRESQL
from amiguard_service.store.schema import retention_marks

_MARK = retention_marks.c


def lock(connection: Connection, name: str) -> None:
    """Keeps other servers from a mark, if there is one, until the transaction ends."""
    connection.execute(select(_MARK.name).where(_MARK.name == name).with_for_update())


def fetch_times(connection: Connection, names: Collection[str]) -> dict[str, datetime]:
    """Returns the times of the marks that there are, by name."""
    statement = select(_MARK.name, _MARK.change_time).where(_MARK.name.in_(names))
    return {row.name: row.change_time for row in connection.execute(statement)}


def put_time(connection: Connection, name: str, time: datetime) -> None:
    """Makes a mark, or changes it."""
    make = postgresql.insert if connection.dialect.name == POSTGRESQL else sqlite.insert
    statement = make(retention_marks).values(name=name, change_id=0, change_time=time)
    changed = {"change_time": statement.excluded.change_time}
    connection.execute(statement.on_conflict_do_update(index_elements=[_MARK.name], set_=changed))
