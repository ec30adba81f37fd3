"""Laws of fingerprints, of lanes and of the values that records become."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiguard_core.decode import decode_records
from amiguard_core.events import (
    MAX_INSTANCE_IDS,
    Launch,
    LaunchPath,
    Origin,
    Search,
    SearchFilter,
    SearchRequest,
    TemplateVersion,
)
from tests.data import identities
from tests.data.identities import Identity
from tests.data.records import ACCOUNT, describe_images, run_instances
from tests.data.shapes import Record, encode

PATTERN = "acme-base-*"

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=4)
few_texts = st.lists(texts, max_size=3).map(lambda found: tuple(sorted(set(found))))
filter_tuples = st.dictionaries(texts, few_texts.filter(bool), max_size=3).map(
    lambda found: tuple(SearchFilter(name, found[name]) for name in sorted(found))
)
requests = st.builds(
    SearchRequest,
    filters=filter_tuples,
    owners=few_texts,
    image_ids=few_texts,
    executable_by=few_texts,
    include_deprecated=st.booleans(),
    include_disabled=st.booleans(),
)


def searched(record: Record) -> Search:
    """Reads one search."""
    (search,) = decode_records([encode(record)]).searches
    return search


def fingerprint_of(record: Record) -> str:
    """Reads one search for its fingerprint."""
    return searched(record).fingerprint


def canonical_hash(fields: dict[str, object]) -> str:
    """Hashes canonical JSON as the rule describes it, without the core."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(text.encode()).hexdigest()


def origin_of(identity: Identity) -> Origin:
    """Reads whose call it was."""
    return searched(describe_images(identity=identity, account=ACCOUNT)).origin


def test_fingerprint_is_the_hash_of_the_canonical_json() -> None:
    """SHA-256, hexadecimal, over sorted keys, sorted and deduplicated lists, without empties."""
    record = describe_images(
        filters={"state": ["b", "a", "b"], "name": [PATTERN], "architecture": []},
        owners=["self", "amazon", "self"],
        images=["ami-2", "ami-1"],
        executable_by=["all"],
        include_deprecated=True,
        include_disabled=True,
    )

    expected = canonical_hash(
        {
            "executableByUsers": ["all"],
            "filters": {"name": [PATTERN], "state": ["a", "b"]},
            "imageIds": ["ami-1", "ami-2"],
            "includeDeprecated": True,
            "includeDisabled": True,
            "owners": ["amazon", "self"],
        }
    )
    assert expected == fingerprint_of(record)


def test_empty_parts_are_dropped_from_the_canonical_json() -> None:
    """Empty values are dropped: a search that asks for nothing hashes an empty object."""
    expected = canonical_hash({})

    assert expected == fingerprint_of(describe_images())


@given(requests, requests)
def test_fingerprints_are_equal_exactly_when_requests_are(
    one: SearchRequest, other: SearchRequest
) -> None:
    """A fingerprint is what makes two searches the same line of code."""
    assert (one == other) == (one.fingerprint() == other.fingerprint())


def test_two_pages_of_one_search_have_one_fingerprint() -> None:
    """maxResults, nextToken and dryRun stay out of the fingerprint."""
    first = describe_images(filters={"name": [PATTERN]})
    later = describe_images(
        filters={"name": [PATTERN]}, max_results=1000, next_token="eyJ2Ij", dry_run=False
    )

    assert fingerprint_of(first) == fingerprint_of(later)


@pytest.mark.parametrize("flag", ["includeDeprecated", "includeDisabled"])
def test_absent_and_false_flags_are_the_same(flag: str) -> None:
    """For includeDeprecated and includeDisabled absent and false are the same; true is not."""
    absent, false, true = (describe_images(filters={"name": [PATTERN]}) for _ in range(3))
    false["requestParameters"][flag] = False
    true["requestParameters"][flag] = True

    assert fingerprint_of(absent) == fingerprint_of(false)
    assert fingerprint_of(absent) != fingerprint_of(true)


def test_order_of_what_is_asked_is_not_part_of_a_fingerprint() -> None:
    """Lists and filters are sorted, in whatever order a client sends them."""
    one = describe_images(filters={"name": ["a", "b"], "state": ["x"]}, owners=["1", "2"])
    other = describe_images(filters={"state": ["x"], "name": ["b", "a"]}, owners=["2", "1"])

    assert fingerprint_of(one) == fingerprint_of(other)


def test_a_filter_given_twice_is_one_filter_with_all_values() -> None:
    """A filter name stands once in the canonical form."""
    once = describe_images(filters={"name": ["a", "b"]})
    twice = describe_images(filters={"name": ["a"]})
    twice["requestParameters"]["filterSet"]["items"].append(
        {"name": "name", "valueSet": {"items": [{"value": "b"}]}}
    )

    assert fingerprint_of(once) == fingerprint_of(twice)


