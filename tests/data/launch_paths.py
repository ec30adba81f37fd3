"""Records of the other calls that pin an image id, to be launched later by a service.

CreateLaunchTemplate and CreateLaunchConfiguration have the shape of published records; the others
have the shape their API makes likely, since no published record of them was found.
"""

from collections.abc import Sequence
from typing import Final, Unpack

from tests.data.records import EC2, IMAGE_ID, Call, record
from tests.data.shapes import Json, Record, derived_id, derived_uuid, items

_NAMESPACE: Final = "http://ec2.amazonaws.com/doc/2016-11-15/"


def create_launch_template(
    *, image_id: str | None = IMAGE_ID, name: str = "web", **call: Unpack[Call]
) -> Record:
    """Returns a record of ec2 CreateLaunchTemplate, whose request is in CamelCase."""
    return _launch_template(
        "CreateLaunchTemplate",
        request={"LaunchTemplateName": name, "LaunchTemplateData": _template_data(image_id)},
        answer={"launchTemplate": _template(name, version=1)},
        call=call,
    )


def create_launch_template_version(
    *, image_id: str | None = IMAGE_ID, name: str = "web", version: int = 2, **call: Unpack[Call]
) -> Record:
    """Returns a record of ec2 CreateLaunchTemplateVersion."""
    template = _template(name, version=version)
    return _launch_template(
        "CreateLaunchTemplateVersion",
        request={
            "LaunchTemplateId": template["launchTemplateId"],
            "SourceVersion": str(version - 1),
            "LaunchTemplateData": _template_data(image_id),
        },
        answer={"launchTemplateVersion": {**template, "versionNumber": version}},
        call=call,
    )


def template_tags(*, name: str = "web", version: int = 1) -> dict[str, str]:
    """Returns the tags that EC2 gives to what is launched from a version of a template."""
    return {
        "aws:ec2launchtemplate:id": derived_id("lt", name),
        "aws:ec2launchtemplate:version": str(version),
    }


def create_fleet(
    *, image_ids: Sequence[str] = (IMAGE_ID,), name: str = "web", **call: Unpack[Call]
) -> Record:
    """Returns a record of ec2 CreateFleet; each image overrides that of the launch template."""
    overrides = [
        {"tag": number, "ImageId": image_id, "InstanceType": "t3.micro"}
        for number, image_id in enumerate(image_ids, start=1)
    ]
    configuration: Json = {
        "tag": 1,
        "LaunchTemplateSpecification": {
            "LaunchTemplateId": derived_id("lt", name),
            "Version": "1",
        },
    }
    if overrides:
        # A list of one is written as its only member.
        configuration["Overrides"] = overrides[0] if len(overrides) == 1 else overrides
    return _launch_template(
        "CreateFleet",
        request={
            "Type": "instant",
            "TargetCapacitySpecification": {
                "TotalTargetCapacity": max(1, len(image_ids)),
                "DefaultTargetCapacityType": "on-demand",
            },
            "LaunchTemplateConfigs": configuration,
        },
        answer={"fleetId": f"fleet-{derived_uuid('fleet', name)}"},
        call=call,
    )


def create_launch_configuration(
    *, image_id: str | None = IMAGE_ID, name: str = "web", **call: Unpack[Call]
) -> Record:
    """Returns a record of autoscaling CreateLaunchConfiguration."""
    parameters: Json = {
        "ebsOptimized": False,
        "instanceMonitoring": {"enabled": False},
        "instanceType": "t3.micro",
        "launchConfigurationName": name,
    }
    if image_id is not None:
        parameters["imageId"] = image_id
    parameters["securityGroups"] = [derived_id("sg", name)]
    return record(
        "autoscaling.amazonaws.com",
        "CreateLaunchConfiguration",
        parameters=parameters,
        read_only=False,
        **call,
    )


def request_spot_instances(*, image_id: str = IMAGE_ID, **call: Unpack[Call]) -> Record:
    """Returns a record of ec2 RequestSpotInstances."""
    specification = {"imageId": image_id, "instanceType": "t3.micro"}
    request_id = call.setdefault("request_id", derived_uuid("request", image_id, call))
    return record(
        EC2,
        "RequestSpotInstances",
        parameters={
            "spotPrice": "0.0104",
            "instanceCount": 1,
            "type": "one-time",
            "launchSpecification": {**specification, "monitoring": {"enabled": False}},
        },
        response={
            "requestId": request_id,
            "spotInstanceRequestSet": items(
                [
                    {
                        "spotInstanceRequestId": "sir-k2j8p4qm",
                        "spotPrice": "0.010400",
                        "type": "one-time",
                        "state": "open",
                        "launchSpecification": specification,
                    }
                ]
            ),
        },
        read_only=False,
        **call,
    )


def request_spot_fleet(*, image_ids: Sequence[str] = (IMAGE_ID,), **call: Unpack[Call]) -> Record:
    """Returns a record of ec2 RequestSpotFleet."""
    request_id = call.setdefault("request_id", derived_uuid("request", list(image_ids), call))
    return record(
        EC2,
        "RequestSpotFleet",
        parameters={
            "spotFleetRequestConfig": {
                "iamFleetRole": "arn:aws:iam::111122223333:role/aws-ec2-spot-fleet-tagging-role",
                "targetCapacity": 2,
                "launchSpecifications": items(
                    {"imageId": image_id, "instanceType": "t3.micro"} for image_id in image_ids
                ),
            }
        },
        response={"requestId": request_id, "spotFleetRequestId": f"sfr-{request_id}"},
        read_only=False,
        **call,
    )


def _launch_template(name: str, *, request: Json, answer: Json, call: Call) -> Record:
    request_id = call.setdefault("request_id", derived_uuid("request", name, request, call))
    return record(
        EC2,
        name,
        parameters={f"{name}Request": {**request, "ClientToken": derived_uuid("token", request)}},
        response={f"{name}Response": {"xmlns": _NAMESPACE, "requestId": request_id, **answer}},
        read_only=False,
        **call,
    )


def _template(name: str, *, version: int) -> Json:
    return {
        "launchTemplateId": derived_id("lt", name),
        "launchTemplateName": name,
        "defaultVersionNumber": 1,
        "latestVersionNumber": version,
    }


def _template_data(image_id: str | None) -> Json:
    image = {} if image_id is None else {"ImageId": image_id}
    return {**image, "InstanceType": "t3.micro"}
