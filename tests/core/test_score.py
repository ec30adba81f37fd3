"""Laws of sections 7 and 9 of the rule: how likely, how sure, and what the rule sets aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest

from amiguard_core.events import Launch, Origin, Search, SearchFilter, SearchRequest
from amiguard_core.findings import Suppression
from amiguard_core.policy import (
    BUILT_IN_ENTRIES,
    AllowlistEntry,
    EntryKind,
    KnownImage,
    Mode,
    Policy,
    RuleConfig,
)
from amiguard_core.score import LaunchedImages, confidence, score, suppression
from tests.data import agents
from tests.data.records import ACCOUNT, NINE_O_CLOCK, REGION

STRANGER = "999988887777"
FRIEND = "555566667777"
FOCAL = "ubuntu/images/hvm-ssd/ubuntu-focal-20.04-amd64-server-*"
PLAIN = "acme-base-*"

DOCUMENTED = Policy()
STRICT = Policy(rule=RuleConfig(mode=Mode.STRICT))
UNKNOWN_IMAGE = LaunchedImages(image_count=1)

Filters = Mapping[str, Sequence[str]]


def asked(filters: Filters, *, parameters_omitted: bool = False) -> SearchRequest:
    """Makes the canonical request of these filters."""
    return SearchRequest(
        filters=tuple(SearchFilter(n, tuple(sorted(filters[n]))) for n in sorted(filters)),
        parameters_omitted=parameters_omitted,
    )


def steps(
    filters: Filters,
    *,
    policy: Policy = DOCUMENTED,
    images: LaunchedImages = UNKNOWN_IMAGE,
) -> list[tuple[str, int]]:
    """Scores a search of the account; returns the codes and the score after each."""
    found = score(asked(filters), policy, account_id=ACCOUNT, images=images)
    return [(step.code, step.score) for step in found]


def allowing(*entries: AllowlistEntry, mode: Mode = Mode.DOCUMENTED) -> Policy:
    """Makes a policy with these entries besides those that stand from the start."""
    return Policy(rule=RuleConfig(mode=mode), entries=(*BUILT_IN_ENTRIES, *entries))


def pattern_entry(name: str, pattern: str, *accounts: str) -> AllowlistEntry:
    """Makes an entry for a name pattern of the organization."""
    return AllowlistEntry(
        name=name, kind=EntryKind.ORGANIZATION_PATTERN, subject=pattern, account_ids=accounts
    )


def image(
    number: int, *, owner: str | None = None, alias: str | None = None, name: str | None = None
) -> KnownImage:
    """Makes a known image."""
    return KnownImage(
        image_id=f"ami-{number}",
        region=REGION,
        owner_account_id=owner,
        owner_alias=alias,
        image_name=name,
    )


def launched(*known: KnownImage, unknown: int = 0) -> LaunchedImages:
    """Says that these were launched, and so many others of which nothing is known."""
    return LaunchedImages(image_count=len(known) + unknown, known=known)


class TestLikelihood:
    """Ordered steps, each applied to the score so far, clamped to 0..100."""

    def test_base_is_50_and_always_there(self) -> None:
        """BASE: 50, always."""
        assert steps({"name": [PLAIN]}) == [("BASE", 50)]

    @pytest.mark.parametrize("pattern", [FOCAL, "amzn2-ami-*", "al2023-ami-2023*", "Rocky-9-*"])
    def test_public_name_family_sets_85(self, pattern: str) -> None:
        """PUBLIC_NAME_FAMILY: a searched pattern can match names of a well-known family."""
        assert steps({"name": [pattern]}) == [("BASE", 50), ("PUBLIC_NAME_FAMILY", 85)]

    def test_any_pattern_of_a_family_is_enough(self) -> None:
        """Any pattern where several were searched."""
        assert steps({"name": [PLAIN, FOCAL]})[-1] == ("PUBLIC_NAME_FAMILY", 85)

    def test_the_rule_may_name_further_families(self) -> None:
        """A pattern of the rule configuration is a family like those built in."""
        policy = Policy(rule=RuleConfig(public_patterns=("acme-*",)))

        assert steps({"name": [PLAIN]}, policy=policy)[-1] == ("PUBLIC_NAME_FAMILY", 85)
        assert steps({"name": ["other-base-*"]}, policy=policy) == [("BASE", 50)]

    @pytest.mark.parametrize("pattern", ["abc*", "ab?d", "?", r"\*ab?"])
    def test_fewer_than_four_characters_before_a_wildcard_are_broad(self, pattern: str) -> None:
        """BROAD_PATTERN: +10, for fewer than 4 literal characters before the first wildcard."""
        found = dict(steps({"name": [pattern]}))
        before = found.get("PUBLIC_NAME_FAMILY", 50)

        assert found["BROAD_PATTERN"] == before + 10

    @pytest.mark.parametrize("pattern", ["acme*", "acme?x", r"\*acm*"])
    def test_four_characters_before_a_wildcard_are_not_broad(self, pattern: str) -> None:
        """Four literal characters, an escaped star among them, are enough."""
        assert steps({"name": [pattern]}) == [("BASE", 50)]

    def test_one_broad_pattern_among_others_is_enough(self) -> None:
        """Any pattern with a wildcard; those without one do not make up for it."""
        assert steps({"name": [PLAIN, "zq-*", "an-exact-name"]})[-1] == ("BROAD_PATTERN", 60)

    def test_a_pattern_of_everything_is_public_and_broad(self) -> None:
        """A lone star can match every family's names, and says nothing before it."""
        assert steps({"name": ["*"]}) == [
            ("BASE", 50),
            ("PUBLIC_NAME_FAMILY", 85),
            ("BROAD_PATTERN", 95),
        ]

    @pytest.mark.parametrize("names", [["acme"], ["a", "b"], [r"acme-\*"]])
    def test_exact_names_are_10_less(self, names: list[str]) -> None:
        """EXACT_NAME: -10, when no pattern has a wildcard; an escaped one is none."""
        assert steps({"name": names}) == [("BASE", 50), ("EXACT_NAME", 40)]

    def test_one_wildcard_among_exact_names_is_not_exact(self) -> None:
        """No pattern at all may have one."""
        assert steps({"name": ["acme", PLAIN]}) == [("BASE", 50)]

    def test_an_exact_public_name_is_both(self) -> None:
        """Steps apply to the score so far."""
        assert steps({"name": ["amzn2-ami-hvm-2.0"]})[-1] == ("EXACT_NAME", 75)

    @pytest.mark.parametrize(
        "more",
        [
            {"tag:Team": ["x"]},
            {"tag-key": ["Team"]},
            {"public-ssm-parameter-name": ["/aws/x"]},
            {"image-allowed": ["true"]},
        ],
    )
    def test_a_bounding_filter_is_25_less_in_mode_documented(self, more: Filters) -> None:
        """BOUNDED_FILTER: -25, in mode DOCUMENTED; in mode STRICT it is a protection."""
        filters = {"name": [PLAIN], **more}

        assert steps(filters) == [("BASE", 50), ("BOUNDED_FILTER", 25)]
        assert steps(filters, policy=STRICT) == [("BASE", 50)]

    def test_private_only_is_15_less(self) -> None:
        """PRIVATE_ONLY: -15, for `is-public = false`."""
        assert steps({"name": [PLAIN], "is-public": ["false"]})[-1] == ("PRIVATE_ONLY", 35)

    @pytest.mark.parametrize("values", [["true"], ["false", "true"], ["*"]])
    def test_public_images_let_in_are_not_private_only(self, values: list[str]) -> None:
        """Values of one filter are alternatives: one that lets the public in is enough."""
        assert steps({"name": [PLAIN], "is-public": values}) == [("BASE", 50)]

    def test_product_code_is_20_less(self) -> None:
        """PRODUCT_CODE: -20, for a filter `product-code`."""
        assert steps({"name": [PLAIN], "product-code": ["x"]})[-1] == ("PRODUCT_CODE", 30)

    def test_steps_are_in_the_order_of_the_rule_and_clamped(self) -> None:
        """Each step applies to the score so far, clamped to 0..100."""
        filters = {
            "name": ["zq"],
            "tag-key": ["x"],
            "is-public": ["false"],
            "product-code": ["x"],
        }

        assert steps(filters) == [
            ("BASE", 50),
            ("EXACT_NAME", 40),
            ("BOUNDED_FILTER", 15),
            ("PRIVATE_ONLY", 0),
            ("PRODUCT_CODE", 0),
        ]

    def test_free_texts_are_patterns_of_no_family_in_strict(self) -> None:
        """`description` and `manifest-location` count like names; they are of no name family."""
        public, exact = {"description": [FOCAL]}, {"manifest-location": ["x"]}

        assert steps(public, policy=STRICT) == [("BASE", 50)]
        assert steps(exact, policy=STRICT) == [("BASE", 50), ("EXACT_NAME", 40)]
        assert steps({"description": ["*"]}, policy=STRICT)[-1] == ("BROAD_PATTERN", 60)

    def test_free_texts_do_not_score_in_documented(self) -> None:
        """In mode DOCUMENTED only names are searched by."""
        assert steps({"name": ["acme"], "description": ["*"]})[-1] == ("EXACT_NAME", 40)

    def test_omitted_parameters_have_no_pattern_to_score(self) -> None:
        """What was not recorded is neither exact nor broad."""
        omitted = asked({}, parameters_omitted=True)
        found = score(omitted, STRICT, account_id=ACCOUNT, images=UNKNOWN_IMAGE)

        assert [step.code for step in found] == ["BASE"]

    def test_a_step_explains_itself(self) -> None:
        """Each step carries a text for a person."""
        found = score(asked({"name": ["*"]}), DOCUMENTED, account_id=ACCOUNT, images=UNKNOWN_IMAGE)

        assert all(step.message.endswith(".") for step in found)


