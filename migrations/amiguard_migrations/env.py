"""What Alembic runs: migrations on the connection it was given, never on one of its own."""

from __future__ import annotations

from typing import Any

from alembic import context

from amiguard_service.store import sink_schema, tuning_schema

_TABLES = (sink_schema.sinks, tuning_schema.policy_state)
"""One of each module that declares tables, which are declared by its import."""


def _is_ours(
    _item: object, name: str | None, kind: str, _reflected: object, _other: object
) -> bool:
    """Leaves out the partitions of a table: the table itself stands for them."""
    return not (kind == "table" and name is not None and "_part_" in name)


def _run() -> None:
    connection: Any = context.config.attributes.get("connection")
    if connection is None:
        message = "run migrations through amiguard_migrations, which gives them a connection"
        raise RuntimeError(message)
    context.configure(
        connection=connection,
        target_metadata=_TABLES[0].metadata,
        include_object=_is_ours,
        render_as_batch=connection.dialect.name == "sqlite",
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        context.run_migrations()


_run()
