"""A watcher as a SOAR platform is one: it keeps the last cursor, and comes back with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from threading import Event, Lock, Thread

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from amiguard.v1 import finding_service_pb2 as wire
from amiguard.v1.finding_pb2 import Finding
from amiguard.v1.finding_service_pb2_grpc import FindingServiceStub
from amiguard_service.tokens import PageTokens
from tests.robustness.history import History, What

EVERY_STATE = "state = OPEN OR state = ACKNOWLEDGED OR state = CLOSED OR state = SUPPRESSED"

_PAUSE_SECONDS = 0.05
_STOP_SECONDS = 10
# The server's heartbeats are too far apart for a round to wait for one that does not come.
_OPTIONS = (("grpc.keepalive_time_ms", 1_000), ("grpc.keepalive_timeout_ms", 1_000))
_PASSING = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
"""How a stream ends when its server does, or drains, or cannot reach the database."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One response: the findings in it, and the cursor after them. `stream` counts from 1."""

    stream: int
    findings: tuple[Finding, ...]
    cursor: str


class Watcher(Thread):
    """Watches every finding from the first change on, over one server after the other."""

    def __init__(self, name: str, addresses: Sequence[str], history: History | None = None) -> None:
        super().__init__(name=name, daemon=True)
        self._history = history or History()
        self._addresses = cycle(addresses)
        self._stopping = Event()
        self._lock = Lock()
        self._call: grpc.Call | None = None
        self._stream_count = 0
        self._seen: list[Seen] = []
        self.complaints: list[str] = []

    def run(self) -> None:
        """Returns after `stop`."""
        while not self._stopping.is_set():
            self._stream_count += 1
            with grpc.insecure_channel(next(self._addresses), options=_OPTIONS) as channel:
                self._watch(FindingServiceStub(channel))
            self._stopping.wait(_PAUSE_SECONDS)

    def stop(self) -> None:
        """Ends it."""
        self._stopping.set()
        with self._lock:
            if self._call is not None:
                self._call.cancel()
        self.join(_STOP_SECONDS)

    def has_seen(self, etags: Mapping[str, str]) -> bool:
        """Says whether these findings, and no others, were seen as they stand."""
        return self._last_etags() == etags

    def find_missed(self, etags: Mapping[str, str]) -> list[str]:
        """Returns the findings, by name, that were not seen as they stand."""
        seen = self._last_etags()
        names = sorted(seen.keys() | etags.keys())
        return [name for name in names if seen.get(name) != etags.get(name)]

    def _last_etags(self) -> dict[str, str]:
        with self._lock:
            return {f.name: f.etag for seen in self._seen for f in seen.findings}

    def check(self, tokens: PageTokens, *, is_policy_changed: bool) -> list[str]:
        """Returns what was sent that should not have been.

        A changed policy may well take occurrences away, and its opposite bring them back.
        """
        findings = [] if is_policy_changed else self._check_findings()
        return [*self.complaints, *self._check_cursors(tokens), *findings]

    def _watch(self, stub: FindingServiceStub) -> None:
        request = wire.WatchFindingsRequest(filter=EVERY_STATE)
        if self._seen:
            request.cursor = self._seen[-1].cursor
        else:
            request.start_time.CopyFrom(Timestamp(seconds=0))
        call = stub.WatchFindings(request)
        with self._lock:
            self._call = call
        if self._stopping.is_set():
            call.cancel()
        try:
            for response in call:
                seen = Seen(self._stream_count, tuple(response.findings), response.cursor)
                with self._lock:
                    self._seen.append(seen)
                self._history.note(
                    self.name,
                    What.WATCHED,
                    stream=seen.stream,
                    etags={finding.name: finding.etag for finding in seen.findings},
                )
        except grpc.RpcError as error:
            if call.code() not in _PASSING:
                self.complaints.append(f"{self.name}: {call.code()} {call.details()} ({error!r})")
                self._stopping.set()

    def _check_cursors(self, tokens: PageTokens) -> list[str]:
        """A cursor never goes back, and with findings it goes on."""
        complaints = []
        before = -1
        for seen in self._seen:
            (cursor,) = tokens.open("WatchFindings", b"", seen.cursor)
            assert isinstance(cursor, int)
            if cursor < before or (seen.findings and cursor == before):
                complaints.append(f"{self.name}: cursor {cursor} comes after {before}")
            before = cursor
        return complaints

    def _check_findings(self) -> list[str]:
        """A finding never goes back to how it stood before, and never loses an occurrence."""
        complaints = []
        versions: dict[str, list[Finding]] = {}
        for finding in (finding for seen in self._seen for finding in seen.findings):
            former = versions.setdefault(finding.name, [])
            if former and former[-1].etag == finding.etag:
                continue
            if finding.etag in {version.etag for version in former}:
                complaints.append(f"{self.name}: {finding.name} went back to {finding.etag}")
            if former and finding.occurrence_count < former[-1].occurrence_count:
                complaints.append(f"{self.name}: {finding.name} lost an occurrence")
            former.append(finding)
        return complaints
