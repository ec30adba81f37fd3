"""The way in: one client of one server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from amiguard.v1 import ingest_service_pb2
from amiguard.v1.ingest_service_pb2_grpc import IngestServiceStub
from amiguard_client.findings import get_finding, list_findings, list_occurrences
from amiguard_client.packing import LogFile, Records, Submittable, batch_of
from amiguard_client.submit import Submitter
from amiguard_client.summary import BatchResult, SubmitSummary, result_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from amiguard_client.channel import Connection
    from amiguard_client.retry import RetryPolicy, Timing
    from amiguard_client.values import Finding, Occurrence


class Client:
    """A client of one server; made by `connect`, closed by the end of its `with` statement.

    Safe to share between threads. Every method raises an AmiguardError of the kind that says what
    can be done about it.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends every call and the connection."""
        self.connection.close()

    def submit(
        self,
        inputs: Iterable[Submittable],
        *,
        source: str,
        on_ack: Callable[[BatchResult], None] | None = None,
        retry: RetryPolicy | None = None,
        timing: Timing | None = None,
    ) -> SubmitSummary:
        """Submits log files, groups of records and single records; returns once all is durable.

        `inputs` is read lazily, in another thread, no further than the server's window allows.
        `source` names the forwarder in the server's logs: 1 to 64 characters from [a-z0-9-].
        `on_ack` is called in this thread for each batch, in the order of the input and exactly
        once. Broken connections, restarts and overload are waited out within `retry`; submitting
        the same records again is always safe.
        """
        submitter = Submitter(
            self.connection, source=source, on_ack=on_ack, retry=retry, timing=timing
        )
        return submitter.run(inputs)

    def submit_batch(self, batch: LogFile | Records, *, source: str) -> BatchResult:
        """Submits one batch in one call and returns once it is durable.

        For callers that live for one call. The server refuses a batch over its limits; `submit`
        knows them and takes it apart.
        """
        packed = batch_of(batch)
        request = ingest_service_pb2.SubmitBatchRequest(source=source, batch=packed.to_message(1))
        stub = IngestServiceStub(self.connection.channel)
        response = self.connection.call(stub.SubmitBatch, request)
        return result_of(packed, response.ack, number=1)

    def get_finding(self, name: str) -> Finding:
        """Returns one finding, by `findings/{finding_id}` or by the bare id."""
        return get_finding(self.connection, name)

    def list_findings(
        self,
        filter: str = "",  # noqa: A002 - the wire contract's word
        *,
        order_by: str = "",
        page_size: int = 0,
    ) -> Iterator[Finding]:
        """Yields the findings a filter lets through, newest change first unless `order_by` says.

        Pages of `page_size` findings (50 where 0, at most 500) are asked for as they are needed.
        """
        return list_findings(self.connection, filter, order_by=order_by, page_size=page_size)

    def list_occurrences(self, name: str, *, page_size: int = 0) -> Iterator[Occurrence]:
        """Yields every occurrence of one finding, newest launch first."""
        return list_occurrences(self.connection, name, page_size=page_size)
