"""The records of some batches, each once, with where they came from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from amiguard_core.decode import Decoded, Rejection
from amiguard_core.events import Launch, Search
from amiguard_service.store.pending import WaitingKey


@dataclass(frozen=True, slots=True)
class Batch:
    """One decoded batch and the forwarder that sent it."""

    decoded: Decoded
    source: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one committed batch.

    `duplicate_count` counts accepted searches and launches that were stored before, or came
    earlier in the same batch. `finding_ids` are those the batch opened or added to, sorted.
    """

    accepted_count: int
    relevant_count: int
    duplicate_count: int
    rejections: Sequence[Rejection]
    finding_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Arrival:
    """One record as it will wait, and the batch that brought it first."""

    record: Search | Launch
    body: bytes
    batch_index: int


class Intake:
    """What some batches bring: their records, each once, and how often each batch repeats one."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.batches = batches
        self.arrivals: dict[WaitingKey, Arrival] = {}
        self._repeats = [0] * len(batches)
        for index, batch in enumerate(batches):
            for search in batch.decoded.searches:
                self._add(search, index)
            for launch in batch.decoded.launches:
                self._add(launch, index)

    def _add(self, record: Search | Launch, index: int) -> None:
        body = msgspec.json.encode(record)
        key = waiting_key(record, body)
        if key is None:
            return
        if key in self.arrivals:
            self._repeats[index] += 1
        else:
            self.arrivals[key] = Arrival(record, body, index)

    def outcomes(
        self, stored: Iterable[WaitingKey], findings: Sequence[Iterable[str]]
    ) -> list[Outcome]:
        """Returns what became of each batch: `stored` waited before, `findings` it touched."""
        duplicates = self._repeats.copy()
        for key in stored:
            duplicates[self.arrivals[key].batch_index] += 1
        return [
            Outcome(
                accepted_count=batch.decoded.record_count,
                relevant_count=batch.decoded.relevant_count,
                duplicate_count=duplicates[index],
                rejections=batch.decoded.rejections,
                finding_ids=tuple(sorted(findings[index])),
            )
            for index, batch in enumerate(self.batches)
        ]


def waiting_key(record: Search | Launch, body: bytes) -> WaitingKey | None:
    """Returns the key a record waits under; None when it names nobody to correlate by.

    Copies of one event that say different things wait side by side: see `correlate.unique`.
    """
    origin, lane = record.origin, record.origin.lane
    if origin.account_id is None or lane is None:
        return None
    digest = blake2b(body, digest_size=8).hexdigest()
    return WaitingKey(origin.account_id, lane, origin.event_id, digest)
