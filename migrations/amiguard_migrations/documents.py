"""How the values of records are stored: as JSON, packed against what it is mostly made of.

A record's value takes some 700 bytes of JSON and two fifths of that packed, so that a database
holds more than twice the records before it outgrows the memory of its machine. The form is part of
the schema, like the columns: see revisions 0008 and 0009.
"""

from __future__ import annotations

import threading
import zlib
from typing import Final

from zstandard import (
    DICT_TYPE_RAWCONTENT,
    FRAME_HEADER,
    ZstdCompressionDict,
    ZstdCompressionParameters,
    ZstdCompressor,
    ZstdDecompressor,
    ZstdError,
)

_PLAIN: Final = b"{"
"""What JSON begins with, and nothing that is packed."""

_COMMON: Final = (
    b'"include_deprecated":true,"include_disabled":true,"parameters_omitted":true,"executable_by":['
    b'"through_parameter":true,"template":{"template_id":"lt-0","version":"$Latest"}'
    b'"path":"CreateLaunchTemplateVersion""path":"CreateLaunchTemplate""path":"CreateFleet"'
    b'"path":"RequestSpotInstances""path":"ModifyLaunchTemplate"'
    b"us-gov-west-1cn-north-1sa-east-1ca-central-1ap-south-1ap-northeast-1ap-southeast-2"
    b"ap-southeast-1eu-north-1eu-west-3eu-west-2eu-central-1eu-west-1us-west-2us-east-2us-east-1"
    b"arn:aws-cn:sts::arn:aws-us-gov:sts::arn:aws:iam::aws:user/arn:aws:iam:::root"
    b"AWSReservedSSO_AdministratorAccess_i-0AWSServiceRoleForAutoScaling"
    b"autoscaling.amazonaws.comAWS Internalec2.amazonaws.comcloudformation.amazonaws.com"
    b"aws-cli/2.0 md/awscrt#0.2 ua/2.1 os/linux#6.8.0-amzn2023.x86_64 md/arch#x86_64 "
    b"lang/python#3.12 md/pyimpl#CPython cfg/retry-mode#standard md/installer#exe md/prompt#off "
    b"md/command#ec2."
    b"describe-imagesrun-instancesBoto3/1.3 md/Botocore#1.3 ua/2.0 os/linux#5.10 md/arch#aarch64 "
    b"lang/python#3.11 md/pyimpl#CPython m/N,Z,b,e cfg/retry-mode#legacy Botocore/1.3"
    b"APN/1.0 Ansible/2.1 amazon.aws/karpenter.sh-1.0APN/1.0 HashiCorp/1.0 Packer/1.1 "
    b"(+https://www.packer.io/) packer-plugin-amazon/1.2APN/1.0 Pulumi/1.0 PulumiAWS/6.5"
    b"APN/1.0 HashiCorp/1.0 Terraform/1.9 (+https://www.terraform.io) terraform-provider-aws/5.7"
    b" (+https://registry.terraform.io/providers/hashicorp/aws) aws-sdk-go-v2/1.3 ua/2.1 os/linux "
    b"lang/go#1.2 md/GOOS#linux md/GOARCH#amd64 exec-env/AWS_ECS_FARGATE api/ec2#1.1 m/E,g"
    b"ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*amzn2-ami-hvm-*-x86_64-gp2al2023-ami-*"
    b'"},"request":{"filters":[{"name":"virtualization-type","values":["hvm"]},{"name":"root-device-'
    b'type","values":["ebs"]},{"name":"architecture","values":["x86_64","arm64"]},{"name":"state",'
    b'"values":["available"]},{"name":"owner-alias","values":["amazon"]},{"name":"owner-id",'
    b'"values":["099720109477"]},{"name":"name","values":["*"]}],"owners":["self","amazon"]},'
    b'"request":{"image_ids":["ami-0"]},"request":{"owners":[],"filters":[{"name":"name","values":['
    b'"]}]},"fingerprint":""'
    b'"},"image_ids":["ami-0"],"instance_ids":["i-0"]}'
    b'{"origin":{"event_id":"-","event_time":"2026-01-01T00:00:00Z","region":"us-east-1",'
    b'"account_id":"","principal_arn":"arn:aws:sts:::assumed-role/","actor_arn":"arn:aws:iam:::role/'
    b'","user_agent":"","source_ip_address":"'
)
"""Names and phrases of records' values, the most common last. It decides how stored bytes read, so
it is never changed: a better one would be a second one, told from this by an id in the frame."""


_PHRASES: Final = ZstdCompressionDict(_COMMON, dict_type=DICT_TYPE_RAWCONTENT)
_LEVEL: Final = -1
"""Half the time of level 1, for a sixth more bytes."""
_PARAMETERS: Final = ZstdCompressionParameters.from_level(
    _LEVEL, write_checksum=True, write_dict_id=False
)
_DEFLATE_WINDOW_BITS: Final = 12


class _Packing(threading.local):
    """What packs and unpacks, of each thread its own: they take one document at a time."""

    def __init__(self) -> None:
        self.pack = ZstdCompressor(dict_data=_PHRASES, compression_params=_PARAMETERS).compress
        self.unpack = ZstdDecompressor(dict_data=_PHRASES).decompress


_packing = _Packing()


def pack(document: bytes) -> bytes:
    """Returns the stored form of a JSON object."""
    return _packing.pack(document)


def unpack(stored: bytes) -> bytes:
    """Returns the JSON object of a stored form, be it of this revision or a former one.

    Raises ValueError for what is neither packed nor a JSON object.
    """
    if stored.startswith(FRAME_HEADER):
        return _unpack_frame(stored)
    if stored.startswith(_PLAIN):
        return stored
    return _inflate(stored)


def _unpack_frame(stored: bytes) -> bytes:
    try:
        return _packing.unpack(stored, allow_extra_data=False)
    except (ZstdError, MemoryError) as error:  # the frame says how much memory it needs
        raise ValueError(f"stored document: got {stored[:8]!r}..., {error}") from None


def _inflate(stored: bytes) -> bytes:
    """Returns what revision 0008 packed."""
    inflating = zlib.decompressobj(_DEFLATE_WINDOW_BITS, _COMMON)
    try:
        document = inflating.decompress(stored)
    except zlib.error as error:
        raise ValueError(f"stored document: got {stored[:8]!r}..., {error}") from None
    if not inflating.eof:
        raise ValueError(f"stored document: got {stored[:8]!r}..., which is cut short")
    return document
