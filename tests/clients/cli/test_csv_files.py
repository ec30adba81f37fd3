"""No cell of a CSV file is a formula, whichever spreadsheet opens it."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiguard_client.cli.csv_files import csv_lines, disarmed

SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20"


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-1", "'-1"),
        ("  =1", "  '=1"),
        ("a;=1", "a;'=1"),
        ('a","=1', 'a","\'=1'),
        ("acme-base-*", "acme-base-*"),
        ("arn:aws:sts::1:assumed-role/a/me@example.com", None),
        ("", ""),
    ],
)
def test_formula_begins_with_an_apostrophe(cell: str, expected: str | None) -> None:
    """What would be worked out is text, and what would not be is as it was."""
    assert disarmed(cell) == (cell if expected is None else expected)


@given(rows=st.lists(st.lists(st.text(alphabet="=+-@a,;|\t\" '\n"), min_size=1), min_size=1))
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_no_spreadsheet_finds_a_formula(rows: list[list[str]], delimiter: str) -> None:
    """However the lines are split into cells, none begins with a sign."""
    text = csv_lines(rows)

    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):
        for row in csv.reader(io.StringIO(text), delimiter=delimiter, quoting=quoting):
            for cell in row:
                assert not cell.lstrip(' "').startswith(tuple(SIGNS)), (text, cell)


@given(rows=st.lists(st.lists(st.text(alphabet="ab ,;\"'\n"), min_size=2), min_size=1))
def test_what_is_harmless_is_read_as_it_was(rows: list[list[str]]) -> None:
    """CSV without formulas is CSV: every reader gets the cells that were written."""
    assert list(csv.reader(io.StringIO(csv_lines(rows), newline=""))) == rows
