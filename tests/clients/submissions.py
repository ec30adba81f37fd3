"""Submissions in time that passes only in sleeps."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from amiguard_client import (
    BatchResult,
    Client,
    Records,
    RetryPolicy,
    SubmitSummary,
    Submittable,
    Timing,
)


@dataclass(slots=True)
class FakeTime:
    """Time that passes only in sleeps, and chance that is always the same."""

    seconds: float = 0.0
    sleeps: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.seconds += seconds

    def timing(self) -> Timing:
        return Timing(now=lambda: self.seconds, sleep=self.sleep, jitter=lambda: 0.0)


def record(number: int, name: str = "GetUser") -> bytes:
    """Returns a record of its own."""
    return json.dumps({"eventName": name, "eventID": f"e{number}"}, separators=(",", ":")).encode()


def groups(count: int, size: int = 3) -> list[Records]:
    """Returns groups of records, each of which is one batch."""
    return [
        Records([record(batch * size + index) for index in range(size)], name=f"group-{batch}")
        for batch in range(count)
    ]


def submit(
    client: Client,
    inputs: Iterable[Submittable],
    *,
    acks: list[BatchResult] | None = None,
    time: FakeTime | None = None,
    retry: RetryPolicy | None = None,
) -> SubmitSummary:
    """Submits in time that passes only in sleeps."""
    return client.submit(
        inputs,
        source="test",
        on_ack=acks.append if acks is not None else None,
        timing=(time or FakeTime()).timing(),
        retry=retry,
    )
