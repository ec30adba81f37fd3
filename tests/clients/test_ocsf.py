"""Findings of a server as OCSF events: the same as the contract's message makes, and valid."""

from __future__ import annotations

import json
from dataclasses import replace

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from amiguard import ocsf as mapping
from amiguard.v1 import finding_service_pb2 as wire
from amiguard.v1.finding_service_pb2_grpc import FindingServiceStub
from amiguard_client import Client, Disposition, State
from amiguard_client._from_wire import finding_of
from amiguard_client._to_wire import finding_message as message_of
from amiguard_client.ocsf import VERSIONS, detection_finding
from tests.clients.live_server import Live
from tests.clients.messages import finding_message
from tests.ocsf_schema import ocsf


def test_a_value_is_the_message_it_was_read_from() -> None:
    """Nothing of a finding is lost between the wire and the value, in either direction."""
    sent = finding_message()

    assert message_of(finding_of(sent)) == sent


def test_value_and_message_make_one_event() -> None:
    """Whoever has the value and whoever has the message say the same."""
    sent = finding_message()

    assert detection_finding(finding_of(sent)) == mapping.detection_finding(sent)


def test_what_this_client_is_too_old_for_is_unknown() -> None:
    """A state that came as UNKNOWN is Unknown in the event too."""
    finding = replace(finding_of(finding_message()), state=State.UNKNOWN)

    assert detection_finding(finding)["status"] == "Unknown"


@pytest.mark.parametrize("version", VERSIONS)
def test_findings_of_a_server_are_valid_events(
    live: Live, live_client: Client, version: str
) -> None:
    """Findings as a server sends them, in each state, are valid events."""
    fresh, taken, closed = (live.occur(number, images=("ami-1",)) for number in range(3))
    live_client.acknowledge_finding(taken, assignee="ops")
    live_client.close_finding(closed, Disposition.FALSE_POSITIVE, comment="it was safe")

    findings = {finding.name: finding for finding in live_client.list_findings()}
    events = {n: detection_finding(f, version=version) for n, f in findings.items()}

    said = {name: (event["status"], event.get("verdict")) for name, event in events.items()}
    assert said == {
        fresh: ("New", None),
        taken: ("In Progress", None),
        closed: ("Resolved", "False Positive"),
    }
    for event in events.values():
        assert ocsf(version).faults(event, profiles=event["metadata"]["profiles"]) == []


class TestOverTheWire:
    """Whoever has stubs alone asks the server for the events."""

    def test_findings_come_with_their_events_where_asked(self, live: Live) -> None:
        """GetFinding, GetFindings and WatchFindings give the same valid event, and only then."""
        name = live.occur(1, images=("ami-1",))
        with grpc.insecure_channel(live.target) as channel:
            stub = FindingServiceStub(channel)
            watched = [
                finding
                for response in stub.WatchFindings(
                    wire.WatchFindingsRequest(
                        start_time=Timestamp(), stop_at_present=True, include_ocsf=True
                    )
                )
                for finding in response.findings
            ]
            listed = stub.GetFindings(wire.GetFindingsRequest(include_ocsf=True)).findings
            got = stub.GetFinding(wire.GetFindingRequest(name=name, include_ocsf=True)).finding
            plain = stub.GetFinding(wire.GetFindingRequest(name=name)).finding

        assert list(listed) == [got]
        assert watched == [got]
        event = json.loads(got.ocsf_json)
        assert event == mapping.detection_finding(plain)
        assert ocsf("1.5.0").faults(event, profiles=event["metadata"]["profiles"]) == []
        assert plain.ocsf_json == ""
