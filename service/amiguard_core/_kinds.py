"""Tells what a JSON value is that may be a record or hold some."""

from __future__ import annotations

from typing import Any

from amiguard_core._node import Node
from amiguard_core.errors import RecordMalformedError

MAX_CALL_LENGTH = 256
"""Longest eventSource, eventName and errorCode that are read."""

_CALL_CATEGORY = "Management"
_INSIGHT_TYPE = "AwsCloudTrailInsight"
_ENDPOINT_TYPE = "AwsVpceEvent"
"""Event types that carry the name of a call and are none: a statistic, and a VPC endpoint's view of
a call that has a record of its own. The second is spelled in two ways, of which this is the start.
"""
_ENVELOPES = ("Events", "events", "logEvents")
"""Arrays of LookupEvents and of CloudWatch Logs."""
_OTHER_KINDS = (
    (
        "class_uid",
        "an OCSF event",
        "the trail's own log files: amiguardctl submit s3://BUCKET/PREFIX",
    ),
    (
        "digestS3Bucket",
        "a digest, which signs log files and holds no record",
        "the log files beside it: amiguardctl submit FOLDER",
    ),
)
"""Keys of objects that are known and hold no record."""


def is_no_call(node: Node) -> bool:
    """Says whether a record is of no management call, though it may carry the name of one."""
    category = node.child("eventCategory").text(max_length=MAX_CALL_LENGTH)
    if category not in {None, _CALL_CATEGORY}:
        return True
    kind = node.child("eventType").text(max_length=MAX_CALL_LENGTH) or ""
    return kind == _INSIGHT_TYPE or kind.startswith(_ENDPOINT_TYPE)


def other_kind(node: Node) -> RecordMalformedError:
    """Makes the error of an object that is no record and holds none."""
    for key, got, wanted in _OTHER_KINDS:
        if key in node.value:
            return node.refuse(wanted, got=got)
    return node.refuse(
        "a CloudTrail record, an EventBridge envelope, a LookupEvents item or a log file",
        got="an object of another kind",
    )


def holds_array(value: Any) -> bool:
    """Says whether a JSON value is an array of records, or an object around one."""
    return isinstance(value, list) or (
        isinstance(value, dict) and any(isinstance(value.get(name), list) for name in _ENVELOPES)
    )
