"""A real gRPC server on loopback that plays a script of faults, one act a stream."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto
from queue import SimpleQueue
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from amiguard.v1 import finding_pb2, finding_service_pb2, ingest_service_pb2
from amiguard.v1.finding_service_pb2_grpc import (
    FindingServiceServicer,
    add_FindingServiceServicer_to_server,
)
from amiguard.v1.ingest_service_pb2_grpc import (
    IngestServiceServicer,
    add_IngestServiceServicer_to_server,
)

DOMAIN = "amiguard.dev"
MALFORMED = ingest_service_pb2.RecordRejection(
    reason="ERROR_REASON_RECORD_MALFORMED",  # type: ignore[arg-type]  # protobuf takes names too
    path="$.eventName",
    message="got a number, wanted a string",
)
GO_AWAY = ingest_service_pb2.SubmitEventsResponse(
    go_away=ingest_service_pb2.GoAway(message="draining")
)


class Fault(Enum):
    """How a stream comes to its end."""

    NONE = auto()
    BREAK = auto()
    BREAK_AFTER_COMMIT = auto()
    END_EARLY = auto()
    GO_AWAY = auto()
    TURN_AWAY = auto()
    REFUSE = auto()
    STALL = auto()
    SKIP_ACK = auto()


@dataclass(frozen=True, slots=True)
class Act:
    """One stream: its fault comes once that many batches are acknowledged."""

    fault: Fault = Fault.NONE
    acks_before: int = 0
    code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE
    details: tuple[Message, ...] = ()
    repeats_acks: bool = False


def status(code: grpc.StatusCode, text: str, details: tuple[Message, ...] = ()) -> Any:
    """Returns a status that carries details, for `abort_with_status`."""
    number: int = code.value[0]
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    return rpc_status.to_status(status_pb2.Status(code=number, message=text, details=packed))


def overloaded(retry_after: timedelta) -> tuple[Message, ...]:
    """Returns the details of an OVERLOADED error."""
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromTimedelta(retry_after)
    return (reason("OVERLOADED", limit="records"), retry)


def reason(name: str, **metadata: str) -> Message:
    """Returns the ErrorInfo of a cause."""
    return error_details_pb2.ErrorInfo(reason=name, domain=DOMAIN, metadata=metadata)


@dataclass(slots=True)
class Ingest(IngestServiceServicer):
    """Commits batches and acknowledges them, as far as the script lets it.

    `committed` has the records of each batch in the order committed, repeats included. A record
    that is no JSON object is rejected.
    """

    limits: ingest_service_pb2.StreamLimits = field(
        default_factory=lambda: ingest_service_pb2.StreamLimits(
            max_batches_in_flight=4,
            max_records_per_batch=100,
            max_message_bytes=1024 * 1024,
            max_inflated_bytes=8 * 1024 * 1024,
        )
    )
    script: list[Act] = field(default_factory=list)
    committed: list[list[bytes]] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    metadata: list[dict[str, str | bytes]] = field(default_factory=list)
    stream_count: int = 0
    most_outstanding: int = 0
    on_open: Callable[[int], None] = lambda _: None
    on_batch: Callable[[int], None] = lambda _: None
    _known: set[bytes] = field(default_factory=set)

    def SubmitEvents(  # noqa: N802 - the RPC's name
        self,
        request_iterator: Iterator[ingest_service_pb2.SubmitEventsRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[ingest_service_pb2.SubmitEventsResponse]:
        act = self.script[self.stream_count] if self.stream_count < len(self.script) else Act()
        self.stream_count += 1
        self.metadata.append(dict(context.invocation_metadata()))
        self.sources.append(next(request_iterator).open.source)
        self.on_open(self.stream_count)
        if act.fault is Fault.REFUSE:
            abort(context, act)
        yield ingest_service_pb2.SubmitEventsResponse(opened=self.limits)
        if act.fault is Fault.TURN_AWAY:
            yield GO_AWAY
            return
        yield from self._play(act, request_iterator, context)

    def _play(
        self,
        act: Act,
        requests: Iterator[ingest_service_pb2.SubmitEventsRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[ingest_service_pb2.SubmitEventsResponse]:
        inbox = _Inbox(requests)
        acked = 0
        is_told = False
        while True:
            if act.fault is Fault.GO_AWAY and acked == act.acks_before and not is_told:
                is_told = True
                yield GO_AWAY
            batch = inbox.next()
            if batch is None:
                return
            assert batch.sequence == acked + 1, "sequences rise by one within a stream"
            self.on_batch(acked)
            self.most_outstanding = max(self.most_outstanding, inbox.received - acked)
            if acked == act.acks_before and self._ends(act, batch, context):
                return
            ack = self.commit(batch)
            acked += 1
            if act.fault is Fault.SKIP_ACK and acked == act.acks_before + 1:
                ack.sequence += 1
            for _ in range(2 if act.repeats_acks else 1):
                yield ingest_service_pb2.SubmitEventsResponse(ack=ack)

    def _ends(
        self, act: Act, batch: ingest_service_pb2.EventBatch, context: grpc.ServicerContext
    ) -> bool:
        """Says whether the stream ends at this batch, or breaks it."""
        if act.fault is Fault.BREAK_AFTER_COMMIT:
            self.commit(batch)
        if act.fault in {Fault.BREAK, Fault.BREAK_AFTER_COMMIT}:
            abort(context, act)
        if act.fault is Fault.STALL:
            _wait_for_end(context)
        return act.fault in {Fault.END_EARLY, Fault.STALL}

    def SubmitBatch(  # noqa: N802 - the RPC's name
        self, request: ingest_service_pb2.SubmitBatchRequest, context: grpc.ServicerContext
    ) -> ingest_service_pb2.SubmitBatchResponse:
        del context
        self.sources.append(request.source)
        return ingest_service_pb2.SubmitBatchResponse(ack=self.commit(request.batch))

    def commit(self, batch: ingest_service_pb2.EventBatch) -> ingest_service_pb2.BatchAck:
        """Stores the batch and returns its ack."""
        records = records_of(batch)
        self.committed.append(records)
        ack = ingest_service_pb2.BatchAck(sequence=batch.sequence)
        for index, record in enumerate(records):
            if not record.startswith(b"{"):
                ack.rejected_count += 1
                rejection = ack.rejections.add()
                rejection.CopyFrom(MALFORMED)
                rejection.index = index
                continue
            ack.accepted_count += 1
            ack.duplicate_count += record in self._known
            ack.relevant_count += b"DescribeImages" in record
            if b"DescribeImages" in record:
                ack.finding_names.append("findings/0123456789abcdef0123456789abcdef")
            self._known.add(record)
        return ack


class _Inbox:
    """Reads requests as they come, so that what is outstanding can be counted."""

    def __init__(self, requests: Iterator[ingest_service_pb2.SubmitEventsRequest]) -> None:
        self.received = 0
        self._requests = requests
        self._queue: SimpleQueue[ingest_service_pb2.EventBatch | None] = SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def next(self) -> ingest_service_pb2.EventBatch | None:
        """Returns the next batch, None at the end."""
        return self._queue.get(timeout=30)

    def _run(self) -> None:
        try:
            for request in self._requests:
                self.received += 1
                self._queue.put(request.batch)
        except grpc.RpcError:
            pass  # the client went away
        finally:
            self._queue.put(None)


def records_of(batch: ingest_service_pb2.EventBatch) -> list[bytes]:
    """Returns the records of a batch, a log file's in compact JSON."""
    if batch.WhichOneof("payload") == "records":
        return list(batch.records.records)
    content = batch.log_file
    if content.startswith(b"\x1f\x8b"):
        import gzip

        content = gzip.decompress(content)
    try:
        records = json.loads(content)["Records"]
    except (ValueError, TypeError, KeyError):
        return content.splitlines()
    return [json.dumps(record, separators=(",", ":")).encode() for record in records]


