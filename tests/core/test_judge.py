"""Laws of section 4 of the rule: is a search unsafe?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiguard_core.decode import decode_records
from amiguard_core.events import SearchRequest
from amiguard_core.judge import Judgement, Protection, Reason, is_candidate, judge
from amiguard_core.policy import (
    BUILT_IN_ENTRIES,
    OWNER_ALIASES,
    AllowlistEntry,
    EntryKind,
    Mode,
    Policy,
    RuleConfig,
)
from tests.core.by_the_book import protections_by_the_book, reasons_by_the_book
from tests.data.records import describe_images
from tests.data.shapes import encode
from tests.data.variations import with_omitted_parameters

ACCOUNT = "111122223333"
STRANGER = "999988887777"
NAMED = {"name": ["acme-base-*"]}

DOCUMENTED = Policy()
STRICT = Policy(rule=RuleConfig(mode=Mode.STRICT))
BOTH = pytest.mark.parametrize("policy", [DOCUMENTED, STRICT], ids=["DOCUMENTED", "STRICT"])

Filters = Mapping[str, Sequence[str]]


def asked(
    filters: Filters,
    *,
    owners: Sequence[str] = (),
    images: Sequence[str] = (),
    executable_by: Sequence[str] = (),
) -> SearchRequest:
    """Reads the request of a search that asks for this."""
    record = describe_images(
        filters=filters, owners=owners, images=images, executable_by=executable_by
    )
    (search,) = decode_records([encode(record)]).searches
    return search.request


def judged(policy: Policy, request: SearchRequest) -> Judgement:
    """Judges a search of the account."""
    return judge(request, policy, account_id=ACCOUNT)


def trusting(*entries: AllowlistEntry) -> Policy:
    """Makes a strict policy that trusts somebody besides the aliases."""
    return Policy(rule=RuleConfig(mode=Mode.STRICT), entries=(*BUILT_IN_ENTRIES, *entries))


def omitted() -> SearchRequest:
    """Reads a search whose parameters were too large to be recorded."""
    record = with_omitted_parameters(describe_images(filters=NAMED))
    (search,) = decode_records([encode(record)]).searches
    return search.request


@BOTH
def test_search_by_name_without_protection_is_unsafe(policy: Policy) -> None:
    """Unsafe when it searches by name and has no protection."""
    expected = Judgement(reasons=(Reason.NO_OWNER,))

    assert expected == judged(policy, asked(NAMED))


@BOTH
@pytest.mark.parametrize(
    "filters",
    [{}, {"state": ["available"]}, {"Name": ["acme-*"]}, {"name": []}, {"name": ["", ""]}],
    ids=["none", "others", "case", "empty", "empty values"],
)
def test_search_without_a_name_filter_is_not_by_name(policy: Policy, filters: Filters) -> None:
    """By name: a filter `name`, case-sensitive, with at least one non-empty value."""
    judgement = judged(policy, asked(filters))

    assert judgement.protections == (Protection.NOT_BY_NAME,)
    assert not judgement.is_unsafe


@BOTH
def test_one_value_among_empty_ones_makes_a_search_by_name(policy: Policy) -> None:
    """At least one non-empty value is enough."""
    assert judged(policy, asked({"name": ["", "x"]})).is_unsafe


@pytest.mark.parametrize(
    "owners", [[STRANGER], ["self"], ["amazon"], ["1*"], ["*", STRANGER], ["*1"], ["?1?"]]
)
def test_documented_owner_makes_search_safe(owners: list[str]) -> None:
    """OWNER_GIVEN: an owner that is not only wildcards."""
    judgement = judged(DOCUMENTED, asked(NAMED, owners=owners))

    assert judgement.protections == (Protection.OWNER_GIVEN,)


@BOTH
@pytest.mark.parametrize("owners", [["*"], ["?"], ["**", "*?*"], ["????????????"]])
def test_owner_of_wildcards_alone_protects_nothing(policy: Policy, owners: list[str]) -> None:
    """An owner that is only wildcards is anybody."""
    assert judged(policy, asked(NAMED, owners=owners)).is_unsafe


@BOTH
def test_empty_owners_protect_nothing(policy: Policy) -> None:
    """An empty value of `ownersSet` counts as no owner at all."""
    assert judged(policy, asked(NAMED, owners=["", ""])).reasons == (Reason.NO_OWNER,)


@pytest.mark.parametrize("name", ["owner-id", "owner-alias"])
@pytest.mark.parametrize("values", [["self"], [STRANGER], ["amazon", STRANGER], [r"\*"]])
def test_documented_owner_filter_makes_search_safe(name: str, values: list[str]) -> None:
    """OWNER_FILTER: the filter has values and none of them contains a wildcard."""
    judgement = judged(DOCUMENTED, asked({**NAMED, name: values}))

    assert judgement.protections == (Protection.OWNER_FILTER,)


@BOTH
@pytest.mark.parametrize("name", ["owner-id", "owner-alias"])
@pytest.mark.parametrize("values", [["*"], ["1*"], ["amazo?"], ["self", "*"]])
def test_owner_filter_with_a_wildcard_protects_nothing(
    policy: Policy, name: str, values: list[str]
) -> None:
    """`owner-id = *` protects nothing, nor does any value beside it."""
    assert judged(policy, asked({**NAMED, name: values})).is_unsafe


@BOTH
@pytest.mark.parametrize("name", ["owner-id", "owner-alias", "image-id"])
def test_filter_without_values_counts_as_absent(policy: Policy, name: str) -> None:
    """A filter without any non-empty value counts as absent."""
    assert judged(policy, asked({**NAMED, name: [""]})).reasons == (Reason.NO_OWNER,)


@BOTH
def test_misspelt_owner_filter_protects_nothing(policy: Policy) -> None:
    """Filter names are case-sensitive."""
    assert judged(policy, asked({**NAMED, "Owner-Id": ["self"]})).is_unsafe


@BOTH
def test_image_id_makes_search_safe(policy: Policy) -> None:
    """IMAGE_ID_GIVEN: `imagesSet` has a value."""
    judgement = judged(policy, asked(NAMED, images=["ami-1"]))

    assert judgement.protections == (Protection.IMAGE_ID_GIVEN,)


@BOTH
def test_image_id_filter_makes_search_safe(policy: Policy) -> None:
    """IMAGE_ID_FILTER: the filter has values and none of them contains a wildcard."""
    judgement = judged(policy, asked({**NAMED, "image-id": ["ami-1", "ami-2"]}))

    assert judgement.protections == (Protection.IMAGE_ID_FILTER,)


@BOTH
@pytest.mark.parametrize("values", [["ami-*"], ["ami-1", "?"]])
def test_image_id_filter_with_a_wildcard_protects_nothing(
    policy: Policy, values: list[str]
) -> None:
    """A wildcard image id is any image."""
    assert judged(policy, asked({**NAMED, "image-id": values})).is_unsafe


def test_documented_executable_by_self_makes_search_safe() -> None:
    """EXECUTABLE_BY_SELF: a value `self`, among whichever others."""
    judgement = judged(DOCUMENTED, asked(NAMED, executable_by=["all", "self"]))

    assert judgement.protections == (Protection.EXECUTABLE_BY_SELF,)


def test_strict_executable_by_self_protects_nothing() -> None:
    """A stranger can share an image with any account."""
    assert judged(STRICT, asked(NAMED, executable_by=["self"])).is_unsafe


@BOTH
@pytest.mark.parametrize("user", ["all", "Self", ACCOUNT])
def test_executable_by_others_protects_nothing(policy: Policy, user: str) -> None:
    """Only `self` is a protection, and `all` is everybody."""
    assert judged(policy, asked(NAMED, executable_by=[user])).is_unsafe


def test_all_protections_are_kept() -> None:
    """A search may have several protections; all are kept."""
    request = asked(
        {"owner-alias": ["amazon"], "image-id": ["ami-1"]},
        owners=["self"],
        images=["ami-1"],
        executable_by=["self"],
    )

    assert judged(DOCUMENTED, request).protections == (
        Protection.NOT_BY_NAME,
        Protection.OWNER_GIVEN,
        Protection.OWNER_FILTER,
        Protection.IMAGE_ID_GIVEN,
        Protection.IMAGE_ID_FILTER,
        Protection.EXECUTABLE_BY_SELF,
    )


def test_all_strict_protections_are_kept() -> None:
    """Mode STRICT keeps every protection too, the bounding filter among them."""
    request = asked(
        {"owner-alias": ["amazon"], "image-id": ["ami-1"], "tag-key": ["Team"]},
        owners=["self"],
        images=["ami-1"],
        executable_by=["self"],
    )

    assert judged(STRICT, request).protections == (
        Protection.NOT_BY_NAME,
        Protection.OWNER_GIVEN,
        Protection.OWNER_FILTER,
        Protection.IMAGE_ID_GIVEN,
        Protection.IMAGE_ID_FILTER,
        Protection.BOUNDED_FILTER,
    )


@pytest.mark.parametrize("owner", [*OWNER_ALIASES, ACCOUNT])
def test_strict_trusts_aliases_and_the_own_account(owner: str) -> None:
    """Trusted: the aliases and the record's own account, as an owner and in either filter."""
    given_owner = judged(STRICT, asked(NAMED, owners=[owner]))
    owner_id = judged(STRICT, asked({**NAMED, "owner-id": [owner]}))
    owner_alias = judged(STRICT, asked({**NAMED, "owner-alias": [owner]}))

    assert given_owner.protections == (Protection.OWNER_GIVEN,)
    assert owner_id.protections == (Protection.OWNER_FILTER,)
    assert owner_alias.protections == (Protection.OWNER_FILTER,)


