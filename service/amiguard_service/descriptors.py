"""File descriptors: each connection needs one, and without any nobody new gets in."""

from __future__ import annotations

import asyncio
import resource
from datetime import timedelta
from pathlib import Path
from typing import Final

from amiguard_service import logs
from amiguard_service.refusal_log import RefusalLog

CHECK_INTERVAL: Final = timedelta(seconds=5)
NEARLY_ALL: Final = 0.9
_OPEN: Final = Path("/proc/self/fd")


def raise_limit() -> None:
    """Takes all that this process may have; the limit in force is often 1,024 of many more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def is_short() -> bool:
    """Says whether nearly all descriptors are in use; never where the system does not tell."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        return sum(1 for _ in _OPEN.iterdir()) >= limit * NEARLY_ALL
    except OSError as error:
        # Not one is left to look with, unless the system has no such place.
        return not isinstance(error, FileNotFoundError)


async def watch(refused: RefusalLog) -> None:
    """Logs a shortage, for as long as it lasts; runs until it is cancelled."""
    while True:
        await asyncio.sleep(CHECK_INTERVAL.total_seconds())
        if is_short():
            limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            text = f"{limit} file descriptors, of which nearly all are in use"
            refused.note(logs.LIMIT_REACHED, cause="descriptors", limit=text)
