"""Batches of the wire in, decoded batches out, within bounds of size and memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final

from amiguard.v1.ingest_service_pb2 import EventBatch
from amiguard_core.decode import Decoded, decode_records
from amiguard_core.events import LaunchPath
from amiguard_service.budget import Budget
from amiguard_service.limits import Limits
from amiguard_service.refusals import FieldInvalidError
from amiguard_service.unpack import Job
from amiguard_service.unpack_pool import UnpackPool

MAX_INLINE_RECORDS: Final = 1_000
"""Records that are decoded on the loop: 1 to 2 ms of work, hardly more than sending them to another
process costs."""

MAX_HELD_BYTES: Final = 64 * 1024 * 1024
"""Payloads on their way through the workers, all streams together; who brings more is read no
further."""


class Unpacker:
    """Decodes batches: small lists of records at once, everything else in other processes."""

    def __init__(
        self,
        pool: UnpackPool,
        limits: Limits,
        *,
        launch_paths: Callable[[], Iterable[LaunchPath]],
    ) -> None:
        """Takes `launch_paths` as a call, because the policy changes while the server runs."""
        self._pool = pool
        self._limits = limits
        self._launch_paths = launch_paths
        self._room = Budget(MAX_HELD_BYTES)

    def decode_at_once(self, batch: EventBatch) -> Decoded | None:
        """Returns the decoded batch if that takes no time worth mentioning, else None.

        Raises FieldInvalidError for a batch without a payload, or with more records than one may
        hold.
        """
        match batch.WhichOneof("payload"):
            case "records":
                record_count = len(batch.records.records)
                if record_count > self._limits.max_records_per_batch:
                    raise FieldInvalidError(
                        "batch.records",
                        got=f"{record_count} records",
                        expected=f"at most {self._limits.max_records_per_batch}",
                    )
                if record_count <= MAX_INLINE_RECORDS:
                    return decode_records(
                        batch.records.records,
                        launch_paths=self._launch_paths(),
                        other_paths=LaunchPath,
                        max_records=self._limits.max_records_per_batch,
                    )
            case "log_file":
                pass
            case _:
                raise FieldInvalidError("batch", got="no payload", expected="records or log_file")
        return None

    @asynccontextmanager
    async def decoding(self, batch: EventBatch) -> AsyncIterator[Decoded]:
        """Gives the decoded batch, which `decode_at_once` has let pass.

        Until the end of the `with` statement it counts as held in memory, and holds up others.
        """
        is_file = batch.WhichOneof("payload") == "log_file"
        payload = batch.log_file if is_file else list(batch.records.records)
        job = Job(
            payload=payload,
            launch_paths=tuple(self._launch_paths()),
            max_records=self._limits.max_records_per_batch,
            max_inflated_bytes=self._limits.max_inflated_bytes,
        )
        share = await self._room.take(len(payload) if is_file else MAX_HELD_BYTES // 4)
        try:
            yield await self._pool.unpack(job)
        finally:
            self._room.give_back(share)
