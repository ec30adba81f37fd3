"""Laws of the table of well-known public name families."""

from __future__ import annotations

import re
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiguard_core import families
from amiguard_core.families import PUBLIC_FAMILIES, NameFamily, families_of, suggested_owners
from amiguard_core.patterns import Pattern, covers, intersects

ALIASES = {"amazon", "aws-marketplace"}

CANONICAL = "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*"

PUBLISHED = [
    ("Canonical", "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-20240701"),
    ("Canonical", "ubuntu/images-testing/hvm-ssd-gp3/ubuntu-questing-daily-amd64-server-20250608"),
    ("Canonical", "ubuntu-eks/k8s_1.24/images/hvm-ssd/ubuntu-focal-20.04-arm64-server-20221214"),
    ("Canonical", "ubuntu-minimal/images/hvm-ssd/ubuntu-jammy-22.04-arm64-minimal-20230213"),
    ("Canonical", "ubuntu-pro-server/images/hvm-ssd/ubuntu-jammy-22.04-amd64-pro-server-20241113"),
    ("Amazon Linux", "amzn-ami-hvm-2018.03.0.20230306.1-x86_64-gp2"),
    ("Amazon Linux", "amzn2-ami-ecs-hvm-2.0.20240625-x86_64-ebs"),
    ("Amazon Linux", "al2023-ami-2023.5.20240701.0-kernel-6.1-x86_64"),
    ("Amazon Windows", "Windows_Server-2022-English-Full-Base-2024.06.13"),
    ("Amazon Windows", "TPM-Windows_Server-2016-English-Full-Base-2023.05.10"),
    ("Amazon EKS", "amazon-eks-node-al2023-x86_64-standard-1.30-v20240703"),
    ("Amazon EKS", "amazon-eks-gpu-node-1.29-v20240703"),
    ("Amazon Bottlerocket", "bottlerocket-aws-k8s-1.30-x86_64-v1.20.3-5d9ac849"),
    ("Amazon EC2 Mac", "amzn-ec2-macos-15.7.4-20260217-233754-arm64"),
    ("Debian", "debian-12-amd64-20240717-1811"),
    ("Red Hat", "RHEL-9.4.0_HVM-20240605-x86_64-82-Hourly2-GP3"),
    ("Red Hat CoreOS", "rhcos-414.92.202401021734-0-x86_64"),
    ("SUSE", "suse-sles-15-sp5-v20240129-hvm-ssd-x86_64"),
    ("Rocky Linux", "Rocky-9-EC2-Base-9.4-20240523.0.x86_64"),
    ("AlmaLinux", "AlmaLinux OS 9.4.20240513 x86_64"),
    ("Oracle Linux", "OL8.7-x86_64-HVM-2023-03-07"),
    ("Fedora", "Fedora-Cloud-Base-AmazonEC2.x86_64-40-1.14"),
    ("CentOS", "CentOS Stream 9 x86_64 20240701"),
    ("Flatcar", "Flatcar-stable-3815.2.5-hvm"),
    ("FreeBSD", "FreeBSD 14.1-RELEASE-amd64 base UFS"),
    ("Alpine Linux", "alpine-3.20.1-x86_64-uefi-tiny-r0"),
    ("NixOS", "nixos/24.05.3518.1d9c2c9b3e71-x86_64-linux"),
    ("Talos Linux", "talos-v1.7.5-us-east-1-amd64"),
    ("Cluster API Provider AWS", "capa-ami-ubuntu-18.04-v1.26.0-1671514382"),
    ("GitLab", "GitLab CE 17.11.7"),
    ("SPEL", "spel-minimal-rhel-9-hvm-2024.06.1.x86_64-gp3"),
    ("Bitnami", "bitnami-tomcat-9.0.1-0-linux-debian-9-x86_64-hvm-ebs-nami"),
    ("Fortinet", "FortiGate-VM64-AWSONDEMAND build1577 (7.4.3) GA"),
    ("Palo Alto Networks", "PA-VM-AWS-11.2.0"),
]

