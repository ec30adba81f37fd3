"""The event source `amiguard.eda.amiguard_findings`: changes of findings, as events."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from amiguard_client import (
    AmiguardError,
    CursorExpiredError,
    FindingChanges,
    OverloadedError,
    RetryPolicy,
    ServerFaultError,
    UnreachableError,
)
from amiguard_client.options import OptionError, open_client
from amiguard_client.plain import to_plain
from amiguard_client.whole_files import write_whole

DOCUMENTATION = r"""
short_description: Changes of amiguard's findings
description:
  - Watches an amiguard server and makes an event of every change of a finding, in commit order.
  - "An event is C({finding: {...}}): the finding as it stands after its change, with the field
    names of amiguard's API. C(finding.name) says which, C(finding.etag) which revision of it."
  - "Where the server no longer has the changes after the cursor, the event C({warning: {code:
    CURSOR_EXPIRED, message: ..., oldest_time: ...}}) comes first, and watching goes on from the
    oldest change there is."
  - "Events may be repeated, after a restart above all: what acts on them has to be idempotent."
  - "Text that a template engine would read is broken up (C({{) becomes C({ {)), because whoever
    makes API calls in a watched account chooses parts of it, and Ansible renders the variables
    it is handed."
  - A server that is away is waited for. Wrong options, credentials or filters end the source.
options:
  server:
    description: HOST:PORT of the server.
    type: str
    required: true
  ca:
    description:
      - File of PEM certificates to check the server's certificate against; those of the system
        if absent.
    type: str
  token:
    description: Bearer token. Needs the role C(read).
    type: str
  token_file:
    description: File with the bearer token; read again at every connection.
    type: str
  insecure:
    description: Plain text; for a server on a loopback address alone.
    type: bool
    default: false
  filter:
    description:
      - Which findings, as with C(amiguardctl findings list --filter); all but the suppressed if
        absent.
    type: str
  cursor_file:
    description:
      - File that keeps the place across restarts, written after an event was handed over.
      - Without it each start begins at O(start_time).
    type: str
  start_time:
    description:
      - Begin with the first change at or after this time where there is no cursor yet; now if
        absent.
    type: str
  feedback:
    description:
      - Wait until the rule engine has taken an event before the cursor moves on.
        ansible-rulebook, 1.3 or newer, has to run with C(--persistence-id) and a database, and
        then takes up after a restart what was not acted upon.
    type: bool
    default: false
  required:
    description:
      - Not used here. Names variables that a rulebook cannot do without, so that it does not start
        where one is not set; ansible-rulebook would find that out at an event, and lose it.
    type: dict
"""

EXAMPLES = r"""
- amiguard.eda.amiguard_findings:
    server: amiguard.example.com:7443
    ca: /etc/amiguard/ca.pem
    token_file: /etc/amiguard/triage.token
    filter: state = OPEN AND likelihood = HIGH
    cursor_file: /var/lib/amiguard-eda/cursor
    feedback: true
"""

MAX_CURSOR_BYTES = 4096
"""A cursor is some hundred characters: what is longer is another file, given by mistake."""

_EXPECTED: dict[str, tuple[type | tuple[type, ...], str]] = {
    "server": (str, "HOST:PORT"),
    "ca": (str, "a file"),
    "token": (str, "a text"),
    "token_file": (str, "a file"),
    "insecure": (bool, "true or false"),
    "filter": (str, "a text"),
    "cursor_file": (str, "a file"),
    "start_time": ((str, datetime), "a time such as 2026-01-31T08:00:00Z"),
    "feedback": (bool, "true or false"),
    "required": (dict, "variables by name"),
    "eda_feedback_queue": (asyncio.Queue, "what ansible-rulebook gives"),
}
_BACKOFF = RetryPolicy(initial_delay=timedelta(seconds=1), max_delay=timedelta(seconds=30))
_ONE_ATTEMPT = RetryPolicy(max_attempts=1)
"""Waiting is done here, where it is said and can be cancelled, and not in the client's thread."""
_REMINDER_SECONDS = 300
"""How often it is said that the rule engine has not answered."""
_TEMPLATE_START = re.compile(r"\{(?=[{%#])")


