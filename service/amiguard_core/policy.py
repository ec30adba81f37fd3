"""What an operator decides: rule configuration and allowlist, as one immutable value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property

from msgspec import Struct

from amiguard_core._pattern_index import PatternIndex
from amiguard_core.errors import PolicyError
from amiguard_core.events import LaunchPath, Origin
from amiguard_core.patterns import Pattern

MIN_WINDOW = timedelta(seconds=1)
MAX_WINDOW = timedelta(hours=24)
DEFAULT_WINDOW = timedelta(minutes=15)
DEFAULT_LATENESS = timedelta(hours=24)
MAX_LATENESS = timedelta(days=35)
"""CloudTrail retries a delivery for up to 30 days; a window more leaves room for it."""
MAX_PUBLIC_PATTERNS = 200
"""Further public families: each search is compared with each, and some 60 are built in."""
MAX_NAME_LENGTH = 255
"""Longest AMI name, and longest filter value, that EC2 takes."""


class Mode(StrEnum):
    """Which searches count as unsafe: as published, or in truth (docs/rule.md, section 4)."""

    DOCUMENTED = "DOCUMENTED"
    STRICT = "STRICT"


class CorrelateBy(StrEnum):
    """What ties a launch to a search: the exact principal, or the role behind it."""

    PRINCIPAL = "PRINCIPAL"
    ROLE = "ROLE"


class EntryKind(StrEnum):
    """What an allowlist entry vouches for."""

    TRUSTED_OWNER = "trusted_owner"
    TRUSTED_ACCOUNT = "trusted_account"
    ORGANIZATION_PATTERN = "organization_pattern"


class AllowlistEntry(Struct, frozen=True):
    """Something the organization vouches for; `account_ids` empty means in every account."""

    name: str
    kind: EntryKind
    subject: str
    account_ids: tuple[str, ...] = ()
    expire_time: datetime | None = None

    def applies_in(self, account_id: str | None) -> bool:
        """Says whether the entry is in scope for an account."""
        return not self.account_ids or account_id in self.account_ids


OWNER_ALIASES = ("amazon", "aws-backup-vault", "aws-marketplace", "self")
"""Image owner aliases that AWS documents; none of them can be claimed by a stranger."""

BUILT_IN_ENTRIES = tuple(
    AllowlistEntry(
        name=f"allowlistEntries/alias-{alias}", kind=EntryKind.TRUSTED_OWNER, subject=alias
    )
    for alias in OWNER_ALIASES
)
"""The aliases that are trusted from the start (docs/rule.md, section 10)."""


class RuleConfig(Struct, frozen=True):
    """One revision of the rule's settings."""

    revision: int = 1
    window: timedelta = DEFAULT_WINDOW
    lateness: timedelta = DEFAULT_LATENESS
    mode: Mode = Mode.DOCUMENTED
    correlate_by: CorrelateBy = CorrelateBy.PRINCIPAL
    launch_paths: tuple[LaunchPath, ...] = (LaunchPath.RUN_INSTANCES,)
    public_patterns: tuple[str, ...] = ()

    def check(self) -> None:
        """Raises the first of the `refusals`, if there is one."""
        for refusal in self.refusals():
            raise refusal

    def refusals(self) -> Iterator[PolicyError]:
        """Yields an error for each setting that is out of range, with the field's name."""
        if not MIN_WINDOW <= self.window <= MAX_WINDOW:
            yield PolicyError(
                "correlation_window",
                got=f"{self.window.total_seconds():g} s",
                wanted="1 second to 24 hours",
            )
        if not timedelta(0) <= self.lateness <= MAX_LATENESS:
            yield PolicyError(
                "max_lateness",
                got=f"{self.lateness.total_seconds():g} s",
                wanted="0 seconds to 35 days",
            )
        if len(self.public_patterns) > MAX_PUBLIC_PATTERNS:
            yield PolicyError(
                "public_patterns",
                got=f"{len(self.public_patterns)} patterns",
                wanted=f"at most {MAX_PUBLIC_PATTERNS}",
            )
        for index, text in enumerate(self.public_patterns):
            yield from _public_pattern_refusals(f"public_patterns[{index}]", text)


def _public_pattern_refusals(field: str, text: str) -> Iterator[PolicyError]:
    if not 0 < len(text) <= MAX_NAME_LENGTH:
        yield PolicyError(field, got=f"{len(text)} characters", wanted=f"1 to {MAX_NAME_LENGTH}")
    elif not text.isprintable():
        yield PolicyError(field, got="control characters", wanted="a name pattern")
    elif Pattern.parse(text).is_match_all:
        yield PolicyError(field, got="a pattern of every name", wanted="a narrower one")


class Policy(Struct, frozen=True, dict=True):
    """Everything that decides a finding besides the records and the known images.

    `entries` are the allowlist entries in force: whoever makes a policy leaves out the expired.
    """

    rule: RuleConfig = RuleConfig()
    entries: tuple[AllowlistEntry, ...] = BUILT_IN_ENTRIES

    def at(self, now: datetime) -> Policy:
        """Returns the policy without the entries that have expired by `now`."""
        live = tuple(e for e in self.entries if e.expire_time is None or e.expire_time > now)
        return Policy(rule=self.rule, entries=live)

    def prepare(self) -> None:
        """Works out what looking entries up needs, which many entries make worth doing ahead."""
        _ = self._organization, self._trust, self.public_patterns

    def correlation_key(self, origin: Origin) -> str | None:
        """Returns who a record is correlated as; None when it names nobody or no account."""
        if origin.account_id is None:
            return None
        if self.rule.correlate_by is CorrelateBy.ROLE:
            return origin.actor_arn
        return origin.principal_arn

    @cached_property
    def public_patterns(self) -> tuple[Pattern, ...]:
        """The further public name families of the rule, parsed."""
        return tuple(Pattern.parse(text) for text in self.rule.public_patterns)

    @cached_property
    def _organization(self) -> PatternIndex[AllowlistEntry]:
        return PatternIndex(
            (entry, entry.subject)
            for entry in self.entries
            if entry.kind is EntryKind.ORGANIZATION_PATTERN
        )

    def covering_entry(self, name: Pattern, *, account_id: str | None) -> AllowlistEntry | None:
        """Returns the entry, first by name, whose organization pattern covers a pattern."""
        return min(
            (e for e in self._organization.covering(name) if e.applies_in(account_id)),
            key=lambda entry: entry.name,
            default=None,
        )

    @cached_property
    def _trust(self) -> dict[str, tuple[AllowlistEntry, ...]]:
        trust: dict[str, tuple[AllowlistEntry, ...]] = {}
        for entry in _by_name(self.entries):
            if entry.kind is not EntryKind.ORGANIZATION_PATTERN:
                trust[entry.subject] = (*trust.get(entry.subject, ()), entry)
        return trust

    def trusting_entry(self, owner: str, *, account_id: str | None) -> AllowlistEntry | None:
        """Returns the entry, first by name, that trusts an owner alias or account; else None."""
        for entry in self._trust.get(owner, ()):
            if entry.applies_in(account_id):
                return entry
        return None


def _by_name(entries: Iterable[AllowlistEntry]) -> list[AllowlistEntry]:
    return sorted(entries, key=lambda entry: entry.name)


class KnownImage(Struct, frozen=True):
    """What has been registered of one image; unknown parts are None."""

    image_id: str
    region: str
    owner_account_id: str | None = None
    owner_alias: str | None = None
    image_name: str | None = None
