"""The way in: one client of one server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from amiguard.v1 import ingest_service_pb2
from amiguard.v1.ingest_service_pb2_grpc import IngestServiceStub
from amiguard_client.coverage import get_coverage
from amiguard_client.findings import get_finding, list_findings, list_occurrences
from amiguard_client.lifecycle import (
    acknowledge_finding,
    close_finding,
    list_finding_history,
    poll_findings,
    reopen_finding,
    update_finding,
    watch_findings,
)
from amiguard_client.packing import Limits, LogFile, Records, Submittable, batch_of
from amiguard_client.submit import Submitter
from amiguard_client.summary import BatchResult, SubmitSummary, result_of
from amiguard_client.tuning import TuningClient

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
    from datetime import datetime, timedelta
    from types import TracebackType

    from amiguard_client.channel import Connection
    from amiguard_client.coverage import Coverage
    from amiguard_client.errors import AmiguardError
    from amiguard_client.retry import RetryPolicy, Timing
    from amiguard_client.values import (
        Disposition,
        Finding,
        FindingChanges,
        FindingHistoryEntry,
        Occurrence,
    )


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
        on_retry: Callable[[AmiguardError, timedelta], None] | None = None,
        retry: RetryPolicy | None = None,
        timing: Timing | None = None,
        bounds: Limits | None = None,
    ) -> SubmitSummary:
        """Submits log files, groups of records and single records; returns once all is durable.

        `inputs` is read lazily, in another thread, no further than the server's window allows.
        `source` names the forwarder in the server's logs: 1 to 64 characters from [a-z0-9-].
        `on_ack` is called in this thread for each batch, in the order of the input and exactly
        once. Broken connections, restarts and overload are waited out within `retry`, each wait
        after a call of `on_retry` with its cause and length; submitting the same records again is
        always safe. `bounds` hold less in memory than the server's limits allow.
        """
        submitter = Submitter(
            self.connection,
            source=source,
            on_ack=on_ack,
            on_retry=on_retry,
            retry=retry,
            timing=timing,
            bounds=bounds,
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

    @property
    def tuning(self) -> TuningClient:
        """What tunes the server: its allowlist, its rule configuration, what it knows of images."""
        return TuningClient(self.connection)

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

    def get_coverage(self, *, account_id: str = "", region: str = "") -> Coverage:
        """Returns what came in, by account and region, and what is wrong with it.

        Of one account or region where these are given, else of all.
        """
        return get_coverage(self.connection, account_id=account_id, region=region)

    def acknowledge_finding(
        self, name: str, *, assignee: str | None = None, etag: str | None = None
    ) -> Finding:
        """Moves an open finding to acknowledged and returns it.

        `assignee` takes it up, the caller where None. With `etag` this happens only if it is still
        the finding's. Raises a ConflictError otherwise, or when the finding is in another state; so
        do the changes below.
        """
        return acknowledge_finding(self.connection, name, assignee=assignee, etag=etag)

    def close_finding(
        self,
        name: str,
        disposition: Disposition,
        *,
        comment: str,
        accept_until_time: datetime | None = None,
        etag: str | None = None,
    ) -> Finding:
        """Closes a finding that is not closed, and returns it.

        `accept_until_time` goes with RISK_ACCEPTED and with nothing else.
        """
        return close_finding(
            self.connection,
            name,
            disposition=disposition,
            comment=comment,
            accept_until_time=accept_until_time,
            etag=etag,
        )

    def reopen_finding(self, name: str, *, comment: str, etag: str | None = None) -> Finding:
        """Reopens a closed finding and returns it."""
        return reopen_finding(self.connection, name, comment=comment, etag=etag)

    def update_finding(
        self,
        name: str,
        *,
        assignee: str | None = None,
        labels: Mapping[str, str] | None = None,
        etag: str | None = None,
    ) -> Finding:
        """Sets assignee or labels of a finding and returns it; None leaves a field as it is.

        An empty assignee is nobody. Labels are replaced as a whole.
        """
        return update_finding(self.connection, name, assignee=assignee, labels=labels, etag=etag)

    def list_finding_history(
        self, name: str, *, page_size: int = 0
    ) -> Iterator[FindingHistoryEntry]:
        """Yields every move of one finding from state to state, oldest first."""
        return list_finding_history(self.connection, name, page_size=page_size)

    def watch_findings(
        self,
        filter: str = "",  # noqa: A002 - the wire contract's word
        *,
        cursor: str | None = None,
        start_time: datetime | None = None,
        retry: RetryPolicy | None = None,
        timing: Timing | None = None,
    ) -> Generator[FindingChanges, None, None]:
        """Yields changes of findings a filter lets through, in commit order, without an end.

        It starts after `cursor`, else at the first change at or after `start_time`, else now.
        Broken connections and restarts are waited out within `retry`, and nothing is missed: what
        was not asked past is sent again. Raises a CursorExpiredError where the change log no
        longer reaches back as far.
        """
        return watch_findings(
            self.connection,
            filter,
            cursor=cursor,
            start_time=start_time,
            retry=retry,
            timing=timing,
        )

    def poll_findings(
        self,
        filter: str = "",  # noqa: A002 - the wire contract's word
        *,
        cursor: str | None = None,
        start_time: datetime | None = None,
        limit: int = 500,
    ) -> FindingChanges:
        """Returns the changes that `watch_findings` would yield, as far as there are any by now.

        For callers that come by now and then: they store the cursor after handling the findings,
        and come back with it. At most `limit` findings come, and the rest is left to the next
        call. No findings means that there were none left.
        """
        return poll_findings(
            self.connection, filter, cursor=cursor, start_time=start_time, limit=limit
        )
