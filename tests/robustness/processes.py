"""What the system knows of processes that others started."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path


def children_of(process_id: int) -> list[int]:
    """Returns the processes that a process has started and that live."""
    return sorted(
        int(stat.parent.name)
        for stat in Path("/proc").glob("[0-9]*/stat")
        if _fields_of(stat)[1:2] == [str(process_id)] and is_alive(int(stat.parent.name))
    )


def is_alive(process_id: int) -> bool:
    """Says whether a process lives; one that has ended and that nobody asked for does not."""
    return _fields_of(Path(f"/proc/{process_id}/stat"))[:1] not in ([], ["Z"], ["X"])


def kill_if_alive(process_id: int) -> None:
    """Ends a process at once, if it has not ended by itself."""
    with suppress(ProcessLookupError):
        os.kill(process_id, signal.SIGKILL)


def _fields_of(stat: Path) -> list[str]:
    """Returns what is told of a process after its name: state, parent and others."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return stat.read_text().rpartition(")")[2].split()
    return []
