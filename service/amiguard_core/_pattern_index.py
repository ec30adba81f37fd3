"""Finds, among many patterns, the few that may cover another one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final, Generic, TypeVar

from amiguard_core.patterns import Pattern, covers

T = TypeVar("T")

_WILDCARDS: Final = re.compile(r"[*?]+")
_SIZES: Final = (8, 4, 2, 1)
"""Lengths of the pieces that patterns are found by; each has one of the longest that it has."""


class PatternIndex(Generic[T]):
    """Patterns, each with something it stands for, by a piece of what is literal in each.

    What covers a pattern has no literal characters in a row but those that this has in a row, too.
    Of its pieces the one that the fewest others have tells it best: ten thousand patterns cost no
    more than the length of the one that is looked up, wherever in them their wildcards are.
    """

    def __init__(self, items: Iterable[tuple[T, str]]) -> None:
        self._items = tuple(items)
        pieces = [_pieces(text) for _, text in self._items]
        counts = Counter(piece for of_one in pieces for piece in of_one)
        self._by_piece: dict[str, list[tuple[T, str]]] = {}
        for item, of_one in zip(self._items, pieces, strict=True):
            # Of equally rare ones the first in order: the same patterns make the same index.
            rarest = min(of_one, key=lambda piece: (counts[piece], piece), default="")
            self._by_piece.setdefault(rarest, []).append(item)
        self._sizes = {len(piece) for piece in self._by_piece} - {0}

    def covering(self, narrower: Pattern) -> Iterator[T]:
        """Gives what the patterns stand for that cover another one, in any order."""
        for item, text in self._candidates(narrower):
            # Parsed here: of thousands only those that are ever compared.
            if covers(Pattern.parse(text), narrower):
                yield item

    def _candidates(self, narrower: Pattern) -> Iterator[tuple[T, str]]:
        if narrower.is_match_none:
            # Any pattern covers one that has no names, whatever they have in common.
            yield from self._items
            return
        yield from self._by_piece.get("", ())
        runs = _literal_runs(narrower.text)
        for piece in {piece for size in self._sizes for piece in _cut(runs, size)}:
            yield from self._by_piece.get(piece, ())


def _pieces(text: str) -> set[str]:
    """Returns the pieces a pattern can be found by; none where it has no literal character."""
    runs = _literal_runs(text)
    longest = max(map(len, runs), default=0)
    size = next((size for size in _SIZES if size <= longest), 0)
    return set(_cut(runs, size)) if size else set()


def _cut(runs: Iterable[str], size: int) -> Iterator[str]:
    for run in runs:
        for start in range(len(run) - size + 1):
            yield run[start : start + size]


def _literal_runs(text: str) -> list[str]:
    if "\\" not in text:
        return _WILDCARDS.split(text)
    pattern = Pattern.parse(text)
    return [
        "".join(token for token in group if isinstance(token, str))
        for is_literal, group in groupby(pattern.tokens, key=lambda token: isinstance(token, str))
        if is_literal
    ]