def abort(context: grpc.ServicerContext, act: Act) -> NoReturn:
    """Ends the call as the act says."""
    context.abort_with_status(status(act.code, f"scripted {act.code.name}", act.details))
    raise AssertionError


def _wait_for_end(context: grpc.ServicerContext) -> None:
    ended = threading.Event()
    if context.add_callback(ended.set):
        ended.wait(timeout=30)


@dataclass(slots=True)
class Findings(FindingServiceServicer):
    """Serves the findings it was given, page by page; `failure`, when set, is all it says."""

    findings: list[finding_pb2.Finding] = field(default_factory=list)
    occurrences: list[finding_pb2.Occurrence] = field(default_factory=list)
    requests: list[Message] = field(default_factory=list)
    metadata: list[dict[str, str | bytes]] = field(default_factory=list)
    failure: Any = None
    failures_left: int = -1
    page_size: int = 2

    def _note(self, request: Message, context: grpc.ServicerContext) -> None:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        if self.failure is not None and self.failures_left != 0:
            self.failures_left -= 1
            context.abort_with_status(self.failure)

    def GetFinding(  # noqa: N802 - the RPC's name
        self, request: finding_service_pb2.GetFindingRequest, context: grpc.ServicerContext
    ) -> finding_service_pb2.GetFindingResponse:
        self._note(request, context)
        for finding in self.findings:
            if finding.name == request.name:
                return finding_service_pb2.GetFindingResponse(finding=finding)
        context.abort_with_status(status(grpc.StatusCode.NOT_FOUND, f"no finding {request.name}"))
        raise AssertionError

    def GetFindings(  # noqa: N802 - the RPC's name
        self, request: finding_service_pb2.GetFindingsRequest, context: grpc.ServicerContext
    ) -> finding_service_pb2.GetFindingsResponse:
        self._note(request, context)
        start, size = int(request.page_token or 0), request.page_size or self.page_size
        rest = self.findings[start:]
        return finding_service_pb2.GetFindingsResponse(
            findings=rest[:size],
            next_page_token=str(start + size) if len(rest) > size else "",
        )

    def ListOccurrences(  # noqa: N802 - the RPC's name
        self, request: finding_service_pb2.ListOccurrencesRequest, context: grpc.ServicerContext
    ) -> finding_service_pb2.ListOccurrencesResponse:
        self._note(request, context)
        start, size = int(request.page_token or 0), request.page_size or self.page_size
        rest = self.occurrences[start:]
        return finding_service_pb2.ListOccurrencesResponse(
            occurrences=rest[:size],
            next_page_token=str(start + size) if len(rest) > size else "",
        )


@dataclass(frozen=True, slots=True)
class ScriptedServer:
    """A running server and what it plays."""

    target: str
    ingest: Ingest
    findings: Findings


@contextmanager
def serve(
    ingest: Ingest | None = None, findings: Findings | None = None, *, port: int = 0
) -> Iterator[ScriptedServer]:
    """Runs a server until the block ends, on a free port where it is 0."""
    server = grpc.server(ThreadPoolExecutor(max_workers=8))
    ingest = ingest or Ingest()
    findings = findings or Findings()  # type: ignore[abstract]  # no test calls the other methods
    add_IngestServiceServicer_to_server(ingest, server)
    add_FindingServiceServicer_to_server(findings, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield ScriptedServer(f"127.0.0.1:{port}", ingest, findings)
    finally:
        server.stop(grace=None).wait(timeout=30)
