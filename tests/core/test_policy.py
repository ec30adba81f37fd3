"""Laws of the policy: its bounds, its allowlist and who a record is correlated as."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiguard_core.errors import PolicyError
from amiguard_core.events import LaunchPath, Origin
from amiguard_core.patterns import Pattern, covers
from amiguard_core.policy import (
    AllowlistEntry,
    CorrelateBy,
    EntryKind,
    Mode,
    Policy,
    RuleConfig,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ACCOUNT = "111122223333"
OTHER_ACCOUNT = "012345678901"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/one"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/ci"


def trust(
    name: str, subject: str, *, accounts: tuple[str, ...] = (), until: datetime | None = None
) -> AllowlistEntry:
    """Makes an entry that trusts an account's images."""
    return AllowlistEntry(
        name=name,
        kind=EntryKind.TRUSTED_ACCOUNT,
        subject=subject,
        account_ids=accounts,
        expire_time=until,
    )


def test_defaults_are_those_of_the_rule() -> None:
    """Mode DOCUMENTED, PRINCIPAL, 15 minutes, 24 hours of lateness, launches alone."""
    rule = RuleConfig()

    assert rule.mode is Mode.DOCUMENTED
    assert rule.correlate_by is CorrelateBy.PRINCIPAL
    assert timedelta(minutes=15) == rule.window
    assert timedelta(hours=24) == rule.lateness
    assert rule.launch_paths == (LaunchPath.RUN_INSTANCES,)


@pytest.mark.parametrize("window", [timedelta(seconds=1), timedelta(hours=24)])
def test_a_window_may_be_one_second_to_24_hours(window: timedelta) -> None:
    """Both ends of the range are allowed."""
    rule = RuleConfig(window=window)

    rule.check()

    assert window == rule.window


