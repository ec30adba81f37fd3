"""Logs refusals: each cause at once, then its count, at most once a minute."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

import structlog

INTERVAL_SECONDS: Final = 60.0
"""Between two lines about one cause."""
MAX_CAUSES: Final = 1_024
"""Causes that are remembered. One that is forgotten is logged at once when it comes again."""


@dataclass(slots=True)
class _Cause:
    told_at: float
    untold_count: int = 0


class RefusalLog:
    """Counts refusals by cause, and keeps a flood of them from becoming a flood of lines."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self.counts: dict[str, int] = {}
        self._clock = clock
        self._causes: OrderedDict[tuple[str, str], _Cause] = OrderedDict()
        self._log = structlog.get_logger()

    def note(self, event: str, *, cause: str, **fields: Any) -> None:
        """Counts a refusal, and logs it unless its cause was logged within the last minute.

        The line has `count`: the refusals of this cause since its last line, this one included.
        """
        self.counts[event] = self.counts.get(event, 0) + 1
        now = self._clock()
        known = self._causes.get((event, cause))
        if known is not None and now - known.told_at < INTERVAL_SECONDS:
            known.untold_count += 1
            self._causes.move_to_end((event, cause))
            return
        count = 1 if known is None else known.untold_count + 1
        self._causes[event, cause] = _Cause(now)
        self._causes.move_to_end((event, cause))
        if len(self._causes) > MAX_CAUSES:
            self._causes.popitem(last=False)
        self._log.warning(event, count=count, **fields)