class TestOrganizationPattern:
    """ORGANIZATION_PATTERN: to at most 10 when every searched pattern is covered."""

    def test_a_covered_pattern_is_at_most_10(self) -> None:
        """Each name it can match, the entry matches; the step names the entry."""
        entry = pattern_entry("allowlistEntries/acme", "acme-*")
        found = score(
            asked({"name": [PLAIN, "acme-x"]}),
            allowing(entry),
            account_id=ACCOUNT,
            images=UNKNOWN_IMAGE,
        )

        assert (found[-1].code, found[-1].score) == ("ORGANIZATION_PATTERN", 10)
        assert found[-1].allowlist_entry == entry.name
        assert [step.allowlist_entry for step in found[:-1]] == [None]

    @pytest.mark.parametrize(
        "names", [["acm*"], [PLAIN, "other-*"], ["*acme-*"], ["Acme-x"], ["acme"]]
    )
    def test_a_pattern_that_is_not_covered_is_not_vouched_for(self, names: list[str]) -> None:
        """Every searched pattern must be covered, by an entry that matches all its names."""
        codes = [
            code
            for code, _ in steps({"name": names}, policy=allowing(pattern_entry("a", "acme-*")))
        ]

        assert "ORGANIZATION_PATTERN" not in codes

    def test_two_entries_may_cover_a_pattern_each(self) -> None:
        """Covered by organization patterns, in the plural."""
        policy = allowing(pattern_entry("a", "acme-*"), pattern_entry("b", "corp-*"))

        assert steps({"name": [PLAIN, "corp-1"]}, policy=policy)[-1] == ("ORGANIZATION_PATTERN", 10)

    def test_a_lower_score_is_kept(self) -> None:
        """To at most 10: a score below stays, and the step is still recorded."""
        filters = {
            "name": ["acme-x"],
            "tag-key": ["x"],
            "is-public": ["false"],
            "product-code": ["x"],
        }

        policy = allowing(pattern_entry("a", "acme-*"))
        assert steps(filters, policy=policy)[-1] == ("ORGANIZATION_PATTERN", 0)

    def test_an_entry_acts_in_its_accounts_alone(self) -> None:
        """Each entry may be scoped to accounts."""
        here, elsewhere = pattern_entry("a", "acme-*", ACCOUNT), pattern_entry("a", "acme-*", "1")

        assert steps({"name": [PLAIN]}, policy=allowing(here))[-1][0] == "ORGANIZATION_PATTERN"
        assert steps({"name": [PLAIN]}, policy=allowing(elsewhere)) == [("BASE", 50)]

    def test_an_entry_never_vouches_for_free_text(self) -> None:
        """An organization pattern is an AMI name pattern, and says nothing of descriptions."""
        policy = allowing(pattern_entry("a", "*"), mode=Mode.STRICT)

        assert steps({"description": [PLAIN]}, policy=policy) == [("BASE", 50)]