ORGANIZATIONS = [
    "??-base-*",
    "acme-exact-name-1",
    "acme-golden-*",
    "ami-*",
    "base-*",
    r"a\*b-*",
    "centos-7-*",
    "corp/img-[v1]-*",
    "docker-*",
    "eks-node-*",
    "golden-*",
    "k8s-1.?-node-*",
    "linux-*",
    "nginx-*",
    "packer-*",
    "prod/*",
    "rhel-8-*",
    "talos-vpn-*",
    "ubuntu-22.04-hardened-*",
    "ubuntu/golden/*",
    "web-??-*",
    "windows-*",
]


def parsed(*texts: str) -> tuple[Pattern, ...]:
    """Parse several patterns."""
    return tuple(map(Pattern.parse, texts))


def test_owners_are_account_ids_or_aliases() -> None:
    """An owner is a text of 12 digits, leading zeros and all, or an alias that EC2 knows."""
    owners = {owner for family in PUBLIC_FAMILIES for owner in family.owners}
    accounts = {
        owner for owner in owners if len(owner) == 12 and owner.isascii() and owner.isdigit()
    }

    assert owners - accounts == ALIASES
    assert all(family.owners for family in PUBLIC_FAMILIES)


def test_accounts_elsewhere_are_by_partition_or_region() -> None:
    """A place is a partition or a region, and has accounts of its own there."""
    published = [publisher for publisher, _ in families._PUBLISHED]
    elsewhere = [item for publisher in published for item in publisher.elsewhere]

    assert elsewhere
    for place, owners in elsewhere:
        assert place in {"aws-cn", "aws-us-gov"} or re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", place)
        assert owners
        assert all(re.fullmatch(r"\d{12}", owner) for owner in owners)


def test_regions_that_every_account_has_are_regions() -> None:
    """Each reads as a region of the commercial partition does."""
    regions = families._DEFAULT_REGIONS

    assert len(regions) == 17
    assert all(re.fullmatch(r"[a-z]{2}-[a-z]+-\d", region) for region in regions)


def test_families_are_of_characters_that_a_name_may_have() -> None:
    """EC2 lets images be named by these and no others; with a further one nothing is matched."""
    for family in PUBLIC_FAMILIES:
        assert re.fullmatch(r"[A-Za-z0-9()\[\] ./'@_*?-]+", family.pattern.text), family
    assert all(re.fullmatch(r"[A-Za-z0-9 ]+", name) for name in families._PUBLISHERS)


def test_families_begin_with_a_coined_word() -> None:
    """No family is so broad that names of others fall into it by chance."""
    assert min(family.pattern.literal_prefix_length for family in PUBLIC_FAMILIES) >= 4


def test_no_family_lies_within_another() -> None:
    """Each family says something that no other says."""
    within = [
        (wider.pattern.text, narrower.pattern.text)
        for wider, narrower in permutations(PUBLIC_FAMILIES, 2)
        if covers(wider.pattern, narrower.pattern)
    ]

    assert within == []


@pytest.mark.parametrize(("publisher", "name"), PUBLISHED)
def test_published_name_belongs_to_its_publisher(publisher: str, name: str) -> None:
    """A name that was published is in a family of its publisher and of no other."""
    families = families_of(Pattern.parse(name))

    assert {publisher} == {family.publisher for family in families}


@pytest.mark.parametrize("text", ORGANIZATIONS)
def test_names_of_an_organization_belong_to_no_family(text: str) -> None:
    """What an organization may well call its own images is nobody's public name."""
    assert families_of(Pattern.parse(text)) == ()


def test_pattern_of_everything_reaches_every_family() -> None:
    """A search for any name can find each public family."""
    assert families_of(Pattern.parse("*")) == PUBLIC_FAMILIES


