"""The mended lookup as a call of each AWS SDK: the call alone, for the code around it stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amiguard_core._literals import (
    java_text,
    json_text,
    php_text,
    python_text,
    ruby_text,
    rust_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from amiguard_core._literals import Quote
    from amiguard_core._lookup import Lookup


def boto3(lookup: Lookup) -> str:
    """Writes it for boto3, and for whatever runs Python in its place."""
    region = "" if lookup.region is None else f", region_name={python_text(lookup.region)}"
    return _python(lookup, "import boto3", client=f'boto3.client("ec2"{region})')


def botocore(lookup: Lookup) -> str:
    """Writes it for botocore alone."""
    region = "" if lookup.region is None else f", region_name={python_text(lookup.region)}"
    client = f'get_session().create_client("ec2"{region})'
    return _python(lookup, "from botocore.session import get_session", client=client)


def go(lookup: Lookup) -> str:
    """Writes it for the AWS SDK for Go v2, with its own types and aws packages."""
    return _joined(
        comments(lookup, "//"),
        ["found, err := client.DescribeImages(ctx, &ec2.DescribeImagesInput{"],
        [f"\tOwners: []string{{{_listed(lookup.owners, python_text)}}},"],
        ["\tFilters: []types.Filter{"],
        [
            f"\t\t{{Name: aws.String({python_text(item.name)}), "
            f"Values: []string{{{_listed(item.values, python_text)}}}}},"
            for item in lookup.filters
        ],
        ["\t},"],
        [
            f"\tExecutableUsers: []string{{{_listed(users, python_text)}}},"
            for users in _if_any(lookup.executable_by)
        ],
        [f"\t{name}: aws.Bool(true)," for name in _switches(lookup)],
        ["})"],
    )


def java(lookup: Lookup) -> str:
    """Writes it for the AWS SDK for Java 2.x."""
    filters = [
        f"        Filter.builder().name({java_text(item.name)})"
        f".values({_listed(item.values, java_text)}).build()"
        for item in lookup.filters
    ]
    return _joined(
        comments(lookup, "//"),
        ["DescribeImagesResponse found = ec2.describeImages(DescribeImagesRequest.builder()"],
        [f"    .owners({_listed(lookup.owners, java_text)})"],
        ["    .filters(", *_separated(filters), "    )"] if filters else [],
        [
            f"    .executableUsers({_listed(users, java_text)})"
            for users in _if_any(lookup.executable_by)
        ],
        [f"    .{name[0].lower()}{name[1:]}(true)" for name in _switches(lookup)],
        ["    .build());"],
    )


def javascript(lookup: Lookup) -> str:
    """Writes it for the AWS SDK for JavaScript v3."""
    return _joined(
        comments(lookup, "//"),
        ["const found = await client.send("],
        ["  new DescribeImagesCommand({"],
        [f"    Owners: [{_listed(lookup.owners, json_text)}],"],
        ["    Filters: ["],
        [
            f"      {{ Name: {json_text(item.name)}, "
            f"Values: [{_listed(item.values, json_text)}] }},"
            for item in lookup.filters
        ],
        ["    ],"],
        [
            f"    ExecutableUsers: [{_listed(users, json_text)}],"
            for users in _if_any(lookup.executable_by)
        ],
        [f"    {name}: true," for name in _switches(lookup)],
        ["  }),", ");"],
    )


def ruby(lookup: Lookup) -> str:
    """Writes it for the AWS SDK for Ruby v3."""
    return _joined(
        comments(lookup, "#"),
        ["found = ec2.describe_images("],
        [
            f"  executable_users: [{_listed(users, ruby_text)}],"
            for users in _if_any(lookup.executable_by)
        ],
        [f"  {_snake(name)}: true," for name in _switches(lookup)],
        [f"  owners: [{_listed(lookup.owners, ruby_text)}],"],
        ["  filters: ["],
        [
            f"    {{ name: {ruby_text(item.name)}, values: [{_listed(item.values, ruby_text)}] }},"
            for item in lookup.filters
        ],
        ["  ]", ")"],
    )


def php(lookup: Lookup) -> str:
    """Writes it for the AWS SDK for PHP v3."""
    return _joined(
        comments(lookup, "//"),
        ["$found = $ec2->describeImages(["],
        [f"    'Owners' => [{_listed(lookup.owners, php_text)}],"],
        ["    'Filters' => ["],
        [
            f"        ['Name' => {php_text(item.name)}, "
            f"'Values' => [{_listed(item.values, php_text)}]],"
            for item in lookup.filters
        ],
        ["    ],"],
        [
            f"    'ExecutableUsers' => [{_listed(users, php_text)}],"
            for users in _if_any(lookup.executable_by)
        ],
        [f"    '{name}' => true," for name in _switches(lookup)],
        ["]);"],
    )


def csharp(lookup: Lookup) -> str:
    """Writes it for the AWS SDK for .NET."""
    return _joined(
        comments(lookup, "//"),
        ["var found = await ec2.DescribeImagesAsync(new DescribeImagesRequest", "{"],
        [f"    Owners = new List<string> {{ {_listed(lookup.owners, python_text)} }},"],
        ["    Filters = new List<Filter>", "    {"],
        [
            f"        new Filter {{ Name = {python_text(item.name)}, "
            f"Values = new List<string> {{ {_listed(item.values, python_text)} }} }},"
            for item in lookup.filters
        ],
        ["    },"],
        [
            f"    ExecutableUsers = new List<string> {{ {_listed(users, python_text)} }},"
            for users in _if_any(lookup.executable_by)
        ],
        [f"    {name} = true," for name in _switches(lookup)],
        ["});"],
    )


def rust(lookup: Lookup) -> str:
    """Writes it for the AWS SDK for Rust."""
    return _joined(
        comments(lookup, "//"),
        ["let found = client", "    .describe_images()"],
        [f"    .owners({rust_text(owner)})" for owner in lookup.owners],
        [
            f"    .filters(Filter::builder().name({rust_text(item.name)})"
            + "".join(f".values({rust_text(value)})" for value in item.values)
            + ".build())"
            for item in lookup.filters
        ],
        [f"    .executable_users({rust_text(user)})" for user in lookup.executable_by],
        [f"    .{_snake(name)}(true)" for name in _switches(lookup)],
        ["    .send()", "    .await?;"],
    )


def comments(lookup: Lookup, mark: str) -> list[str]:
    """Gives the notes as comment lines that begin with `mark`."""
    return [f"{mark} {note}" for note in lookup.notes]


def _python(lookup: Lookup, imports: str, *, client: str) -> str:
    return _joined(
        comments(lookup, "#"),
        [imports, "", f"ec2 = {client}", "found = ec2.describe_images("],
        [f"    Owners=[{_listed(lookup.owners, python_text)}],"],
        ["    Filters=["],
        [
            f'        {{"Name": {python_text(item.name)}, '
            f'"Values": [{_listed(item.values, python_text)}]}},'
            for item in lookup.filters
        ],
        ["    ],"],
        [
            f"    ExecutableUsers=[{_listed(users, python_text)}],"
            for users in _if_any(lookup.executable_by)
        ],
        [f"    {name}=True," for name in _switches(lookup)],
        [")"],
    )


def _listed(values: Iterable[str], quote: Quote) -> str:
    return ", ".join(quote(value) for value in values)


def _if_any(values: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    return (values,) if values else ()


def _switches(lookup: Lookup) -> list[str]:
    switches = {
        "IncludeDeprecated": lookup.include_deprecated,
        "IncludeDisabled": lookup.include_disabled,
    }
    return [name for name, is_on in switches.items() if is_on]


def _snake(name: str) -> str:
    return name.replace("Include", "include_").lower()


def _separated(lines: list[str]) -> list[str]:
    return [f"{line}," for line in lines[:-1]] + lines[-1:]


def _joined(*blocks: list[str]) -> str:
    return "".join(f"{line}\n" for block in blocks for line in block)
