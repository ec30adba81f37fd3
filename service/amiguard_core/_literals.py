"""Any text as a string literal of a language, such that pasting it can never run anything.

Filter values are written by whoever made the call. So every literal is printable ASCII on one
line: no control character reaches a terminal, no direction mark hides code, and whatever a language
would expand inside a string is written as an escape.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from typing import TypeAlias

Quote: TypeAlias = Callable[[str], str]
"""Gives the literal of a text."""

_PRINTABLE = frozenset(string.ascii_letters + string.digits + string.punctuation + " ")
_HARMLESS_IN_SHELL = frozenset(string.ascii_letters + string.digits + " *?._/:@%+=,[]{}#-")
"""What runs nothing in a shell, not even if its quotes are lost on the way."""
_REPLACEMENT = 0xFFFD
_FIRST_SURROGATE, _LAST_SURROGATE = 0xD800, 0xDFFF
_FIRST_ASTRAL = 0x10000
_DELETE = 0x7F

_C_LIKE = {"\\": "\\\\", '"': '\\"'}


def json_text(text: str) -> str:
    """Gives a JSON string, which JavaScript and TypeScript read alike."""
    return _quoted(text, _C_LIKE, code=_in_utf16)


def shell_json_text(text: str) -> str:
    """Gives a JSON string that can stand inside single quotes in a shell."""
    return _quoted(text, {}, code=_in_utf16, plain=_HARMLESS_IN_SHELL)


def python_text(text: str) -> str:
    """Gives a Python string; Go and C# read it alike."""
    return _quoted(text, _C_LIKE, code=_by_width)


def java_text(text: str) -> str:
    """Gives a Java string.

    Java replaces a Unicode escape before it looks for strings, so that one of a line end would
    end the line: control characters are octal.
    """
    return _quoted(text, _C_LIKE, code=_in_java)


def ruby_text(text: str) -> str:
    """Gives a Ruby string that interpolates nothing."""
    return _quoted(text, {**_C_LIKE, "#": "\\#"}, code=_in_braces)


def php_text(text: str) -> str:
    """Gives a PHP string that interpolates nothing."""
    return _quoted(text, {**_C_LIKE, "$": "\\$"}, code=_in_braces)


def rust_text(text: str) -> str:
    """Gives a Rust string."""
    return _quoted(text, _C_LIKE, code=_in_braces)


def hcl_text(text: str) -> str:
    """Gives an HCL string without interpolation or directives."""
    literal = _quoted(text, _C_LIKE, code=_by_width)
    return literal.replace("${", "$${").replace("%{", "%%{")


def packer_text(text: str) -> str:
    """Gives an HCL string that Packer's own templates, in double braces, leave alone as well."""
    return hcl_text(text.replace("{{", '{{"{{"}}'))


def yaml_text(text: str) -> str:
    """Gives a YAML string that survives a shell's here-document and Helm unexpanded.

    Manifests go through both before anything reads them as YAML.
    """
    return _quoted(text, {}, code=_by_width, plain=_PRINTABLE - frozenset('"\\$`{'))


def ansible_text(text: str) -> str:
    """Gives a YAML string that Ansible takes as it is, braces and all."""
    literal = yaml_text(text)
    return f"!unsafe {literal}" if "{" in text else literal


def _quoted(
    text: str,
    named: Mapping[str, str],
    *,
    code: Callable[[int], str],
    plain: frozenset[str] = _PRINTABLE,
) -> str:
    return '"' + "".join(_spelled(each, named, code=code, plain=plain) for each in text) + '"'


def _spelled(
    character: str,
    named: Mapping[str, str],
    *,
    code: Callable[[int], str],
    plain: frozenset[str],
) -> str:
    if character in named:
        return named[character]
    if character in plain:
        return character
    point = ord(character)
    # Half of a pair is no character; most languages refuse it.
    return code(_REPLACEMENT if _FIRST_SURROGATE <= point <= _LAST_SURROGATE else point)


def _by_width(point: int) -> str:
    return f"\\u{point:04x}" if point < _FIRST_ASTRAL else f"\\U{point:08x}"


def _in_braces(point: int) -> str:
    return f"\\u{{{point:x}}}"


def _in_utf16(point: int) -> str:
    if point < _FIRST_ASTRAL:
        return f"\\u{point:04x}"
    high, low = divmod(point - _FIRST_ASTRAL, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"


def _in_java(point: int) -> str:
    return f"\\{point:03o}" if point < ord(" ") or point == _DELETE else _in_utf16(point)