@pytest.mark.parametrize(
    "request_",
    [
        asked(NAMED, owners=[STRANGER]),
        asked(NAMED, owners=["self", STRANGER]),
        asked(NAMED, owners=["1*"]),
        asked(NAMED, owners=["*"]),
        asked({**NAMED, "owner-id": ["self", STRANGER]}),
        asked({**NAMED, "owner-alias": ["*"]}),
        asked({**NAMED, "owner-id": [STRANGER]}, owners=["self"]),
        asked({**NAMED, "owner-id": ["self"], "owner-alias": ["somebody"]}),
    ],
)
def test_strict_one_untrusted_owner_makes_search_unsafe(request_: SearchRequest) -> None:
    """Owners are judged value by value: one untrusted value makes the search unsafe."""
    expected = Judgement(reasons=(Reason.UNTRUSTED_OWNER,))

    assert expected == judged(STRICT, request_)


def test_strict_trusts_accounts_and_owners_of_the_allowlist() -> None:
    """Every trusted owner and account of the allowlist is trusted."""
    request = asked(NAMED, owners=[STRANGER, "acme-vendor"])
    account = AllowlistEntry(name="a", kind=EntryKind.TRUSTED_ACCOUNT, subject=STRANGER)
    owner = AllowlistEntry(name="b", kind=EntryKind.TRUSTED_OWNER, subject="acme-vendor")

    assert judged(trusting(account), request).is_unsafe
    assert judged(trusting(owner), request).is_unsafe
    assert judged(trusting(account, owner), request).protections == (Protection.OWNER_GIVEN,)