class TestKnownImages:
    """TRUSTED_IMAGE and STRANGER_IMAGE: what is known of the launched images."""

    @pytest.mark.parametrize("mode", list(Mode))
    @pytest.mark.parametrize(
        "known",
        [
            image(1, alias="amazon"),
            image(1, alias="aws-marketplace", owner=STRANGER),
            image(1, alias="self"),
            image(1, owner=ACCOUNT),
            image(1, owner=FRIEND),
        ],
    )
    def test_a_trusted_image_is_at_most_10(self, known: KnownImage, mode: Mode) -> None:
        """Of a trusted alias, of the record's account, or of a trusted account; in both modes."""
        friend = AllowlistEntry(name="f", kind=EntryKind.TRUSTED_ACCOUNT, subject=FRIEND)

        found = steps({"name": [PLAIN]}, policy=allowing(friend, mode=mode), images=launched(known))
        assert found == [("BASE", 50), ("TRUSTED_IMAGE", 10)]

    def test_the_step_names_the_entry_that_trusts(self) -> None:
        """If an allowlist entry caused a step, it is recorded; the own account needs none."""
        amazon, own = launched(image(1, alias="amazon")), launched(image(1, owner=ACCOUNT))
        by_alias, by_account = (
            score(asked({"name": [PLAIN]}), DOCUMENTED, account_id=ACCOUNT, images=images)[-1]
            for images in (amazon, own)
        )

        assert by_alias.allowlist_entry == "allowlistEntries/alias-amazon"
        assert by_account.allowlist_entry is None

    @pytest.mark.parametrize(
        "images",
        [
            launched(),
            launched(unknown=1),
            launched(image(1, owner=ACCOUNT), unknown=1),
            launched(image(1, owner=ACCOUNT), image(2, name="x")),
            launched(image(1, owner=ACCOUNT), image(2, owner=STRANGER)),
        ],
        ids=["none", "unknown", "one unknown", "owner unknown", "one stranger"],
    )
    def test_every_launched_image_must_be_known_to_be_trusted(self, images: LaunchedImages) -> None:
        """Every launched image is known to belong to a trusted owner, or it counts for nothing."""
        assert steps({"name": [PLAIN]}, images=images) == [("BASE", 50)]

    def test_a_stranger_s_image_with_a_searched_name_is_100(self) -> None:
        """STRANGER_IMAGE: known to belong to somebody else, and its name matches a pattern."""
        known = image(1, owner=STRANGER, name="acme-base-7")

        assert steps({"name": [PLAIN]}, images=launched(known))[-1] == ("STRANGER_IMAGE", 100)

    def test_one_stranger_s_image_among_trusted_ones_is_enough(self) -> None:
        """A launched image: one is enough."""
        known = [image(1, owner=ACCOUNT), image(2, owner=STRANGER, name="acme-base-7")]

        found = steps({"name": ["x", PLAIN]}, images=launched(*known, unknown=3))
        assert found[-1] == ("STRANGER_IMAGE", 100)

    @pytest.mark.parametrize("name", ["other", "Acme-base-7", None])
    def test_a_stranger_s_image_of_another_name_says_nothing(self, name: str | None) -> None:
        """It was launched, but no search for these patterns gave it."""
        known = image(1, owner=STRANGER, name=name)

        assert steps({"name": [PLAIN]}, images=launched(known)) == [("BASE", 50)]

    def test_an_image_of_nobody_known_is_no_stranger_s(self) -> None:
        """A stranger's image is *known* to belong to somebody else."""
        known = image(1, name="acme-base-7")

        assert steps({"name": [PLAIN]}, images=launched(known)) == [("BASE", 50)]

    def test_an_alias_that_is_trusted_no_more_is_a_stranger(self) -> None:
        """Any other image is a stranger's, once the entry for its alias is removed."""
        known = launched(image(1, alias="amazon", name="acme-base-7"))

        found = steps({"name": [PLAIN]}, policy=Policy(entries=()), images=known)
        assert found[-1] == ("STRANGER_IMAGE", 100)

    def test_a_scoped_trust_is_no_trust_elsewhere(self) -> None:
        """An account trusted in other accounts is a stranger here."""
        entry = AllowlistEntry(
            name="f", kind=EntryKind.TRUSTED_ACCOUNT, subject=FRIEND, account_ids=("1",)
        )
        known = launched(image(1, owner=FRIEND, name="acme-base-7"))

        found = steps({"name": [PLAIN]}, policy=allowing(entry), images=known)
        assert found[-1] == ("STRANGER_IMAGE", 100)

    def test_a_stranger_s_image_outweighs_an_organization_pattern(self) -> None:
        """Steps are ordered: what was launched comes after what was meant."""
        known = launched(image(1, owner=STRANGER, name="acme-base-7"))
        policy = allowing(pattern_entry("a", "acme-*"))

        assert steps({"name": [PLAIN]}, policy=policy, images=known) == [
            ("BASE", 50),
            ("ORGANIZATION_PATTERN", 10),
            ("STRANGER_IMAGE", 100),
        ]


