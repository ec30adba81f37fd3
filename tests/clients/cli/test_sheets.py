"""Rows are a table where it fits and cards where it does not; nothing is ever cut."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from amiguard_client.cli.sheets import Sheet


def rendered(sheet: Sheet, *, width: int) -> list[str]:
    """Returns the lines on a terminal of a width."""
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(sheet)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def sheet_of(*rows: tuple[str, str]) -> Sheet:
    """Returns a sheet of two columns."""
    sheet = Sheet(("NAME", "VALUE"))
    for row in rows:
        sheet.add(*row)
    return sheet


def test_rows_that_fit_are_a_table() -> None:
    """Where there is room each row is a line under the headers."""
    lines = rendered(sheet_of(("a", "x" * 30), ("b", "y")), width=80)

    assert lines[0].split() == ["NAME", "VALUE"]
    assert [line.split() for line in lines[2:]] == [["a", "x" * 30], ["b", "y"]]


def test_rows_that_do_not_fit_are_cards() -> None:
    """Where there is none each cell is a line after its header."""
    lines = rendered(sheet_of(("a", "x" * 30), ("b", "y")), width=20)

    assert "".join(lines[1:4]).replace("VALUE", "").replace(" ", "") == "x" * 30
    assert "NAME   a" in lines
    assert "NAME   b" in lines


@given(
    values=st.lists(st.text(alphabet="abc[]/:*", min_size=1, max_size=120), max_size=5),
    width=st.integers(20, 200),
)
def test_nothing_is_cut_at_any_width(values: list[str], width: int) -> None:
    """Every character of every value is there, however narrow the terminal."""
    lines = rendered(sheet_of(*(("n", value) for value in values)), width=width)

    shown = "".join(lines).replace("NAME", "").replace("VALUE", "").replace(" ", "")
    for value in values:
        assert value in shown


def test_empty_cell_is_a_dash() -> None:
    """What is empty is shown to be."""
    assert Sheet(("A",)).rows == []
    assert rendered(sheet_of(("a", "")), width=80)[2].split() == ["a", "-"]


def test_text_with_a_style_is_kept() -> None:
    """A cell may bring its own style."""
    sheet = Sheet(("A",))
    sheet.add(Text("x", style="bold"))

    assert sheet.rows[0][0].style == "bold"
