"""YAML files are read strictly, and written so that every reader takes them alike."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from amiguard_client.cli.bad_files import BadFileError
from amiguard_client.cli.yaml_files import MAX_DEPTH, parse_yaml, read_yaml, write_yaml

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_LOOKS_LIKE_SOMETHING_ELSE = (
    *("000123456789", "012", "089", "1e3", "12e3", ".5", "0x1f", "0o7", "1_000", "1:30"),
    *("no", "yes", "on", "null", "~", "true", "True", "2026-01-01", "<<", "=", "-", "%", "*"),
    *("&a", "!x", "'", '"', "\\", "#a", "", " ", "- a", "a: b", "a #b", " a", "a ", "\n", "a\nb"),
    *("\u2028", "\x85", "\ufeff"),
)
TRICKY = st.sampled_from(_LOOKS_LIKE_SOMETHING_ELSE)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | TEXT | TRICKY,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT.filter(lambda key: key != "<<"), inner),
)


class Pet(msgspec.Struct, forbid_unknown_fields=True):
    """Something to convert to."""

    name: str
    ids: list[str] = []
    age: int | None = None


def parse(text: str) -> Any:
    """Returns the value of YAML text."""
    return parse_yaml(text, name="f.yaml").value


def problems(text: str) -> tuple[str, ...]:
    """Returns what is wrong with YAML text."""
    try:
        parse(text)
    except BadFileError as error:
        return error.problems
    return ()


def misfit(text: str) -> str:
    """Returns the one problem of YAML text that should be a pet."""
    file = parse_yaml(text, name="f.yaml")
    with pytest.raises(BadFileError) as raised:
        file.convert("$", file.value, Pet)
    (found,) = raised.value.problems
    return found


@given(VALUES)
def test_what_is_written_is_read_back(value: Any) -> None:
    """Writing and reading give the same value, whatever its texts look like."""
    assert parse(write_yaml(value)) == value


@given(st.dictionaries(TEXT.filter(lambda key: key != "<<"), TEXT | TRICKY))
def test_other_readers_take_it_alike(value: dict[str, str]) -> None:
    """A reader of YAML 1.1, with all that it guesses, sees the same texts."""
    assert yaml.safe_load(write_yaml(value)) == value


@given(VALUES)
def test_json_is_yaml(value: Any) -> None:
    """A JSON file is read as what it is."""
    text = json.dumps(value, ensure_ascii=False)
    # YAML has no pairs of escapes for one character, which JSON needs beyond these.
    escaped = {c: f"\\u{ord(c):04x}" for c in text if c < "\U00010000" and not c.isprintable()}

    assert parse("".join(escaped.get(c, c) for c in text)) == value


@given(st.text())
def test_any_text_is_a_value_or_a_problem(text: str) -> None:
    """No text does anything but give a value or a problem that names the file."""
    assert all(found.startswith("f.yaml:") for found in problems(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("a: no", {"a": "no"}),
        ("a: 2026-01-01T00:00:00Z", {"a": "2026-01-01T00:00:00Z"}),
        ("a: 0x1f", {"a": "0x1f"}),
        ("a: '000123456789'", {"a": "000123456789"}),
        ("a:", {"a": None}),
        ("a: 1.5e3", {"a": 1500.0}),
        ("- 1\n- true\n- x", [1, True, "x"]),
        ("a: ! 12", {"a": "12"}),
    ],
)
def test_plain_scalars_are_those_of_json(text: str, expected: Any) -> None:
    """Only what JSON would take for null, truth or a number is one; all else is text."""
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3", "f.yaml:3: got the key a twice"),
        ("a: &x 1\nb: *x", "f.yaml:1: got an anchor or alias, wanted it written out"),
        ("a: *x", "f.yaml:1: got an anchor or alias, wanted it written out"),
        ("a: 1\n<<: {b: 1}", "f.yaml:2: got a merge key, wanted the keys written out"),
        ("a: !!python/name:os.system x", "f.yaml:1: got the tag tag:yaml.org,2002:python/name"),
        ("a: !!int 1", "f.yaml:1: got the tag tag:yaml.org,2002:int, wanted none"),
        ("? [1]\n: 2", "f.yaml:1: got a key that is no text"),
        ("a\n---\nb", "f.yaml:2: got a second document, wanted one"),
        ("a: [1", "f.yaml:2: "),
        ("a: 1\nb: 'x", "f.yaml:2: "),
        ("a: \x00", "f.yaml: "),
        ("[" * (MAX_DEPTH + 2), f"f.yaml:1: got nesting deeper than {MAX_DEPTH}"),
        ("[" * 500_000, f"f.yaml:1: got nesting deeper than {MAX_DEPTH}"),
    ],
)
def test_what_is_not_plain_data_is_refused_with_its_line(text: str, expected: str) -> None:
    """Repeated keys, tags, aliases, broken YAML: each is said with file and line."""
    (found,) = problems(text)

    assert found.startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: x\nids: [000123456789]", "f.yaml:2: ids[0]: got 000123456789 without quotes"),
        ("name: x\nids:\n- 012", "YAML takes it for a number and drops its zeros"),
        ("name: x\nids:\n- 12", "wanted '12': YAML takes it for a number"),
        ("name: 12", "f.yaml:1: name: got 12 without quotes, wanted '12'"),
        ("name:", "f.yaml:1: name: got nothing, wanted text"),
        ("name: x\n\nnmae: y", "f.yaml:3: nmae: got a key that is not known here"),
        ("ids: []", "f.yaml:1: got no name, which is required"),
        ("name: x\nids: a", "f.yaml:2: ids: got text, wanted a list"),
        ("name: x\nage: old", "f.yaml:2: age: got text, wanted a number"),
        ("- name: x", "f.yaml:1: got a list, wanted a mapping"),
        ("", "f.yaml:1: got nothing, wanted a mapping"),
    ],
)
def test_what_is_of_another_kind_is_named_with_line_and_field(text: str, expected: str) -> None:
    """A value that does not fit is told by where it stands, what it is and what was wanted."""
    assert expected in misfit(text)


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing file and one that is no text are problems of the file."""
    binary = tmp_path / "b.yaml"
    binary.write_bytes(b"a: \xff")

    for path, expected in ((tmp_path / "missing", "No such file"), (binary, "offset 3")):
        with pytest.raises(BadFileError, match=re.escape(str(path))) as raised:
            read_yaml(path)
        assert expected in str(raised.value)


