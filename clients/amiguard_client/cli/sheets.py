"""Rows under headers: a table where there is room, else one row after another."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

from amiguard_client.cli.safe import safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console, ConsoleOptions, Group, RenderResult
    from rich.table import Table
    from rich.text import Text


class Cell(NamedTuple):
    """Text, with a style of rich that shows on a terminal alone."""

    plain: str
    style: str = ""


@dataclass(slots=True)
class Sheet:
    """Cells under headers. Text of records is made safe when it is added.

    Of the `spare` columns a terminal shows those that fit, the last named first of all.
    """

    headers: tuple[str, ...]
    rows: list[tuple[Cell | Text, ...]] = field(default_factory=list)
    spare: tuple[str, ...] = ()

    def add(self, *cells: str | Cell | Text) -> None:
        """Adds a row."""
        self.rows.append(tuple(map(_safe_cell, cells)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.measure import Measurement

        table = self.as_table(without=self._left_out(options.max_width))
        unbounded = options.update(width=_UNBOUNDED)
        if Measurement.get(console, unbounded, table).maximum <= options.max_width:
            yield table
        else:
            yield self.as_cards()

    def as_table(self, *, without: Iterable[str] = ()) -> Table:
        """Returns one line a row, without some columns."""
        from rich import box
        from rich.table import Table

        shown = [n for n, header in enumerate(self.headers) if header not in set(without)]
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for number in shown:
            table.add_column(self.headers[number], no_wrap=True)
        for row in self.rows:
            table.add_row(*(cell_of(row[number]) for number in shown))
        return table

    def as_cards(self) -> Group:
        """Returns one line a cell, with the header before it."""
        from rich.console import Group

        return Group(*(self._card(row, is_first=not index) for index, row in enumerate(self.rows)))

    def as_lines(self) -> list[str]:
        """Returns the headers and each row as one line of text, in columns."""
        return Columns().lines(self.as_texts())

    def as_texts(self) -> list[tuple[str, ...]]:
        """Returns the headers and each row as texts, empty ones too."""
        return [self.headers, *(tuple(cell.plain for cell in row) for row in self.rows)]

    def _left_out(self, width: int) -> set[str]:
        """Returns the spare columns for which there is no room."""
        from rich.cells import cell_len

        columns = zip(*self.as_texts(), strict=True)
        widths = {column[0]: max(map(cell_len, column)) + _GAP for column in columns}
        left_out = set(self.spare)
        room = width + _GAP - sum(widths[name] for name in self.headers if name not in left_out)
        for name in reversed(self.spare):
            if widths[name] <= room:
                left_out.remove(name)
                room -= widths[name]
        return left_out

    def _card(self, row: tuple[Cell | Text, ...], *, is_first: bool) -> Group:
        from rich.console import Group
        from rich.text import Text

        cells = [cell_of(cell) for cell in row]
        grid = grid_of(list(zip(self.headers, cells, strict=True)))
        return Group(grid) if is_first else Group(Text(), grid)


class Columns:
    """Lays rows out in columns, which are as wide as the widest cell so far."""

    def __init__(self) -> None:
        self._widths: list[int] = []

    def lines(self, rows: Iterable[Sequence[str]]) -> list[str]:
        """Returns a line for each row, a dash for what is empty."""
        from rich.cells import cell_len, set_cell_size

        shown = [[cell or "-" for cell in row] for row in rows]
        for row in shown:
            self._widths = list(
                map(max, zip_longest(self._widths, map(cell_len, row), fillvalue=0))
            )
        return ["  ".join(map(set_cell_size, row, self._widths)).rstrip() for row in shown]


_UNBOUNDED = 100_000
_GAP = 3
"""Cells between two columns of a table."""


def cell_of(value: str | Cell | Text) -> Text:
    """Returns text for a cell, a dash where there is none."""
    from rich.text import Text

    cell = _safe_cell(value)
    return Text(cell.plain or "-", style=cell.style) if isinstance(cell, Cell) else cell


def grid_of(rows: list[tuple[str, Text]]) -> Table:
    """Returns names and values side by side."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(Text(safe(name)), value)
    return grid


def _safe_cell(value: str | Cell | Text) -> Cell | Text:
    if isinstance(value, str):
        return Cell(safe(value))
    return Cell(safe(value.plain), value.style) if isinstance(value, Cell) else value
