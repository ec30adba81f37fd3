"""What may stand in an allowlist, and what is wrong with an entry. docs/rule.md, section 10."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from amiguard_core._pattern_index import PatternIndex
from amiguard_core.errors import PolicyError
from amiguard_core.families import families_of
from amiguard_core.patterns import Pattern, covers
from amiguard_core.policy import (
    MAX_NAME_LENGTH,
    OWNER_ALIASES,
    AllowlistEntry,
    EntryKind,
)

MAX_ACCOUNTS = 1_000
"""Accounts that one entry is scoped to: a scope that is longer is the whole organization."""
_ACCOUNT = re.compile(r"[0-9]{12}")


def check_entry(
    entry: AllowlistEntry, *, public_patterns: Sequence[Pattern] = (), force: bool = False
) -> None:
    """Raises the first of the `refusals_of` an entry, if there is one."""
    for refusal in refusals_of(entry, public_patterns=public_patterns, force=force):
        raise refusal


def check_account_ids(account_ids: Sequence[str]) -> None:
    """Raises PolicyError, naming the first that is amiss, for what no entry can be scoped to."""
    for refusal in _scope_refusals(account_ids):
        raise refusal


def refusals_of(
    entry: AllowlistEntry, *, public_patterns: Sequence[Pattern] = (), force: bool = False
) -> Iterator[PolicyError]:
    """Yields all for which no allowlist may hold an entry, each with the field's name.

    `public_patterns` are the further public families of the rule configuration. `force` lets an
    organization pattern through that intersects a public family; nothing lets one through that
    matches every name.
    """
    if entry.kind is EntryKind.TRUSTED_OWNER and entry.subject not in OWNER_ALIASES:
        yield PolicyError(
            entry.kind, got=repr(entry.subject), wanted="one of " + ", ".join(OWNER_ALIASES)
        )
    if entry.kind is EntryKind.TRUSTED_ACCOUNT:
        yield from _account_refusals(entry.kind, entry.subject)
    if entry.kind is EntryKind.ORGANIZATION_PATTERN:
        yield from _pattern_refusals(entry, public_patterns, force=force)
    yield from _scope_refusals(entry.account_ids)


def _scope_refusals(account_ids: Sequence[str]) -> Iterator[PolicyError]:
    if len(account_ids) > MAX_ACCOUNTS:
        yield PolicyError(
            "account_ids", got=f"{len(account_ids)} accounts", wanted=f"at most {MAX_ACCOUNTS}"
        )
    for index, account_id in enumerate(account_ids):
        yield from _account_refusals(f"account_ids[{index}]", account_id)


def _account_refusals(field: str, account_id: str) -> Iterator[PolicyError]:
    if not _ACCOUNT.fullmatch(account_id):
        yield PolicyError(field, got=repr(account_id[:64]), wanted="an account id of 12 digits")


def _pattern_refusals(
    entry: AllowlistEntry, public_patterns: Sequence[Pattern], *, force: bool
) -> Iterator[PolicyError]:
    text = entry.subject
    if not 0 < len(text) <= MAX_NAME_LENGTH:
        yield PolicyError(
            entry.kind, got=f"{len(text)} characters", wanted=f"1 to {MAX_NAME_LENGTH}"
        )
        return
    if not text.isprintable():
        yield PolicyError(entry.kind, got="control characters", wanted="a name pattern")
        return
    pattern = Pattern.parse(text)
    if pattern.is_match_all:
        yield PolicyError(entry.kind, got="a pattern of every name", wanted="a narrower one")
        return
    families = families_of(pattern, public_patterns)
    if families and not force:
        first = families[0]
        publisher = f" of {first.publisher}" if first.publisher else ""
        yield PolicyError(
            entry.kind,
            got=f"a pattern that reaches the public names {first.pattern.text}{publisher}",
            wanted="names that only the organization uses, or force",
        )


class Fault(StrEnum):
    """What can be amiss with an entry."""

    EXPIRED = "EXPIRED"
    NEVER_MATCHED = "NEVER_MATCHED"
    SHADOWED = "SHADOWED"
    TOO_BROAD = "TOO_BROAD"
    PUBLIC_NAMES = "PUBLIC_NAMES"


class LintedEntry(Struct, frozen=True):
    """An entry with what its history says."""

    entry: AllowlistEntry
    create_time: datetime
    match_count: int


class Remark(Struct, frozen=True):
    """One thing amiss with one entry, for a person."""

    entry: str
    fault: Fault
    message: str


BROAD_BELOW = 4
"""Literal characters of an organization pattern below which nobody can say whose names it means."""


def lint(
    entries: Iterable[LintedEntry],
    *,
    now: datetime,
    unmatched_since: datetime,
    public_patterns: Sequence[Pattern] = (),
) -> list[Remark]:
    """Returns what is amiss with entries, by entry name.

    An entry that never matched is remarked on only if it was created before `unmatched_since`.
    """
    given = sorted(entries, key=lambda linted: linted.entry.name)
    live = [linted.entry for linted in given if not _is_expired(linted.entry, now)]
    rivals = _Rivals(live)
    remarks = []
    for linted in given:
        entry = linted.entry
        if _is_expired(entry, now):
            remarks.append(Remark(entry.name, Fault.EXPIRED, "It has expired and does nothing."))
            continue
        if not linted.match_count and linted.create_time < unmatched_since:
            remarks.append(Remark(entry.name, Fault.NEVER_MATCHED, "It has never matched."))
        wider = rivals.find_wider(entry)
        if wider is not None:
            remarks.append(
                Remark(entry.name, Fault.SHADOWED, f"{wider.name} covers all that it does.")
            )
        if entry.kind is EntryKind.ORGANIZATION_PATTERN:
            remarks += _lint_pattern(entry, public_patterns)
    return remarks


def _lint_pattern(entry: AllowlistEntry, public_patterns: Sequence[Pattern]) -> list[Remark]:
    pattern = Pattern.parse(entry.subject)
    remarks = []
    if pattern.has_wildcard and pattern.literal_count < BROAD_BELOW:
        remarks.append(
            Remark(
                entry.name,
                Fault.TOO_BROAD,
                f"It has fewer than {BROAD_BELOW} literal characters.",
            )
        )
    families = families_of(pattern, public_patterns)
    if families:
        names = ", ".join(family.pattern.text for family in families[:3])
        remarks.append(
            Remark(entry.name, Fault.PUBLIC_NAMES, f"It vouches for public names: {names}.")
        )
    return remarks


def _is_expired(entry: AllowlistEntry, now: datetime) -> bool:
    return entry.expire_time is not None and entry.expire_time <= now


class _Rivals:
    """Entries, by what they may cover of each other."""

    def __init__(self, entries: Sequence[AllowlistEntry]) -> None:
        self._patterns = PatternIndex(
            (entry, entry.subject)
            for entry in entries
            if entry.kind is EntryKind.ORGANIZATION_PATTERN
        )
        self._owners: dict[tuple[EntryKind, str], list[AllowlistEntry]] = {}
        for entry in entries:
            if entry.kind is not EntryKind.ORGANIZATION_PATTERN:
                self._owners.setdefault((entry.kind, entry.subject), []).append(entry)

    def find_wider(self, entry: AllowlistEntry) -> AllowlistEntry | None:
        """Returns the first entry by name that does all that an entry does; None without one.

        Of two that do the same the first by name is wider.
        """
        return min(
            (
                other
                for other in self._with_wider_subject(entry)
                if other.name != entry.name
                and _lasts_and_reaches(other, entry)
                and not (entry.name < other.name and self._does_all(entry, other))
            ),
            key=lambda other: other.name,
            default=None,
        )

    def _with_wider_subject(self, entry: AllowlistEntry) -> Iterable[AllowlistEntry]:
        if entry.kind is EntryKind.ORGANIZATION_PATTERN:
            return self._patterns.covering(Pattern.parse(entry.subject))
        return self._owners.get((entry.kind, entry.subject), ())

    def _does_all(self, wider: AllowlistEntry, narrower: AllowlistEntry) -> bool:
        if wider.kind is EntryKind.ORGANIZATION_PATTERN:
            subject = covers(Pattern.parse(wider.subject), Pattern.parse(narrower.subject))
        else:
            subject = wider.subject == narrower.subject
        return subject and _lasts_and_reaches(wider, narrower)


def _lasts_and_reaches(wider: AllowlistEntry, narrower: AllowlistEntry) -> bool:
    """Says whether an entry lasts as long as another, and applies wherever that does."""
    lasts = wider.expire_time is None or (
        narrower.expire_time is not None and wider.expire_time >= narrower.expire_time
    )
    reaches = not wider.account_ids or (
        bool(narrower.account_ids) and set(narrower.account_ids) <= set(wider.account_ids)
    )
    return lasts and reaches
