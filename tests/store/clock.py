"""A clock that moves when told to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.store.values import NOON


@dataclass
class ManualClock:
    """Says the same time until it is moved."""

    now: datetime = NOON + timedelta(hours=1)

    def __call__(self) -> datetime:
        return self.now
