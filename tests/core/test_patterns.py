"""Laws of name patterns and of the relations between them."""

from __future__ import annotations

import copy
from functools import cache
from itertools import product
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from amiguard_core import patterns
from amiguard_core.patterns import MAX_NAME_CHARACTERS, Pattern, covers, intersects, matches

if TYPE_CHECKING:
    from collections.abc import Iterator

STRANGE = "\0"
"""A character that no pattern below contains."""

pattern_texts = st.lists(st.sampled_from(["a", "b", "*", "?", "*", "\\*", "\\"]), max_size=10).map(
    "".join
)
names = st.text("abz", max_size=10)
any_names = st.text(max_size=40)


@cache
def matched_by_definition(pattern: str, name: str) -> bool:
    """Match as the definition of the wildcards reads, trying everything."""
    if not pattern:
        return not name
    head, rest = pattern[0], pattern[1:]
    if head == "*":
        return any(matched_by_definition(rest, name[taken:]) for taken in range(len(name) + 1))
    if head == "?":
        return any(
            matched_by_definition(rest, name[taken:]) for taken in range(min(2, len(name) + 1))
        )
    if head == "\\" and rest:
        head, rest = rest[0], rest[1:]
    return name[:1] == head and matched_by_definition(rest, name[1:])


def spelled(pattern: str) -> tuple[tuple[str, bool], ...]:
    """Read a pattern as pairs of a character and whether it is a wildcard."""
    read = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        is_escape = character == "\\" and position + 1 < len(pattern)
        if is_escape:
            position += 1
        read.append((pattern[position], not is_escape and character in "*?"))
        position += 1
    return tuple(read)


def skipped(pattern: str, positions: frozenset[int]) -> frozenset[int]:
    """Add the positions reached by letting wildcards stand for nothing."""
    read = spelled(pattern)
    reached = set(positions)
    for position, (_, is_wildcard) in enumerate(read):
        if position in reached and is_wildcard:
            reached.add(position + 1)
    return frozenset(reached)


def stepped(pattern: str, positions: frozenset[int], character: str) -> frozenset[int]:
    """Return the positions reached from `positions` by one character of a name."""
    reached = set()
    for position in positions:
        for token, is_wildcard in spelled(pattern)[position : position + 1]:
            if is_wildcard or token == character:
                reached.add(position if is_wildcard and token == "*" else position + 1)
    return skipped(pattern, frozenset(reached))


def pairs_reached(a: str, b: str) -> set[tuple[frozenset[int], frozenset[int]]]:
    """Return every pair of position sets that one name leads `a` and `b` to."""
    alphabet = {token for token, is_wildcard in spelled(a) + spelled(b) if not is_wildcard}
    start = (skipped(a, frozenset({0})), skipped(b, frozenset({0})))
    found, waiting = {start}, [start]
    while waiting:
        in_a, in_b = waiting.pop()
        for character in alphabet | {STRANGE}:
            pair = (stepped(a, in_a, character), stepped(b, in_b, character))
            if pair not in found:
                found.add(pair)
                waiting.append(pair)
    return found


def covered_by_definition(wider: str, narrower: str) -> bool:
    """Whether no name ends in `narrower` without ending in `wider`."""
    ends = (len(spelled(wider)), len(spelled(narrower)))
    return all(ends[0] in a or ends[1] not in b for a, b in pairs_reached(wider, narrower))


def intersecting_by_definition(a: str, b: str) -> bool:
    """Whether some name ends in both."""
    ends = (len(spelled(a)), len(spelled(b)))
    return any(ends[0] in in_a and ends[1] in in_b for in_a, in_b in pairs_reached(a, b))


def all_texts(alphabet: str, longest: int) -> Iterator[str]:
    """Return every text over `alphabet` up to a length."""
    for length in range(longest + 1):
        for characters in product(alphabet, repeat=length):
            yield "".join(characters)


def escaped(name: str) -> str:
    """Write a name as a pattern that means just it."""
    return "".join(f"\\{character}" if character in "*?\\" else character for character in name)


@st.composite
def widened(draw: st.DrawFn, pattern: str) -> str:
    """Write a pattern that matches at least what `pattern` matches."""
    written = [token if is_wildcard else escaped(token) for token, is_wildcard in spelled(pattern)]
    wider = (
        draw(st.sampled_from(["", token, token, "?" if token != "*" else "*", "*"])) or token
        for token in written
    )
    return "".join(token + draw(st.sampled_from(["", "", "", "?", "*"])) for token in wider)


