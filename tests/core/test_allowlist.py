"""What an allowlist may hold, and what is amiss with one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from amiguard_core.allowlist import (
    BROAD_BELOW,
    MAX_ACCOUNTS,
    Fault,
    LintedEntry,
    check_entry,
    lint,
)
from amiguard_core.errors import PolicyError
from amiguard_core.patterns import Pattern
from amiguard_core.policy import AllowlistEntry, EntryKind

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def entry(
    kind: EntryKind,
    subject: str,
    *,
    name: str = "e",
    accounts: tuple[str, ...] = (),
    days: int | None = None,
) -> AllowlistEntry:
    """Makes an entry that expires so many days from now."""
    expiry = None if days is None else NOW + days * DAY
    return AllowlistEntry(f"allowlistEntries/{name}", kind, subject, accounts, expiry)


def pattern(subject: str, **more: object) -> AllowlistEntry:
    """Makes an entry of an organization pattern."""
    return entry(EntryKind.ORGANIZATION_PATTERN, subject, **more)  # type: ignore[arg-type]


def faults(*entries: AllowlistEntry, age: int = 90, matches: int = 1) -> list[tuple[str, Fault]]:
    """Lints entries; returns their names with the faults."""
    linted = [LintedEntry(each, NOW - age * DAY, matches) for each in entries]
    found = lint(linted, now=NOW, unmatched_since=NOW - 30 * DAY)
    return [(remark.entry.removeprefix("allowlistEntries/"), remark.fault) for remark in found]


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        (EntryKind.TRUSTED_OWNER, "canonical"),
        (EntryKind.TRUSTED_OWNER, "Amazon"),
        (EntryKind.TRUSTED_ACCOUNT, "12345678901"),
        (EntryKind.TRUSTED_ACCOUNT, "0000000000001"),
        (EntryKind.TRUSTED_ACCOUNT, "amazon"),
        (EntryKind.ORGANIZATION_PATTERN, ""),
        (EntryKind.ORGANIZATION_PATTERN, "a" * 256),
        (EntryKind.ORGANIZATION_PATTERN, "acme\n*"),
        (EntryKind.ORGANIZATION_PATTERN, "*"),
        (EntryKind.ORGANIZATION_PATTERN, "?*?"),
    ],
)
def test_what_no_allowlist_may_hold_is_refused(kind: EntryKind, subject: str) -> None:
    """The refusal names the field, and force does not help."""
    with pytest.raises(PolicyError) as refused:
        check_entry(entry(kind, subject), force=True)

    assert refused.value.field == kind


def test_pattern_that_reaches_public_names_needs_force() -> None:
    """The refusal names the family, so that a person can see what is vouched for."""
    with pytest.raises(PolicyError, match="ubuntu/images/"):
        check_entry(pattern("ubuntu/images/acme-*"))

    check_entry(pattern("ubuntu/images/acme-*"), force=True)


def test_first_of_several_public_families_is_named() -> None:
    """A pattern that reaches many is told of one, in the order of the table."""
    with pytest.raises(PolicyError, match=r"public names ubuntu/images/\* of Canonical"):
        check_entry(pattern("ubuntu*"))


def test_public_family_of_the_rule_counts_too() -> None:
    """A family that the rule configuration adds is as public as those built in."""
    with pytest.raises(PolicyError, match="vendor-"):
        check_entry(pattern("vendor-x-*"), public_patterns=[Pattern.parse("vendor-*")])


@pytest.mark.parametrize(
    "good",
    [
        entry(EntryKind.TRUSTED_OWNER, "aws-backup-vault"),
        entry(EntryKind.TRUSTED_ACCOUNT, "000000000001", accounts=("012345678901",)),
        pattern("acme-*"),
    ],
)
def test_good_entries_pass(good: AllowlistEntry) -> None:
    """What section 10 of the rule allows is allowed."""
    check_entry(good)


def test_scope_is_accounts() -> None:
    """A scope that is no account is refused by its place."""
    with pytest.raises(PolicyError) as refused:
        check_entry(pattern("acme-*", accounts=("012345678901", "acme")))

    assert refused.value.field == "account_ids[1]"


def test_public_names_have_nothing_to_do_with_accounts() -> None:
    """What looks like a name of a public family is none where the entry is of an account."""
    account = entry(EntryKind.TRUSTED_ACCOUNT, "000000000001")

    check_entry(account, public_patterns=[Pattern.parse("0*")])


def test_longest_scope_and_no_longer_one_is_let_in() -> None:
    """Exactly as many accounts as an entry may have are let in; one more is refused."""
    accounts = tuple(f"{number:012}" for number in range(MAX_ACCOUNTS + 1))
    check_entry(pattern("acme-*", accounts=accounts[:-1]))

    with pytest.raises(PolicyError) as refused:
        check_entry(pattern("acme-*", accounts=accounts))

    assert str(refused.value) == "account_ids: got 1001 accounts, wanted at most 1000"


def test_text_that_is_no_account_is_told_in_part() -> None:
    """Whatever its length, a message shows the first 64 characters of it."""
    with pytest.raises(PolicyError) as refused:
        check_entry(entry(EntryKind.TRUSTED_ACCOUNT, "x" * 70))

    assert refused.value.got == repr("x" * 64)


def test_longest_pattern_is_let_in() -> None:
    """A pattern may be as long as the longest name, or of one character."""
    check_entry(pattern("a" * 255))
    check_entry(pattern("a"))


def test_faults_are_spelled_as_scripts_read_them() -> None:
    """`amiguardctl allow lint -o json` prints these words."""
    spelled = {"EXPIRED", "NEVER_MATCHED", "SHADOWED", "TOO_BROAD", "PUBLIC_NAMES"}

    assert {fault.value for fault in Fault} == spelled


class TestLint:
    """What is amiss with entries that were let in."""

    def test_sound_entries_have_no_remarks(self) -> None:
        """Entries that match, last and do not overlap are left alone."""
        assert faults(pattern("acme-*", name="a"), pattern("beta-*", name="b")) == []

    def test_expired_and_never_matched_are_said(self) -> None:
        """An expired entry is said to be that alone; a young one may have matched nothing yet."""
        assert faults(pattern("acme-*", name="a", days=-1), matches=0) == [("a", Fault.EXPIRED)]
        assert faults(pattern("acme-*", name="a"), matches=0) == [("a", Fault.NEVER_MATCHED)]
        assert faults(pattern("acme-*", name="a"), age=1, matches=0) == []

    def test_broad_and_public_patterns_are_said(self) -> None:
        """A few letters say nobody's name, and public names are nobody's own."""
        assert faults(pattern("ac*", name="a")) == [("a", Fault.TOO_BROAD)]
        assert ("a", Fault.PUBLIC_NAMES) in faults(pattern("ubuntu/images/acme-*", name="a"))

    def test_pattern_is_broad_below_so_many_letters_and_not_at_them(self) -> None:
        """Wildcards do not count, and a name without any is no pattern of many."""
        assert faults(pattern("z" * BROAD_BELOW + "*", name="a")) == []
        assert faults(pattern("z" * (BROAD_BELOW - 1) + "?*", name="a")) == [("a", Fault.TOO_BROAD)]
        assert faults(pattern("z" * (BROAD_BELOW - 1), name="a")) == []

    def test_entry_is_expired_and_old_to_the_moment(self) -> None:
        """It does nothing from the moment it expires; the age counts from before the day asked."""
        assert faults(pattern("acme-*", name="a", days=0)) == [("a", Fault.EXPIRED)]
        assert faults(pattern("acme-*", name="a"), age=30, matches=0) == []

    @pytest.mark.parametrize(
        ("wider", "narrower", "is_shadowed"),
        [
            (pattern("acme-*", name="w"), pattern("acme-b-*", name="n"), True),
            (pattern("acme-*", name="w"), pattern("acme-*", name="x"), True),
            (pattern("acme-b-*", name="w"), pattern("acme-*", name="n"), False),
            (pattern("acme-*", name="w", days=9), pattern("acme-b-*", name="n"), False),
            (pattern("acme-*", name="w", days=9), pattern("acme-b-*", name="n", days=8), True),
            (pattern("acme-*", name="w", days=-1), pattern("acme-b-*", name="n"), False),
            (pattern("acme-*", name="w", accounts=("1",)), pattern("acme-b-*", name="n"), False),
            (pattern("acme-*", name="w"), pattern("acme-*", name="n", accounts=("1",)), True),
            (
                entry(EntryKind.TRUSTED_ACCOUNT, "1", name="w"),
                entry(EntryKind.TRUSTED_ACCOUNT, "1", name="x", accounts=("2",)),
                True,
            ),
            (
                entry(EntryKind.TRUSTED_ACCOUNT, "1", name="w"),
                entry(EntryKind.TRUSTED_ACCOUNT, "2", name="x"),
                False,
            ),
        ],
    )
    def test_shadow_is_an_entry_that_does_all_of_it(
        self, wider: AllowlistEntry, narrower: AllowlistEntry, *, is_shadowed: bool
    ) -> None:
        """An entry is shadowed by one with a wider subject and scope that lasts as long."""
        shadowed = (narrower.name.removeprefix("allowlistEntries/"), Fault.SHADOWED)

        assert (shadowed in faults(wider, narrower)) is is_shadowed

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (pattern("acme-*", name="a"), pattern("acme-**", name="b")),
            (
                entry(EntryKind.TRUSTED_ACCOUNT, "1", name="a"),
                entry(EntryKind.TRUSTED_ACCOUNT, "1", name="b"),
            ),
            (
                entry(EntryKind.TRUSTED_OWNER, "amazon", name="a"),
                entry(EntryKind.TRUSTED_OWNER, "amazon", name="b"),
            ),
        ],
        ids=["patterns", "accounts", "owners"],
    )
    def test_of_two_that_do_the_same_the_second_is_shadowed(
        self, first: AllowlistEntry, second: AllowlistEntry
    ) -> None:
        """Of whatever kind, and however they are written, deleting one remark's entry is safe."""
        assert faults(first, second) == faults(second, first) == [("b", Fault.SHADOWED)]

    def test_of_two_alike_one_is_shadowed(self) -> None:
        """Two entries that do the same never shadow each other both."""
        remarks = faults(pattern("acme-*", name="a"), pattern("acme-*", name="b"))

        assert remarks == [("b", Fault.SHADOWED)]
