"""Moving findings from state to state, handing them to somebody, and following their changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amiguard_client._finding_calls import FindingCalls
from amiguard_client._from_wire import finding_of, history_entry_of
from amiguard_client._watch import Watcher, watch_request
from amiguard_client.values import Disposition, FindingChanges

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from datetime import datetime

    from amiguard_client.channel import Connection
    from amiguard_client.retry import RetryPolicy, Timing
    from amiguard_client.values import Finding, FindingHistoryEntry


def acknowledge_finding(
    connection: Connection, name: str, *, assignee: str | None, etag: str | None
) -> Finding:
    """Moves an open finding to acknowledged and returns it."""
    return finding_of(FindingCalls(connection).acknowledge(name, assignee=assignee, etag=etag))


def close_finding(
    connection: Connection,
    name: str,
    *,
    disposition: Disposition,
    comment: str,
    accept_until_time: datetime | None,
    etag: str | None,
) -> Finding:
    """Closes a finding that is not closed and returns it."""
    if disposition is Disposition.UNKNOWN:
        raise ValueError(f"got disposition {disposition}, expected what the finding turned out as")
    closed = FindingCalls(connection).close(
        name,
        disposition=disposition.value,
        comment=comment,
        accept_until_time=accept_until_time,
        etag=etag,
    )
    return finding_of(closed)


def reopen_finding(connection: Connection, name: str, *, comment: str, etag: str | None) -> Finding:
    """Reopens a closed finding and returns it."""
    return finding_of(FindingCalls(connection).reopen(name, comment=comment, etag=etag))


def update_finding(
    connection: Connection,
    name: str,
    *,
    assignee: str | None,
    labels: Mapping[str, str] | None,
    etag: str | None,
) -> Finding:
    """Sets what is given of assignee and labels and returns the finding."""
    calls = FindingCalls(connection)
    return finding_of(calls.update(name, assignee=assignee, labels=labels, etag=etag))


def list_finding_history(
    connection: Connection, name: str, *, page_size: int
) -> Iterator[FindingHistoryEntry]:
    """Yields every move of a finding from state to state, oldest first."""
    for page in FindingCalls(connection).history_pages(name, page_size=page_size):
        yield from map(history_entry_of, page.entries)


def watch_findings(
    connection: Connection,
    filter: str,  # noqa: A002 - the contract's word
    *,
    cursor: str | None,
    start_time: datetime | None,
    retry: RetryPolicy | None,
    timing: Timing | None,
) -> Generator[FindingChanges, None, None]:
    """Yields changes of findings without an end, across broken connections."""
    watcher = Watcher(
        connection,
        filter=filter,
        cursor=cursor,
        start_time=start_time,
        retry=retry,
        timing=timing,
    )
    return (
        FindingChanges(findings=tuple(map(finding_of, response.findings)), cursor=response.cursor)
        for response in watcher
    )


def poll_findings(
    connection: Connection,
    filter: str,  # noqa: A002 - the contract's word
    *,
    cursor: str | None,
    start_time: datetime | None,
    limit: int,
) -> FindingChanges:
    """Returns changes of findings up to the present, in one call."""
    if limit < 1:
        raise ValueError(f"got limit {limit}, expected 1 or more")
    request = watch_request(filter, cursor=cursor, start_time=start_time)
    said = FindingCalls(connection).poll(request, limit=limit)
    return FindingChanges(findings=tuple(map(finding_of, said.findings)), cursor=said.cursor)