def test_strict_scoped_entry_trusts_in_its_accounts_alone() -> None:
    """An entry may be scoped to accounts."""
    entry = AllowlistEntry(
        name="a", kind=EntryKind.TRUSTED_ACCOUNT, subject=STRANGER, account_ids=(ACCOUNT,)
    )
    request = asked(NAMED, owners=[STRANGER])

    assert not judge(request, trusting(entry), account_id=ACCOUNT).is_unsafe
    assert judge(request, trusting(entry), account_id="012345678901").is_unsafe


def test_strict_removed_alias_is_trusted_no_more() -> None:
    """The aliases are entries that can be removed."""
    policy = Policy(rule=RuleConfig(mode=Mode.STRICT), entries=())

    assert judged(policy, asked(NAMED, owners=["amazon"])).reasons == (Reason.UNTRUSTED_OWNER,)


def test_documented_does_not_ask_who_the_owner_is() -> None:
    """The allowlist's owners act on the owners of a search in mode STRICT alone."""
    request = asked(NAMED, owners=[STRANGER])

    assert judged(DOCUMENTED, request) == judged(Policy(entries=()), request)
    assert not judged(DOCUMENTED, request).is_unsafe


@pytest.mark.parametrize("name", ["description", "manifest-location"])
def test_free_text_counts_like_a_name_in_strict_alone(name: str) -> None:
    """Searches by `description` or `manifest-location` count like searches by name."""
    request = asked({name: ["acme*"]})

    assert judged(STRICT, request).reasons == (Reason.NO_OWNER,)
    assert judged(DOCUMENTED, request).protections == (Protection.NOT_BY_NAME,)


@pytest.mark.parametrize(
    "filters",
    [
        {"tag:Team": ["platform"]},
        {"tag:Team": ["*"]},
        {"tag-key": ["Team"]},
        {"public-ssm-parameter-name": ["/aws/service/x"]},
        {"image-allowed": ["true"]},
    ],
)
def test_bounding_filter_protects_in_strict_alone(filters: Filters) -> None:
    """BOUNDED_FILTER protects in mode STRICT; in mode DOCUMENTED it only lowers the score."""
    request = asked({**NAMED, **filters})

    assert judged(STRICT, request).protections == (Protection.BOUNDED_FILTER,)
    assert judged(DOCUMENTED, request).is_unsafe


@pytest.mark.parametrize(
    "filters",
    [
        {"image-allowed": ["false"]},
        {"image-allowed": ["false", "true"]},
        {"image-allowed": ["*"]},
        {"tag": ["Team"]},
        {"tags:Team": ["platform"]},
        {"is-public": ["false"]},
        {"product-code": ["abc"]},
        {"state": ["available"]},
        {"tag:Team": [""]},
    ],
)
def test_other_filters_bound_nothing(filters: Filters) -> None:
    """Only tags, the public parameter name and `image-allowed = true` bound who can answer."""
    assert judged(STRICT, asked({**NAMED, **filters})).is_unsafe


