"""Reads the input of a submission in a thread of its own, one batch ahead."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amiguard_client.packing import Batch, Limits, Submittable, pack

if TYPE_CHECKING:
    from collections.abc import Iterable
    from queue import SimpleQueue


@dataclass(frozen=True, slots=True)
class Packed:
    """The next batch of the input."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class InputEnded:
    """The end of the input: `error` is what its iterator raised, if it did."""

    error: Exception | None


class Feed:
    """Puts batches, last of all `InputEnded`, into `events`, each after the one before is taken.

    The input may be slow, or never end, while acks arrive and connections break; so it is not the
    thread of the submission that waits for it.
    """

    def __init__(
        self, inputs: Iterable[Submittable], limits: Limits, *, events: SimpleQueue[object]
    ) -> None:
        self._inputs = inputs
        self._limits = limits
        self._events = events
        self._taken = threading.Semaphore(0)
        self._is_stopped = False
        threading.Thread(target=self._run, name="amiguard-submit-feed", daemon=True).start()

    def take(self) -> None:
        """Says that the batch put last was taken, so that the next one is read."""
        self._taken.release()

    def stop(self) -> None:
        """Makes the thread end as soon as the input gives its next item."""
        self._is_stopped = True
        self._taken.release()

    def _run(self) -> None:
        error = None
        try:
            for batch in pack(self._inputs, self._limits):
                self._events.put(Packed(batch))
                self._taken.acquire()
                if self._is_stopped:
                    return
        except Exception as raised:  # noqa: BLE001 - the thread's only way to hand it to the caller
            error = raised
        self._events.put(InputEnded(error))
