"""What pipelines and AWS itself do to a record on its way: each takes a record and returns another.

None of them changes the record it is given.
"""

import json
from copy import deepcopy
from datetime import UTC, datetime
from typing import Final, Unpack, cast

from tests.data.records import ACCOUNT, NINE_O_CLOCK, REGION, Call, record
from tests.data.shapes import Json, Record, derived_uuid, utc

_SETS: Final = ("executableBySet", "imagesSet", "ownersSet", "filterSet")


def flattened(whole: Record) -> Record:
    """Returns the record with each `items` of one member written as that member, as Wazuh does."""
    return cast("Record", _flattened(whole))


def without_empty_sets(whole: Record) -> Record:
    """Returns the record with the sets that were not asked for left out."""
    changed = deepcopy(whole)
    parameters = changed["requestParameters"]
    changed["requestParameters"] = {
        name: value for name, value in parameters.items() if name not in _SETS or value
    }
    return changed


def with_null_sets(whole: Record) -> Record:
    """Returns the record with the sets that were not asked for written as null."""
    changed = deepcopy(whole)
    parameters = changed["requestParameters"]
    changed["requestParameters"] = {
        name: value or None if name in _SETS else value for name, value in parameters.items()
    }
    return changed


def with_empty_values(whole: Record) -> Record:
    """Returns the record with an empty member after the values of every filter, as the console."""
    changed = deepcopy(whole)
    for asked in changed["requestParameters"]["filterSet"].get("items", ()):
        asked["valueSet"].setdefault("items", []).append({})
    return changed


def with_omitted_parameters(whole: Record) -> Record:
    """Returns the record as AWS writes it when its parameters exceed 100 KB."""
    omitted = {
        "omitted": True,
        "originalSize": 131_072,
        "reason": "requestParameters too large",
    }
    return {**whole, "requestParameters": omitted}


def eventbridge(whole: Record) -> Json:
    """Returns the EventBridge event that carries the record."""
    return {
        "version": "0",
        "id": derived_uuid("eventbridge", whole.get("eventID"), whole["eventTime"]),
        "detail-type": "AWS API Call via CloudTrail",
        "source": f"aws.{whole['eventSource'].partition('.')[0]}",
        "account": whole["recipientAccountId"],
        "time": whole["eventTime"],
        "region": whole["awsRegion"],
        "resources": [],
        "detail": whole,
    }


def lookup_event(whole: Record) -> Json:
    """Returns the item of LookupEvents that carries the record, as a JSON string."""
    identity = whole.get("userIdentity", {})
    issuer = identity.get("sessionContext", {}).get("sessionIssuer", {})
    return {
        "EventId": whole.get("eventID"),
        "EventName": whole["eventName"],
        "ReadOnly": json.dumps(whole.get("readOnly", True)),
        "AccessKeyId": identity.get("accessKeyId"),
        "EventTime": whole["eventTime"],
        "EventSource": whole["eventSource"],
        "Username": identity.get("userName", issuer.get("userName")),
        "Resources": [],
        "CloudTrailEvent": json.dumps(whole, separators=(",", ":")),
    }


def panther(whole: Record) -> Record:
    """Returns the record as a Panther data lake keeps it: keys sorted, nulls gone, other times."""
    moment = datetime.strptime(whole["eventTime"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    written = moment.strftime("%Y-%m-%d %H:%M:%S.000000000")
    kept = {name: value for name, value in whole.items() if value is not None}
    added = {
        "eventTime": written,
        "p_event_time": written,
        "p_log_type": "AWS.CloudTrail",
        "p_row_id": derived_uuid("panther", whole.get("eventID")).replace("-", ""),
        "p_source_label": "organization trail",
        "p_any_aws_account_ids": [whole["recipientAccountId"]],
    }
    return cast("Record", json.loads(json.dumps(kept | added, sort_keys=True)))


def insight(*, at: datetime = NINE_O_CLOCK, account: str = ACCOUNT, region: str = REGION) -> Record:
    """Returns a CloudTrail Insights record about RunInstances: nobody called anything."""
    subject = {"eventSource": "ec2.amazonaws.com", "eventName": "RunInstances"}
    return {
        "eventVersion": "1.11",
        "eventTime": utc(at),
        "awsRegion": region,
        "eventID": derived_uuid("insight", at, account, region),
        "eventType": "AwsCloudTrailInsight",
        **subject,
        "recipientAccountId": account,
        "sharedEventID": derived_uuid("insight shared", at, account, region),
        "insightDetails": {
            "state": "Start",
            **subject,
            "insightType": "ApiCallRateInsight",
            "insightContext": {
                "statistics": {
                    "baseline": {"average": 0.0118},
                    "insight": {"average": 12.0},
                    "insightDuration": 3,
                    "baselineDuration": 10080,
                }
            },
        },
        "eventCategory": "Insight",
    }


def network_activity(whole: Record) -> Record:
    """Returns the record that a VPC endpoint writes of the same call, in a folder of its own."""
    return {
        **whole,
        "eventID": derived_uuid("network activity", whole.get("eventID")),
        "eventType": "AwsVpceEvent",
        "managementEvent": False,
        "vpcEndpointId": "vpce-0f1e2d3c4b5a69788",
        "vpcEndpointAccountId": whole["recipientAccountId"],
        "eventCategory": "NetworkActivity",
    }


def ecr_describe_images(**call: Unpack[Call]) -> Record:
    """Returns a record of ecr DescribeImages, which shares nothing but the name with ec2's."""
    return record(
        "ecr.amazonaws.com",
        "DescribeImages",
        parameters={"repositoryName": "web", "imageIds": [{"imageTag": "latest"}]},
        **call,
    )


def _flattened(value: object) -> object:
    if isinstance(value, dict):
        changed = {name: _flattened(member) for name, member in value.items()}
        listed = changed.get("items")
        if isinstance(listed, list) and len(listed) == 1:
            changed["items"] = listed[0]
        return changed
    if isinstance(value, list):
        return [_flattened(member) for member in value]
    return value
