"""Reading findings from a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amiguard_client._finding_calls import FindingCalls
from amiguard_client._from_wire import finding_of, occurrence_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amiguard_client.channel import Connection
    from amiguard_client.values import Finding, Occurrence


def get_finding(connection: Connection, name: str) -> Finding:
    """Returns one finding, by `findings/{finding_id}` or by the bare id."""
    return finding_of(FindingCalls(connection).get(name))


def list_findings(
    connection: Connection,
    filter: str,  # noqa: A002 - the contract's word
    *,
    order_by: str,
    page_size: int,
) -> Iterator[Finding]:
    """Yields findings, asking for a page when the one before is used up."""
    pages = FindingCalls(connection).pages(filter, order_by=order_by, page_size=page_size)
    for page in pages:
        yield from map(finding_of, page.findings)


def list_occurrences(connection: Connection, name: str, *, page_size: int) -> Iterator[Occurrence]:
    """Yields every occurrence of a finding, newest launch first."""
    for page in FindingCalls(connection).occurrence_pages(name, page_size=page_size):
        yield from map(occurrence_of, page.occurrences)
