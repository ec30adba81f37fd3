"""Names under which well-known publishers offer public AMIs, and whose account each of them is.

A stranger who wants to be found publishes under these names, because many searches ask for them.
An organization's own names belong in no family: each begins with something a publisher coined.

Sources: the well-known accounts in kubernetes/kops, eksctl-io/eksctl (accounts of EKS images by
region) and kubernetes-sigs/cluster-api-provider-aws (Canonical in GovCloud, its own images);
fwdcloudsec/known_aws_accounts; the owner tables of awless and cloudigrade (Red Hat by partition);
the AWS documentation on finding Amazon Linux, Windows, macOS, EKS, Bottlerocket, Elastic Beanstalk,
ParallelCluster and Deep Learning images by owner alias; the publishers' own pages on their images.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from amiguard_core.patterns import MAX_NAME_CHARACTERS, Pattern, covers, intersects

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_CACHED_ANSWERS: Final = 4096
"""As many as parsed patterns are remembered: scoring asks about the same few again and again."""

_DEFAULT_REGIONS: Final = frozenset(
    {
        *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1"),
        *("eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3"),
        *("ap-northeast-1", "ap-northeast-2", "ap-northeast-3"),
        *("ap-south-1", "ap-southeast-1", "ap-southeast-2"),
    }
)
"""Regions every account has. In the others Amazon publishes from further accounts."""


@dataclass(frozen=True, slots=True)
class Publisher:
    """Somebody who publishes public images, and the owners under which they are found."""

    name: str
    owners: tuple[str, ...] = ()
    """Account ids in the commercial regions."""
    elsewhere: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Account ids in the regions and partitions (`aws-cn`, `aws-us-gov`) where they are others."""
    alias: tuple[str, ...] = ()
    """The owner alias that holds wherever no account id is known."""

    def owners_in(self, region: str) -> tuple[str, ...]:
        """Return the owners to ask for in `region`; none where none is known."""
        partition = _partition(region)
        for place, owners in self.elsewhere:
            if place in {region, partition}:
                return owners
        if partition != "aws" or (self.alias and region not in _DEFAULT_REGIONS):
            return self.alias
        return self.owners or self.alias


@dataclass(frozen=True, slots=True)
class NameFamily:
    """Names that one publisher uses."""

    pattern: Pattern
    publisher: str | None
    """Nobody known for a family that the rule configuration adds."""
    owners: tuple[str, ...]
    """Account ids, or else an owner alias, in the commercial regions."""


_AMAZON: Final = ("amazon",)
_MARKETPLACE: Final = ("aws-marketplace",)

_EKS_BY_REGION: Final = (
    ("af-south-1", ("877085696533",)),
    ("ap-east-1", ("800184023465",)),
    ("ap-east-2", ("533267051163",)),
    ("ap-south-2", ("900889452093",)),
    ("ap-southeast-3", ("296578399912",)),
    ("ap-southeast-4", ("491585149902",)),
    ("ap-southeast-5", ("151610086707",)),
    ("ap-southeast-6", ("333609536671",)),
    ("ap-southeast-7", ("121268973566",)),
    ("ca-west-1", ("761377655185",)),
    ("cn-north-1", ("918309763551",)),
    ("cn-northwest-1", ("961992271922",)),
    ("eu-central-2", ("900612956339",)),
    ("eu-south-1", ("590381155156",)),
    ("eu-south-2", ("455263428931",)),
    ("il-central-1", ("066635153087",)),
    ("me-central-1", ("759879836304",)),
    ("me-south-1", ("558608220178",)),
    ("mx-central-1", ("730335286997",)),
    ("us-gov-east-1", ("151742754352",)),
    ("us-gov-west-1", ("013241004608",)),
)

