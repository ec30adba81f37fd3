"""What a webhook is sent: a CloudEvent in structured JSON mode, signed as Standard Webhooks asks.

Sources: the CloudEvents specification 1.0.2 with its HTTP and JSON bindings, and the Standard
Webhooks specification, both as published by their projects.
"""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from google.protobuf.json_format import MessageToDict

from amiguard.ocsf import detection_finding
from amiguard_service.convert import finding_message
from amiguard_service.delivery import Event
from amiguard_service.sinks import Payload
from amiguard_service.stored import StoredFinding, finding_name

CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"
FINDING_CHANGED: Final = "dev.amiguard.v1.finding.changed"
TEST: Final = "dev.amiguard.v1.sink.test"
SOURCE: Final = "amiguard"
_TEST_DATA: Final = {"message": "A test of this sink. There is no finding behind it."}


def encode_event(event: Event, payload: Payload) -> bytes:
    """Returns an event as the body of a request.

    `id` is the key of the event, `subject` the name of the finding, `time` that of the change. The
    attribute `revision`, an extension, rises with every change of the finding.
    """
    document: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.key,
        "source": SOURCE,
        "type": TEST,
        "time": event.time.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": _TEST_DATA,
    }
    if event.finding is not None:
        document |= {
            "type": FINDING_CHANGED,
            "subject": finding_name(event.finding.finding_id),
            "revision": event.finding.revision,
            "data": _data_of(event.finding, payload),
        }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def signed_headers(
    body: bytes, *, key: str, now: datetime, secrets: Sequence[bytes]
) -> Mapping[str, str]:
    """Returns the headers by which a receiver knows a body for ours.

    There is a signature for each secret: HMAC-SHA256 over `key.seconds.body`.
    """
    seconds = str(int(now.timestamp()))
    signed = f"{key}.{seconds}.".encode() + body
    signatures = (b64encode(hmac.digest(secret, signed, sha256)).decode() for secret in secrets)
    return {
        "webhook-id": key,
        "webhook-timestamp": seconds,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def _data_of(finding: StoredFinding, payload: Payload) -> Any:
    match payload:
        case Payload.FINDING:
            return MessageToDict(finding_message(finding), preserving_proto_field_name=True)
        case Payload.OCSF:
            return detection_finding(finding_message(finding))
