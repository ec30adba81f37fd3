"""The chain of changes: each is sealed with the hash of the one before, so none can be altered."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amiguard.v1 import tuning_service_pb2 as wire


class ChainError(Exception):
    """The chain is not whole; `number` is that of the first change that is not as it was."""

    def __init__(self, number: int, problem: str) -> None:
        super().__init__(f"change {number}: {problem}")
        self.number = number
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Chain:
    """How many changes there are, and the hash that vouches for all of them."""

    count: int
    last_hash: str


def verify(
    pages: Iterable[wire.ListTuningChangesResponse], *, known_hashes: Collection[str] = ()
) -> Chain:
    """Returns what the chain in pages comes to; raises ChainError at the first change amiss.

    Each of `known_hashes` must be that of a change.
    """
    count, last_hash = 0, ""
    claimed = Chain(0, "")
    missing = dict.fromkeys(known_hashes)
    for page in pages:
        for change in page.changes:
            _check(change, number=count + 1, previous_hash=last_hash)
            count, last_hash = count + 1, change.hash
            missing.pop(last_hash, None)
        claimed = Chain(page.total_count, page.last_hash)
    if claimed != Chain(count, last_hash):
        if claimed.count > count:
            raise ChainError(count + 1, f"missing; {claimed.count} changes were sealed")
        raise ChainError(
            max(count, 1), f"got the last hash {claimed.last_hash}, wanted {last_hash}"
        )
    if missing:
        raise ChainError(max(count, 1), f"no change up to here has the hash {next(iter(missing))}")
    return Chain(count, last_hash)


def seal(change: wire.TuningChange) -> str:
    """Returns the hash of a change, worked out from what it says."""
    parts = {
        "actor": change.actor,
        "change_id": change.number,
        "change_time": change.change_time.ToDatetime(tzinfo=UTC).isoformat(),
        "document": change.document.decode(errors="replace"),
        "method": change.method,
        "previous_hash": change.previous_hash,
    }
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(text.encode()).hexdigest()


def _check(change: wire.TuningChange, *, number: int, previous_hash: str) -> None:
    if change.number != number:
        raise ChainError(number, f"missing; change {change.number} follows the one before")
    if change.previous_hash != previous_hash:
        raise ChainError(number, "does not follow from the change before")
    if seal(change) != change.hash:
        raise ChainError(number, "is not what was sealed")
