"""Rows under headers: a table where there is room, else one row after another."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from amiguard_client.cli.safe import safe


@dataclass(slots=True)
class Sheet:
    """Cells under headers. Text of records is made safe when it is added."""

    headers: tuple[str, ...]
    rows: list[tuple[Text, ...]] = field(default_factory=list)

    def add(self, *cells: str | Text) -> None:
        """Adds a row."""
        self.rows.append(tuple(cell_of(cell) for cell in cells))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = self.as_table()
        unbounded = options.update(width=_UNBOUNDED)
        if Measurement.get(console, unbounded, table).maximum <= options.max_width:
            yield table
        else:
            yield self.as_cards()

    def as_table(self) -> Table:
        """Returns one line a row."""
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for header in self.headers:
            table.add_column(header, no_wrap=True)
        for row in self.rows:
            table.add_row(*row)
        return table

    def as_cards(self) -> Group:
        """Returns one line a cell, with the header before it."""
        return Group(*(self._card(row, is_first=not index) for index, row in enumerate(self.rows)))

    def _card(self, row: tuple[Text, ...], *, is_first: bool) -> Group:
        grid = grid_of(list(zip(self.headers, row, strict=True)))
        return Group(grid) if is_first else Group(Text(), grid)


_UNBOUNDED = 100_000


def cell_of(value: str | Text) -> Text:
    """Returns text for a cell, a dash where there is none."""
    return value if isinstance(value, Text) else Text(safe(value) or "-")


def grid_of(rows: list[tuple[str, Text]]) -> Table:
    """Returns names and values side by side."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(Text(safe(name)), value)
    return grid