class Events(Protocol):
    """Where events are handed over."""

    async def put(self, event: dict[str, Any]) -> None:
        """Hands an event over; waits while there is no room."""


async def main(queue: Events, args: dict[str, Any]) -> None:
    """Puts events on the queue until it is cancelled."""
    # ansible-runner forks for each playbook to run another program, which gRPC need not follow; it
    # would say so in the log each time.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    try:
        given = _checked(args)
        place = Place(given.get("cursor_file"), _time(given.get("start_time")))
        await Source(queue, given, place).run()
    except OptionError as error:
        raise error.with_traceback(None) from None
    except AmiguardError as error:
        error.message = " ".join(error.message.split())
        if any(each.field == "cursor" for each in getattr(error, "violations", ())):
            error.message += f" (from {args.get('cursor_file')}; without that file it begins anew)"
        raise error.with_traceback(None) from None


@dataclass(slots=True)
class Place:
    """Where watching goes on: at a cursor, which a file keeps across restarts, else at a time."""

    path: Path | None
    start_time: datetime | None
    cursor: str | None

    def __init__(self, cursor_file: str | None, start_time: datetime | None) -> None:
        self.path = Path(cursor_file).expanduser() if cursor_file else None
        self.start_time = start_time
        self.cursor = _read_cursor(self.path) if self.path else None

    def keep(self, cursor: str) -> None:
        """Goes on after a cursor; the file holds the old one or the new one, never a part."""
        if cursor == self.cursor:
            return
        if self.path is not None:
            _write_cursor(self.path, cursor)
        self.cursor = cursor

    def restart_at(self, time: datetime | None) -> None:
        """Goes on at a time; the file keeps the cursor until there is a new one."""
        self.cursor, self.start_time = None, time


class Source:
    """Watches one server, whatever happens to it."""

    def __init__(self, queue: Events, given: dict[str, Any], place: Place) -> None:
        self._queue = queue
        self._feedback: asyncio.Queue[Any] | None = given.get("eda_feedback_queue")
        self._filter: str = given.get("filter") or ""
        self._options = {
            name: given[name]
            for name in ("ca", "token", "token_file", "insecure")
            if given.get(name) is not None
        }
        self._server: str = given["server"]
        self._place = place
        self._log = logging.getLogger("amiguard.eda.amiguard_findings")
        self._failures = 0

    async def run(self) -> None:
        """Watches until it is cancelled; raises what waiting cannot mend."""
        while True:
            try:
                async with aclosing(self._changes()) as stream:
                    async for changes in stream:
                        self._say_back()
                        await self._hand_over(changes)
            except CursorExpiredError as error:
                await self._begin_anew(error)
            except (OverloadedError, ServerFaultError, UnreachableError) as error:
                # Another server answers at this address: it will not become ours.
                if error.code == "UNIMPLEMENTED":
                    raise
                await self._wait(error)

    async def _changes(self) -> AsyncGenerator[FindingChanges, None]:
        with open_client(self._server, **self._options) as client:
            place = self._place
            stream = client.watch_findings(
                self._filter,
                cursor=place.cursor,
                start_time=None if place.cursor else place.start_time,
                retry=_ONE_ATTEMPT,
            )
            while (changes := await asyncio.to_thread(next, stream, None)) is not None:
                yield changes

    async def _hand_over(self, changes: FindingChanges) -> None:
        for finding in changes.findings:
            await self._put({"finding": defused(to_plain(finding))})
        await asyncio.to_thread(self._place.keep, changes.cursor)

    async def _put(self, event: dict[str, Any]) -> None:
        await self._queue.put(event)
        while self._feedback is not None:
            try:
                await asyncio.wait_for(self._feedback.get(), _REMINDER_SECONDS)
            except TimeoutError:
                self._log.warning(
                    "the rule engine has not taken an event for %d s", _REMINDER_SECONDS
                )
            else:
                return

    async def _begin_anew(self, error: CursorExpiredError) -> None:
        oldest = error.metadata.get("oldest_cursor_time")
        message = (
            f"changes before {oldest or 'now'} are deleted and may have been missed; go over the "
            "findings"
        )
        self._log.warning("%s: %s", self._server, message)
        await self._put(
            {"warning": {"code": "CURSOR_EXPIRED", "message": message, "oldest_time": oldest}}
        )
        self._place.restart_at(_time(oldest))

    async def _wait(self, error: AmiguardError) -> None:
        self._failures += 1
        delay = _BACKOFF.delay(self._failures, jitter=random.random())  # noqa: S311 - spreads load
        if error.retry_after is not None:
            delay += error.retry_after
        # Once an outage: an attempt every half minute would bury what else there is to read.
        level = logging.WARNING if self._failures == 1 else logging.INFO
        self._log.log(level, "%s; trying again until it is back", " ".join(str(error).split()))
        await asyncio.sleep(delay.total_seconds())

    def _say_back(self) -> None:
        if self._failures:
            self._log.warning("%s is back", self._server)
            self._failures = 0


