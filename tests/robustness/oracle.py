"""What is stored against what the rule makes of the records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.message import Message

from amiguard.v1.finding_pb2 import Finding as FindingMessage
from amiguard.v1.finding_pb2 import Occurrence as OccurrenceMessage
from amiguard_client import Client
from amiguard_client._finding_calls import FindingCalls
from amiguard_client.cli import _convert as by_the_rule
from amiguard_client.errors import NotFoundError
from amiguard_core.decode import decode_records
from amiguard_core.findings import Finding
from amiguard_core.pipeline import evaluate
from amiguard_service.ledger import WITHDRAWN
from tests.robustness.operators import Tuned
from tests.robustness.watcher import EVERY_STATE

_PAGE_SIZE = 7
"""Small, so that lists really come in pages."""


class Shown(Protocol):
    """What is stored, as somebody sees it."""

    def findings(self) -> Mapping[str, FindingMessage]:
        """Returns every finding by name, whatever its state."""

    def occurrences(self, name: str) -> list[OccurrenceMessage]:
        """Returns every occurrence of a finding; none where there is no such finding."""


@dataclass(frozen=True)
class ServerView(Shown):
    """What one server shows."""

    client: Client

    def findings(self) -> Mapping[str, FindingMessage]:
        """Returns every finding by name, whatever its state; raises where one is listed twice."""
        return fetch_findings(self.client)

    def occurrences(self, name: str) -> list[OccurrenceMessage]:
        """Returns every occurrence of a finding; none where there is no such finding."""
        try:
            return fetch_occurrences(self.client, name)
        except NotFoundError:
            return []


def fetch_findings(client: Client) -> dict[str, FindingMessage]:
    """Returns every finding by name, whatever its state; raises where one is listed twice."""
    pages = FindingCalls(client.connection).pages(
        EVERY_STATE, order_by="create_time", page_size=_PAGE_SIZE
    )
    listed = [finding for page in pages for finding in page.findings]
    repeated = [name for name, count in Counter(f.name for f in listed).items() if count > 1]
    if repeated:
        raise AssertionError(f"listed twice: {repeated}")
    return {finding.name: finding for finding in listed}


def fetch_occurrences(client: Client, name: str) -> list[OccurrenceMessage]:
    """Returns every occurrence of a finding, in the order of the list."""
    pages = FindingCalls(client.connection).occurrence_pages(name, page_size=_PAGE_SIZE)
    return [occurrence for page in pages for occurrence in page.occurrences]


def find_differences(shown: Shown, records: Iterable[bytes], tuned: Tuned) -> list[str]:
    """Returns where what a server shows is not what the rule makes of the records.

    What a former policy found and the present one does not is set aside, not deleted. An open
    finding may have been taken up.
    """
    found = evaluate(records, tuned.policy, images=tuned.images)
    expected = {f"findings/{f.key.finding_id()}": f for f in found}
    stored = {name: f for name, f in shown.findings().items() if f.suppression != WITHDRAWN}
    differences = [f"lost: {name}" for name in sorted(expected.keys() - stored.keys())]
    differences += [f"invented: {name}" for name in sorted(stored.keys() - expected.keys())]
    for name in sorted(expected.keys() & stored.keys()):
        differences += _compare(shown, stored[name], expected[name])
    return differences


def find_missing(shown: Shown, acked: Iterable[bytes], tuned: Tuned | None = None) -> list[str]:
    """Returns the occurrences that acknowledged records make and that are not stored.

    More may be: batches are stored before they are acknowledged.
    """
    missing = []
    tuned = tuned or Tuned()
    for finding in evaluate(acked, tuned.policy, images=tuned.images):
        name = f"findings/{finding.key.finding_id()}"
        wanted = {occurrence.launch.origin.event_id for occurrence in finding.occurrences}
        stored = {occurrence.launch.event_id for occurrence in shown.occurrences(name)}
        missing += [f"lost: {name} {launch}" for launch in wanted - stored]
    return missing


def count_relevant(records: Iterable[bytes]) -> int:
    """Returns how many searches and launches there are to be stored, each once.

    Two copies of one event that say different things are two.
    """
    decoded = decode_records(list(records))
    lanes = [search.origin.lane for search in set(decoded.searches)]
    lanes += [launch.origin.lane for launch in set(decoded.launches)]
    return sum(lane is not None for lane in lanes)


def _compare(shown: Shown, stored: FindingMessage, expected: Finding) -> list[str]:
    got = FindingMessage()
    got.CopyFrom(stored)
    got.ClearField("create_time")
    got.ClearField("update_time")
    got.ClearField("etag")
    # It rises with every attempt to change the rule, be its answer lost or not.
    got.ClearField("rule_revision")
    if got.state == FindingMessage.STATE_ACKNOWLEDGED:
        got.state = FindingMessage.STATE_OPEN
        got.assignee = ""
    wanted_message = by_the_rule.finding_message(expected)
    wanted_message.ClearField("rule_revision")
    differences = _differing(stored.name, got, wanted_message)
    occurrences = shown.occurrences(stored.name)
    wanted = [by_the_rule._occurrence(occurrence) for occurrence in expected.occurrences]
    if len(occurrences) != len(wanted):
        differences.append(f"{stored.name}: {len(occurrences)} occurrences, not {len(wanted)}")
    for one, other in zip(occurrences, wanted, strict=False):
        differences += _differing(f"{stored.name} {other.launch.event_id}", one, other)
    return differences


def _differing(what: str, got: Message, wanted: Message) -> list[str]:
    return [
        f"{what}: {field.name} is {getattr(got, field.name)!s:.300}, "
        f"not {getattr(wanted, field.name)!s:.300}"
        for field in got.DESCRIPTOR.fields
        if getattr(got, field.name) != getattr(wanted, field.name)
    ]
