"""What a message of a queue says: where log files are, or a record itself.

Forms, each as it is, inside the envelope of an SNS topic, or both of these inside another:

- S3 event notifications, whose keys are form-encoded (docs.aws.amazon.com, "Event message
  structure": `+` is a space), and the `s3:TestEvent` that setting them up sends;
- CloudTrail's own notifications, `{"s3Bucket": ..., "s3ObjectKey": [...]}`, whose keys are not
  encoded, and the sentence that setting them up sends;
- EventBridge events: S3's "Object Created", whose key is not encoded, and CloudTrail's, whose
  `detail` is a record;
- a CloudTrail record, which an EventBridge rule with the input path `$.detail` sends.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import unquote_plus

from amiguard_client.forward.errors import BadObjectError
from amiguard_client.left_out import Reason
from amiguard_client.log_names import reason_to_leave_out

_MAX_ENVELOPES = 3
"""SNS topics that a message may have passed; two is already unusual."""
_CLOUDTRAIL_TEST = "CloudTrail validation message."
_FORMS = "an S3, CloudTrail or EventBridge notification"


@dataclass(frozen=True, slots=True)
class ObjectAt:
    """Where an object is."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class LogObjects:
    """New objects to be forwarded, and what else was named, each with the reason.

    Passed over is only what is known to be no log file: other feeds of CloudTrail, other services,
    objects that were removed. An object of any other name is among the `objects`.
    """

    objects: tuple[ObjectAt, ...]
    passed_over: tuple[tuple[Reason, ObjectAt], ...] = ()


@dataclass(frozen=True, slots=True)
class OneRecord:
    """A CloudTrail record, maybe in its EventBridge envelope, as it was written."""

    text: str


@dataclass(frozen=True, slots=True)
class PassedOver:
    """Something that tells of no log file and no record."""


@dataclass(frozen=True, slots=True)
class SetupTest:
    """What AWS sends when notifications are set up."""


Notice: TypeAlias = LogObjects | OneRecord | PassedOver | SetupTest


def read_message(body: str) -> Notice:
    """Returns what a message says; raises a BadObjectError for one of another form."""
    for _ in range(_MAX_ENVELOPES):
        if body.strip() == _CLOUDTRAIL_TEST:
            return SetupTest()
        message = _parse(body)
        inner = message.get("Message")
        if message.get("Type") == "SubscriptionConfirmation":
            raise BadObjectError("got a subscription that waits to be confirmed on its SNS topic")
        if not isinstance(inner, str) or "TopicArn" not in message:
            return _read(message, body)
        body = inner
    raise BadObjectError(f"got more than {_MAX_ENVELOPES} envelopes of SNS, wanted {_FORMS}")


def _parse(body: str) -> Mapping[str, Any]:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        raise BadObjectError(f"got text that is no JSON, wanted {_FORMS}") from None
    if not isinstance(message, dict):
        raise BadObjectError(f"got JSON that is no object, wanted {_FORMS}")
    return message


def _read(message: Mapping[str, Any], body: str) -> Notice:
    match message:
        case {"Event": "s3:TestEvent"}:
            return SetupTest()
        case {"s3Bucket": str(bucket), "s3ObjectKey": list(keys)} if _are_texts(keys):
            return _log_objects(ObjectAt(bucket, key) for key in keys)
        case {"detail-type": str(kind), "detail": dict(detail)}:
            return _read_event(kind, message.get("source"), detail, body)
        case {"Records": [*entries]} if entries:
            return _read_s3(entries)
        case {"eventSource": str(), "eventName": str(), "eventTime": str()}:
            return OneRecord(body)
        case _:
            raise BadObjectError(f"got another object, wanted {_FORMS}")


def _read_event(kind: str, source: object, detail: Mapping[str, Any], body: str) -> Notice:
    if kind.endswith("via CloudTrail"):
        return OneRecord(body)
    if source == "aws.s3" and kind == "Object Created":
        match detail:
            case {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}}:
                return _log_objects([ObjectAt(bucket, key)])
            case _:
                raise BadObjectError("got an Object Created event without bucket and key")
    return PassedOver()


def _read_s3(entries: list[Any]) -> Notice:
    found = []
    others = []
    for entry in entries:
        match entry:
            case {
                # MinIO and Ceph send the same under names of their own.
                "eventSource": str(source),
                "eventName": str(name),
                "s3": {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}},
            } if source.endswith(":s3"):
                at = ObjectAt(bucket, unquote_plus(key))
                if name.removeprefix("s3:").startswith("ObjectCreated:"):
                    found.append(at)
                else:
                    others.append((Reason.NO_NEW_OBJECT, at))
            case _:
                raise BadObjectError(f"got Records of another kind, wanted {_FORMS}")
    return _log_objects(found, others)


def _log_objects(
    created: Iterable[ObjectAt], others: Iterable[tuple[Reason, ObjectAt]] = ()
) -> LogObjects:
    objects = []
    passed_over = list(others)
    for at in created:
        reason = reason_to_leave_out(at.key)
        if reason in {None, Reason.OTHER_NAME}:
            objects.append(at)
        else:
            passed_over.append((reason, at))
    return LogObjects(tuple(objects), tuple(passed_over))


def _are_texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)
