"""Searches and launches out of one decoded record. Field paths: CloudTrail as measured."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from amiguard_core._node import Node
from amiguard_core.events import (
    MAX_INSTANCE_IDS,
    RESOLVE_PREFIX,
    Launch,
    LaunchPath,
    Origin,
    Search,
    SearchFilter,
    SearchRequest,
    TemplateVersion,
)
from amiguard_core.policy import MAX_NAME_LENGTH

MAX_EVENT_ID_BYTES = 128
"""An eventID is a GUID of 36 characters; test vectors use others."""
MAX_ARN_BYTES = 2_048
"""The longest ARN IAM documents."""
MAX_USER_AGENT_LENGTH = 1_024
"""CloudTrail itself cuts a userAgent at 1 KB."""
MAX_IDENTIFIER_LENGTH = 512
"""Room for image ids that are `resolve:ssm:` and a parameter ARN, and for any other id."""
MAX_FILTER_VALUES = 200
"""Values of one filter that EC2 takes, so that no search that succeeded has more."""

_TEMPLATE_TAGS = ("aws:ec2launchtemplate:id", "aws:ec2launchtemplate:version")
"""The tags EC2 gives to what it starts from a launch template; nobody else can set `aws:` tags."""

_ACCOUNT = re.compile(r"[0-9]{1,12}")
"""Published records hold shorter ids where their authors redacted them; they are not padded."""

_VERSION_LIMIT = 2**63
"""EC2's version numbers are of 64 bits."""

_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?", flags=re.ASCII
)
"""CloudTrail writes `2026-03-01T11:02:23Z`; forwarders write a space, fractions and no zone."""


def read_origin(record: Node, event_id: str) -> Origin:
    """Reads whose, where and when the call was."""
    identity = record.child("userIdentity")
    principal = identity.child("arn").key(max_bytes=MAX_ARN_BYTES)
    account = _read_account(record.child("recipientAccountId"))
    if account is None:
        account = _read_account(identity.child("accountId"))
    region = record.child("awsRegion")
    name = region.key(max_bytes=64)
    if name is None:
        raise region.refuse("the region of the call")
    return Origin(
        event_id=event_id,
        event_time=_read_time(record.child("eventTime")),
        region=name,
        account_id=account,
        principal_arn=principal,
        actor_arn=_read_actor(identity, principal),
        user_agent=record.child("userAgent").clipped(max_length=MAX_USER_AGENT_LENGTH),
        source_ip_address=record.child("sourceIPAddress").clipped(max_length=256),
    )


def _read_account(node: Node) -> str | None:
    account = node.text(max_length=MAX_IDENTIFIER_LENGTH)
    if account is not None and not _ACCOUNT.fullmatch(account):
        raise node.refuse("an account id of 12 digits", got="another text")
    return account


def _read_actor(identity: Node, principal: str | None) -> str | None:
    assumed = identity.child("type").value == "AssumedRole" or (
        principal is not None and ":assumed-role/" in principal
    )
    if not assumed:
        return principal
    issuer = identity.child("sessionContext", "sessionIssuer", "arn")
    return issuer.key(max_bytes=MAX_ARN_BYTES) or principal


def _read_time(node: Node) -> datetime:
    text = node.text(max_length=64)
    wanted = "an RFC 3339 time"
    if text is None:
        raise node.refuse(wanted)
    match = _TIME.fullmatch(text)
    if match is None:
        raise node.refuse(wanted, got="another text")
    try:
        time = datetime.fromisoformat(match[1] + (match[2] or "Z")).astimezone(UTC)
    except (ValueError, OverflowError):
        raise node.refuse(wanted, got="a time that does not exist") from None
    return time


def read_search(record: Node, origin: Origin) -> Search:
    """Reads a DescribeImages."""
    parameters = record.child("requestParameters")
    if parameters.child("omitted").flag():
        request = SearchRequest(parameters_omitted=True)
    else:
        request = SearchRequest(
            filters=_read_filters(parameters),
            owners=_read_set(parameters, "ownersSet", "owner"),
            image_ids=_read_set(parameters, "imagesSet", "imageId"),
            executable_by=_read_set(parameters, "executableBySet", "user"),
            include_deprecated=parameters.child("includeDeprecated").flag(),
            include_disabled=parameters.child("includeDisabled").flag(),
        )
    return Search(origin=origin, request=request, fingerprint=request.fingerprint())


def _read_filters(parameters: Node) -> tuple[SearchFilter, ...]:
    found: dict[str, set[str]] = {}
    for item in parameters.items("filterSet"):
        name = item.child("name").text(max_length=MAX_NAME_LENGTH)
        values = [
            value
            for node in item.items("valueSet")
            if (value := node.child("value").text(max_length=MAX_NAME_LENGTH)) is not None
        ]
        if values:
            if name is None:
                raise item.child("name").refuse("the name of the filter")
            known = found.setdefault(name, set())
            known.update(values)
            if max(len(values), len(known)) > MAX_FILTER_VALUES:
                raise item.child("valueSet").refuse(
                    f"at most {MAX_FILTER_VALUES} values", got=f"{len(values)} values"
                )
    return tuple(SearchFilter(name, tuple(sorted(found[name]))) for name in sorted(found))


