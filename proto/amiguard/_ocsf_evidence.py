"""What an OCSF event says of the calls, the resources and the observables of a finding."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from amiguard.v1.finding_pb2 import EventReference, Finding, Occurrence

ACCOUNT_TYPE: Final = {"type_id": 10, "type": "AWS Account"}

_EC2: Final = "ec2.amazonaws.com"
_SERVICES: Final = {"CreateLaunchConfiguration": "autoscaling.amazonaws.com"}
"""Event sources of the launch paths that are not calls of EC2."""

_SEARCH: Final = "DescribeImages"
_ASSUMED_ROLE: Final = ":assumed-role/"

# Event types of the class API Activity (6003), in which a lake holds the CloudTrail records.
_API_CREATE: Final = (600301, "API Activity: Create")
_API_READ: Final = (600302, "API Activity: Read")

_IP_ADDRESS: Final = (2, "IP Address")
_RESOURCE_UID: Final = (10, "Resource UID")
_USER_AGENT: Final = (16, "HTTP User-Agent")
_USER_UID: Final = (31, "User Object: uid")
_ACCOUNT_UID: Final = (35, "Account Object: uid")


def present(fields: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields that say something: the schema has no place for null."""
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}


def evidences_of(finding: Finding) -> list[dict[str, Any]]:
    """Returns the search, as its latest occurrence has it, and each recent launch."""
    return [_search_of(finding), *(_launch_of(finding, o) for o in finding.recent_occurrences)]


def related_events_of(finding: Finding) -> list[dict[str, Any]]:
    """Returns the CloudTrail events of the recent occurrences, each once."""
    related = {}
    for occurrence in finding.recent_occurrences:
        for event, kind in ((occurrence.search, _API_READ), (occurrence.launch, _API_CREATE)):
            if event.event_id:
                related[event.event_id] = _related_event_of(event, kind)
    return list(related.values())


def resources_of(finding: Finding) -> list[dict[str, Any]]:
    """Returns every image of a finding and the instances of its recent launches, each once."""
    instances = dict.fromkeys(i for o in finding.recent_occurrences for i in o.instance_ids)
    return [
        *_resources(finding.image_ids, kind="Image", region=finding.region),
        *_resources(instances, kind="Instance", region=finding.region),
    ]


def observables_of(finding: Finding) -> list[dict[str, Any]]:
    """Returns what may turn up in other events, each once; `name` says where it stands in this."""
    seen = dict.fromkeys(_observed(finding))
    return [
        {"name": name, "type_id": type_id, "type": caption, "value": value}
        for name, (type_id, caption), value in seen
        if value
    ]


def address_of(text: str) -> str | None:
    """Returns an IP address in its short form; None for the name of an AWS service."""
    try:
        return str(ip_address(text)) if "%" not in text else None
    except ValueError:
        return None


def _observed(finding: Finding) -> Iterator[tuple[str, tuple[int, str], str]]:
    yield "cloud.account.uid", _ACCOUNT_UID, finding.account_id
    for evidence in evidences_of(finding):
        yield "evidences[].actor.user.uid", _USER_UID, evidence["actor"]["user"]["uid"]
    for occurrence in finding.recent_occurrences:
        yield (
            "evidences[].src_endpoint.ip",
            _IP_ADDRESS,
            address_of(occurrence.source_ip_address) or "",
        )
        yield "evidences[].http_request.user_agent", _USER_AGENT, occurrence.user_agent
    for resource in resources_of(finding):
        yield "resources[].uid", _RESOURCE_UID, resource["uid"]


def _search_of(finding: Finding) -> dict[str, Any]:
    search = finding.search
    latest = finding.recent_occurrences[0] if finding.recent_occurrences else None
    return present(
        {
            "name": "search",
            "uid": latest.search.event_id if latest else None,
            "actor": _actor_of(finding, latest),
            "api": {"operation": _SEARCH, "service": {"name": _EC2}},
            "data": present(
                {
                    "event_time": millis_of(latest.search, "event_time") if latest else None,
                    "name_patterns": list(search.name_patterns),
                    "other_filters": [
                        {"name": item.name, "values": list(item.values)}
                        for item in search.other_filters
                    ],
                    "owners": list(search.owners),
                    "reasons": list(search.reasons),
                    "fingerprint": search.fingerprint,
                    "client": search.client,
                }
            ),
        }
    )


def _launch_of(finding: Finding, occurrence: Occurrence) -> dict[str, Any]:
    source = occurrence.source_ip_address
    address = address_of(source)
    return present(
        {
            "name": "launch",
            "uid": occurrence.launch.event_id,
            "actor": _actor_of(finding, occurrence),
            "api": {
                "operation": occurrence.launch_path,
                "service": {"name": _SERVICES.get(occurrence.launch_path, _EC2)},
            },
            "src_endpoint": present({"ip": address, "svc_name": None if address else source}),
            "http_request": present({"user_agent": occurrence.user_agent}),
            "resources": [
                *_resources(occurrence.image_ids, kind="Image", region=finding.region),
                *_resources(occurrence.instance_ids, kind="Instance", region=finding.region),
            ],
            "data": present(
                {
                    "event_time": millis_of(occurrence.launch, "event_time"),
                    "search_event_id": occurrence.search.event_id,
                    "search_event_time": millis_of(occurrence.search, "event_time"),
                    "gap_seconds": occurrence.gap.ToSeconds(),
                    "confidence": occurrence.confidence,
                    "client": occurrence.client,
                    "suppression": occurrence.suppression,
                }
            ),
        }
    )


def _actor_of(finding: Finding, occurrence: Occurrence | None) -> dict[str, Any]:
    principal = (occurrence.principal_arn if occurrence else "") or finding.actor_arn
    actor = {
        "user": present({"uid": principal, "account": {"uid": finding.account_id, **ACCOUNT_TYPE}})
    }
    if _ASSUMED_ROLE in principal and principal != finding.actor_arn:
        actor["session"] = {"issuer": finding.actor_arn}
    return actor


def _resources(ids: Iterable[str], *, kind: str, region: str) -> list[dict[str, Any]]:
    return [{"uid": i, "type": f"AWS::EC2::{kind}", "region": region} for i in ids if i]


def _related_event_of(event: EventReference, kind: tuple[int, str]) -> dict[str, Any]:
    type_uid, type_name = kind
    return present(
        {
            "uid": event.event_id,
            "type_uid": type_uid,
            "type_name": type_name,
            "created_time": millis_of(event, "event_time"),
            "product": {"name": "CloudTrail", "vendor_name": "AWS"},
        }
    )


def millis_of(message: Finding | EventReference, field: str) -> int | None:
    """Returns the time in a field as milliseconds since 1970; None where it is not set."""
    if not message.HasField(field):  # type: ignore[arg-type]  # the names differ by message
        return None
    millis: int = getattr(message, field).ToMilliseconds()
    return millis
