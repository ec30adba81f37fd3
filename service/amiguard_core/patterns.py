"""AMI name patterns as AWS filters read them, and the three relations the rule needs between them.

In a pattern `*` stands for any run of characters, `?` for one character or none, and a backslash
takes the next character literally. Names are case-sensitive and at most 255 characters; nothing
longer is a name, so two patterns that differ on longer strings alone are the same pattern here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_NAME_CHARACTERS: Final = 255
"""The longest name (and filter value) that EC2 takes."""

_CACHED_TEXT_CHARACTERS: Final = 2 * MAX_NAME_CHARACTERS
"""Longer texts, which EC2 refuses, are not remembered: every character escaped is this long."""

_CACHED_PATTERNS: Final = 4096
"""Far more than one account's pipelines search by, and a few megabytes at most."""


class Wildcard(Enum):
    """A part of a pattern that does not stand for itself."""

    RUN = "*"
    OPTIONAL = "?"


Token: TypeAlias = str | Wildcard
"""One literal character or one wildcard."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A name pattern, parsed once; equal to another when both were written the same way."""

    text: str
    """The pattern as written."""
    tokens: tuple[Token, ...] = field(init=False, repr=False, compare=False)
    """Canonical: no wildcard that its neighbour makes superfluous."""
    prefix: str = field(init=False, repr=False, compare=False)
    """The literal characters before the first wildcard: what every matched name begins with."""
    suffix: str = field(init=False, repr=False, compare=False)
    """The literal characters after the last wildcard: what every matched name ends with."""
    literal_count: int = field(init=False, repr=False, compare=False)
    """The length of the shortest name it matches."""
    # The tokens once more, as bit sets over their positions, for moving many positions at once.
    literal_bits: Mapping[Token, int] = field(init=False, repr=False, compare=False)
    optional_bits: int = field(init=False, repr=False, compare=False)
    run_bits: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Work out everything that the relations need."""
        read = list(_tokenise(self.text))
        literal_count = sum(isinstance(token, str) for token in read)
        tokens = tuple(_canonical(read, spare=MAX_NAME_CHARACTERS - literal_count))
        bits: dict[Token, int] = {}
        for position, token in enumerate(tokens):
            bits[token] = bits.get(token, 0) | 1 << position
        derived = {
            "tokens": tokens,
            "prefix": "".join(_leading_literals(tokens)),
            "suffix": "".join(_leading_literals(tokens[::-1]))[::-1],
            "literal_count": literal_count,
            "optional_bits": bits.pop(Wildcard.OPTIONAL, 0),
            "run_bits": bits.pop(Wildcard.RUN, 0),
            "literal_bits": bits,
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    @staticmethod
    def parse(text: str) -> Pattern:
        """Return the pattern that `text` spells; every text spells one."""
        return _parse(text) if len(text) <= _CACHED_TEXT_CHARACTERS else Pattern(text)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        """Travel between processes as the text alone."""
        return Pattern.parse, (self.text,)

    @property
    def has_wildcard(self) -> bool:
        """Whether it could match more than one name."""
        return bool(self.optional_bits | self.run_bits)

    @property
    def literal_prefix_length(self) -> int:
        """How many literal characters precede the first wildcard."""
        return len(self.prefix)

    @property
    def is_match_all(self) -> bool:
        """Whether it matches every name."""
        return self.tokens == (Wildcard.RUN,)

    @property
    def is_match_none(self) -> bool:
        """Whether its literal characters alone are too many for a name."""
        return self.literal_count > MAX_NAME_CHARACTERS


def matches(pattern: Pattern, name: str) -> bool:
    """Whether `name` is one of the names of `pattern`; no string over 255 characters is a name."""
    if not pattern.literal_count <= len(name) <= MAX_NAME_CHARACTERS:
        return False
    if not pattern.has_wildcard:
        return name == pattern.prefix
    if not (name.startswith(pattern.prefix) and name.endswith(pattern.suffix)):
        return False
    if _is_one_run(pattern):
        return True
    literal_bits, optional, run = pattern.literal_bits, pattern.optional_bits, pattern.run_bits
    reached = _closed(1 << len(pattern.prefix), optional | run)
    for character in name[len(pattern.prefix) :]:
        moved = (reached & (literal_bits.get(character, 0) | optional)) << 1 | reached & run
        if not moved:
            return False
        reached = _closed(moved, optional | run)
    return bool(reached >> len(pattern.tokens))


def intersects(a: Pattern, b: Pattern) -> bool:
    """Whether some string is matched by both.

    Yes as well where every such string is over 255 characters, although each pattern matches
    shorter ones of its own: for a warning about shared names, a yes too many is the safe side.
    """
    if a.is_match_none or b.is_match_none:
        return False
    if not a.has_wildcard:
        return matches(b, a.prefix)
    if not b.has_wildcard:
        return matches(a, b.prefix)
    if _ends_clash(a, b):
        return False
    if len(a.tokens) > len(b.tokens):
        a, b = b, a
    return _intersects_stepwise(a, b)


def _ends_clash(a: Pattern, b: Pattern) -> bool:
    """Whether the literal beginnings or endings alone keep the two apart."""
    shared = min(len(a.prefix), len(b.prefix))
    if a.prefix[:shared] != b.prefix[:shared]:
        return True
    shared = min(len(a.suffix), len(b.suffix))
    return a.suffix[len(a.suffix) - shared :] != b.suffix[len(b.suffix) - shared :]


def _intersects_stepwise(a: Pattern, b: Pattern) -> bool:
    """Go through `a`, keeping the positions of `b` that some common beginning reaches with it."""
    shared = min(len(a.prefix), len(b.prefix))
    skippable = b.optional_bits | b.run_bits
    every = (1 << len(b.tokens)) - 1
    reached = _closed(1 << shared, skippable)
    for token in a.tokens[shared:]:
        if token is Wildcard.RUN:
            # All from the lowest on: a run takes whatever `b` still asks for.
            reached = (every << 1 | 1) & -(reached & -reached)
        elif token is Wildcard.OPTIONAL:
            reached = _closed(reached | (reached & every) << 1, skippable)
        else:
            taken = reached & (b.literal_bits.get(token, 0) | b.optional_bits)
            reached = _closed(taken << 1 | reached & b.run_bits, skippable)
        if not reached:
            return False
    return bool(reached >> len(b.tokens))


def covers(wider: Pattern, narrower: Pattern) -> bool:
    """Whether `wider` matches every name that `narrower` matches; a yes is always true.

    A no may be false only where nothing but strings over 255 characters tells the two apart.
    """
    if wider.is_match_all or narrower.is_match_none or wider.tokens == narrower.tokens:
        return True
    if not narrower.has_wildcard:
        return matches(wider, narrower.prefix)
    if not wider.has_wildcard or wider.literal_count > narrower.literal_count:
        return False
    if not narrower.prefix.startswith(wider.prefix) or not narrower.suffix.endswith(wider.suffix):
        return False
    return _is_one_run(wider) or _covers_stepwise(wider, narrower)


def _covers_stepwise(wider: Pattern, narrower: Pattern) -> bool:
    """Follow the one string of `narrower` that is the hardest for `wider`.

    It has a character that stands in neither pattern for each optional, and any number of them for
    each run. Only wildcards take these, and wildcards would as well take other characters or fewer:
    so where this string is matched, all others that `narrower` matches are.
    """
    optional, run = wider.optional_bits, wider.run_bits
    reached = _closed(1 << len(wider.prefix), optional | run)
    for token in narrower.tokens[len(wider.prefix) :]:
        moved = reached & run
        # However many optionals `wider` has, a long enough run outlasts them.
        if token is not Wildcard.RUN:
            moved |= (reached & (wider.literal_bits.get(token, 0) | optional)) << 1
        if not moved:
            return False
        reached = _closed(moved, optional | run)
    return bool(reached >> len(wider.tokens))


def _closed(reached: int, skippable: int) -> int:
    """Add the positions reached from `reached` by skipping tokens.

    The addition carries each position to the end of its stretch of skippable tokens.
    """
    return reached | ((reached & skippable) + skippable) ^ skippable


def _is_one_run(pattern: Pattern) -> bool:
    """Whether the prefix and the suffix say all, with anything at all between them."""
    others = len(pattern.tokens) - len(pattern.prefix) - len(pattern.suffix)
    return others == 1 and bool(pattern.run_bits)


@lru_cache(maxsize=_CACHED_PATTERNS)
def _parse(text: str) -> Pattern:
    return Pattern(text)


def _tokenise(text: str) -> Iterator[Token]:
    characters = iter(text)
    for character in characters:
        if character == "\\":
            yield next(characters, character)
        elif character == "*":
            yield Wildcard.RUN
        elif character == "?":
            yield Wildcard.OPTIONAL
        else:
            yield character


def _canonical(tokens: list[Token], *, spare: int) -> Iterator[Token]:
    """Merge neighbouring wildcards; `spare` characters are all that a name can have for them."""
    for is_literal, group in groupby(tokens, key=lambda token: isinstance(token, str)):
        stretch = list(group)
        if not is_literal and (Wildcard.RUN in stretch or len(stretch) >= spare):
            yield Wildcard.RUN
        else:
            yield from stretch


def _leading_literals(tokens: tuple[Token, ...]) -> Iterator[str]:
    for token in tokens:
        if isinstance(token, Wildcard):
            return
        yield token