_PUBLISHED: Final[tuple[tuple[Publisher, tuple[str, ...]], ...]] = (
    (
        Publisher(
            "Canonical",
            ("099720109477",),
            (("aws-cn", ("837727238323",)), ("aws-us-gov", ("513442679011",))),
        ),
        (
            "ubuntu/images/*",
            "ubuntu/images-*/*",
            "ubuntu-eks/*",
            "ubuntu-eks-pro/*",
            "ubuntu-minimal/*",
            "ubuntu-pro-fips*/images/*",
            "ubuntu-pro-minimal/*",
            "ubuntu-pro-server/*",
        ),
    ),
    (
        Publisher("Amazon Linux", ("137112412989",), alias=_AMAZON),
        ("al2022-ami-*", "al2023-ami-*", "amzn-ami-*", "amzn2-ami-*"),
    ),
    (
        Publisher("Amazon Windows", ("801119661308",), alias=_AMAZON),
        ("EC2LaunchV2-Windows_Server-*", "TPM-Windows_Server-*", "Windows_Server-*"),
    ),
    (
        Publisher("Amazon EKS", ("602401143452",), _EKS_BY_REGION, _AMAZON),
        ("amazon-eks-arm64-node-*", "amazon-eks-gpu-node-*", "amazon-eks-node-*"),
    ),
    (Publisher("Amazon Bottlerocket", alias=_AMAZON), ("bottlerocket-*",)),
    (Publisher("Amazon EC2 Mac", alias=_AMAZON), ("amzn-ec2-macos-*",)),
    (
        Publisher("AWS Deep Learning AMIs", alias=_AMAZON),
        (
            "Deep Learning AMI *",
            "Deep Learning ARM64 *",
            "Deep Learning Base *",
            "Deep Learning OSS *",
        ),
    ),
    (Publisher("AWS Elastic Beanstalk", alias=_AMAZON), ("aws-elasticbeanstalk-*",)),
    (Publisher("AWS ParallelCluster", alias=_AMAZON), ("aws-parallelcluster-*",)),
    # Not 379101102735 as well, which published the releases before 10: nothing supported is there.
    (Publisher("Debian", ("136693071363",)), ("debian-*",)),
    (
        Publisher(
            "Red Hat",
            ("309956199498",),
            (("aws-cn", ("841258680906",)), ("aws-us-gov", ("219670896067",))),
        ),
        ("RHEL-*",),
    ),
    (Publisher("Red Hat CoreOS", ("531415883065",)), ("rhcos-*",)),
    (Publisher("SUSE", ("013907871322",)), ("suse-sle-micro-*", "suse-sles-*")),
    (Publisher("Rocky Linux", ("792107900819",)), ("Rocky-*",)),
    (Publisher("AlmaLinux", ("764336703387",)), ("AlmaLinux OS *",)),
    (
        Publisher("Oracle Linux", ("131827586825",)),
        ("OL6.*-HVM-*", "OL7.*-HVM-*", "OL8.*-HVM-*", "OL9.*-HVM-*", "OL10.*-HVM-*"),
    ),
    (Publisher("Fedora", ("125523088429",)), ("Fedora-*", "fedora-coreos-*")),
    (Publisher("CentOS", ("125523088429",)), ("CentOS *",)),
    (Publisher("Flatcar", ("075585003325",), (("aws-cn", ("306934455918",)),)), ("Flatcar-*",)),
    (
        Publisher("CoreOS", ("595879546273",)),
        ("CoreOS-alpha-*", "CoreOS-beta-*", "CoreOS-stable-*"),
    ),
    (Publisher("FreeBSD", ("782442783595",)), ("FreeBSD *-RELEASE*", "FreeBSD/EC2 *")),
    (Publisher("Alpine Linux", ("538276064493",)), ("alpine-3.*", "alpine-ami-3.*")),
    (Publisher("NixOS", ("427812963091",)), ("nixos/??.??.*",)),
    (Publisher("Talos Linux", ("540036508848",)), ("talos-v?.*",)),
    (Publisher("Cluster API Provider AWS", ("819546954734",)), ("capa-ami-*",)),
    (Publisher("GitLab", ("782774275127",)), ("GitLab CE *", "GitLab EE *")),
    (
        Publisher("SPEL", ("174003430611",), (("aws-us-gov", ("216406534498",)),)),
        ("spel-bootstrap-*", "spel-minimal-*"),
    ),
    (Publisher("Bitnami", ("979382823631",), alias=_MARKETPLACE), ("bitnami-*-hvm-ebs*",)),
    (Publisher("Fortinet", alias=_MARKETPLACE), ("FortiGate-VM*-AWS*",)),
    (Publisher("Palo Alto Networks", alias=_MARKETPLACE), ("PA-VM-AWS-*",)),
)

_PUBLISHERS: Final = {publisher.name: publisher for publisher, _ in _PUBLISHED}

PUBLIC_FAMILIES: Final[tuple[NameFamily, ...]] = tuple(
    NameFamily(Pattern.parse(text), publisher.name, publisher.owners or publisher.alias)
    for publisher, texts in _PUBLISHED
    for text in texts
)
"""The families built in; the rule configuration may name more."""


def families_of(pattern: Pattern, extra: Sequence[Pattern] = ()) -> tuple[NameFamily, ...]:
    """Return the families some of whose names `pattern` matches, those of `extra` last."""
    # Texts that EC2 would refuse are not worth remembering.
    is_plausible = len(pattern.text) <= 2 * MAX_NAME_CHARACTERS
    built_in = _remembered(pattern) if is_plausible else _built_in_families_of(pattern)
    return built_in + tuple(
        NameFamily(further, publisher=None, owners=())
        for further in extra
        if intersects(pattern, further)
    )


def suggested_owners(patterns: Iterable[Pattern], region: str) -> tuple[str, ...]:
    """Return the owners that a search for `patterns` in `region` most likely means.

    A pattern counts towards a publisher when all its names are the publisher's, or when it reaches
    into the families of no other; what reaches into several says nothing of whom it means.
    """
    publishers = dict.fromkeys(name for pattern in patterns for name in _publishers_meant(pattern))
    owners = (owner for name in publishers for owner in _PUBLISHERS[name].owners_in(region))
    return tuple(dict.fromkeys(owners))


def _publishers_meant(pattern: Pattern) -> tuple[str, ...]:
    families = families_of(pattern)
    whole = dict.fromkeys(
        family.publisher for family in families if covers(family.pattern, pattern)
    )
    touched = dict.fromkeys(family.publisher for family in families)
    meant = whole or (touched if len(touched) == 1 else {})
    return tuple(name for name in meant if name is not None)


def _built_in_families_of(pattern: Pattern) -> tuple[NameFamily, ...]:
    return tuple(family for family in PUBLIC_FAMILIES if intersects(pattern, family.pattern))


_remembered: Final = lru_cache(maxsize=_CACHED_ANSWERS)(_built_in_families_of)


def _partition(region: str) -> str:
    """Return the AWS partition of `region`, as ARNs name it."""
    if region.startswith("cn-"):
        return "aws-cn"
    if region.startswith("us-gov-"):
        return "aws-us-gov"
    # The isolated partitions and the European sovereign one share no account with the others.
    return "aws-iso" if "-iso" in region or region.startswith("eusc-") else "aws"
