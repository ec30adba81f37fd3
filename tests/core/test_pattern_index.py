"""Laws of finding, among many patterns, those that cover another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiguard_core._pattern_index import PatternIndex
from amiguard_core.patterns import Pattern, covers

# Runs of every length that pieces are cut of, and shorter and longer ones, with all in between.
PARTS = st.sampled_from(("a", "ab", "abc", "abcd", "abcdefgh", "xabcdefghy", "*", "?", "\\*"))
TEXTS = st.lists(PARTS, max_size=6).map("".join)

SHAPES = ("team-{:05}-app-*", "*-team-{:05}", "acme-*-{:05}", "acme-*-team-{:05}-*", "{:05}")
MANY = 10_000


@given(st.lists(TEXTS, max_size=8), TEXTS)
def test_index_finds_all_that_cover_and_nothing_else(texts: list[str], searched: str) -> None:
    """Looking a pattern up gives what comparing it with each would give."""
    narrower = Pattern.parse(searched)

    found = sorted(PatternIndex(enumerate(texts)).covering(narrower))

    assert found == [n for n, text in enumerate(texts) if covers(Pattern.parse(text), narrower)]


@given(st.lists(TEXTS, max_size=4))
def test_what_has_no_names_is_covered_by_all(texts: list[str]) -> None:
    """A pattern too long for any name is covered by each, whatever they have in common."""
    found = sorted(PatternIndex(enumerate(texts)).covering(Pattern.parse("z" * 256)))

    assert found == list(range(len(texts)))


@pytest.mark.parametrize("shape", SHAPES)
def test_many_patterns_are_no_more_work_than_few(shape: str) -> None:
    """Wherever in ten thousand patterns the wildcards are, a handful is compared."""
    index = PatternIndex((n, shape.format(n)) for n in range(MANY))
    searched = Pattern.parse(shape.replace("*", "web").format(4_321))

    candidates = [number for number, _ in index._candidates(searched)]

    assert 4_321 in candidates
    assert len(candidates) < 100
