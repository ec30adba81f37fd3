"""The mended lookup as each client writes it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from amiguard_core import _sdk_snippets
from amiguard_core._literals import (
    ansible_text,
    hcl_text,
    json_text,
    packer_text,
    shell_json_text,
    yaml_text,
)
from amiguard_core._sdk_snippets import comments
from amiguard_core.judge import NAME_FILTER

if TYPE_CHECKING:
    from collections.abc import Callable

    from amiguard_core._literals import Quote
    from amiguard_core._lookup import Lookup

MAX_KARPENTER_TERMS = 30
"""Karpenter takes no more terms in one node class."""

_SHORTHAND = re.compile(r"[A-Za-z0-9*?._/:+-]+(?: [A-Za-z0-9*?._/:+-]+)*", re.ASCII)
"""Text that means itself in the short form of the AWS CLI, and in any shell once quoted."""


class Snippet(NamedTuple):
    """A piece of code, and the language that it is in."""

    text: str
    language: str


def snippet_for(client: str, lookup: Lookup) -> Snippet:
    """Writes the lookup for a client; for one that has no form of its own, for the AWS CLI."""
    if client == "karpenter" and not _fits_karpenter(lookup):
        return Snippet(_shell(lookup), "shell")
    write, language = _WRITERS.get(client, (_shell, "shell"))
    return Snippet(write(lookup), language)


def _shell(lookup: Lookup) -> str:
    arguments = [f"--owners {' '.join(lookup.owners)}"]
    if lookup.region is not None:
        arguments.insert(0, f"--region {lookup.region}")
    if lookup.filters:
        arguments.append(f"--filters {_shell_filters(lookup)}")
    if lookup.executable_by:
        arguments.append(f"--executable-users {' '.join(lookup.executable_by)}")
    if lookup.include_deprecated:
        arguments.append("--include-deprecated")
    if lookup.include_disabled:
        arguments.append("--include-disabled")
    arguments += ["--query 'sort_by(Images, &CreationDate)[-1].ImageId'", "--output text"]
    return _lines(*comments(lookup, "#"), " \\\n  ".join(["aws ec2 describe-images", *arguments]))


def _shell_filters(lookup: Lookup) -> str:
    texts = [text for item in lookup.filters for text in (item.name, *item.values)]
    if all(_SHORTHAND.fullmatch(text) for text in texts):
        return " ".join(
            f"'Name={item.name},Values={','.join(item.values)}'" for item in lookup.filters
        )
    filters = ", ".join(
        f'{{"Name": {shell_json_text(item.name)}, '
        f'"Values": [{", ".join(map(shell_json_text, item.values))}]}}'
        for item in lookup.filters
    )
    return f"'[{filters}]'"


def _terraform(lookup: Lookup) -> str:
    attributes = {"most_recent": "true", "owners": _list(lookup.owners, hcl_text)}
    if lookup.executable_by:
        attributes["executable_users"] = _list(lookup.executable_by, hcl_text)
    if lookup.include_deprecated:
        attributes["include_deprecated"] = "true"
    filters = [
        line
        for item in lookup.filters
        for line in (
            "",
            "  filter {",
            f"    name   = {hcl_text(item.name)}",
            f"    values = {_list(item.values, hcl_text)}",
            "  }",
        )
    ]
    return _lines(
        *comments(lookup, "#"),
        'data "aws_ami" "selected" {',
        *(f"  {line}" for line in _aligned(attributes)),
        *filters,
        "}",
    )


def _packer(lookup: Lookup) -> str:
    attributes = {"most_recent": "true", "owners": _list(lookup.owners, packer_text)}
    if lookup.include_deprecated:
        attributes["include_deprecated"] = "true"
    filters = {packer_text(item.name): _packer_values(item.values) for item in lookup.filters}
    return _lines(
        *comments(lookup, "#"),
        "source_ami_filter {",
        *(f"  {line}" for line in _aligned(attributes)),
        "  filters = {",
        *(f"    {line}" for line in _aligned(filters)),
        "  }",
        "}",
    )


def _packer_values(values: tuple[str, ...]) -> str:
    # One string for all values of a filter: Packer reads it as a line of CSV, and cuts off what
    # space an unquoted value begins with.
    return packer_text(",".join(map(_csv_field, values)))


def _csv_field(value: str) -> str:
    if value[:1].isspace() or any(character in value for character in ',"\r\n'):
        return '"' + value.replace('"', '""') + '"'
    return value


def _pulumi(lookup: Lookup) -> str:
    return _lines(
        *comments(lookup, "//"),
        'import * as aws from "@pulumi/aws";',
        "",
        "const image = aws.ec2.getAmi({",
        "  mostRecent: true,",
        f"  owners: {_list(lookup.owners, json_text)},",
        "  filters: [",
        *(
            f"    {{ name: {json_text(item.name)}, values: {_list(item.values, json_text)} }},"
            for item in lookup.filters
        ),
        "  ],",
        *(
            [f"  executableUsers: {_list(lookup.executable_by, json_text)},"]
            if lookup.executable_by
            else []
        ),
        *(["  includeDeprecated: true,"] if lookup.include_deprecated else []),
        "});",
    )


def _cdk(lookup: Lookup) -> str:
    names = lookup.values_of(NAME_FILTER)
    # The construct wants one name; a filter called name takes the place of it.
    further = [item for item in lookup.filters if item.name != NAME_FILTER or len(names) > 1]
    return _lines(
        *comments(lookup, "//"),
        "// The image found before stays in cdk.context.json until cdk context --reset is run.",
        'import * as ec2 from "aws-cdk-lib/aws-ec2";',
        "",
        "const image = new ec2.LookupMachineImage({",
        f"  name: {json_text(names[0] if names else '*')},",
        f"  owners: {_list(lookup.owners, json_text)},",
        "  filters: {",
        *(f"    {json_text(item.name)}: {_list(item.values, json_text)}," for item in further),
        "  },",
        "});",
    )


def _ansible(lookup: Lookup) -> str:
    region = [] if lookup.region is None else [f"    region: {ansible_text(lookup.region)}"]
    users = [f"      - {ansible_text(user)}" for user in lookup.executable_by]
    return _lines(
        *comments(lookup, "#"),
        "- name: Find the images",
        "  amazon.aws.ec2_ami_info:",
        *region,
        "    owners:",
        *(f"      - {ansible_text(owner)}" for owner in lookup.owners),
        *(["    executable_users:", *users] if users else []),
        *(["    filters:"] if lookup.filters else []),
        *(
            line
            for item in lookup.filters
            for line in (
                f"      {ansible_text(item.name)}:",
                *(f"        - {ansible_text(value)}" for value in item.values),
            )
        ),
        "  register: found",
        "",
        "- name: Take the newest",
        "  ansible.builtin.set_fact:",
        "    image_id: \"{{ (found.images | sort(attribute='creation_date') | last).image_id }}\"",
    )


def _karpenter(lookup: Lookup) -> str:
    others = len(lookup.filters) > 1
    return _lines(
        *comments(lookup, "#"),
        *(["# A node class has no place for the other filters of the search."] if others else []),
        "amiSelectorTerms:",
        *(
            line
            for name in lookup.values_of(NAME_FILTER)
            for owner in lookup.owners
            for line in (f"  - name: {yaml_text(name)}", f"    owner: {yaml_text(owner)}")
        ),
    )


def _fits_karpenter(lookup: Lookup) -> bool:
    return 0 < len(lookup.values_of(NAME_FILTER)) * len(lookup.owners) <= MAX_KARPENTER_TERMS


def _cloudformation(lookup: Lookup) -> str:
    note = "# CloudFormation looks no image up by itself: this goes into the custom resource.\n"
    return note + _sdk_snippets.boto3(lookup)


def _list(values: tuple[str, ...], quote: Quote) -> str:
    return "[" + ", ".join(quote(value) for value in values) + "]"


def _aligned(attributes: dict[str, str]) -> list[str]:
    width = max(map(len, attributes), default=0)
    return [f"{name:<{width}} = {value}" for name, value in attributes.items()]


def _lines(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


_WRITERS: dict[str, tuple[Callable[[Lookup], str], str]] = {
    "ansible": (_ansible, "yaml"),
    "aws-sdk-dotnet": (_sdk_snippets.csharp, "csharp"),
    "aws-sdk-go": (_sdk_snippets.go, "go"),
    "aws-sdk-java": (_sdk_snippets.java, "java"),
    "aws-sdk-js": (_sdk_snippets.javascript, "javascript"),
    "aws-sdk-php": (_sdk_snippets.php, "php"),
    "aws-sdk-ruby": (_sdk_snippets.ruby, "ruby"),
    "aws-sdk-rust": (_sdk_snippets.rust, "rust"),
    "boto3": (_sdk_snippets.boto3, "python"),
    "botocore": (_sdk_snippets.botocore, "python"),
    "cdk": (_cdk, "typescript"),
    "cloudformation": (_cloudformation, "python"),
    "karpenter": (_karpenter, "yaml"),
    "opentofu": (_terraform, "hcl"),
    "packer": (_packer, "hcl"),
    "pulumi": (_pulumi, "typescript"),
    "terraform": (_terraform, "hcl"),
}
