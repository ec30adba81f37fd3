"""Laws of triage: what a person reads on a finding, and whose images the fix asks for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import Any

import pytest
from botocore.session import Session
from botocore.validate import validate_parameters
from hypothesis import given, settings

from amiguard_core import _lookup
from amiguard_core._lookup import advise
from amiguard_core.clients import CLIENTS
from amiguard_core.events import SearchFilter, SearchRequest
from amiguard_core.families import suggested_owners
from amiguard_core.patterns import Pattern
from amiguard_core.remediation import Remediation, remediate
from tests.core.hostile import hostile_texts

yaml: Any = pytest.importorskip("yaml")

CANONICAL = "099720109477"
UBUNTU = "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*"
ACCOUNT_ID = "012345678901"
REGION = "eu-west-1"

LANGUAGES = {
    "ansible": "yaml",
    "aws-cli": "shell",
    "aws-sdk-dotnet": "csharp",
    "aws-sdk-go": "go",
    "aws-sdk-java": "java",
    "aws-sdk-js": "javascript",
    "aws-sdk-php": "php",
    "aws-sdk-ruby": "ruby",
    "aws-sdk-rust": "rust",
    "boto3": "python",
    "botocore": "python",
    "cdk": "typescript",
    "cloudformation": "python",
    "karpenter": "yaml",
    "opentofu": "hcl",
    "packer": "hcl",
    "pulumi": "typescript",
    "terraform": "hcl",
}
"""Clients with a form of their own; all others are given that of the AWS CLI."""


def search(*names: str, owners: tuple[str, ...] = (), **others: tuple[str, ...]) -> SearchRequest:
    """A search by names and by other filters, named with underscores for dashes."""
    filters = {"name": names} | {key.replace("_", "-"): values for key, values in others.items()}
    return SearchRequest(
        filters=tuple(
            SearchFilter(name=name, values=values)
            for name, values in sorted(filters.items())
            if values
        ),
        owners=owners,
    )


def mended(request: SearchRequest, client: str, *, region: str = REGION) -> Remediation:
    """The remediation for a client in the usual account."""
    return remediate(request, client=client, account_id=ACCOUNT_ID, region=region)


def comments_of(snippet: str) -> list[str]:
    """The comment lines of a snippet."""
    return [line for line in snippet.splitlines() if line.startswith(("#", "//"))]


def code_of(snippet: str) -> str:
    """A snippet without its comment lines."""
    comments = comments_of(snippet)
    return "\n".join(line for line in snippet.splitlines() if line not in comments)


def keywords_of(snippet: str) -> dict[str, Any]:
    """The keyword arguments of the last call of a Python snippet."""
    statement = ast.parse(snippet).body[-1]
    assert isinstance(statement, ast.Assign)
    assert isinstance(statement.value, ast.Call)
    return {str(each.arg): ast.literal_eval(each.value) for each in statement.value.keywords}


@pytest.mark.parametrize("client", sorted(CLIENTS))
def test_every_client_is_given_its_language(client: str) -> None:
    """A client with a form of its own gets it; any other gets the AWS CLI's."""
    assert LANGUAGES.get(client, "shell") == mended(search(UBUNTU), client).fix_language


@pytest.mark.parametrize("client", [*sorted(CLIENTS), "never heard of"])
def test_owner_of_known_family_is_named(client: str) -> None:
    """Every client's snippet for Canonical's names asks for Canonical's images."""
    remedy = mended(search(UBUNTU), client)

    assert remedy.suggested_owners == (CANONICAL,)
    assert CANONICAL in code_of(remedy.fix_snippet)


@pytest.mark.parametrize("client", sorted(CLIENTS))
def test_every_searched_pattern_is_kept(client: str) -> None:
    """The mended lookup asks for every name that the search asked for."""
    names = (UBUNTU, "ubuntu/images/hvm-ssd-gp3/*-24.04-*", "Windows_Server-2022-English-*")

    code = code_of(mended(search(*names), client).fix_snippet)

    assert [name for name in names if name not in code] == []


@pytest.mark.parametrize("client", sorted(CLIENTS - {"karpenter"}))
def test_every_other_filter_is_kept(client: str) -> None:
    """The mended lookup has the other filters of the search, names and values."""
    request = search(UBUNTU, architecture=("arm64",), virtualization_type=("hvm",))

    code = code_of(mended(request, client).fix_snippet)

    kept = ("architecture", "arm64", "virtualization-type", "hvm")
    assert [text for text in kept if text not in code] == []


def test_owner_follows_the_partition_of_the_region() -> None:
    """In GovCloud Canonical publishes from another account."""
    remedy = mended(search(UBUNTU), "terraform", region="us-gov-west-1")

    assert remedy.suggested_owners == ("513442679011",)
    assert 'owners      = ["513442679011"]' in remedy.fix_snippet


