"""Laws of the mended lookup: it asks for the texts of the search, and they stay texts."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from amiguard_core._lookup import Lookup
from amiguard_core._snippets import MAX_KARPENTER_TERMS, snippet_for
from amiguard_core.clients import CLIENTS
from amiguard_core.events import SearchFilter
from tests.core.hostile import EVERY_PIECE, clean, hostile_texts

yaml: Any = pytest.importorskip("yaml")

OWNERS = ("099720109477", "self")
LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"')
SHORT_FORM = re.compile(r"Name=([^,=]+),Values=([^=]+)")


def lookup_by(names: tuple[str, ...], tag: str) -> Lookup:
    """A lookup by names and by a tag with the same name and value."""
    return Lookup(
        owners=OWNERS,
        filters=(
            SearchFilter(name="name", values=names),
            SearchFilter(name=f"tag:{tag}", values=(tag,)),
        ),
        executable_by=("all",),
        include_deprecated=True,
        region="eu-west-1",
        notes=("A note.",),
    )


def hostile_lookups() -> st.SearchStrategy[Lookup]:
    """Draws lookups by two names and a tag, all of them hostile."""
    return st.builds(lookup_by, st.tuples(hostile_texts(), hostile_texts()), hostile_texts())


def texts_of(lookup: Lookup) -> list[tuple[str, list[str]]]:
    """The filters of a lookup as every language can hold them."""
    return [(clean(item.name), [clean(value) for value in item.values]) for item in lookup.filters]


def keywords_of(snippet: str) -> dict[str, Any]:
    """The keyword arguments of the last call of a Python snippet, all of them literals."""
    statement = ast.parse(snippet).body[-1]
    assert isinstance(statement, ast.Assign)
    assert isinstance(statement.value, ast.Call)
    return {str(each.arg): ast.literal_eval(each.value) for each in statement.value.keywords}


def shell_words(snippet: str) -> list[str]:
    """The words of a shell snippet, whose lines go on after a backslash."""
    return shlex.split(snippet.replace("\\\n", " "), comments=True)


def filters_in(words: list[str]) -> list[tuple[str, list[str]]]:
    """The filters as the AWS CLI reads them: one JSON list, or words in short form."""
    given_words = words[words.index("--filters") + 1 : words.index("--executable-users")]
    if given_words[0].startswith("["):
        (text,) = given_words
        return [(item["Name"], item["Values"]) for item in json.loads(text)]
    matches = [SHORT_FORM.fullmatch(word) for word in given_words]
    return [(match[1], match[2].split(",")) for match in matches if match is not None]


def skeleton(snippet: str) -> str:
    """The code of a snippet: strings emptied, marks of Ansible and padding taken out."""
    return re.sub(r" +", " ", LITERAL.sub('""', snippet).replace("!unsafe ", ""))


class AnsibleLoader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML ships no types
    """The safe loader, with the one tag that Ansible adds."""


AnsibleLoader.add_constructor(
    "!unsafe", lambda loader, node: ("unsafe", loader.construct_scalar(node))
)


def as_ansible(text: str) -> Any:
    """A text as `AnsibleLoader` gives it: marked where Ansible would look for a template."""
    return ("unsafe", clean(text)) if "{" in text else clean(text)


@pytest.mark.parametrize("client", sorted(CLIENTS))
@settings(max_examples=25)
@given(names=st.tuples(hostile_texts(), hostile_texts()), tag=hostile_texts())
@example(names=(EVERY_PIECE, EVERY_PIECE), tag=EVERY_PIECE)
def test_no_text_changes_the_code_around_it(client: str, names: tuple[str, str], tag: str) -> None:
    """Whatever was searched for, the code is that of a harmless search of the same shape."""
    # Both hold a quote, so that the AWS CLI has no short form for either.
    harmless = lookup_by(("a'", "b"), "c")
    hostile = lookup_by((f"{names[0]}'", names[1]), tag)

    expected = skeleton(snippet_for(client, harmless).text)

    assert expected == skeleton(snippet_for(client, hostile).text)


@pytest.mark.parametrize("client", sorted(CLIENTS))
@settings(max_examples=25)
@given(lookup=hostile_lookups())
@example(lookup=lookup_by((EVERY_PIECE, "'"), EVERY_PIECE))
def test_snippets_are_printable_ascii(client: str, lookup: Lookup) -> None:
    """Nothing in a snippet can steer a terminal or hide from a reader."""
    snippet = snippet_for(client, lookup).text

    assert re.sub(r"[ -~\n\t]", "", snippet) == ""


@given(lookup=hostile_lookups())
@example(lookup=lookup_by((EVERY_PIECE, "'"), EVERY_PIECE))
def test_python_reads_the_texts_asked_for(lookup: Lookup) -> None:
    """The literals of the Python snippet are the texts of the search."""
    asked = keywords_of(snippet_for("boto3", lookup).text)

    assert texts_of(lookup) == [(item["Name"], item["Values"]) for item in asked["Filters"]]


@given(lookup=hostile_lookups())
@example(lookup=lookup_by((EVERY_PIECE, "'"), EVERY_PIECE))
def test_shell_reads_the_texts_asked_for(lookup: Lookup) -> None:
    """The filters of the shell snippet are the texts of the search."""
    words = shell_words(snippet_for("aws-cli", lookup).text)

    assert texts_of(lookup) == filters_in(words)


@settings(max_examples=40)
@given(lookup=hostile_lookups())
@example(lookup=lookup_by((EVERY_PIECE, "'"), EVERY_PIECE))
def test_shell_runs_the_lookup_and_nothing_else(lookup: Lookup) -> None:
    """A real shell finds no error in the snippet and, with no command in reach, misses none."""
    bash = shutil.which("bash")
    assert bash is not None
    snippet = snippet_for("aws-cli", lookup).text
    script = 'aws() { printf "%s\\0" "$@"; }\n' + snippet

    checked = subprocess.run(
        [bash, "-n"], input=snippet, text=True, capture_output=True, check=False
    )
    ran = subprocess.run(
        [bash, "--noprofile", "--norc"],
        input=script,
        text=True,
        capture_output=True,
        check=False,
        env={"PATH": "/nonexistent"},
    )

    assert (checked.returncode, checked.stderr) == (0, "")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert shell_words(snippet)[1:] == ran.stdout.split("\0")[:-1]


@given(lookup=hostile_lookups())
@example(lookup=lookup_by((EVERY_PIECE, "'"), EVERY_PIECE))
def test_ansible_takes_braces_as_text(lookup: Lookup) -> None:
    """Every text that could hold a template is marked unsafe, and reads back as it was."""
    tasks = yaml.load(snippet_for("ansible", lookup).text, Loader=AnsibleLoader)

    expected = {
        as_ansible(item.name): [as_ansible(value) for value in item.values]
        for item in lookup.filters
    }
    assert expected == tasks[0]["amazon.aws.ec2_ami_info"]["filters"]


@given(lookup=hostile_lookups())
@example(lookup=lookup_by((EVERY_PIECE, "'"), EVERY_PIECE))
def test_karpenter_reads_the_names_asked_for(lookup: Lookup) -> None:
    """Each name with each owner is one term of the node class."""
    manifest = yaml.safe_load(snippet_for("karpenter", lookup).text)

    expected = [
        {"name": clean(name), "owner": owner}
        for name in lookup.values_of("name")
        for owner in lookup.owners
    ]
    assert expected == manifest["amiSelectorTerms"]


def test_plain_text_takes_the_short_form_of_the_aws_cli() -> None:
    """Ordinary names are written as people write them by hand."""
    snippet = snippet_for("aws-cli", lookup_by(("AlmaLinux OS 9*", "debian-12-*"), "Team")).text

    assert [
        *("aws", "ec2", "describe-images", "--region", "eu-west-1", "--owners", *OWNERS),
        *("--filters", "Name=name,Values=AlmaLinux OS 9*,debian-12-*"),
        *("Name=tag:Team,Values=Team", "--executable-users", "all", "--include-deprecated"),
        *("--query", "sort_by(Images, &CreationDate)[-1].ImageId", "--output", "text"),
    ] == shell_words(snippet)


def test_terraform_looks_up_the_newest_of_the_owners() -> None:
    """Terraform's form is the data source as its own formatter would write it."""
    lookup = Lookup(owners=OWNERS, filters=(SearchFilter(name="name", values=("a*", "b")),))

    expected = [
        'data "aws_ami" "selected" {',
        "  most_recent = true",
        '  owners      = ["099720109477", "self"]',
        "",
        "  filter {",
        '    name   = "name"',
        '    values = ["a*", "b"]',
        "  }",
        "}",
    ]
    assert expected == snippet_for("terraform", lookup).text.splitlines()


