"""Somebody who takes findings up while everything breaks, and who must not do it in vain."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event, Thread

import grpc

from amiguard.v1 import finding_service_pb2 as wire
from amiguard.v1.finding_pb2 import Finding
from amiguard.v1.finding_service_pb2_grpc import FindingServiceStub
from tests.robustness.history import History, What

ASSIGNEE = "handler"

_PAUSE_SECONDS = 0.1
_CALL_SECONDS = 5
_STOP_SECONDS = 15
_PASSING = {
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    # It was moved by a call whose answer was lost.
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNAVAILABLE,
}


class Handler(Thread):
    """Acknowledges every finding that is open, again and again until it is told to stop."""

    def __init__(self, addresses: Sequence[str], history: History) -> None:
        super().__init__(name="handler", daemon=True)
        self._target = f"ipv4:{','.join(addresses)}"
        self._history = history
        self._stopping = Event()
        self.taken: set[str] = set()
        """Findings of which a server said that they are acknowledged."""
        self.complaints: list[str] = []

    def run(self) -> None:
        """Returns after `stop`."""
        with grpc.insecure_channel(self._target) as channel:
            stub = FindingServiceStub(channel)
            while not self._stopping.wait(_PAUSE_SECONDS):
                try:
                    self._take_up(stub)
                except grpc.RpcError as error:
                    if isinstance(error, grpc.Call) and error.code() in _PASSING:
                        continue
                    self.complaints.append(f"handler: {error}")
                    return

    def close(self) -> None:
        """Has it take up no more."""
        self._stopping.set()

    def stop(self) -> None:
        """Returns once it has ended, if it was started."""
        self.close()
        if self.is_alive():
            self.join(_STOP_SECONDS)

    def _take_up(self, stub: FindingServiceStub) -> None:
        request = wire.GetFindingsRequest(filter="state = OPEN", page_size=500)
        for finding in stub.GetFindings(request, timeout=_CALL_SECONDS).findings:
            stub.AcknowledgeFinding(
                wire.AcknowledgeFindingRequest(name=finding.name, assignee=ASSIGNEE),
                timeout=_CALL_SECONDS,
            )
            self.taken.add(finding.name)
            self._history.note(self.name, What.TAKEN_UP, finding=finding.name)


def find_undone(stub: FindingServiceStub, taken: set[str]) -> list[str]:
    """Returns what became of moves that were made: each must be there, and none twice."""
    undone = []
    for name in sorted(taken):
        finding = stub.GetFinding(wire.GetFindingRequest(name=name)).finding
        if (finding.state, finding.assignee) != (Finding.STATE_ACKNOWLEDGED, ASSIGNEE):
            undone.append(f"{name} was acknowledged and is not")
        history = stub.ListFindingHistory(wire.ListFindingHistoryRequest(finding=name)).entries
        moves = [entry.state_after for entry in history if entry.actor != "amiguard"]
        if moves != [Finding.STATE_ACKNOWLEDGED]:
            undone.append(f"{name} was moved as {moves}")
    return undone
