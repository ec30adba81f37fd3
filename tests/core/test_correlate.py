"""Laws of section 5 of the rule: which launches follow a search?"""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from amiguard_core.correlate import later, pair, pair_pinned, prevailing, unique
from amiguard_core.events import (
    Launch,
    LaunchPath,
    Origin,
    Search,
    SearchFilter,
    SearchRequest,
    TemplateVersion,
)
from amiguard_core.policy import CorrelateBy, Policy, RuleConfig
from tests.data.records import ACCOUNT, NINE_O_CLOCK, REGION

WINDOW = timedelta(minutes=15)
USER = f"arn:aws:iam::{ACCOUNT}:user/alice"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/ci/ci"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/one"
OTHER_SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/two"

BY_PRINCIPAL = Policy()
BY_ROLE = Policy(rule=RuleConfig(correlate_by=CorrelateBy.ROLE))
EITHER = pytest.mark.parametrize("policy", [BY_PRINCIPAL, BY_ROLE], ids=["PRINCIPAL", "ROLE"])

ORIGIN = Origin(
    event_id="e",
    event_time=NINE_O_CLOCK,
    region=REGION,
    account_id=ACCOUNT,
    principal_arn=USER,
    actor_arn=USER,
)


def origin(event_id: str, seconds: float = 0, **differences: str | None) -> Origin:
    """Makes the origin of a call so many seconds past nine."""
    at = NINE_O_CLOCK + timedelta(seconds=seconds)
    return replace(ORIGIN, event_id=event_id, event_time=at, **differences)


def search(
    event_id: str,
    seconds: float = 0,
    *,
    name: str = "acme-*",
    owners: tuple[str, ...] = (),
    **differences: str | None,
) -> Search:
    """Makes a search by one name."""
    request = SearchRequest(filters=(SearchFilter("name", (name,)),), owners=owners)
    return Search(
        origin=origin(event_id, seconds, **differences),
        request=request,
        fingerprint=request.fingerprint(),
    )


def launch(event_id: str, seconds: float = 0, **differences: str | None) -> Launch:
    """Makes a launch."""
    return Launch(origin=origin(event_id, seconds, **differences))


def paired(policy: Policy, *records: Search | Launch) -> list[tuple[str, str]]:
    """Returns the event ids of the searches and launches that belong together, sorted."""
    pairs = pair(*unique(records), policy)
    return sorted((found.origin.event_id, of.origin.event_id) for found, of in pairs)


@EITHER
@pytest.mark.parametrize("gap", [0, 1, 899, 900])
def test_a_launch_within_the_window_follows(policy: Policy, gap: int) -> None:
    """`0 <= L.time - S.time <= window`: equal seconds belong together, and the last one does."""
    assert paired(policy, search("s"), launch("l", gap)) == [("s", "l")]


@EITHER
@pytest.mark.parametrize("gap", [-900, -1, 901])
def test_a_launch_before_the_search_or_past_the_window_does_not(policy: Policy, gap: int) -> None:
    """A launch one second too late, or too early, follows nothing."""
    assert paired(policy, search("s"), launch("l", gap)) == []


@pytest.mark.parametrize("window", [timedelta(seconds=1), timedelta(hours=24)])
def test_the_window_is_configurable(window: timedelta) -> None:
    """The window is 1 second to 24 hours, and its end belongs to it."""
    policy = Policy(rule=RuleConfig(window=window))
    at = window.total_seconds()

    assert paired(policy, search("s"), launch("a", at), launch("b", at + 1)) == [("s", "a")]


@EITHER
@pytest.mark.parametrize(
    "elsewhere",
    [{"account_id": "012345678901"}, {"region": "eu-west-1"}],
    ids=["account", "region"],
)
def test_account_and_region_must_be_the_same(policy: Policy, elsewhere: dict[str, str]) -> None:
    """Same account and same region, for image ids are regional."""
    assert paired(policy, search("s"), launch("l", 1, **elsewhere)) == []


def test_principal_must_be_exactly_the_same() -> None:
    """PRINCIPAL: two sessions of one role are two principals."""
    one = search("s", principal_arn=SESSION, actor_arn=ROLE)
    same = launch("a", 1, principal_arn=SESSION, actor_arn=ROLE)
    other = launch("b", 1, principal_arn=OTHER_SESSION, actor_arn=ROLE)

    assert paired(BY_PRINCIPAL, one, same, other) == [("s", "a")]


def test_sessions_of_one_role_belong_together_by_role() -> None:
    """ROLE = same actor: what one session looked up another may launch."""
    one = search("s", principal_arn=SESSION, actor_arn=ROLE)
    same = launch("a", 1, principal_arn=OTHER_SESSION, actor_arn=ROLE)
    other = launch("b", 1, principal_arn=OTHER_SESSION, actor_arn=f"{ROLE}2")

    assert paired(BY_ROLE, one, same, other) == [("s", "a")]


@pytest.mark.parametrize("principal", [None, "REDACTED", f"{SESSION}-with-another-role"])
def test_by_role_the_principal_does_not_matter(principal: str | None) -> None:
    """ROLE = same actor, whatever a forwarder made of the session's own name."""
    whole = search("s", principal_arn=SESSION, actor_arn=ROLE)
    other = launch("l", 1, principal_arn=principal, actor_arn=ROLE)

    assert paired(BY_ROLE, whole, other) == [("s", "l")]