@pytest.mark.parametrize(
    "rule",
    [
        RuleConfig(lateness=timedelta(0)),
        RuleConfig(lateness=timedelta(days=35)),
        RuleConfig(public_patterns=("a", "x" * 255)),
        RuleConfig(public_patterns=("acme-*",) * 200),
    ],
)
def test_a_setting_at_its_bound_is_in_force(rule: RuleConfig) -> None:
    """What is just within a bound is as good as any other."""
    rule.check()


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        (RuleConfig(window=timedelta(0)), "correlation_window"),
        (RuleConfig(window=timedelta(milliseconds=999)), "correlation_window"),
        (RuleConfig(window=timedelta(hours=24, seconds=1)), "correlation_window"),
        (RuleConfig(lateness=timedelta(seconds=-1)), "max_lateness"),
        (RuleConfig(lateness=timedelta(days=35, seconds=1)), "max_lateness"),
        (RuleConfig(public_patterns=("acme-*", "")), "public_patterns[1]"),
        (RuleConfig(public_patterns=("x" * 256,)), "public_patterns[0]"),
        (RuleConfig(public_patterns=("a*", "b*", "c\0*")), "public_patterns[2]"),
        (RuleConfig(public_patterns=("acme-*", "**")), "public_patterns[1]"),
        (RuleConfig(public_patterns=("acme-*",) * 201), "public_patterns"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(rule: RuleConfig, field: str) -> None:
    """A wrong setting is named, with what was got and what was wanted."""
    with pytest.raises(PolicyError, match=r": got .+, wanted .+") as caught:
        rule.check()
    assert field == caught.value.field


@pytest.mark.parametrize("alias", ["amazon", "aws-marketplace", "aws-backup-vault", "self"])
def test_owner_aliases_are_trusted_from_the_start_by_entries(alias: str) -> None:
    """The aliases are trusted from the start, as entries that can be seen and removed."""
    entry = Policy().trusting_entry(alias, account_id=ACCOUNT)

    assert entry is not None
    assert (EntryKind.TRUSTED_OWNER, alias) == (entry.kind, entry.subject)
    assert Policy(entries=()).trusting_entry(alias, account_id=ACCOUNT) is None


def test_a_scoped_entry_trusts_in_its_accounts_alone() -> None:
    """Each entry may be scoped to accounts."""
    policy = Policy(entries=(trust("a", "999988887777", accounts=(ACCOUNT,)),))

    assert policy.trusting_entry("999988887777", account_id=ACCOUNT) is not None
    assert policy.trusting_entry("999988887777", account_id=OTHER_ACCOUNT) is None
    assert policy.trusting_entry("999988887777", account_id=None) is None


def test_entries_out_of_scope_do_not_hide_one_in_scope() -> None:
    """Whoever else vouches for the same owner, the first by name that applies is given."""
    narrow = trust("a", "999988887777", accounts=(OTHER_ACCOUNT,))
    wide, later = trust("b", "999988887777"), trust("c", "999988887777")
    policy = Policy(entries=(later, narrow, wide))

    assert wide == policy.trusting_entry("999988887777", account_id=ACCOUNT)


def test_a_pattern_entry_trusts_no_owner() -> None:
    """An organization pattern vouches for names, never for an owner of that name."""
    entry = AllowlistEntry(name="a", kind=EntryKind.ORGANIZATION_PATTERN, subject="self-*")
    policy = Policy(entries=(entry,))

    assert policy.trusting_entry("self-*", account_id=ACCOUNT) is None


def test_an_entry_is_in_force_until_the_instant_it_expires() -> None:
    """An entry may expire; one that never does stays."""
    entry, forever = trust("a", "999988887777", until=NOON), trust("b", "999988887777")
    policy = Policy(entries=(entry, forever))

    assert (entry, forever) == policy.at(NOON - timedelta(microseconds=1)).entries
    assert (forever,) == policy.at(NOON).entries


def test_expiry_keeps_the_rule() -> None:
    """Leaving out the expired entries changes nothing else."""
    policy = Policy(rule=RuleConfig(revision=7, mode=Mode.STRICT))

    assert policy == policy.at(NOON)


@given(
    st.lists(st.text("ab*?\\", min_size=1, max_size=5), max_size=6),
    st.text("ab*?\\", min_size=1, max_size=6),
)
def test_covering_entry_is_the_first_that_covers(subjects: list[str], searched: str) -> None:
    """However entries are looked up, the first by name whose pattern covers is found."""
    entries = [
        AllowlistEntry(
            name=f"e{number}",
            kind=EntryKind.ORGANIZATION_PATTERN,
            subject=subject,
            account_ids=(ACCOUNT, OTHER_ACCOUNT)[number % 3 : number % 3 + 1],
        )
        for number, subject in enumerate(subjects)
    ]
    name = Pattern.parse(searched)
    covering = [
        entry
        for entry in entries
        if entry.applies_in(ACCOUNT) and covers(Pattern.parse(entry.subject), name)
    ]
    policy = Policy(entries=tuple(reversed(entries)))

    expected = covering[0] if covering else None
    assert expected == policy.covering_entry(name, account_id=ACCOUNT)


@pytest.mark.parametrize(
    ("by", "principal", "actor", "account", "key"),
    [
        (CorrelateBy.PRINCIPAL, SESSION, ROLE, ACCOUNT, SESSION),
        (CorrelateBy.ROLE, SESSION, ROLE, ACCOUNT, ROLE),
        (CorrelateBy.PRINCIPAL, None, ROLE, ACCOUNT, None),
        (CorrelateBy.ROLE, None, ROLE, ACCOUNT, ROLE),
        (CorrelateBy.PRINCIPAL, SESSION, ROLE, None, None),
        (CorrelateBy.ROLE, SESSION, ROLE, None, None),
    ],
)
def test_records_are_correlated_as_principal_or_as_role(
    by: CorrelateBy, principal: str | None, actor: str | None, account: str | None, key: str | None
) -> None:
    """PRINCIPAL is the default, ROLE the same actor; who is not named is not correlated."""
    origin = Origin(
        event_id="e",
        event_time=NOON,
        region="us-east-1",
        account_id=account,
        principal_arn=principal,
        actor_arn=actor,
    )
    policy = Policy(rule=RuleConfig(correlate_by=by))

    assert key == policy.correlation_key(origin)
