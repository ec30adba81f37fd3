"""The records of some batches, each once, with where they came from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import msgspec
from msgspec import Struct

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


class Arrival(Struct, frozen=True):
    """One record as it will wait, under which keys, and the batch that brought it first.

    `is_counted` says that it was a search or a launch by the policy it was decoded under.
    """

    record: Search | Launch
    body: bytes
    batch_index: int
    keys: tuple[WaitingKey, ...]
    is_counted: bool


class Intake:
    """What some batches bring: their records, each once, and how often each batch repeats one.

    `arrivals` has each record by the first of its keys.
    """

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.batches = batches
        self.arrivals: dict[WaitingKey, Arrival] = {}
        self._repeats = [0] * len(batches)
        for index, batch in enumerate(batches):
            for search in batch.decoded.searches:
                self._add(search, index)
            for launch in batch.decoded.launches:
                self._add(launch, index)
            for launch in batch.decoded.other_launches:
                self._add(launch, index, is_counted=False)

    def _add(self, record: Search | Launch, index: int, *, is_counted: bool = True) -> None:
        body = msgspec.json.encode(record)
        keys = waiting_keys(record, body)
        if not keys:
            return
        if keys[0] in self.arrivals:
            self._repeats[index] += is_counted
        else:
            self.arrivals[keys[0]] = Arrival(record, body, index, keys, is_counted)

    @property
    def keys(self) -> list[WaitingKey]:
        """Every key that a record waits under."""
        return [key for arrival in self.arrivals.values() for key in arrival.keys]

    @property
    def lanes(self) -> frozenset[tuple[str, str]]:
        """The lanes that the records are in, each an account and a lane of it."""
        return frozenset((key.account_id, key.lane) for key in self.keys)

    def outcomes(
        self, stored: Iterable[WaitingKey], findings: Sequence[Iterable[str]]
    ) -> list[Outcome]:
        """Returns what became of each batch: `stored` waited before, `findings` it touched.

        `stored` are keys of `arrivals`.
        """
        duplicates = self._repeats.copy()
        for key in stored:
            arrival = self.arrivals[key]
            duplicates[arrival.batch_index] += arrival.is_counted
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


def waiting_keys(record: Search | Launch, body: bytes) -> tuple[WaitingKey, ...]:
    """Returns the keys a record waits under; none when nothing can belong with it.

    What pins an image by a launch template, and what is launched from one, waits in the lane of
    the template as well, where they meet whoever made them. Copies of one event that say different
    things wait side by side: see `correlate.unique`.
    """
    origin = record.origin
    if origin.account_id is None:
        return ()
    lane = origin.lane
    lanes = [] if lane is None else [lane]
    # A pin by nobody follows no search, so nothing has to be launched from it.
    if isinstance(record, Launch) and record.template and (lanes or record.is_from_template):
        lanes.append(record.template.lane)
    digest = digest_of(body)
    return tuple([WaitingKey(origin.account_id, lane, origin.event_id, digest) for lane in lanes])


def digest_of(body: bytes) -> str:
    """Returns what tells copies of one event apart that say different things."""
    return blake2b(body, digest_size=8).hexdigest()
