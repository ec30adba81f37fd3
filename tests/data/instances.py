"""What EC2 answers about an instance it has just started."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from tests.data.shapes import Json, derived_id, epoch_ms, items


class Started(NamedTuple):
    """One instance of a launch."""

    instance_id: str
    image_id: str | None
    instance_type: str
    account: str
    region: str
    at: datetime
    client_token: str
    tags: Mapping[str, str]
    # Its position among the instances of the launch.
    number: int


def instance(started: Started) -> Json:
    """Returns the instance as `responseElements.instancesSet.items[]` has it."""
    network = derived_id("vpc", started.account, started.region)
    subnet = derived_id("subnet", started.account, started.region)
    security = items([{"groupId": derived_id("sg", network), "groupName": "default"}])
    address = f"10.0.1.{10 + started.number % 240}"
    launch_time = epoch_ms(started.at)
    image = {} if started.image_id is None else {"imageId": started.image_id}
    return {
        "instanceId": started.instance_id,
        **image,
        "bootMode": "uefi-preferred",
        "currentInstanceBootMode": "uefi",
        "instanceState": {"code": 0, "name": "pending"},
        "privateDnsName": f"ip-{address.replace('.', '-')}.{started.region}.compute.internal",
        "amiLaunchIndex": started.number,
        "productCodes": {},
        "instanceType": started.instance_type,
        "launchTime": launch_time,
        "placement": {"availabilityZone": f"{started.region}a", "tenancy": "default"},
        "monitoring": {"state": "disabled"},
        "subnetId": subnet,
        "vpcId": network,
        "privateIpAddress": address,
        "stateReason": {"code": "pending", "message": "pending"},
        "architecture": "x86_64",
        "rootDeviceType": "ebs",
        "rootDeviceName": "/dev/sda1",
        "blockDeviceMapping": {},
        "virtualizationType": "hvm",
        "hypervisor": "xen",
        "tagSet": items({"key": key, "value": value} for key, value in started.tags.items()),
        "clientToken": started.client_token,
        "groupSet": security,
        "sourceDestCheck": True,
        "networkInterfaceSet": items(
            [
                {
                    "networkInterfaceId": derived_id("eni", started.instance_id),
                    "subnetId": subnet,
                    "vpcId": network,
                    "ownerId": started.account,
                    "operator": {"managed": False},
                    "status": "in-use",
                    "macAddress": "02:00:0a:00:01:0a",
                    "privateIpAddress": address,
                    "sourceDestCheck": True,
                    "interfaceType": "interface",
                    "groupSet": security,
                    "attachment": {
                        "attachmentId": derived_id("eni-attach", started.instance_id),
                        "deviceIndex": 0,
                        "networkCardIndex": 0,
                        "status": "attaching",
                        "attachTime": launch_time,
                        "deleteOnTermination": True,
                    },
                    # EC2 really writes `item` here, and `items` everywhere else.
                    "privateIpAddressesSet": {
                        "item": [{"privateIpAddress": address, "primary": True}]
                    },
                    "ipv6AddressesSet": {},
                    "tagSet": {},
                }
            ]
        ),
        "ebsOptimized": False,
        "enaSupport": True,
        "cpuOptions": {"coreCount": 1, "threadsPerCore": 2},
        "capacityReservationSpecification": {"capacityReservationPreference": "open"},
        "enclaveOptions": {"enabled": False},
        "metadataOptions": {
            "state": "pending",
            "httpTokens": "required",
            "httpPutResponseHopLimit": 2,
            "httpEndpoint": "enabled",
            "httpProtocolIpv4": "enabled",
            "httpProtocolIpv6": "disabled",
            "instanceMetadataTags": "disabled",
        },
        "maintenanceOptions": {"autoRecovery": "default"},
        "privateDnsNameOptions": {
            "hostnameType": "ip-name",
            "enableResourceNameDnsARecord": False,
            "enableResourceNameDnsAAAARecord": False,
        },
        "operator": {"managed": False},
    }