def test_packer_takes_several_values_as_csv() -> None:
    """A filter of Packer's is one string; a comma or a space in a value does not split it."""
    snippet = snippet_for("packer", lookup_by(("a,b*", ' "c', " d", "e f"), "x")).text

    assert r'"name"  = "\"a,b*\",\" \"\"c\",\" d\",e f"' in snippet


def test_cdk_keeps_several_names() -> None:
    """The construct takes one name; several are a filter as well, which takes its place."""
    snippet = snippet_for("cdk", lookup_by(("a*", "b"), "x")).text

    assert '  name: "a*",' in snippet
    assert '    "name": ["a*", "b"],' in snippet


def test_pulumi_looks_up_the_newest_of_the_owners() -> None:
    """Pulumi's form has the owners and takes the newest."""
    snippet = snippet_for("pulumi", lookup_by(("a*",), "x")).text

    assert '  owners: ["099720109477", "self"],' in snippet
    assert "  mostRecent: true," in snippet


def test_karpenter_says_what_it_cannot_ask_for() -> None:
    """A node class has names and owners only; a search with more is told so."""
    with_tag = snippet_for("karpenter", lookup_by(("a*",), "x")).text
    name_alone = snippet_for(
        "karpenter", Lookup(owners=OWNERS, filters=(SearchFilter(name="name", values=("a*",)),))
    ).text

    assert "no place for the other filters" in with_tag
    assert "no place for the other filters" not in name_alone