def defused(value: Any) -> Any:
    """Returns a plain value without text that a template engine would read as its own."""
    if isinstance(value, str):
        return _TEMPLATE_START.sub("{ ", value)
    if isinstance(value, list):
        return [defused(item) for item in value]
    if isinstance(value, dict):
        return {defused(key): defused(item) for key, item in value.items()}
    return value


def _checked(args: dict[str, Any]) -> dict[str, Any]:
    """Returns the options that are given; raises an OptionError that names a wrong one."""
    given = {name: value for name, value in args.items() if value is not None}
    for name, value in given.items():
        if name not in _EXPECTED:
            raise OptionError(f"{name}: no such option, expected one of {', '.join(_EXPECTED)}")
        types, expected = _EXPECTED[name]
        if _is_unset(value):
            raise OptionError(f"{name}: got a variable that is not set, expected {expected}")
        if not isinstance(value, types):
            # Only the kind: the value may be a token.
            raise OptionError(f"{name}: got {type(value).__name__}, expected {expected}")
    unset = [name for name, value in given.get("required", {}).items() if _is_unset(value)]
    if unset:
        raise OptionError(f"required: these variables are not set: {', '.join(unset)}")
    if given.get("feedback") and "eda_feedback_queue" not in given:
        raise OptionError("feedback: there is none, expected ansible-rulebook 1.3 or newer")
    if not given.get("server"):
        raise OptionError("server: got none, expected HOST:PORT")
    return given


def _is_unset(value: Any) -> bool:
    """Says whether a value is that of a variable that does not exist; it is passed on as it is."""
    return type(value).__name__.endswith("Undefined")


def _time(given: str | datetime | None) -> datetime | None:
    if given is None or given == "":
        return None
    try:
        time = given if isinstance(given, datetime) else datetime.fromisoformat(given)
    except ValueError:
        raise OptionError(
            f"start_time: got {given!r}, expected such as 2026-01-31T08:00:00Z"
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _read_cursor(path: Path) -> str | None:
    """Returns the cursor in a file; None where there is no file yet."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_CURSOR_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OptionError(f"cursor_file: cannot read {path}: {error.strerror}") from error
    text = content.decode("ascii", errors="replace").strip()
    if not text or len(content) > MAX_CURSOR_BYTES or not (text.isascii() and text.isprintable()):
        raise OptionError(f"cursor_file: got no cursor in {path}, expected what a former run wrote")
    return text


def _write_cursor(path: Path, cursor: str) -> None:
    """Puts a cursor in a file, whole or not at all, also where the machine loses its power."""
    try:
        write_whole(path, f"{cursor}\n".encode(), is_synced=True)
    except OSError as error:
        raise OptionError(f"cursor_file: cannot write {path}: {error.strerror}") from error