def searched(
    filters: Filters, *, user_agent: str = agents.TERRAFORM, parameters_omitted: bool = False
) -> Search:
    """Makes a search at nine."""
    origin = Origin(event_id="s", event_time=NINE_O_CLOCK, region=REGION, user_agent=user_agent)
    request = asked(filters, parameters_omitted=parameters_omitted)
    return Search(origin=origin, request=request, fingerprint=request.fingerprint())


def started(
    seconds: float, *, user_agent: str = agents.TERRAFORM, through_parameter: bool = False
) -> Launch:
    """Makes a launch so many seconds past nine."""
    at = NINE_O_CLOCK + timedelta(seconds=seconds)
    origin = Origin(event_id="l", event_time=at, region=REGION, user_agent=user_agent)
    return Launch(origin=origin, image_ids=("ami-1",), through_parameter=through_parameter)


SEARCHED = searched({"name": [PLAIN]})


class TestConfidence:
    """How sure it is that the launch used the search's answer: 0..100."""

    @pytest.mark.parametrize(
        ("seconds", "sure"),
        [(0, 90), (60, 90), (61, 75), (300, 75), (301, 60), (900, 60), (901, 40), (86_400, 40)],
    )
    def test_the_gap_says_how_sure_it_is(self, seconds: int, sure: int) -> None:
        """90 for a gap up to 60 s, 75 up to 5 min, 60 up to 15 min, 40 beyond."""
        assert confidence(SEARCHED, started(seconds)) == sure

    @pytest.mark.parametrize(("seconds", "sure"), [(0, 70), (61, 55), (301, 40), (901, 20)])
    def test_another_client_is_20_less(self, seconds: int, sure: int) -> None:
        """-20 when the two records' client programs differ."""
        assert confidence(SEARCHED, started(seconds, user_agent=agents.BOTO3)) == sure

    def test_another_release_of_a_client_is_the_same_client(self) -> None:
        """Programs differ, not their versions or what else their user agents say."""
        looked = searched({"name": [PLAIN]}, user_agent=agents.aws_cli_v2("ec2.describe-images"))
        ran = started(5, user_agent=agents.aws_cli_v2("ec2.run-instances"))

        assert confidence(looked, ran) == 90

    @pytest.mark.parametrize("user_agent", [agents.TERRAFORM, agents.BOTO3])
    def test_an_image_from_a_parameter_is_5(self, user_agent: str) -> None:
        """To 5 when the launch took its image from `resolve:ssm:`, whatever came before."""
        through = started(5, user_agent=user_agent, through_parameter=True)

        assert confidence(SEARCHED, through) == 5

    def test_omitted_parameters_are_5(self) -> None:
        """PARAMETERS_OMITTED has confidence 5."""
        assert confidence(searched({}, parameters_omitted=True), started(5)) == 5

    @pytest.mark.parametrize("through_parameter", [False, True])
    def test_a_known_name_that_matches_is_100(self, through_parameter: bool) -> None:  # noqa: FBT001
        """To 100 when a launched image's name is known and a searched pattern matches it."""
        ran = started(901, user_agent=agents.BOTO3, through_parameter=through_parameter)

        assert confidence(SEARCHED, ran, known=[image(1, name="acme-base-7")]) == 100

    @pytest.mark.parametrize("through_parameter", [False, True])
    def test_a_known_name_that_does_not_match_is_0(self, through_parameter: bool) -> None:  # noqa: FBT001
        """To 0 when a launched image's name is known and no searched pattern matches it."""
        ran = started(5, through_parameter=through_parameter)

        assert confidence(SEARCHED, ran, known=[image(1, name="acme-other")]) == 0

    def test_one_of_several_names_that_matches_is_enough(self) -> None:
        """To 100 when one does."""
        known = [image(1, name="acme-other"), image(2, name="acme-base-7")]

        assert confidence(SEARCHED, started(5), known=known) == 100

    def test_an_image_without_a_known_name_says_nothing(self) -> None:
        """Only a name can match or fail to."""
        assert confidence(SEARCHED, started(5), known=[image(1, owner=ACCOUNT)]) == 90