@pytest.mark.parametrize("client", sorted(CLIENTS - {"ansible", "cdk", "karpenter"}))
def test_deprecated_images_stay_asked_for(client: str) -> None:
    """Where a client can ask for deprecated images, a search that did still does."""
    with_them = Lookup(owners=OWNERS, include_deprecated=True)
    without = Lookup(owners=OWNERS)

    assert "deprecated" in snippet_for(client, with_them).text.lower()
    assert "deprecated" not in snippet_for(client, without).text.lower()


@pytest.mark.parametrize("client", sorted(CLIENTS - {"cdk", "karpenter", "packer"}))
def test_grantees_stay_asked_for(client: str) -> None:
    """Where a client can ask by launch permission, a search that did still does."""
    account_id = "111122223333"

    with_it = snippet_for(client, Lookup(owners=OWNERS, executable_by=(account_id,))).text

    assert account_id in with_it
    assert account_id not in snippet_for(client, Lookup(owners=OWNERS)).text


@pytest.mark.parametrize("client", ["aws-cli", "boto3", "aws-sdk-go", "aws-sdk-rust", "unknown"])
def test_disabled_images_stay_asked_for(client: str) -> None:
    """Where a client can ask for disabled images, a search that did still does."""
    with_them = Lookup(owners=OWNERS, include_disabled=True)
    without = Lookup(owners=OWNERS)

    assert "disabled" in snippet_for(client, with_them).text.lower()
    assert "disabled" not in snippet_for(client, without).text.lower()


@pytest.mark.parametrize("names", [(), tuple(str(n) for n in range(MAX_KARPENTER_TERMS))])
def test_what_does_not_fit_karpenter_is_written_for_the_aws_cli(names: tuple[str, ...]) -> None:
    """No term, or more terms than Karpenter takes, make no node class."""
    lookup = Lookup(owners=OWNERS, filters=(SearchFilter(name="name", values=names),))

    assert snippet_for("karpenter", lookup).language == "shell"