@pytest.mark.parametrize("client", sorted(CLIENTS))
def test_unknown_names_are_given_self_and_a_marked_choice(client: str) -> None:
    """Where no publisher is known the snippet lets nobody else in, and asks for a decision."""
    remedy = mended(search("our-app-*"), client)

    assert remedy.suggested_owners == ()
    assert "self" in code_of(remedy.fix_snippet)
    assert "CHOOSE THE OWNER" in "\n".join(comments_of(remedy.fix_snippet))


def test_names_of_unknown_owner_among_known_ones_are_mentioned() -> None:
    """An owner of some of the names is not passed off as the owner of all."""
    some = mended(search(UBUNTU, "our-app-*"), "boto3").fix_snippet
    every = mended(search(UBUNTU), "boto3").fix_snippet

    assert "Some of the names have no known owner" in some
    assert "Some of the names have no known owner" not in every


def test_names_that_are_all_of_unknown_owner_are_not_some_of_them() -> None:
    """Where no owner is known, the choice that is marked is the only one to be made."""
    none = mended(search("our-app-*"), "boto3").fix_snippet

    assert "CHOOSE THE OWNER" in none
    assert "Some of the names" not in none


def test_publisher_of_suggested_owners_alone_is_named() -> None:
    """A pattern that says nothing of whom it means names no publisher."""
    remedy = mended(search(UBUNTU, "*"), "boto3")

    assert f"published by Canonical: {CANONICAL}." in remedy.steps[2]


def test_owners_asked_for_are_replaced() -> None:
    """An owner that did not make the search safe does not stay in the mended lookup."""
    request = search(UBUNTU, owners=("*",), owner_id=("9*",), owner_alias=("*",))

    remedy = mended(request, "boto3")

    assert keywords_of(remedy.fix_snippet) == {
        "Owners": [CANONICAL],
        "Filters": [{"Name": "name", "Values": [UBUNTU]}],
    }
    assert "These owners replace those that the search asked for." in remedy.fix_snippet
    assert "allowlist" in remedy.steps[2]


@pytest.mark.parametrize(
    "request_",
    [
        search(UBUNTU, owners=("*",)),
        search(UBUNTU, owner_id=("9*",)),
        search(UBUNTU, owner_alias=("*",)),
    ],
    ids=["owners", "owner-id", "owner-alias"],
)
def test_any_owner_asked_for_is_said_to_be_replaced(request_: SearchRequest) -> None:
    """A search may state an owner in one of three places."""
    replaced = "These owners replace those that the search asked for."

    assert replaced in mended(request_, "boto3").fix_snippet
    assert replaced not in mended(search(UBUNTU), "boto3").fix_snippet


def test_omitted_parameters_are_mentioned() -> None:
    """A search whose parameters CloudTrail left out gets a lookup that says what is missing."""
    remedy = mended(SearchRequest(parameters_omitted=True), "terraform")

    assert "CloudTrail left the parameters out" in remedy.fix_snippet
    assert "left the parameters out" not in mended(search(UBUNTU), "terraform").fix_snippet
    assert 'owners      = ["self"]' in remedy.fix_snippet


def test_steps_are_four_in_order_and_name_the_place() -> None:
    """A person reads what to do, in order, and in which account and region."""
    starts = (
        f"Look into the principal that made the calls in account {ACCOUNT_ID}, region {REGION}",
        "Find the code that looked the image up (client: terraform)",
        "Have the code say whose image it wants",
        f"Consider Allowed AMIs in account {ACCOUNT_ID}, region {REGION}",
    )

    steps = mended(search(UBUNTU), "terraform").steps

    assert starts == tuple(step[: len(start)] for step, start in zip(steps, starts, strict=True))


def test_third_step_names_every_way_to_state_an_owner() -> None:
    """It lists the owners, and the two filters, that make a search safe."""
    step = mended(search("our-app-*"), "unknown").steps[2]

    assert (
        "Owners = an account id, self, amazon, aws-backup-vault or aws-marketplace; or the filter "
        "owner-alias = amazon, aws-marketplace or aws-backup-vault; or the filter owner-id = an "
        "account id."
    ) in step


@pytest.mark.parametrize(
    ("name", "tree"),
    [
        (UBUNTU, "/aws/service/canonical/ubuntu"),
        ("al2023-ami-2023*", "/aws/service/ami-amazon-linux-latest"),
        ("amzn2-ami-hvm-*", "/aws/service/ami-amazon-linux-latest"),
        ("Windows_Server-2022-*", "/aws/service/ami-windows-latest"),
        ("amazon-eks-node-1.31-*", "/aws/service/eks/optimized-ami"),
    ],
)
def test_images_that_aws_lists_as_parameters_are_offered_so(name: str, tree: str) -> None:
    """Both the third step and the snippet say where the image id can be had without a search."""
    remedy = mended(search(name), "aws-cli")

    assert re.search(rf"{tree}(?![\w/~-])", remedy.steps[2])
    assert any(line.endswith(f" {tree}") for line in comments_of(remedy.fix_snippet))


