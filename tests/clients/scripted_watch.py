"""A FindingService whose watch streams are scripted, one after another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc

from amiguard.v1 import finding_pb2, finding_service_pb2
from tests.clients.scripted_server import Findings

Line: TypeAlias = finding_service_pb2.WatchFindingsResponse
"""What a stream says."""


@dataclass(slots=True)
class ScriptedWatch(Findings):
    """Plays a list of streams: what each says, and the status it ends with.

    A stream with the status None says nothing more and stays open, and so does one past the script.
    """

    script: list[tuple[list[Line], Any]] = field(default_factory=list)
    opened: list[finding_service_pb2.WatchFindingsRequest] = field(default_factory=list)
    silent: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)

    def WatchFindings(  # noqa: N802 - the RPC's name
        self, request: finding_service_pb2.WatchFindingsRequest, context: grpc.ServicerContext
    ) -> Iterator[Line]:
        number = len(self.opened)
        self.opened.append(request)
        lines, end = self.script[number] if number < len(self.script) else ([], None)
        yield from lines
        if end is not None:
            context.abort_with_status(end)
        ended = threading.Event()
        if context.add_callback(ended.set):
            self.silent.set()
            ended.wait(timeout=30)
        self.left.set()


def line(cursor: str, *names: str) -> Line:
    """Makes a response: a sign of life where it has no names."""
    return finding_service_pb2.WatchFindingsResponse(
        findings=[finding_pb2.Finding(name=f"findings/{name}") for name in names], cursor=cursor
    )


def playing(*script: tuple[list[Line], Any]) -> ScriptedWatch:
    """Makes a service that plays streams."""
    return ScriptedWatch(script=list(script))  # type: ignore[abstract]  # no test calls the others