def test_strict_omitted_parameters_are_unsafe() -> None:
    """Parameters over 100 KB are unsafe with reason PARAMETERS_OMITTED."""
    assert judged(STRICT, omitted()).reasons == (Reason.PARAMETERS_OMITTED,)


def test_documented_omitted_parameters_are_not_by_name() -> None:
    """In mode DOCUMENTED a search whose parameters were omitted is NOT_BY_NAME."""
    assert judged(DOCUMENTED, omitted()).protections == (Protection.NOT_BY_NAME,)


def test_own_account_of_nobody_is_trusted_by_nothing() -> None:
    """A record that names no account has no own account whose images are trusted."""
    judgement = judge(asked(NAMED, owners=[ACCOUNT]), STRICT, account_id=None)

    assert judgement.reasons == (Reason.UNTRUSTED_OWNER,)


OWNERS = st.lists(st.sampled_from(["", "*", "1*", "self", "amazon", ACCOUNT, STRANGER]), max_size=3)
FILTER_VALUES = {
    "name": ["", "acme-*", "acme"],
    "Name": ["acme"],
    "description": ["", "x*"],
    "manifest-location": ["x"],
    "owner-id": ["", "*", "1?", "self", ACCOUNT, STRANGER, r"\*"],
    "owner-alias": ["", "a*", "amazon", "self", "somebody"],
    "image-id": ["", "ami-*", "ami-1"],
    "tag:Team": ["", "x"],
    "tag-key": ["Team"],
    "image-allowed": ["true", "false"],
    "public-ssm-parameter-name": ["/x"],
    "state": ["available"],
}
ENTRIES = (
    *BUILT_IN_ENTRIES,
    AllowlistEntry(name="a", kind=EntryKind.TRUSTED_ACCOUNT, subject=STRANGER),
    AllowlistEntry(
        name="b", kind=EntryKind.TRUSTED_OWNER, subject="somebody", account_ids=(ACCOUNT,)
    ),
    AllowlistEntry(name="c", kind=EntryKind.ORGANIZATION_PATTERN, subject="acme"),
)

filter_maps = st.fixed_dictionaries(
    {},
    optional={
        name: st.lists(st.sampled_from(values), max_size=2)
        for name, values in FILTER_VALUES.items()
    },
)
requests = st.builds(
    asked,
    filter_maps,
    owners=OWNERS,
    images=st.lists(st.sampled_from(["", "ami-1"]), max_size=1),
    executable_by=st.lists(st.sampled_from(["", "self", "all"]), max_size=2),
) | st.just(omitted())
policies = st.builds(
    lambda mode, entries: Policy(rule=RuleConfig(mode=mode), entries=tuple(entries)),
    st.sampled_from(Mode),
    st.lists(st.sampled_from(ENTRIES), unique=True),
)
accounts = st.sampled_from([ACCOUNT, "012345678901", None])


@given(requests, policies, accounts)
def test_judgement_is_what_the_rule_says(
    request: SearchRequest, policy: Policy, account: str | None
) -> None:
    """Protections and reasons are those of a reading of section 4 that shares no code."""
    judgement = judge(request, policy, account_id=account)

    reasons = reasons_by_the_book(request, policy, account)
    protections = set() if reasons else protections_by_the_book(request, policy, account)
    assert reasons == set(judgement.reasons)
    assert protections == set(judgement.protections)


@given(requests, policies, accounts)
def test_a_search_has_protections_or_reasons_never_both(
    request: SearchRequest, policy: Policy, account: str | None
) -> None:
    """Unsafe when it has no protection; a protection is a reason why it is not unsafe."""
    judgement = judge(request, policy, account_id=account)

    assert bool(judgement.protections) != bool(judgement.reasons)
    assert judgement.is_unsafe == bool(judgement.reasons)


@given(requests, policies, accounts)
def test_what_is_no_candidate_is_unsafe_under_no_policy(
    request: SearchRequest, policy: Policy, account: str | None
) -> None:
    """Searches that some other policy would find unsafe are kept; no other can become unsafe."""
    unsafe = judge(request, policy, account_id=account).is_unsafe

    assert is_candidate(request) or not unsafe


@given(requests)
def test_a_candidate_is_unsafe_under_some_policy(request: SearchRequest) -> None:
    """What is kept is worth keeping: a candidate is unsafe in one mode or the other."""
    bare = [Policy(rule=RuleConfig(mode=mode), entries=()) for mode in Mode]
    unsafe = any(judge(request, policy, account_id=None).is_unsafe for policy in bare)
    bounded = Protection.BOUNDED_FILTER in judge(request, bare[-1], account_id=None).protections

    assert unsafe or bounded or not is_candidate(request)
