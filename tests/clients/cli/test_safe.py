"""Text of records cannot command a terminal or fool its reader."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiguard_client.cli.safe import safe, safe_block


@given(text=st.text())
def test_safe_text_prints(text: str) -> None:
    """Nothing is left that does not print."""
    assert safe(text).isprintable()


@given(text=st.text(alphabet=st.characters(categories=["L", "N", "P", "S"])))
def test_text_that_prints_is_left_alone(text: str) -> None:
    """Text without anything to hide stays as it is."""
    assert safe(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[31m", r"\x1b[31m"),
        ("a\nb", r"a\nb"),
        ("\x9b2J", r"\x9b2J"),
        ("user\u202egpj.exe", r"user\u202egpj.exe"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_hidden_characters_are_shown(text: str, expected: str) -> None:
    """Control characters, direction marks and invisible ones are written out."""
    assert safe(text) == expected


@given(text=st.text())
def test_block_keeps_its_lines(text: str) -> None:
    """A block has as many lines as before, each of which prints."""
    block = safe_block(text)

    assert block.count("\n") == text.count("\n")
    assert all(line.isprintable() for line in block.split("\n"))