@given(
    st.one_of(st.sampled_from(PUBLISHED).map(lambda row: row[1]), st.text(max_size=20)), st.data()
)
def test_families_are_those_that_intersect(text: str, data: st.DataObject) -> None:
    """A family is reached exactly if the patterns have a name in common, asked first or again."""
    cut = data.draw(st.integers(0, len(text)))
    pattern = Pattern.parse(text[:cut] + data.draw(st.sampled_from(["*", "?*", "", "*-*"])))
    expected = tuple(f for f in PUBLIC_FAMILIES if intersects(f.pattern, pattern))

    assert expected == families_of(pattern)
    assert expected == families_of(pattern)


def test_text_too_long_for_a_search_is_answered_too() -> None:
    """A pattern longer than EC2 takes reaches families like any other."""
    pattern = Pattern.parse("ubuntu/images/" + "?" * 2000)

    assert [family.pattern.text for family in families_of(pattern)] == ["ubuntu/images/*"]


def test_further_families_have_no_known_publisher() -> None:
    """A family from the rule configuration counts, after those built in, without owners."""
    further = parsed("ubuntu/*", "acme-*", "debian-12*")
    families = families_of(Pattern.parse("debian-*"), further)

    assert families[1:] == (NameFamily(further[2], publisher=None, owners=()),)
    assert families[0].publisher == "Debian"
    assert families_of(Pattern.parse("debian-*")) == families[:1]


@pytest.mark.parametrize(
    ("text", "region", "owners"),
    [
        (CANONICAL, "us-east-1", ("099720109477",)),
        (CANONICAL, "af-south-1", ("099720109477",)),
        (CANONICAL, "cn-north-1", ("837727238323",)),
        (CANONICAL, "us-gov-west-1", ("513442679011",)),
        (CANONICAL, "us-iso-east-1", ()),
        ("amazon-eks-node-1.30-*", "us-east-1", ("602401143452",)),
        ("amazon-eks-node-1.30-*", "ap-east-1", ("800184023465",)),
        ("amazon-eks-node-1.30-*", "cn-northwest-1", ("961992271922",)),
        ("amazon-eks-node-1.30-*", "us-gov-west-1", ("013241004608",)),
        ("amazon-eks-node-1.30-*", "eusc-de-east-1", ("amazon",)),
        ("amzn2-ami-hvm-*-x86_64-gp2", "eu-west-1", ("137112412989",)),
        ("amzn2-ami-hvm-*-x86_64-gp2", "ap-east-1", ("amazon",)),
        ("amzn2-ami-hvm-*-x86_64-gp2", "us-gov-east-1", ("amazon",)),
        ("bottlerocket-aws-ecs-2-*", "eu-west-1", ("amazon",)),
        ("RHEL-9*", "us-gov-east-1", ("219670896067",)),
        ("debian-12*", "eu-west-1", ("136693071363",)),
        ("debian-12*", "us-gov-east-1", ()),
        ("PA-VM-AWS-11*", "eu-west-1", ("aws-marketplace",)),
        ("acme-golden-*", "eu-west-1", ()),
    ],
)
def test_owners_suggested_are_those_of_the_region(
    text: str, region: str, owners: tuple[str, ...]
) -> None:
    """The owner of a family is the account that publishes it in the search's region."""
    assert owners == suggested_owners(parsed(text), region)


def test_pattern_that_reaches_one_publisher_suggests_it() -> None:
    """A pattern need not lie within a family to mean its publisher."""
    assert suggested_owners(parsed("ubuntu*22.04*"), "us-east-1") == ("099720109477",)


@pytest.mark.parametrize("text", ["*", "*-2024*", "a*-ami-*"])
def test_pattern_that_reaches_several_publishers_suggests_none(text: str) -> None:
    """Nobody can tell whose images a pattern means that many publish under."""
    assert suggested_owners(parsed(text), "us-east-1") == ()


def test_owners_of_all_patterns_are_suggested_once() -> None:
    """Several patterns suggest the owners of each, in their order and without repetition."""
    patterns = parsed("debian-12*", CANONICAL, "acme-*", "debian-13*", "ubuntu-eks/*")

    assert suggested_owners(patterns, "us-east-1") == ("136693071363", "099720109477")