def test_a_filter_without_values_is_not_part_of_a_fingerprint() -> None:
    """Empty values are dropped, and with them the filter."""
    without = describe_images(filters={"name": [PATTERN]})
    empty = describe_images(filters={"name": [PATTERN, ""], "owner-id": [""], "state": []})

    assert fingerprint_of(without) == fingerprint_of(empty)


@pytest.mark.parametrize(
    "record",
    [
        describe_images(filters={"name": ["acme-base-?"]}),
        describe_images(filters={"Name": [PATTERN]}),
        describe_images(filters={"name": [PATTERN], "state": ["available"]}),
        describe_images(filters={"name": [PATTERN]}, owners=["self"]),
        describe_images(filters={"name": [PATTERN], "owner-id": ["self"]}),
        describe_images(filters={"name": [PATTERN]}, images=["ami-1"]),
        describe_images(filters={"name": [PATTERN]}, executable_by=["self"]),
    ],
)
def test_every_part_of_a_request_tells_fingerprints_apart(record: Record) -> None:
    """Filters, owners, image ids and executable-by users are all part of the canonical form."""
    plain = describe_images(filters={"name": [PATTERN]})

    assert fingerprint_of(plain) != fingerprint_of(record)


def test_values_of_an_absent_filter_are_none() -> None:
    """Filter names are case-sensitive; what was not asked for has no values."""
    request = SearchRequest(filters=(SearchFilter("name", (PATTERN,)),))

    assert request.values_of("name") == (PATTERN,)
    assert request.values_of("Name") == ()


def test_instance_ids_of_a_launch_are_bounded() -> None:
    """No launch keeps more instance ids than one call starts by default quota."""
    ids = [f"i-{number:017x}" for number in range(MAX_INSTANCE_IDS + 1)]

    (launch,) = decode_records([encode(run_instances(instance_ids=ids))]).launches

    assert tuple(ids[:MAX_INSTANCE_IDS]) == launch.instance_ids


@pytest.mark.parametrize(
    ("identity", "lane"),
    [
        (identities.assumed_role(ACCOUNT, "ci", session="one"), "role/ci"),
        (identities.assumed_role(ACCOUNT, "ci", session="two", path="/x/y/"), "role/ci"),
        (identities.iam_user(ACCOUNT, "bob"), f"arn:aws:iam::{ACCOUNT}:user/bob"),
        (identities.root(ACCOUNT), f"arn:aws:iam::{ACCOUNT}:root"),
        (
            identities.federated_user(ACCOUNT, "bob"),
            f"arn:aws:sts::{ACCOUNT}:federated-user/bob",
        ),
        (identities.aws_service("ec2.amazonaws.com"), None),
    ],
)
def test_lane_is_the_role_or_else_the_principal(identity: Identity, lane: str | None) -> None:
    """A lane is what both correlation keys imply: the role's name, else the principal."""
    origin = origin_of(identity)

    assert lane == origin.lane
    assert origin.is_identified == (lane is not None)


def test_a_session_without_an_arn_shares_the_lane_of_its_role() -> None:
    """Records with the same actor are in one lane, whether they name the session or not."""
    whole = identities.assumed_role(ACCOUNT, "ci", session="one", path="/ci/")
    redacted = {name: value for name, value in whole.items() if name != "arn"}

    assert origin_of(whole).lane == origin_of(redacted).lane


def test_a_call_that_failed_to_say_its_version_pins_nothing() -> None:
    """Later launches can be known by the version alone; a launch with one is none that pins."""
    made = TemplateVersion("lt-1", "1")
    where = Origin("e", datetime(2026, 3, 2, tzinfo=UTC), "us-east-1")
    pins = [
        Launch(where, path=path, template=template).is_pin
        for path in (LaunchPath.CREATE_LAUNCH_TEMPLATE, LaunchPath.RUN_INSTANCES)
        for template in (made, None)
    ]

    assert pins == [True, False, False, False]


def test_a_principal_without_an_actor_has_its_own_lane() -> None:
    """Either of the two is enough to be found by."""
    bob = f"arn:aws:iam::{ACCOUNT}:user/bob"
    by_principal, by_actor = (
        Origin("e", datetime(2026, 3, 2, tzinfo=UTC), "us-east-1", account_id=ACCOUNT, **who)
        for who in ({"principal_arn": bob}, {"actor_arn": bob})
    )

    assert by_principal.lane == by_actor.lane == bob
    assert by_principal.is_identified
    assert by_actor.is_identified


def test_a_record_of_no_account_has_no_lane() -> None:
    """What names no account can never be correlated."""
    origin = Origin(
        event_id="e",
        event_time=datetime(2026, 3, 2, tzinfo=UTC),
        region="us-east-1",
        principal_arn="arn:aws:iam::111122223333:user/alice",
        actor_arn="arn:aws:iam::111122223333:user/alice",
    )

    assert origin.lane is None
    assert not origin.is_identified
