"""What was set aside, kept so that nothing is lost."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, insert

from amiguard_core.decode import Rejection
from amiguard_service.store.schema import rejected_records

MAX_RAW_BYTES = 262_144
"""Bytes kept of one rejection: the largest CloudTrail record is 256 KB."""


def insert_rejections(
    connection: Connection, rejections: Iterable[tuple[str, Rejection]], *, arrival_time: datetime
) -> None:
    """Keeps rejections, each with the source that sent it."""
    values = [
        {
            "arrival_time": arrival_time,
            "source": source,
            "position": rejection.index,
            "path": rejection.path,
            "message": rejection.message,
            "raw": rejection.raw[:MAX_RAW_BYTES],
            "raw_length": len(rejection.raw),
        }
        for source, rejection in rejections
    ]
    if values:
        connection.execute(insert(rejected_records), values)