def _read_set(parameters: Node, set_name: str, field: str) -> tuple[str, ...]:
    values = (
        item.child(field).text(max_length=MAX_IDENTIFIER_LENGTH)
        for item in parameters.items(set_name)
    )
    return tuple(sorted({value for value in values if value is not None}))


def read_launch(record: Node, origin: Origin, path: LaunchPath) -> Launch:
    """Reads a call that launches, or pins, an image."""
    request = record.child("requestParameters")
    response = record.child("responseElements")
    instances = response.items("instancesSet")
    asked = _IMAGE_NODES[path](request)
    if request.child("omitted").flag():
        asked = []
    requested = _texts(asked)
    launched = _texts([item.child("imageId") for item in instances])
    return Launch(
        origin=origin,
        path=path,
        image_ids=launched or requested,
        instance_ids=_texts([item.child("instanceId") for item in instances])[:MAX_INSTANCE_IDS],
        through_parameter=any(image.startswith(RESOLVE_PREFIX) for image in requested),
        template=_read_template(path, response, instances),
    )


def _read_template(
    path: LaunchPath, response: Node, instances: list[Node]
) -> TemplateVersion | None:
    """Reads the template version that a call made, or that it started instances from."""
    if path is LaunchPath.CREATE_LAUNCH_TEMPLATE:
        made = response.child("CreateLaunchTemplateResponse", "launchTemplate")
        return _template_version(made.child("launchTemplateId"), made.child("latestVersionNumber"))
    if path is LaunchPath.CREATE_LAUNCH_TEMPLATE_VERSION:
        made = response.child("CreateLaunchTemplateVersionResponse", "launchTemplateVersion")
        return _template_version(made.child("launchTemplateId"), made.child("versionNumber"))
    # All instances of one call are started from one version.
    return next(filter(None, map(_tagged_template, instances)), None)


def _tagged_template(instance: Node) -> TemplateVersion | None:
    # Only these two are looked into: an instance may have fifty tags.
    found = {
        tag.value["key"]: tag.child("value")
        for tag in instance.items("tagSet")
        if isinstance(tag.value, dict) and tag.value.get("key") in _TEMPLATE_TAGS
    }
    if len(found) < len(_TEMPLATE_TAGS):
        return None
    return _template_version(*(found[key] for key in _TEMPLATE_TAGS))


def _template_version(template_id: Node, version: Node) -> TemplateVersion | None:
    """Reads a version, which a response gives as a number and a tag as a text."""
    number = version.value
    text = (
        str(number)
        if type(number) is int and 0 < number < _VERSION_LIMIT
        else version.text(max_length=MAX_IDENTIFIER_LENGTH)
    )
    name = template_id.text(max_length=MAX_IDENTIFIER_LENGTH)
    return None if name is None or text is None else TemplateVersion(name, text)


def _texts(nodes: list[Node]) -> tuple[str, ...]:
    values = (node.text(max_length=MAX_IDENTIFIER_LENGTH) for node in nodes)
    return tuple(sorted({value for value in values if value is not None}))


def _run_instances(request: Node) -> list[Node]:
    return [item.child("imageId") for item in request.items("instancesSet")]


def _launch_template(request: Node) -> list[Node]:
    return [request.child("CreateLaunchTemplateRequest", "LaunchTemplateData", "ImageId")]


def _launch_template_version(request: Node) -> list[Node]:
    return [request.child("CreateLaunchTemplateVersionRequest", "LaunchTemplateData", "ImageId")]


def _spot_instances(request: Node) -> list[Node]:
    return [request.child("launchSpecification", "imageId")]


def _spot_fleet(request: Node) -> list[Node]:
    specifications = request.child("spotFleetRequestConfig", "launchSpecifications")
    if isinstance(specifications.value, dict) and "items" in specifications.value:
        specifications = specifications.child("items")
    return [item.child("imageId") for item in specifications.elements()]


def _fleet(request: Node) -> list[Node]:
    configs = request.child("CreateFleetRequest", "LaunchTemplateConfigs")
    return [
        override.child("ImageId")
        for config in configs.elements()
        for override in config.child("Overrides").elements()
    ]


def _launch_configuration(request: Node) -> list[Node]:
    return [request.child("imageId")]


_IMAGE_NODES = {
    LaunchPath.RUN_INSTANCES: _run_instances,
    LaunchPath.CREATE_LAUNCH_TEMPLATE: _launch_template,
    LaunchPath.CREATE_LAUNCH_TEMPLATE_VERSION: _launch_template_version,
    LaunchPath.REQUEST_SPOT_INSTANCES: _spot_instances,
    LaunchPath.REQUEST_SPOT_FLEET: _spot_fleet,
    LaunchPath.CREATE_FLEET: _fleet,
    LaunchPath.CREATE_LAUNCH_CONFIGURATION: _launch_configuration,
}
