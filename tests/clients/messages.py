"""Findings as a server sends them."""

from __future__ import annotations

from google.protobuf import json_format

from amiguard.v1 import finding_pb2

OCCURRENCE = {
    "search": {"event_id": "s1", "event_time": "2026-03-01T10:00:00Z"},
    "launch": {"event_id": "l1", "event_time": "2026-03-01T10:00:42Z"},
    "gap": "42s",
    "principal_arn": "arn:aws:sts::000123456789:assumed-role/deploy/x",
    "image_ids": ["ami-1"],
    "instance_ids": ["i-1"],
    "source_ip_address": "192.0.2.1",
    "user_agent": "APN/1.0 HashiCorp/1.0 Terraform/1.1.2",
    "confidence": 90,
    "launch_path": "RunInstances",
    "suppression": "PACKER_PREVALIDATION",
    "client": "terraform",
}
PINNED_OCCURRENCE = OCCURRENCE | {
    "gap": "30s",
    "pinned_template": {
        "template_id": "lt-1",
        "version": "2",
        "pin": {"event_id": "t1", "event_time": "2026-03-01T10:00:30Z"},
        "launch_path": "CreateLaunchTemplateVersion",
    },
}
FINDING = {
    "name": "findings/00ff",
    "state": "STATE_CLOSED",
    "disposition": "DISPOSITION_RISK_ACCEPTED",
    "likelihood": "LIKELIHOOD_HIGH",
    "likelihood_score": 95,
    "confidence": 75,
    "score_steps": [
        {"code": "BASE", "score": 50, "message": "to begin with"},
        {
            "code": "ORGANIZATION_PATTERN",
            "score": 10,
            "allowlist_entry": "allowlistEntries/ours",
            "message": "ours",
        },
    ],
    "account_id": "000123456789",
    "region": "eu-west-1",
    "actor_arn": "arn:aws:iam::000123456789:role/deploy",
    "search": {
        "name_patterns": ["ubuntu/images/*"],
        "other_filters": [{"name": "architecture", "values": ["x86_64"]}],
        "owners": ["000000000001"],
        "reasons": ["NO_OWNER"],
        "fingerprint": "ab" * 32,
        "client": "terraform",
    },
    "occurrence_count": "7",
    "recent_occurrences": [OCCURRENCE],
    "image_ids": ["ami-1", "ami-2"],
    "first_launch_time": "2026-03-01T10:00:00Z",
    "last_launch_time": "2026-03-02T10:00:00Z",
    "remediation": {
        "steps": ["Look into the principal."],
        "fix_snippet": 'owners = ["099720109477"]',
        "fix_language": "hcl",
        "suggested_owners": ["099720109477"],
    },
    "suppression": "PACKER_PREVALIDATION",
    "rule_revision": "3",
    "assignee": "ops",
    "labels": {"team": "blue"},
    "accept_until_time": "2026-03-31T10:00:00Z",
    "create_time": "2026-03-01T10:00:00Z",
    "update_time": "2026-03-01T10:00:00Z",
    "ocsf_json": "{}",
    "etag": "e1",
}


def finding_message() -> finding_pb2.Finding:
    """Returns a finding with every field set."""
    return json_format.ParseDict(FINDING, finding_pb2.Finding())


def occurrence_message() -> finding_pb2.Occurrence:
    """Returns an occurrence of a launch that followed its search itself."""
    return json_format.ParseDict(OCCURRENCE, finding_pb2.Occurrence())


def pinned_occurrence_message() -> finding_pb2.Occurrence:
    """Returns an occurrence of a launch from a template, with every field set."""
    return json_format.ParseDict(PINNED_OCCURRENCE, finding_pb2.Occurrence())
