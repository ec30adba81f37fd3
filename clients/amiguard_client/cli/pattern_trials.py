"""What an organization pattern would cover, of names and of searches that were made."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from amiguard_client.cli.bad_files import BadFileError, name_of, read_text
from amiguard_client.cli.output import count_text
from amiguard_core.allowlist import check_entry
from amiguard_core.errors import PolicyError
from amiguard_core.families import NameFamily, families_of
from amiguard_core.patterns import Pattern, covers, matches
from amiguard_core.policy import AllowlistEntry, EntryKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path


class Kind(StrEnum):
    """What is held against a pattern."""

    NAME = "name"
    SEARCH = "search"


class Subject(Struct, frozen=True):
    """A name, or a pattern that was searched by; `source` is the image or finding it is from."""

    kind: Kind
    text: str
    source: str = ""


class Trial(Struct, frozen=True):
    """What a pattern does: for each subject whether it is matched, or covered."""

    pattern: str
    results: tuple[tuple[Subject, bool], ...]
    families: tuple[NameFamily, ...]
    refusal: str | None

    @property
    def summary(self) -> str:
        """The counts, for people."""
        names = [hit for subject, hit in self.results if subject.kind is Kind.NAME]
        searches = [hit for subject, hit in self.results if subject.kind is Kind.SEARCH]
        return (
            f"matches {sum(names):,} of {count_text(len(names), 'name')}, "
            f"covers {sum(searches):,} of {count_text(len(searches), 'searched pattern')}, "
            f"reaches {count_text(len(self.families), 'public family', 'public families')}"
        )

    def to_plain(self) -> dict[str, Any]:
        """Returns all of it as JSON has it."""
        return {
            "pattern": self.pattern,
            "names": [
                {"name": s.text, "source": s.source, "is_matched": hit}
                for s, hit in self.results
                if s.kind is Kind.NAME
            ],
            "searches": [
                {"pattern": s.text, "finding": s.source, "is_covered": hit}
                for s, hit in self.results
                if s.kind is Kind.SEARCH
            ],
            "public_families": [
                {"pattern": family.pattern.text, "publisher": family.publisher}
                for family in self.families
            ],
            "refusal": self.refusal,
        }


def try_pattern(text: str, subjects: Iterable[Subject]) -> Trial:
    """Returns what a pattern does."""
    pattern = Pattern.parse(text)
    entry = AllowlistEntry("", EntryKind.ORGANIZATION_PATTERN, text)
    refusal = None
    try:
        check_entry(entry)
    except PolicyError as error:
        refusal = f"got {error.got}, wanted {error.wanted}"
    return Trial(
        pattern=text,
        results=tuple((subject, _is_covered(pattern, subject)) for subject in subjects),
        families=families_of(pattern),
        refusal=refusal,
    )


def read_subjects(path: Path) -> list[Subject]:
    """Returns what a file, or standard input, holds; raises BadFileError.

    That is names, one a line, or the JSON of DescribeImages, or findings as `findings list` and
    `hunt` write them.
    """
    text = read_text(path)
    if not text.lstrip().startswith("{"):
        return [Subject(Kind.NAME, line.strip()) for line in text.splitlines() if line.strip()]
    try:
        documents = _documents(text)
        return [subject for document in documents for subject in _subjects(document)]
    except (ValueError, RecursionError) as error:
        problem = f"{name_of(path)}: got {error}, wanted names, images or findings"
        raise BadFileError([problem]) from error


def _documents(text: str) -> list[Any]:
    """Returns the one document of a text, or the one on each line."""
    try:
        return [json.loads(text)]
    except ValueError:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) == 1:
            raise
        return [json.loads(line) for line in lines]


def _subjects(document: Any) -> Iterator[Subject]:
    match document:
        case {"Images": [*images]}:
            for image in images:
                if isinstance(image, dict) and isinstance(image.get("Name"), str):
                    yield Subject(Kind.NAME, image["Name"], str(image.get("ImageId", "")))
        case {"findings": [*findings]}:
            for finding in findings:
                yield from _searches(finding)
        case {"search": _}:
            yield from _searches(document)
        case _:
            raise ValueError("JSON of another kind")


def _searches(finding: Any) -> Iterator[Subject]:
    match finding:
        case {"name": str(name), "search": {"name_patterns": [*patterns]}}:
            texts: Sequence[Any] = patterns
            for text in texts:
                yield Subject(Kind.SEARCH, str(text), name.removeprefix("findings/"))
        case _:
            # A search by free text alone has no name pattern to cover.
            return


def _is_covered(pattern: Pattern, subject: Subject) -> bool:
    if subject.kind is Kind.NAME:
        return matches(pattern, subject.text)
    return covers(pattern, Pattern.parse(subject.text))