def suppress(search: Search) -> Suppression | None:
    """Returns the suppression of an occurrence of one search, of whose images nothing is known."""
    return suppression([search], ())


class TestSuppression:
    """Section 9: Packer before amazon plugin 1.2.4 checks that its image's own name is free."""

    @pytest.mark.parametrize("plain_first", [True, False])
    def test_one_search_that_is_no_check_is_enough(self, *, plain_first: bool) -> None:
        """Every search that the launch follows has to be one."""
        packer = searched({"name": ["acme-1"]}, user_agent=agents.PACKER)
        plain = searched({"name": ["acme-1"]}, user_agent=agents.TERRAFORM)
        searches = [plain, packer] if plain_first else [packer, plain]

        assert suppression(searches, ()) is None

    @pytest.mark.parametrize(
        ("image_name", "suppressed"), [("acme-1", False), ("acme-2", True), (None, True)]
    )
    def test_image_that_bears_the_name_is_not_the_one_to_be_made(
        self, image_name: str | None, *, suppressed: bool
    ) -> None:
        """Others made it, and the launch used it."""
        known = KnownImage("ami-1", "us-east-1", image_name=image_name)
        found = suppression([searched({"name": ["acme-1"]}, user_agent=agents.PACKER)], [known])

        assert (found is not None) is suppressed

    @pytest.mark.parametrize("user_agent", [agents.PACKER, "HashiCorp PACKER/1", "xPaCkErx"])
    def test_packer_and_exact_names_alone_are_set_aside(self, user_agent: str) -> None:
        """`packer` in the userAgent, any case, and only exact names."""
        found = suppress(searched({"name": ["acme-1", "acme-2"]}, user_agent=user_agent))

        assert found is Suppression.PACKER_PREVALIDATION

    @pytest.mark.parametrize("names", [[PLAIN], ["acme-1", "acme-?"]])
    def test_packer_with_a_wildcard_is_not(self, names: list[str]) -> None:
        """A userAgent alone, which the caller controls, never suppresses."""
        assert suppress(searched({"name": names}, user_agent=agents.PACKER)) is None

    def test_an_escaped_wildcard_is_an_exact_name(self) -> None:
        """A star that stands for itself is no wildcard."""
        found = suppress(searched({"name": [r"acme-\*"]}, user_agent=agents.PACKER))

        assert found is Suppression.PACKER_PREVALIDATION

    @pytest.mark.parametrize("user_agent", [agents.TERRAFORM, "", "pack er"])
    def test_exact_names_of_another_client_are_not(self, user_agent: str) -> None:
        """Exact names alone never suppress either."""
        assert suppress(searched({"name": ["acme-1"]}, user_agent=user_agent)) is None

    @pytest.mark.parametrize("filters", [{}, {"description": ["x"]}])
    def test_packer_without_a_name_is_not(self, filters: Filters) -> None:
        """No name is not an exact name."""
        assert suppress(searched(filters, user_agent=agents.PACKER)) is None
