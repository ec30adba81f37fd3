"""Laws of writing any text as a literal."""

from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given

from amiguard_core._literals import (
    ansible_text,
    hcl_text,
    java_text,
    json_text,
    packer_text,
    php_text,
    python_text,
    ruby_text,
    rust_text,
    shell_json_text,
    yaml_text,
)
from tests.core.hostile import EVERY_PIECE, PIECES, clean, hostile_texts

if TYPE_CHECKING:
    from collections.abc import Callable

yaml: Any = pytest.importorskip("yaml")


def read_escapes(literal: str, *, codes: str, base: int = 16, plain: str = "") -> str:
    """Reads a literal on one line in which a backslash comes before a code or one of few marks."""
    token = re.compile(rf'\\([\\"{plain}])|([^"\\\r\n])|\\(?:{codes})')
    body = literal[1:-1]
    assert f'"{body}"' == literal
    assert token.sub("", body) == ""
    parts = (match.groups() for match in token.finditer(body))
    return "".join(
        mark or raw or chr(int(next(filter(None, code)), base)) for mark, raw, *code in parts
    )


def read_go(literal: str) -> str:
    """Reads Go and C#, whose escapes for a character are of two widths."""
    return read_escapes(literal, codes=r"u([0-9a-f]{4})|U([0-9a-f]{8})")


def read_java(literal: str) -> str:
    """Reads Java: Unicode escapes wherever a backslash is not itself escaped, then the string."""
    translated = re.sub(
        r"(\\\\)|\\u+([0-9a-f]{4})", lambda match: match[1] or chr(int(match[2], 16)), literal
    )
    units = read_escapes(translated, codes=r"([0-7]{3})", base=8)
    return units.encode("utf-16", "surrogatepass").decode("utf-16")


def read_ruby(literal: str) -> str:
    """Reads Ruby, where a hash mark opens an interpolation unless it is escaped."""
    assert re.search(r"(?<!\\)(?:\\\\)*#", literal) is None
    return read_escapes(literal, codes=r"u\{([0-9a-f]+)\}", plain="#")


def read_php(literal: str) -> str:
    """Reads PHP, where a dollar sign opens an interpolation unless it is escaped."""
    assert re.search(r"(?<!\\)(?:\\\\)*\$", literal) is None
    return read_escapes(literal, codes=r"u\{([0-9a-f]+)\}", plain="$")


def read_rust(literal: str) -> str:
    """Reads Rust."""
    return read_escapes(literal, codes=r"u\{([0-9a-f]+)\}")


def read_hcl(literal: str) -> str:
    """Reads HCL: before a brace a dollar or percent sign is text only when doubled."""
    tokens = re.finditer(r"\$\$\{|%%\{|\$\{|%\{|.", literal)
    assert [token[0] for token in tokens if token[0] in {"${", "%{"}] == []
    return read_go(literal.replace("$${", "${").replace("%%{", "%{"))


def read_packer(literal: str) -> str:
    """Reads Packer: HCL, then its own templates, which may only say two braces."""
    text = read_hcl(literal)
    assert "{{" not in text.replace('{{"{{"}}', "")
    return text.replace('{{"{{"}}', "{{")


def read_ansible(literal: str) -> str:
    """Reads Ansible, which takes for a template what has two braces and is not marked unsafe."""
    text = str(yaml.safe_load(literal.removeprefix("!unsafe ")))
    assert literal.startswith("!unsafe ") or "{" not in text
    return text


every_language = pytest.mark.parametrize(
    ("write", "read"),
    [
        (json_text, json.loads),
        (shell_json_text, json.loads),
        (python_text, ast.literal_eval),
        (python_text, read_go),
        (java_text, read_java),
        (ruby_text, read_ruby),
        (php_text, read_php),
        (rust_text, read_rust),
        (hcl_text, read_hcl),
        (packer_text, read_packer),
        (yaml_text, yaml.safe_load),
        (ansible_text, read_ansible),
    ],
)


@every_language
def test_each_piece_reads_back(write: Callable[[str], str], read: Callable[[str], str]) -> None:
    """What means something to some language means nothing, alone or between other text."""
    texts = [*PIECES, *(f"a{piece}{{b" for piece in PIECES), EVERY_PIECE]

    assert [clean(text) for text in texts] == [read(write(text)) for text in texts]


@every_language
@given(text=hostile_texts())
def test_literal_reads_back_as_its_text(
    write: Callable[[str], str], read: Callable[[str], str], text: str
) -> None:
    """The reader of each language finds exactly the text, and evaluates nothing."""
    assert clean(text) == read(write(text))


@pytest.mark.parametrize(
    ("write", "literal"),
    [
        (json_text, r'"\u000a\"\\${x}`"'),
        (shell_json_text, r'"\u000a\u0022\u005c\u0024{x}\u0060"'),
        (python_text, r'"\u000a\"\\${x}`"'),
        (java_text, r'"\012\"\\${x}`"'),
        (ruby_text, r'"\u{a}\"\\${x}`"'),
        (php_text, r'"\u{a}\"\\\${x}`"'),
        (rust_text, r'"\u{a}\"\\${x}`"'),
        (hcl_text, r'"\u000a\"\\$${x}`"'),
        (packer_text, r'"\u000a\"\\$${x}`"'),
        (yaml_text, r'"\u000a\u0022\u005c\u0024\u007bx}\u0060"'),
        (ansible_text, r'!unsafe "\u000a\u0022\u005c\u0024\u007bx}\u0060"'),
    ],
)
def test_what_language_would_read_is_escaped(write: Callable[[str], str], literal: str) -> None:
    """A line end, quotes, a backslash and an interpolation are spelled as each language wants."""
    assert literal == write('\n"\\${x}`')


@pytest.mark.parametrize(
    "write",
    [json_text, python_text, java_text, ruby_text, php_text, rust_text, hcl_text, yaml_text],
)
def test_ordinary_name_stays_readable(write: Callable[[str], str]) -> None:
    """A name as publishers write them is not escaped at all."""
    name = "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*"

    assert f'"{name}"' == write(name)


@given(text=hostile_texts())
@example(text=EVERY_PIECE)
def test_json_for_shell_runs_nothing_even_unquoted(text: str) -> None:
    """No character that starts a command, ends one, expands or quotes is left in it."""
    assert re.search(r"""['`$;&|<>()!~\r\n]""", shell_json_text(text)) is None


@given(text=hostile_texts())
@example(text=EVERY_PIECE)
def test_yaml_survives_what_reads_manifests_before_yaml_does(text: str) -> None:
    """Neither a here-document nor Helm finds anything to expand."""
    assert re.search(r"[`${]|\\\\", yaml_text(text)) is None