@pytest.mark.parametrize(
    ("name", "region"),
    [(UBUNTU, "us-gov-west-1"), ("Rocky-9-*", REGION), ("our-app-*", REGION), ("*", REGION)],
)
def test_no_parameters_are_offered_where_none_are_known(name: str, region: str) -> None:
    """Other names, and other partitions, are offered no parameters."""
    remedy = mended(search(name), "aws-cli", region=region)

    assert "/aws/service/" not in remedy.steps[2] + remedy.fix_snippet


def test_exact_name_searched_by_packer_may_be_its_own_check() -> None:
    """The second step tells of the check that old Packer plugins make by themselves."""
    exact = mended(search("our-app-2024-05-01"), "packer").steps[1]
    wildcard = mended(search("our-app-*"), "packer").steps[1]

    assert "before 1.2.4" in exact
    assert "before 1.2.4" not in wildcard


@pytest.mark.parametrize("client", sorted(CLIENTS))
def test_place_that_is_none_is_never_shown(client: str) -> None:
    """What does not read like an account and a region is kept out of steps and snippets."""
    remedy = remediate(
        search("our-app-*"), client=client, account_id="x'$(id)", region="eu'$(id)\n"
    )

    assert "$(id)" not in "\n".join((*remedy.steps, remedy.fix_snippet))


@pytest.mark.parametrize("client", sorted(CLIENTS))
@settings(max_examples=20)
@given(name=hostile_texts(), owner=hostile_texts(), region=hostile_texts())
def test_comments_are_plain_words(client: str, name: str, owner: str, region: str) -> None:
    """A comment holds nothing a shell could act on, for some shells do not know comments."""
    request = search(*sorted({name, UBUNTU}), owners=(owner,), description=(name,))

    comments = comments_of(mended(request, client, region=region).fix_snippet)

    plain = re.compile(r"(#|//) [\w ,.:/-]+", re.ASCII)
    assert len(comments) > 1
    assert [line for line in comments if not plain.fullmatch(line)] == []


def test_call_is_one_that_ec2_knows() -> None:
    """The keyword arguments are those of DescribeImages, by the model of the service itself."""
    request = SearchRequest(
        filters=search(UBUNTU, architecture=("arm64",)).filters,
        executable_by=("all",),
        include_deprecated=True,
        include_disabled=True,
    )

    asked = keywords_of(mended(request, "boto3").fix_snippet)

    shape = Session().get_service_model("ec2").operation_model("DescribeImages").input_shape
    validate_parameters(asked, shape)
    assert asked == {
        "Owners": [CANONICAL],
        "Filters": [
            {"Name": "name", "Values": [UBUNTU]},
            {"Name": "architecture", "Values": ["arm64"]},
        ],
        "ExecutableUsers": ["all"],
        "IncludeDeprecated": True,
        "IncludeDisabled": True,
    }


def test_account_ids_stay_strings_in_yaml() -> None:
    """Ansible reads the owner with its leading zero."""
    tasks = yaml.safe_load(mended(search(UBUNTU, architecture=("arm64",)), "ansible").fix_snippet)

    assert tasks[0]["amazon.aws.ec2_ami_info"] == {
        "region": REGION,
        "owners": [CANONICAL],
        "filters": {"name": [UBUNTU], "architecture": ["arm64"]},
    }


def test_given_image_ids_stay_a_bound() -> None:
    """Image ids of the search become a filter, which every client can ask for."""
    request = SearchRequest(filters=search(UBUNTU).filters, image_ids=("ami-0abc",))

    asked = keywords_of(mended(request, "boto3").fix_snippet)

    assert {"Name": "image-id", "Values": ["ami-0abc"]} in asked["Filters"]


def test_grantee_that_ec2_would_refuse_is_left_out() -> None:
    """Only account ids and the two words that EC2 takes are asked for."""
    request = SearchRequest(
        filters=search(UBUNTU).filters, executable_by=(ACCOUNT_ID, "$(id)", "all", "self")
    )

    asked = keywords_of(mended(request, "boto3").fix_snippet)

    assert asked["ExecutableUsers"] == [ACCOUNT_ID, "all", "self"]


def test_two_hundred_names_cost_no_more_than_twenty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever searches chooses the names, and everybody who reads the finding pays for them."""
    compared: list[Pattern] = []

    def owners_of(patterns: Iterable[Pattern], region: str) -> tuple[str, ...]:
        compared.extend(patterns)
        return suggested_owners(patterns, region)

    monkeypatch.setattr(_lookup, "suggested_owners", owners_of)
    names = tuple(f"*{number}?x*a*b" for number in range(200))

    advise(SearchRequest(filters=(SearchFilter("name", names),)), region="eu-west-1")

    assert len(compared) == 20


def test_names_past_those_that_are_looked_at_are_told() -> None:
    """Known owners of the first names say nothing of the others."""
    names = ("ubuntu/images/*", *(f"acme-{number}" for number in range(30)))

    advice = advise(SearchRequest(filters=(SearchFilter("name", names),)), region="eu-west-1")

    assert (advice.publishers, advice.is_partial) == (("Canonical",), True)
