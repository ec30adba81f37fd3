"""What the line of a call in the log says that the call touched."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from amiguard.v1 import finding_pb2
from amiguard.v1 import finding_service_pb2 as finding_wire
from amiguard.v1 import sink_service_pb2 as sink_wire
from amiguard.v1 import tuning_service_pb2 as wire
from amiguard_service.touched import MAX_NAME_LENGTH, touched_by

ENTRY = "allowlistEntries/a"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            wire.DeleteAllowlistEntryRequest(name=ENTRY, validate_only=True),
            {"name": ENTRY, "validate_only": True},
        ),
        (wire.DeleteAllowlistEntryRequest(name=ENTRY), {"name": ENTRY}),
        (
            wire.CreateAllowlistEntryResponse(allowlist_entry=wire.AllowlistEntry(name=ENTRY)),
            {"allowlist_entry": ENTRY},
        ),
        (
            wire.UpdateRuleConfigResponse(rule_config=wire.RuleConfig(revision=2)),
            {"rule_config": "2"},
        ),
        (
            wire.RegisterImagesRequest(images=[wire.KnownImage(image_id="ami-1")] * 3),
            {"image_count": 3},
        ),
        (
            finding_wire.UpdateFindingRequest(finding=finding_pb2.Finding(name="findings/f")),
            {"finding": "findings/f"},
        ),
        (
            sink_wire.RetryDeadLettersRequest(sink="sinks/s", finding="findings/f"),
            {"sink": "sinks/s", "finding": "findings/f"},
        ),
    ],
)
def test_line_names_what_a_write_touched(message: Message, expected: dict[str, object]) -> None:
    """Every write names its resource or counts its images, and a trial says that it is one."""
    assert touched_by(message) == expected


def test_name_in_the_line_is_bounded_and_plain() -> None:
    """A name that will be refused neither fills the log nor steers a terminal."""
    name = "findings/\x1b[2J" + "x" * 1_000_000

    logged = touched_by(finding_wire.CloseFindingRequest(name=name))["name"]

    assert isinstance(logged, str)
    assert len(logged) == MAX_NAME_LENGTH
    assert "\x1b" not in logged