def test_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    """An editor's mark at the beginning of a file is passed over."""
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: b")

    assert read_yaml(path).value == {"a": "b"}


class Owner(msgspec.Struct, forbid_unknown_fields=True):
    """Something with parts of several kinds."""

    name: str
    pets: list[Pet] | None = None


def test_everything_that_does_not_fit_is_told_at_once() -> None:
    """Each place that does not fit is named, however deep it stands."""
    text = (
        "pets:\n- name: 1\n  ids: [x, 2, 3]\n- nmae: x\n- name: x\n  age: old\n- 5\n- age: 1\n"
        "city: y\n"
    )
    file = parse_yaml(text, name="f.yaml")

    with pytest.raises(BadFileError) as raised:
        file.convert("$", file.value, Owner)

    assert raised.value.problems == (
        "f.yaml:2: pets[0].name: got 1 without quotes, wanted '1': YAML takes it for a number",
        "f.yaml:3: pets[0].ids[1]: got 2 without quotes, wanted '2': YAML takes it for a number",
        "f.yaml:3: pets[0].ids[2]: got 3 without quotes, wanted '3': YAML takes it for a number",
        "f.yaml:4: pets[1].nmae: got a key that is not known here",
        "f.yaml:6: pets[2].age: got text, wanted a number",
        "f.yaml:7: pets[3]: got a number, wanted a mapping",
        "f.yaml:8: pets[4]: got no name, which is required",
        "f.yaml:9: city: got a key that is not known here",
    )


@given(VALUES)
def test_what_does_not_fit_has_a_problem(value: Any) -> None:
    """Whatever is no owner has at least one complaint, and an owner has none."""
    file = parse_yaml(write_yaml(value), name="f.yaml")
    try:
        msgspec.convert(value, Owner)
    except msgspec.ValidationError:
        with pytest.raises(BadFileError) as raised:
            file.convert("$", file.value, Owner)
        assert raised.value.problems
    else:
        assert isinstance(file.convert("$", file.value, Owner), Owner)
