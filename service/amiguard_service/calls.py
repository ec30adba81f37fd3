"""What is known of the call that is being served, for its one line in the log."""

from __future__ import annotations

from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter
from uuid import uuid4


@dataclass(slots=True)
class Call:
    """One call: its id, what it is, what it touched, and what was counted meanwhile."""

    method: str
    peer: str
    principal: str = "unknown"
    request_id: str = field(default_factory=lambda: uuid4().hex)
    started_at: float = field(default_factory=perf_counter)
    counts: Counter[str] = field(default_factory=Counter)
    touched: dict[str, str | int | bool] = field(default_factory=dict)

    @property
    def duration_ms(self) -> float:
        """Milliseconds since the call began."""
        return round((perf_counter() - self.started_at) * 1_000, 3)


_CALL: ContextVar[Call] = ContextVar("call")


def begin_call(call: Call) -> None:
    """Makes a call the one that is being served in this task."""
    _CALL.set(call)


def count(**counts: int) -> None:
    """Adds to the counts of the call that is being served."""
    _CALL.get().counts.update(counts)