@st.composite
def name_of(draw: st.DrawFn, pattern: str) -> str:
    """Write a name that `pattern` matches."""
    choices = {"*": st.text("abz", max_size=4), "?": st.text("abz", max_size=1)}
    return "".join(
        draw(choices[token]) if is_wildcard else token for token, is_wildcard in spelled(pattern)
    )


@pytest.fixture
def advances(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note each advance of a set of positions, the unit of work of all three relations."""
    noted: list[int] = []
    advance = patterns._closed

    def noting(reached: int, skippable: int) -> int:
        noted.append(reached)
        return advance(reached, skippable)

    monkeypatch.setattr(patterns, "_closed", noting)
    return noted


HARD = {
    "runs": "*a" * 127,
    "runs_after": "a*" * 127 + "b",
    "optionals": "?" * 254,
    "optionals_before": "?a" * 127,
    "optionals_after": "a?" * 127,
    "runs_and_optionals": "*a?b" * 63,
    "mixed": "*" + "ab?" * 84 + "*",
    "long_optionals": "*" + "a??????" * 36,
    "two_parts": "*" + "a" * 126 + "*" + "b" * 126,
    "one_letter": "a*" + "a??" * 80 + "*",
    "over_long": "*a" * 300,
    "endless": ("?" * 120 + "a") * 120,
}
hard = pytest.mark.parametrize("text", HARD.values(), ids=HARD.keys())


@pytest.mark.parametrize(
    ("letters", "of_names", "longest"), [("ab*?", "abz", 7), ("a*?\\", "a*?\\z", 5)]
)
def test_relations_agree_with_enumeration(letters: str, of_names: str, longest: int) -> None:
    """For all short patterns, the relations are what listing the names shows."""
    listed = list(all_texts(of_names, longest))
    texts = list(all_texts(letters, 3))
    language = {
        text: frozenset(name for name in listed if matched_by_definition(text, name))
        for text in texts
    }
    expected = [
        (a, b, bool(language[a] & language[b]), language[a] >= language[b])
        for a, b in product(texts, repeat=2)
    ]

    parsed = {text: Pattern.parse(text) for text in texts}
    assert language == {
        text: frozenset(name for name in listed if matches(parsed[text], name)) for text in texts
    }
    assert expected == [
        (a, b, intersects(parsed[a], parsed[b]), covers(parsed[a], parsed[b]))
        for a, b in product(texts, repeat=2)
    ]


@given(pattern_texts, st.text("abz*?\\", max_size=10))
def test_matches_agrees_with_the_definition(text: str, name: str) -> None:
    """A name is matched exactly if the definition of the wildcards says so."""
    assert matched_by_definition(text, name) == matches(Pattern.parse(text), name)


@settings(max_examples=500)
@given(pattern_texts, pattern_texts)
@example("*a*a*a*", "bbba?bbb")
@example("*a*a*", "bbba?bbb")
def test_intersects_agrees_with_the_definition(a: str, b: str) -> None:
    """Two patterns intersect exactly if one name leads both to their ends."""
    assert intersecting_by_definition(a, b) == intersects(Pattern.parse(a), Pattern.parse(b))


@settings(max_examples=500)
@given(pattern_texts, pattern_texts)
def test_covers_agrees_with_the_definition(wider: str, narrower: str) -> None:
    """One pattern covers another exactly if no name leads the other alone to its end."""
    expected = covered_by_definition(wider, narrower)

    assert expected == covers(Pattern.parse(wider), Pattern.parse(narrower))


@given(st.data(), pattern_texts)
def test_covers_agrees_with_the_definition_nearby(data: st.DataObject, text: str) -> None:
    """Inclusion is told as well where the two patterns differ only a little."""
    near = data.draw(widened(text))

    assert covers(Pattern.parse(near), Pattern.parse(text))
    assert covered_by_definition(text, near) == covers(Pattern.parse(text), Pattern.parse(near))


@given(pattern_texts)
def test_covers_is_reflexive(text: str) -> None:
    """Each pattern covers itself."""
    assert covers(Pattern.parse(text), Pattern.parse(text))


@given(st.data(), pattern_texts)
def test_covers_is_transitive(data: st.DataObject, text: str) -> None:
    """What covers a cover covers."""
    wide = data.draw(widened(text))
    wider = data.draw(widened(wide))

    assert covers(Pattern.parse(wider), Pattern.parse(text))


@given(st.data(), pattern_texts, pattern_texts)
def test_cover_matches_every_name_of_the_covered(
    data: st.DataObject, wider: str, narrower: str
) -> None:
    """If one pattern covers another, it matches the names of the other."""
    name = data.draw(name_of(narrower))

    assert matches(Pattern.parse(narrower), name)
    assert matches(Pattern.parse(wider), name) or not covers(
        Pattern.parse(wider), Pattern.parse(narrower)
    )


@given(st.data(), pattern_texts)
def test_patterns_with_a_name_in_common_intersect(data: st.DataObject, text: str) -> None:
    """Two patterns that match one name intersect."""
    name = escaped(data.draw(name_of(text)))
    a, b = data.draw(widened(name)), data.draw(widened(text))

    assert intersects(Pattern.parse(a), Pattern.parse(b))


@given(pattern_texts, pattern_texts)
def test_intersects_is_symmetric(a: str, b: str) -> None:
    """Which pattern comes first does not matter."""
    expected = intersects(Pattern.parse(a), Pattern.parse(b))

    assert expected == intersects(Pattern.parse(b), Pattern.parse(a))


@given(pattern_texts, names)
def test_relations_to_an_exact_name_are_matching(text: str, name: str) -> None:
    """A name written as a pattern is intersected and covered exactly where it is matched."""
    pattern, exact = Pattern.parse(text), Pattern.parse(escaped(name))
    expected = matches(pattern, name)

    assert (expected, expected) == (intersects(pattern, exact), covers(pattern, exact))


@given(any_names, any_names)
def test_escaped_name_matches_itself_alone(name: str, other: str) -> None:
    """With its special characters escaped, a text of any characters means just itself."""
    pattern = Pattern.parse(escaped(name))

    assert matches(pattern, name)
    assert (name == other) == matches(pattern, other)
    assert not pattern.has_wildcard
    assert len(name) == pattern.literal_prefix_length


@given(any_names, any_names)
def test_wildcards_match_any_character(before: str, after: str) -> None:
    """What a wildcard stands for may be any character."""
    pattern = Pattern.parse(escaped(before) + "*")

    assert matches(pattern, before + after)
    assert matches(Pattern.parse("?" * len(after)), after)


def test_optional_wildcard_matches_one_character_or_none() -> None:
    """A question mark stands for at most one character."""
    pattern = Pattern.parse("a?b")

    assert matches(pattern, "ab")
    assert matches(pattern, "axb")
    assert not matches(pattern, "axxb")


def test_matching_is_case_sensitive() -> None:
    """AMI names that differ in case alone are different names."""
    assert not matches(Pattern.parse("RHEL-*"), "rhel-9.4")
    assert not intersects(Pattern.parse("RHEL-*"), Pattern.parse("rhel-*"))
    assert not covers(Pattern.parse("RHEL-*"), Pattern.parse("rhel-*"))


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("", 0),
        ("*", 0),
        ("??-base-*", 0),
        ("RHEL-9*", 6),
        (r"a\*b-*", 4),
        (r"a\\?", 2),
        ("ab\\", 3),
        ("acme-exact-name-1", 17),
    ],
)
def test_literal_prefix_counts_what_stands_for_itself(text: str, length: int) -> None:
    """An escape counts as the character it lets through, a trailing backslash as itself."""
    assert length == Pattern.parse(text).literal_prefix_length


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", False), ("ab", False), (r"a\*\?", False), ("a\\", False), ("a?", True), ("*", True)],
)
def test_only_an_unescaped_special_character_is_a_wildcard(text: str, *, expected: bool) -> None:
    """An escaped wildcard is a literal character."""
    assert expected == Pattern.parse(text).has_wildcard


@pytest.mark.parametrize("text", ["*", "**", "?*", "*?", "*?*", "??**??", "?" * 255, "?" * 900])
def test_pattern_that_matches_every_name_is_seen_as_such(text: str) -> None:
    """However it is written, a pattern that matches every name is known to."""
    pattern = Pattern.parse(text)

    assert pattern.is_match_all
    assert covers(pattern, Pattern.parse("*"))
    assert matches(pattern, "")
    assert matches(pattern, "z" * MAX_NAME_CHARACTERS)


@pytest.mark.parametrize("text", ["", "?", "?" * 254, "a*", "*a", r"\*", "*a*"])
def test_pattern_that_misses_a_name_is_not_match_all(text: str) -> None:
    """A pattern that some name escapes does not match all."""
    pattern = Pattern.parse(text)

    assert not pattern.is_match_all
    assert not covers(pattern, Pattern.parse("*"))


def test_length_of_names_is_bounded() -> None:
    """Nothing longer than EC2 takes is a name."""
    assert matches(Pattern.parse("*"), "a" * 255)
    assert not matches(Pattern.parse("*"), "a" * 256)
    assert not matches(Pattern.parse("a" * 256), "a" * 256)


def test_optionals_that_outlast_a_name_are_a_run() -> None:
    """As many optional characters as a name can have to spare are as good as a run."""
    run = Pattern.parse("a*")

    assert covers(Pattern.parse("a" + "?" * 254), run)
    assert not covers(Pattern.parse("a" + "?" * 253), run)


def test_pattern_longer_than_any_name_has_no_names() -> None:
    """What can match no name intersects nothing, and all of it is covered."""
    pattern = Pattern.parse("a" * 256 + "*")

    assert pattern.is_match_none
    assert not intersects(pattern, Pattern.parse("*"))
    assert not intersects(pattern, pattern)
    assert covers(Pattern.parse("b"), pattern)
    assert not covers(pattern, Pattern.parse("a*"))


def test_patterns_with_only_overlong_strings_in_common_intersect() -> None:
    """Two patterns that both have names are said to intersect even where no name is in both."""
    assert intersects(Pattern.parse("a" * 200 + "*"), Pattern.parse("*" + "b" * 200))


def test_text_of_any_length_is_a_pattern() -> None:
    """A text far longer than EC2 takes is answered like any other."""
    pattern = Pattern.parse("?a" * 50_000)

    assert pattern.is_match_none
    assert not matches(pattern, "a")


def test_patterns_are_equal_as_written() -> None:
    """Two patterns written alike are equal; two that mean the same need not be."""
    assert Pattern("a*") == Pattern.parse("a*")
    assert hash(Pattern("a*")) == hash(Pattern.parse("a*"))
    assert Pattern("a*") != Pattern.parse("a**")


def test_copies_of_a_pattern_share_what_was_parsed() -> None:
    """A pattern that travels as its text arrives as the parsed one."""
    pattern = Pattern.parse("ubuntu/images/*")

    assert copy.deepcopy(pattern) is pattern


@hard
def test_work_of_matching_is_bounded_by_the_name(text: str, advances: list[int]) -> None:
    """Matching advances at most once for each character of the name."""
    pattern = Pattern.parse(text)
    for name in ("a" * 255, "ab" * 127, "aab" * 85):
        advances.clear()
        matches(pattern, name)

        assert len(advances) <= len(name) + 1


@hard
def test_work_of_intersecting_is_bounded_by_the_shorter(text: str, advances: list[int]) -> None:
    """Intersecting advances at most once for each token of the pattern with fewer."""
    pattern = Pattern.parse(text)
    for other in map(Pattern.parse, HARD.values()):
        advances.clear()
        intersects(pattern, other)

        assert len(advances) <= min(len(pattern.tokens), len(other.tokens)) + 1


@hard
def test_work_of_covering_is_bounded_by_the_covered(text: str, advances: list[int]) -> None:
    """Covering advances at most once for each token of the narrower pattern."""
    pattern = Pattern.parse(text)
    for other in map(Pattern.parse, HARD.values()):
        advances.clear()
        covers(pattern, other)

        assert len(advances) <= max(len(other.tokens), MAX_NAME_CHARACTERS) + 1


@hard
def test_hard_answers_agree_with_each_other(text: str) -> None:
    """Large patterns keep the laws: a cover intersects, and either order intersects alike."""
    pattern = Pattern.parse(text)
    for other in map(Pattern.parse, HARD.values()):
        expected = intersects(pattern, other)

        assert expected == intersects(other, pattern)
        assert expected or other.is_match_none or not covers(pattern, other)
