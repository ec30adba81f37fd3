"""What Alembic runs: migrations on the connection it was given, or on the database it was told."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection

from amiguard_migrations import SchemaError, known, locked
from amiguard_service.store import sink_schema, tuning_schema
from amiguard_service.store.engines import Database, naming_the_unavailable
from amiguard_service.store.errors import StoreError

_TABLES = (sink_schema.sinks, tuning_schema.policy_state)
"""One of each module that declares tables, which are declared by its import."""


def _is_ours(
    _item: object, name: str | None, kind: str, _reflected: object, _other: object
) -> bool:
    """Leaves out the partitions of a table: the table itself stands for them."""
    return not (kind == "table" and name is not None and "_part_" in name)


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=_TABLES[0].metadata,
        include_object=_is_ours,
        render_as_batch=connection.dialect.name == "sqlite",
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        context.run_migrations()


def _run_on(url: str) -> None:
    """Runs on a database of which Alembic was told the URL, alone."""
    try:
        with closing(Database(url)) as database, naming_the_unavailable():
            known(database.engine)
            with locked(database.engine) as connection:
                _run(connection)
    except (SchemaError, StoreError) as error:
        raise CommandError(str(error)) from error


def _told_url() -> str:
    told: Any = context.get_x_argument(as_dictionary=True)
    config = context.config
    url = told.get("database") or config.get_section(config.config_ini_section, {}).get(
        "sqlalchemy.url"
    )
    if not url:
        raise CommandError(
            "which database? Wanted `-x database=URL`, or `sqlalchemy.url` in the configuration"
        )
    return str(url)


_given: Any = context.config.attributes.get("connection")
if _given is None:
    _run_on(_told_url())
else:
    _run(_given)
