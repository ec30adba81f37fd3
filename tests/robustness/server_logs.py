"""What servers may say in their logs while everything around them breaks."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from amiguard_service import logs
from tests.robustness.faults import Fault

_ALWAYS = {
    logs.SERVER_LISTENING,
    logs.SERVER_DRAINING,
    logs.SERVER_STOPPED,
    logs.RPC_DONE,
    logs.SWEEP_DONE,
}
_WITHOUT_A_DATABASE = {logs.STORE_UNAVAILABLE, logs.STORE_AVAILABLE}
_OF_THE_DISK = {Fault.DISK_FULL, Fault.WRITES_REFUSED}
_OF_THE_DATABASE = {
    *_OF_THE_DISK,
    Fault.DATABASE_KILLED,
    Fault.DATABASE_STOPPED,
    Fault.DATABASE_SILENT,
    Fault.SESSION_KILLED,
    Fault.SESSIONS_ENDED,
}
_OF_DAMAGE = {logs.STORE_UNAVAILABLE, logs.SCHEMA_CHANGED, "store.damaged", "store.replaced"}
"""How a server says that its files are not what they were."""
_CODES = {"OK", "CANCELLED", "UNAVAILABLE"}
"""What calls may end with: cut connections and drains are no mistakes of the caller."""
_OF_LIBRARIES = {
    # A connection that was lost within a batch of statements cannot be tidied up.
    "psycopg": (logs.STORE_UNAVAILABLE, "error ignored terminating"),
    # Two ask what became of a process that was killed, and one of them comes too late.
    "asyncio": (logs.WORKER_DIED, "Unknown child process"),
}
"""What libraries may say, and the event of ours that it goes with."""
_REFUSAL = "amiguard-server: "
_NO_DATABASE_AT_START = "amiguard-server: the database is unavailable: "


def find_complaints(log: Path, faults: Collection[Fault]) -> list[str]:
    """Returns the lines that no fault of the round accounts for."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    events = set(_ALWAYS)
    texts = set()
    if not _OF_THE_DATABASE.isdisjoint(faults):
        events |= _WITHOUT_A_DATABASE
        texts.add(_NO_DATABASE_AT_START)
    if Fault.FILE_DAMAGED in faults:
        events |= _OF_DAMAGE
    if Fault.CLOCK_SHIFTED in faults:
        events |= {"clock.wrong", "clock.right"}
    if Fault.WORKER_KILLED in faults:
        events.add(logs.WORKER_DIED)
    # A line that the disk had no room for is torn, and the next one may follow on it.
    may_be_torn = not _OF_THE_DISK.isdisjoint(faults) and "Traceback" not in "".join(lines)
    complaints = []
    for line in lines:
        entry = _read_entry(line)
        is_refusal = Fault.FILE_DAMAGED in faults and line.startswith(_REFUSAL)
        if entry is None and (may_be_torn or is_refusal or line.startswith(tuple(texts))):
            continue
        if entry is None or not _is_allowed(entry, events):
            complaints.append(f"{log.name}: {line}")
    return complaints


def _is_allowed(entry: dict[str, Any], events: Collection[str]) -> bool:
    if "logger" in entry:
        told_by, beginning = _OF_LIBRARIES.get(entry["logger"], ("", ""))
        return told_by in events and entry["event"].startswith(beginning)
    if "exception" in entry or entry.get("event") not in events:
        return False
    if entry["event"] != logs.RPC_DONE:
        return True
    # A stream that is cut before its first message looks like one that has none.
    is_cut = entry["code"] == "FAILED_PRECONDITION" and "batch_count" not in entry
    return is_cut or entry["code"] in _CODES


def _read_entry(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError:
        return None
    return entry if isinstance(entry, dict) else None
