"""What a benchmark gives: ratios of two figures of one run, and what is wanted of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_COLUMNS = ("", "ours", "baseline", "ratio", "wanted", "")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A bound on a ratio."""

    bound: float
    is_at_least: bool

    def is_met_by(self, ratio: float) -> bool:
        """Whether a ratio keeps to it."""
        return ratio >= self.bound if self.is_at_least else ratio <= self.bound

    def __str__(self) -> str:
        return f"{'>=' if self.is_at_least else '<='} {self.bound:.2g} x"


@dataclass(frozen=True, slots=True)
class Figure:
    """Two figures in one unit, and their ratio, by which they are judged."""

    name: str
    unit: str
    ours: float
    baseline: float
    ratio: float
    wanted: Wanted

    def cells(self) -> Sequence[str]:
        """Returns it as a row of the table."""
        return (
            self.name,
            f"{_shown(self.ours)} {self.unit}",
            f"{_shown(self.baseline)} {self.unit}",
            f"{self.ratio:.2f} x",
            str(self.wanted),
            "" if self.wanted.is_met_by(self.ratio) else "FALLS SHORT",
        )


def at_least(bound: float) -> Wanted:
    """Returns what is wanted of a share of a baseline's speed."""
    return Wanted(bound, is_at_least=True)


def at_most(bound: float) -> Wanted:
    """Returns what is wanted of a cost against a baseline's."""
    return Wanted(bound, is_at_least=False)


def table(figures: Iterable[Figure]) -> str:
    """Returns figures as a table of text."""
    rows = [_COLUMNS, *(figure.cells() for figure in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if 1 <= place <= 3 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
