"""Single CloudTrail records, with every field and the order of fields AWS writes.

Every argument has a default. An event id that is not given is derived from the rest of the record:
the same call makes the same record, and records that differ have different ids.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypedDict, Unpack, cast

from tests.data import agents, identities
from tests.data.identities import Identity
from tests.data.instances import Started, instance
from tests.data.shapes import Json, Record, derived_id, derived_uuid, encode, items, utc

ACCOUNT: Final = "111122223333"
REGION: Final = "us-east-1"
NINE_O_CLOCK: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
IMAGE_ID: Final = "ami-0a1b2c3d4e5f60718"
SOURCE_IP: Final = "203.0.113.17"
EC2: Final = "ec2.amazonaws.com"


class ApiError(NamedTuple):
    """Why AWS refused a call."""

    code: str
    message: str


UNAUTHORIZED: Final = ApiError(
    "Client.UnauthorizedOperation", "You are not authorized to perform this operation."
)
DRY_RUN: Final = ApiError(
    "Client.DryRunOperation", "Request would have succeeded, but DryRun flag is set."
)
VCPU_LIMIT: Final = ApiError(
    "Client.VcpuLimitExceeded",
    "You have requested more vCPU capacity than your current vCPU limit of 32 allows for the "
    "instance bucket that the specified instance type belongs to.",
)
IMAGE_NOT_FOUND: Final = ApiError(
    "Client.InvalidAMIID.NotFound", f"The image id '[{IMAGE_ID}]' does not exist"
)


class Caller(TypedDict, total=False):
    """Who called, when and from where, and the ids of the call."""

    at: datetime
    identity: Identity
    account: str
    region: str
    source_ip: str
    user_agent: str
    request_id: str
    # None leaves the event id out, as some pipelines do.
    event_id: str | None


class Call(Caller, total=False):
    """What else a record says, whichever API was called."""

    event_version: str
    error: ApiError | None
    resources: Sequence[Json]
    additional_data: Json
    shared_event_id: str
    vpc_endpoint_id: str
    from_console: bool


class Search(Call, total=False):
    """What DescribeImages was asked; what is not given was not sent."""

    filters: Mapping[str, Sequence[str]]
    owners: Sequence[str]
    images: Sequence[str]
    executable_by: Sequence[str]
    include_deprecated: bool
    include_disabled: bool
    dry_run: bool
    max_results: int
    next_token: str


class Launch(Call, total=False):
    """What RunInstances was asked, and what it started."""

    # None leaves the image out of the request: a launch template or a fleet names it.
    image_id: str | None
    # The image the response names: the requested one unless given, none when None.
    launched_image_id: str | None
    instance_ids: Sequence[str]
    instance_type: str
    key_name: str
    client_token: str
    launch_template: Json
    tags: Mapping[str, str]


def record(
    event_source: str,
    event_name: str,
    *,
    parameters: Json | None,
    response: Json | None = None,
    read_only: bool = True,
    **call: Unpack[Call],
) -> Record:
    """Returns the record of one call; a refused call has no response."""
    identity = call.get("identity", identities.iam_user(ACCOUNT, "alice"))
    user_agent = call.get("user_agent", agents.BOTO3)
    region = call.get("region", REGION)
    error = call.get("error")
    made: Record = {
        "eventVersion": call.get("event_version", "1.11"),
        "userIdentity": identity,
        "eventTime": utc(call.get("at", NINE_O_CLOCK)),
        "eventSource": event_source,
        "eventName": event_name,
        "awsRegion": region,
        "sourceIPAddress": call.get("source_ip", identity.get("invokedBy", SOURCE_IP)),
        "userAgent": user_agent,
    }
    if error is not None:
        made |= {"errorCode": error.code, "errorMessage": error.message}
    made |= {"requestParameters": parameters, "responseElements": None if error else response}
    if "additional_data" in call:
        made["additionalEventData"] = call["additional_data"]
    # Their places; what they hold depends on the rest of the record.
    made |= {"requestID": call.get("request_id"), "eventID": call.get("event_id")}
    made["readOnly"] = read_only
    if "resources" in call:
        made["resources"] = list(call["resources"])
    made |= {
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": _owner(call),
    }
    if "shared_event_id" in call:
        made["sharedEventID"] = call["shared_event_id"]
    if "vpc_endpoint_id" in call:
        made["vpcEndpointId"] = call["vpc_endpoint_id"]
    made["eventCategory"] = "Management"
    if "invokedBy" not in identity and user_agent != agents.CONSOLE_INTERNAL:
        made["tlsDetails"] = {
            "tlsVersion": "TLSv1.3",
            "cipherSuite": "TLS_AES_128_GCM_SHA256",
            "clientProvidedHostHeader": f"{event_source.partition('.')[0]}.{region}.amazonaws.com",
        }
    if call.get("from_console"):
        made["sessionCredentialFromConsole"] = "true"
    return _with_ids(made, call)


def describe_images(**search: Unpack[Search]) -> Record:
    """Returns a record of ec2 DescribeImages; its four sets are there even when empty."""
    filters = search.get("filters", {})
    parameters: Json = {
        "executableBySet": items({"user": user} for user in search.get("executable_by", ())),
        "imagesSet": items({"imageId": image} for image in search.get("images", ())),
        "ownersSet": items({"owner": owner} for owner in search.get("owners", ())),
        "filterSet": items(
            {"name": name, "valueSet": items({"value": value} for value in values)}
            for name, values in filters.items()
        ),
    }
    sent = {
        "includeDeprecated": search.get("include_deprecated"),
        "includeDisabled": search.get("include_disabled"),
        "dryRun": search.get("dry_run"),
        "maxResults": search.get("max_results"),
        "nextToken": search.get("next_token"),
    }
    parameters |= {name: value for name, value in sent.items() if value is not None}
    return record(EC2, "DescribeImages", parameters=parameters, **_call(search))


def run_instances(**launch: Unpack[Launch]) -> Record:
    """Returns a record of ec2 RunInstances; one instance starts unless several are given."""
    call = _call(launch)
    image_id = launch.get("image_id", IMAGE_ID)
    instance_ids = launch.get("instance_ids") or (derived_id("i", call, image_id),)
    asked: Json = {} if image_id is None else {"imageId": image_id}
    asked |= {"minCount": len(instance_ids), "maxCount": len(instance_ids)}
    if "key_name" in launch:
        asked["keyName"] = launch["key_name"]
    token = launch.get("client_token", derived_uuid("token", call, image_id))
    instance_type = launch.get("instance_type", "t3.micro")
    tags = launch.get("tags", {})
    parameters: Json = {
        "instancesSet": items([asked]),
        "instanceType": instance_type,
        "blockDeviceMapping": {},
        "monitoring": {"enabled": False},
        "disableApiTermination": False,
        "disableApiStop": False,
        "clientToken": token,
    }
    if tags:
        listed = [{"key": key, "value": value} for key, value in tags.items()]
        parameters["tagSpecificationSet"] = items([{"resourceType": "instance", "tags": listed}])
    if "launch_template" in launch:
        parameters["launchTemplate"] = launch["launch_template"]
    call.setdefault("request_id", derived_uuid("request", call, parameters))
    response: Json = {
        "requestId": call["request_id"],
        "reservationId": derived_id("r", call["request_id"]),
        "ownerId": _owner(call),
        "groupSet": {},
        "instancesSet": items(
            instance(
                Started(
                    instance_id=instance_id,
                    image_id=launch.get("launched_image_id", image_id),
                    instance_type=instance_type,
                    account=_owner(call),
                    region=call.get("region", REGION),
                    at=call.get("at", NINE_O_CLOCK),
                    client_token=token,
                    tags=tags,
                    number=number,
                )
            )
            for number, instance_id in enumerate(instance_ids)
        ),
    }
    return record(
        EC2, "RunInstances", parameters=parameters, response=response, read_only=False, **call
    )


def _call(asked: Search | Launch) -> Call:
    return cast("Call", {key: value for key, value in asked.items() if key in _CALL_KEYS})


def _owner(call: Call) -> str:
    identity = call.get("identity", {})
    return call.get("account", cast("str", identity.get("accountId", ACCOUNT)))


def _with_ids(made: Record, call: Call) -> Record:
    if made["requestID"] is None:
        made["requestID"] = derived_uuid("request", encode(made).decode())
    if "event_id" not in call:
        made["eventID"] = derived_uuid("event", encode(made).decode())
    if made["eventID"] is None:
        del made["eventID"]
    return made


_CALL_KEYS: Final = frozenset(Call.__optional_keys__)