@EITHER
def test_what_names_nobody_follows_nothing(policy: Policy) -> None:
    """No principal: it cannot be correlated, not even with another that names nobody."""
    searched = search("s", principal_arn=None, actor_arn=None)
    launched = launch("l", 1, principal_arn=None, actor_arn=None)

    assert paired(policy, searched, launched) == []


@EITHER
def test_what_is_of_no_account_follows_nothing(policy: Policy) -> None:
    """Without an account there is no account to be the same."""
    searched, launched = search("s", account_id=None), launch("l", 1, account_id=None)

    assert paired(policy, searched, launched) == []


def test_a_safe_search_is_followed_by_nothing() -> None:
    """Only unsafe searches have occurrences."""
    assert paired(BY_PRINCIPAL, search("s", owners=("self",)), launch("l", 1)) == []


def test_the_latest_search_is_named() -> None:
    """An occurrence names the latest search with its fingerprint, though others match too."""
    searches = [search("c", 0), search("a", 50), search("b", 99), search("d", 101)]

    assert paired(BY_PRINCIPAL, *searches, launch("l", 100)) == [("b", "l")]


def test_ties_go_to_the_greatest_event_id() -> None:
    """Ties: greatest event id, compared as text."""
    searches = [search(event_id, 5) for event_id in ("s-10", "s-9", "s-1")]

    assert paired(BY_PRINCIPAL, *searches, launch("l", 5)) == [("s-9", "l")]


def test_a_later_search_counts_however_small_its_event_id() -> None:
    """Event ids decide among equal times only."""
    assert paired(BY_PRINCIPAL, search("z", 4), search("a", 5), launch("l", 5)) == [("a", "l")]


def test_a_safe_search_hides_no_unsafe_one() -> None:
    """The latest *unsafe* search is named; a safe one between is another line of code."""
    safe = search("safe", 5, owners=("self",))

    assert paired(BY_PRINCIPAL, search("s"), safe, launch("l", 9)) == [("s", "l")]


def test_each_launch_and_fingerprint_has_one_occurrence() -> None:
    """For each launch and each fingerprint with a matching search there is exactly one."""
    searches = [search("a1", 0), search("a2", 1), search("b1", 0, name="b"), search("b2", 2)]
    launches = [launch("l", 5), launch("m", 5), launch("n", 6)]

    assert paired(BY_PRINCIPAL, *searches, *launches) == [
        (found, of) for found in ("b1", "b2") for of in ("l", "m", "n")
    ]


def test_a_search_out_of_the_window_leaves_the_others_in() -> None:
    """Each fingerprint has its own latest search, in or out of the window."""
    searches = [search("old", 0, name="old"), search("new", 10)]

    assert paired(BY_PRINCIPAL, *searches, launch("l", 905)) == [("new", "l")]


def test_only_the_paths_of_the_rule_are_launches() -> None:
    """Other ways to consume an image id are off by default."""
    pinned = Launch(origin=origin("p", 1), path=LaunchPath.CREATE_FLEET)
    with_fleets = Policy(rule=RuleConfig(launch_paths=(LaunchPath.CREATE_FLEET,)))
    records = (search("s"), launch("l", 1), pinned)

    assert paired(BY_PRINCIPAL, *records) == [("s", "l")]
    assert paired(with_fleets, *records) == [("s", "p")]


def test_a_repeated_record_is_one_record() -> None:
    """Same identity = same record, however often it comes."""
    one = search("s")

    assert unique([one, launch("l"), one, replace(one), launch("l")]) == ([one], [launch("l")])


def test_one_event_id_in_two_accounts_is_two_records() -> None:
    """Identity: (`recipientAccountId`, `eventID`)."""
    records = [search("s"), search("s", account_id="012345678901")]

    assert unique(records) == (records, [])


def test_the_fuller_copy_prevails_whichever_came_first() -> None:
    """Of two copies with different parts cut off, the one that says more is shown."""
    full, cut = launch("l", source_ip_address="203.0.113.17"), launch("l")

    assert prevailing(full, cut) == full
    assert prevailing(cut, full) == full


def test_copies_that_say_as_much_are_decided_alike_in_either_order() -> None:
    """Whichever of the two prevails, the order in which they came is not why."""
    one, other = launch("l", user_agent="a"), launch("l", user_agent="b")

    assert prevailing(one, other) == prevailing(other, one)


def test_later_is_by_time_then_event_id_then_fullness() -> None:
    """The order of searches is total, so that any of them may come first."""
    cut, full = search("a"), search("a", user_agent="x")
    ascending = [cut, full, search("b"), search("a", 1), search("b", 1)]

    for position, greater in enumerate(ascending):
        for less in ascending[: position + 1]:
            assert later(less, greater) == greater
            assert later(greater, less) == greater


@pytest.mark.parametrize(
    ("seconds", "is_from_it"), [(-1, False), (0, True), (1, True), (90 * 86_400, True)]
)
def test_launch_is_from_a_pin_that_was_made_before_it(seconds: int, *, is_from_it: bool) -> None:
    """Any time later, and in the same second, but never before the version was there."""
    made = TemplateVersion("lt-1", "1")
    policy = Policy(rule=RuleConfig(launch_paths=tuple(LaunchPath)))
    pin = Launch(origin("t", 60), path=LaunchPath.CREATE_LAUNCH_TEMPLATE, template=made)
    started = Launch(origin("l", 60 + seconds), template=made)

    found = list(pair_pinned([(search("s"), pin)], [started], policy))

    assert bool(found) is is_from_it
