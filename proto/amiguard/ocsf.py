"""Findings as events of the Open Cybersecurity Schema Framework, https://schema.ocsf.io.

Server and client both have the contract's message, and neither may import the other: so the one
mapping stands here, beside the message.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import Any, Final

from amiguard._ocsf_evidence import (
    ACCOUNT_TYPE,
    evidences_of,
    millis_of,
    observables_of,
    present,
    related_events_of,
    resources_of,
)
from amiguard.v1.finding_pb2 import Finding

DEFAULT_VERSION: Final = "1.5.0"
VERSIONS: Final = (DEFAULT_VERSION, "1.6.0", "1.7.0", "1.8.0")
"""Releases of the schema that an event may name; what stands in it is valid in each of them."""

_CLASS_UID: Final = 2004
_CLASS_NAME: Final = "Detection Finding"
_TITLE: Final = "Image searched for without a trusted owner, then launched"
_MAX_PATTERNS_IN_TEXT: Final = 3

_UNKNOWN: Final = (0, "Unknown")
_CREATE: Final = (1, "Create")
_UPDATE: Final = (2, "Update")
_CLOSE: Final = (3, "Close")
_LOW: Final = (1, "Low")
_MEDIUM: Final = (2, "Medium")
_HIGH: Final = (3, "High")
_MEDIUM_FROM: Final = 40
_HIGH_FROM: Final = 70

_SEVERITIES: Final = {
    Finding.LIKELIHOOD_LOW: (2, "Low"),
    Finding.LIKELIHOOD_MEDIUM: (3, "Medium"),
    Finding.LIKELIHOOD_HIGH: (4, "High"),
}
_RISK_LEVELS: Final = {
    Finding.LIKELIHOOD_LOW: _LOW,
    Finding.LIKELIHOOD_MEDIUM: _MEDIUM,
    Finding.LIKELIHOOD_HIGH: _HIGH,
}
_STATUSES: Final = {
    Finding.STATE_OPEN: (1, "New"),
    Finding.STATE_ACKNOWLEDGED: (2, "In Progress"),
    Finding.STATE_SUPPRESSED: (3, "Suppressed"),
    Finding.STATE_CLOSED: (4, "Resolved"),
}
_VERDICTS: Final = {
    Finding.DISPOSITION_FALSE_POSITIVE: (1, "False Positive"),
    Finding.DISPOSITION_TRUE_POSITIVE: (2, "True Positive"),
    Finding.DISPOSITION_UNRELATED_LAUNCH: (5, "Benign"),
    Finding.DISPOSITION_RISK_ACCEPTED: (8, "Security Risk"),
}
_ANALYTIC: Final = {
    "uid": "ami-name-confusion",
    "name": "AMI name confusion",
    "desc": (
        "An image search by name that does not say whose image it wants, and the launches that "
        "follow it; after Datadog's default rule def-000-njb."
    ),
    "type_id": 1,
    "type": "Rule",
}
_ATTACK: Final = {
    "tactic": {
        "uid": "TA0001",
        "name": "Initial Access",
        "src_url": "https://attack.mitre.org/tactics/TA0001/",
    },
    "technique": {
        "uid": "T1195",
        "name": "Supply Chain Compromise",
        "src_url": "https://attack.mitre.org/techniques/T1195/",
    },
}
_REFERENCES: Final = (
    "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-allowed-amis.html",
    "https://securitylabs.datadoghq.com/articles/whoami-a-cloud-image-name-confusion-attack/",
)


def detection_finding(finding: Finding, *, version: str = DEFAULT_VERSION) -> dict[str, Any]:
    """Returns a finding as an OCSF Detection Finding (class_uid 2004), ready for JSON.

    It has the profile `cloud`, and `incident` too once there is an assignee or a verdict. Times are
    milliseconds since 1970. Severity and risk follow the likelihood; the bands of the confidence
    begin at the scores at which those of the likelihood do. The first evidence is the search and
    what it asked for, one for each recent launch follows. What the schema has no place for is in
    `unmapped`, under its name in the contract. `metadata.uid` is another after each change of the
    finding; `metadata.correlation_uid` is the fingerprint of the search.

    Raises ValueError for a version that is not in VERSIONS, and for a finding without any time.
    """
    if version not in VERSIONS:
        raise ValueError(f"got OCSF version {version!r}, expected one of {', '.join(VERSIONS)}")
    incident = _incident_of(finding)
    return present(
        {
            **_class_of(finding),
            "time": _time_of(finding),
            "start_time": millis_of(finding, "first_launch_time"),
            "end_time": millis_of(finding, "last_launch_time"),
            "count": finding.occurrence_count,
            "message": _message_of(finding),
            "is_alert": finding.state == Finding.STATE_OPEN,
            **_grades_of(finding),
            **_status_of(finding),
            **incident,
            "metadata": _metadata_of(
                finding, version=version, profiles=["cloud", *(["incident"] if incident else [])]
            ),
            "finding_info": _finding_info_of(finding),
            "cloud": {
                "provider": "AWS",
                "region": finding.region,
                "account": {"uid": finding.account_id, **ACCOUNT_TYPE},
            },
            "evidences": evidences_of(finding),
            "resources": resources_of(finding),
            "observables": observables_of(finding),
            "remediation": _remediation_of(finding),
            "unmapped": _unmapped_of(finding),
        }
    )


def _class_of(finding: Finding) -> dict[str, Any]:
    activity_id, activity_name = _activity_of(finding)
    return {
        "category_uid": 2,
        "category_name": "Findings",
        "class_uid": _CLASS_UID,
        "class_name": _CLASS_NAME,
        "activity_id": activity_id,
        "activity_name": activity_name,
        "type_uid": _CLASS_UID * 100 + activity_id,
        "type_name": f"{_CLASS_NAME}: {activity_name}",
    }


def _activity_of(finding: Finding) -> tuple[int, str]:
    if finding.state == Finding.STATE_CLOSED:
        return _CLOSE
    return _CREATE if finding.create_time == finding.update_time else _UPDATE


def _time_of(finding: Finding) -> int:
    for field in ("update_time", "last_launch_time"):
        time = millis_of(finding, field)
        if time is not None:
            return time
    raise ValueError("got a finding without a time, expected update_time or last_launch_time")


def _grades_of(finding: Finding) -> dict[str, Any]:
    confidence = _HIGH if finding.confidence >= _HIGH_FROM else _MEDIUM
    if finding.confidence < _MEDIUM_FROM:
        confidence = _LOW
    grades = {
        **_graded("severity", _SEVERITIES.get(finding.likelihood, _UNKNOWN)),
        **_graded("confidence", confidence),
        "confidence_score": finding.confidence,
    }
    if finding.likelihood in _RISK_LEVELS:
        grades |= _graded("risk_level", _RISK_LEVELS[finding.likelihood])
        grades["risk_score"] = finding.likelihood_score
    return grades


def _status_of(finding: Finding) -> dict[str, Any]:
    status = _graded("status", _STATUSES.get(finding.state, _UNKNOWN))
    disposition = _member_of(finding, "disposition")
    if disposition is not None:
        detail = f"Closed as {disposition}"
        if finding.HasField("accept_until_time"):
            detail += f" until {finding.accept_until_time.ToJsonString()}"
        return {**status, "status_code": disposition, "status_detail": detail}
    if finding.suppression:
        detail = f"Set aside by the rule: {finding.suppression}"
        return {**status, "status_code": finding.suppression, "status_detail": detail}
    return status


def _incident_of(finding: Finding) -> dict[str, Any]:
    """Returns what the profile `incident` has room for; nothing while nobody handles it."""
    incident: dict[str, Any] = {}
    if finding.assignee:
        incident["assignee"] = {"name": finding.assignee}
    if finding.disposition:
        incident |= _graded("verdict", _VERDICTS.get(finding.disposition, _UNKNOWN))
    return incident


def _metadata_of(finding: Finding, *, version: str, profiles: list[str]) -> dict[str, Any]:
    return present(
        {
            "version": version,
            "product": _product(),
            "uid": f"{finding.name}@{finding.etag}" if finding.etag else finding.name,
            "correlation_uid": finding.search.fingerprint,
            "profiles": profiles,
            "labels": [f"{key}={value}" for key, value in sorted(finding.labels.items())],
        }
    )


@cache
def _product() -> dict[str, str]:
    product = {"name": "amiguard", "vendor_name": "amiguard"}
    try:
        return {**product, "version": installed_version("amiguard")}
    except PackageNotFoundError:
        # Hosts that take packages apart, such as a trimmed Lambda layer, drop what names versions.
        return product


def _finding_info_of(finding: Finding) -> dict[str, Any]:
    related = related_events_of(finding)
    return present(
        {
            "uid": finding.name,
            "title": _TITLE,
            "desc": _description_of(finding),
            "types": [_ANALYTIC["name"]],
            "created_time": millis_of(finding, "create_time"),
            "modified_time": millis_of(finding, "update_time"),
            "first_seen_time": millis_of(finding, "first_launch_time"),
            "last_seen_time": millis_of(finding, "last_launch_time"),
            "analytic": {**_ANALYTIC, "version": str(finding.rule_revision)},
            "attacks": [_ATTACK],
            "data_sources": ["AWS CloudTrail"],
            "related_events": related,
            "related_events_count": len(related),
            "tags": [
                {"name": key, "value": value} for key, value in sorted(finding.labels.items())
            ],
        }
    )


def _message_of(finding: Finding) -> str:
    likelihood = _member_of(finding, "likelihood") or "UNKNOWN"
    return (
        f"{likelihood} likelihood ({finding.likelihood_score}): {finding.actor_arn} searched for "
        f"{_searched_for(finding)} without a trusted owner and launched "
        f"{_times(finding.occurrence_count)} in account {finding.account_id}, {finding.region}"
    )


def _description_of(finding: Finding) -> str:
    client = finding.search.client
    return (
        f"{finding.actor_arn} searched {finding.region} for {_searched_for(finding)} in a way that "
        f"does not say whose image it wants ({', '.join(finding.search.reasons)}), through "
        f"{client if client not in ('', 'unknown') else 'an unknown client'}, and then launched "
        f"{_times(finding.occurrence_count)}. Anyone may publish a public image under a matching "
        "name, so such a search can return a stranger's image. The way of searching is unsafe; "
        "this does not say that an attack happened."
    )


def _searched_for(finding: Finding) -> str:
    patterns = finding.search.name_patterns
    if not patterns:
        return "images"
    named = ", ".join(patterns[:_MAX_PATTERNS_IN_TEXT])
    more = len(patterns) - _MAX_PATTERNS_IN_TEXT
    return f"images named {named}" + (f" and {more} more" if more > 0 else "")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _remediation_of(finding: Finding) -> dict[str, Any]:
    advice = finding.remediation
    steps = [f"{number}. {step}" for number, step in enumerate(advice.steps, start=1)]
    return {
        "desc": "\n".join([*steps, advice.fix_snippet]).strip(),
        "references": list(_REFERENCES),
    }


def _unmapped_of(finding: Finding) -> dict[str, Any]:
    return present(
        {
            "state": _member_of(finding, "state"),
            "disposition": _member_of(finding, "disposition"),
            "accept_until_time": millis_of(finding, "accept_until_time"),
            "suppression": finding.suppression,
            "actor_arn": finding.actor_arn,
            "likelihood": _member_of(finding, "likelihood"),
            "likelihood_score": finding.likelihood_score,
            "score_steps": [
                present(
                    {
                        "code": step.code,
                        "score": step.score,
                        "allowlist_entry": step.allowlist_entry,
                        "message": step.message,
                    }
                )
                for step in finding.score_steps
            ],
            "fix_language": finding.remediation.fix_language,
            "suggested_owners": list(finding.remediation.suggested_owners),
            "etag": finding.etag,
        }
    )


def _member_of(finding: Finding, field: str) -> str | None:
    """Returns what an enum field holds as filters name it; None for what is unset or too new."""
    number = getattr(finding, field)
    kind = Finding.DESCRIPTOR.fields_by_name[field].enum_type
    value = kind.values_by_number.get(number) if kind is not None else None
    return value.name.removeprefix(f"{field.upper()}_") if value is not None and number else None


def _graded(name: str, grade: tuple[int, str]) -> dict[str, Any]:
    number, caption = grade
    return {f"{name}_id": number, name: caption}
