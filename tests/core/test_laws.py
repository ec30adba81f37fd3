"""The laws of the rule, over any set of records: what may change a finding and what may not."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from itertools import product
from typing import Any, Final

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from amiguard_core.correlate import pair, pair_pinned, unique
from amiguard_core.decode import decode_records
from amiguard_core.events import LaunchPath
from amiguard_core.findings import Finding
from amiguard_core.pipeline import KnownImages, evaluate, find, occur
from amiguard_core.policy import (
    BUILT_IN_ENTRIES,
    AllowlistEntry,
    CorrelateBy,
    EntryKind,
    KnownImage,
    Mode,
    Policy,
    RuleConfig,
)
from amiguard_core.score_steps import SCORE_STEPS
from tests.core.by_the_book import occurrences_by_the_book, pinned_by_the_book
from tests.data import agents, identities
from tests.data.records import NINE_O_CLOCK, Caller, Launch, Search, describe_images, run_instances
from tests.data.shapes import Record, encode
from tests.data.strategies import (
    ACCOUNTS,
    IMAGES,
    REGIONS,
    deliveries,
    record_sets,
    template_sets,
)

STRANGER: Final = "999988887777"
NAMES: Final = ("acme-base-*", "acme-base-7", "acme-*", "ubuntu/images/*", "*")

READ: Final = (
    *("eventID", "eventTime", "eventSource", "eventName", "awsRegion", "recipientAccountId"),
    *("userIdentity", "userAgent", "requestParameters", "responseElements"),
)

# Requests whose protections and scores depend on the mode and on every kind of entry.
ASKED: Final[tuple[Search, ...]] = (
    {"filters": {"name": ["acme-base-*"]}},
    {"filters": {"name": ["acme-base-7"]}},
    {"filters": {"name": ["acme-base-*", "ubuntu/images/*"], "is-public": ["false"]}},
    {"filters": {"name": ["*"]}, "owners": ["amazon", STRANGER]},
    {"filters": {"name": ["acme-base-*"], "owner-id": [STRANGER]}},
    {"filters": {"name": ["acme-base-*"], "tag-key": ["Team"], "product-code": ["x"]}},
    {"filters": {"name": ["acme-base-*"], "owner-alias": ["*"]}, "executable_by": ["self"]},
    {"filters": {"description": ["acme*"]}},
)
ENTRIES: Final = tuple(
    AllowlistEntry(
        name=f"{kind}-{subject}-{len(scope)}", kind=kind, subject=subject, account_ids=scope
    )
    for scope in ((), ACCOUNTS[:1])
    for kind, subjects in (
        (EntryKind.TRUSTED_OWNER, ("amazon", "aws-marketplace")),
        (EntryKind.TRUSTED_ACCOUNT, (STRANGER, *ACCOUNTS)),
        (EntryKind.ORGANIZATION_PATTERN, NAMES),
    )
    for subject in subjects
)

PATHS: Final = (
    (LaunchPath.RUN_INSTANCES,),
    tuple(LaunchPath),
    (LaunchPath.RUN_INSTANCES, LaunchPath.CREATE_LAUNCH_TEMPLATE),
    (LaunchPath.CREATE_LAUNCH_TEMPLATE_VERSION,),
)

entries = st.sampled_from(ENTRIES)
entry_sets = st.lists(entries, max_size=3, unique=True).map(
    lambda chosen: (*BUILT_IN_ENTRIES, *chosen)
)
windows = st.sampled_from([1, 60, 900, 3_600]).map(lambda seconds: timedelta(seconds=seconds))


def policies() -> st.SearchStrategy[Policy]:
    """Draws policies: both modes, both keys, windows, and entries of every kind."""
    rules = st.builds(
        RuleConfig,
        window=windows,
        mode=st.sampled_from(Mode),
        correlate_by=st.sampled_from(CorrelateBy),
        launch_paths=st.sampled_from(PATHS),
    )
    return st.builds(Policy, rule=rules, entries=entry_sets)


@st.composite
def images(draw: DrawFn) -> KnownImages:
    """Draws what is known of the images that are launched."""
    known: dict[tuple[str, str], KnownImage] = {}
    for region, image_id in product(REGIONS, IMAGES):
        if draw(st.booleans()):
            known[image_id, region] = KnownImage(
                image_id=image_id,
                region=region,
                owner_account_id=draw(st.sampled_from([STRANGER, STRANGER, None, *ACCOUNTS])),
                owner_alias=draw(st.sampled_from([None, None, None, "amazon"])),
                image_name=draw(
                    st.sampled_from(["acme-base-7", "acme-base-7", "acme-other", None])
                ),
            )
    return known


def brief(whole: Record) -> Record:
    """Leaves out what the rule does not read, so that a set that breaks a law fits a page."""
    made: Record = {name: whole[name] for name in READ if name in whole}
    if whole["responseElements"] is not None:
        started = whole["responseElements"]["instancesSet"]["items"]
        kept = [{name: each.get(name) for name in ("instanceId", "imageId")} for each in started]
        made["responseElements"] = {"instancesSet": {"items": kept}}
    return made


@st.composite
def telling_sets(draw: DrawFn) -> list[Record]:
    """Draws records of which many belong together, and that ask all that the rule looks at."""
    account = st.sampled_from(ACCOUNTS[: draw(st.integers(1, 2))])
    session = st.sampled_from(["one", "two"])
    records: list[Record] = []
    for number in range(draw(st.integers(1, 9))):
        owner = draw(account)
        by: Caller = {
            "identity": identities.assumed_role(owner, "ci", session=draw(session)),
            "account": owner,
            "region": REGIONS[0],
            "user_agent": draw(st.sampled_from([agents.PACKER, agents.BOTO3])),
            "at": NINE_O_CLOCK + timedelta(seconds=draw(st.sampled_from([0, 0, 1, 61, 901]))),
            "event_id": f"e{number}",
        }
        asked: Search = {**draw(st.sampled_from(ASKED)), **by}
        image_id = draw(st.sampled_from([*IMAGES, None, "resolve:ssm:/golden"]))
        image: Launch = {"image_id": image_id}
        started: Launch = {**image, **by}
        is_search = draw(st.booleans())
        whole = describe_images(**asked) if is_search else run_instances(**started)
        records.append(brief(whole))
    return draw(st.permutations(records))


sets_of_records = record_sets() | telling_sets() | template_sets()


def evaluated(records: Iterable[Record], policy: Policy, known: KnownImages) -> dict[str, Finding]:
    """Evaluates records; returns the findings by id."""
    found = evaluate([encode(each) for each in records], policy, images=known)
    return {each.key.finding_id(): each for each in found}


def occurrences_of(findings: Iterable[Finding]) -> set[tuple[str, str]]:
    """Names every occurrence by its finding and its launch."""
    return {
        (finding.key.finding_id(), occurrence.launch.origin.event_id)
        for finding in findings
        for occurrence in finding.occurrences
    }


def damaged(draw: DrawFn, whole: Record) -> Record:
    """Leaves out, or changes, what a careless forwarder does of one record."""
    kept: dict[str, Any] = {**whole}
    for field in draw(st.lists(st.sampled_from(["userAgent", "responseElements"]), max_size=2)):
        kept.pop(field, None)
    if draw(st.booleans()):
        kept["eventTime"] = draw(st.sampled_from(["2026-03-02T09:00:30Z", "2026-03-02T09:15:02Z"]))
    if draw(st.booleans()):
        parameters = {**(kept["requestParameters"] or {})}
        parameters.pop("ownersSet", None)
        kept["requestParameters"] = parameters
    if draw(st.booleans()) and "arn" in whole["userIdentity"]:
        kept["userIdentity"] = {**whole["userIdentity"], "arn": "REDACTED"}
    return kept


@st.composite
def sets_with_damaged_copies(draw: DrawFn) -> list[Record]:
    """Draws records and copies of them that say less or other than the record does."""
    records = draw(telling_sets())
    copies = [damaged(draw, draw(st.sampled_from(records))) for _ in range(draw(st.integers(1, 4)))]
    return [*records, *copies]


class TestLaw1:
    """Findings are a function of the set of records."""

    @given(sets_of_records, policies(), images(), st.data())
    def test_order_repetition_and_form_change_nothing(
        self, records: list[Record], policy: Policy, known: KnownImages, data: st.DataObject
    ) -> None:
        """Any order, any repetition and any envelope give the same findings."""
        raw = [encode(each) for each in records]
        delivered = [each for batch in data.draw(deliveries(records)) for each in batch]

        expected = evaluate(raw, policy, images=known)
        assert expected == evaluate(delivered, policy, images=known)

    @given(sets_of_records, policies(), images(), st.data())
    def test_batching_changes_nothing(
        self, records: list[Record], policy: Policy, known: KnownImages, data: st.DataObject
    ) -> None:
        """Batches decoded apart, by whichever replica, give the same findings."""
        raw = [encode(each) for each in records]
        decoded = [
            decode_records(batch, launch_paths=policy.rule.launch_paths)
            for batch in data.draw(deliveries(records))
        ]
        searches = [search for batch in decoded for search in batch.searches]
        launches = [launch for batch in decoded for launch in batch.launches]

        expected = evaluate(raw, policy, images=known)
        assert expected == find(searches, launches, policy, images=known)

    @given(sets_with_damaged_copies(), policies(), images(), st.randoms(use_true_random=False))
    def test_order_of_copies_that_differ_changes_nothing(
        self, records: list[Record], policy: Policy, known: KnownImages, random: Any
    ) -> None:
        """Whatever copies of one event say, the order in which they come is of no matter."""
        raw = [encode(each) for each in records]
        shuffled = random.sample(raw, k=len(raw))

        expected = evaluate(raw, policy, images=known)
        assert expected == evaluate(shuffled, policy, images=known)

    @given(sets_of_records, policies(), images())
    def test_accounts_do_not_touch_each_other(
        self, records: list[Record], policy: Policy, known: KnownImages
    ) -> None:
        """Findings of the records of disjoint accounts are the findings of their union."""
        apart: dict[str, Finding] = {}
        for account in {str(each["recipientAccountId"]) for each in records}:
            own = [each for each in records if each["recipientAccountId"] == account]
            apart |= evaluated(own, policy, known)

        assert apart == evaluated(records, policy, known)

    @given(sets_of_records, policies(), st.data())
    def test_one_more_record_never_removes_an_occurrence(
        self, records: list[Record], policy: Policy, data: st.DataObject
    ) -> None:
        """A later record may improve an occurrence already stored, and never takes it away."""
        some = data.draw(st.lists(st.sampled_from(records))) if records else []

        fewer = occurrences_of(evaluated(some, policy, {}).values())
        assert fewer <= occurrences_of(evaluated(records, policy, {}).values())


class TestSection5:
    """What belongs together, by a reading of section 5 that tries every pair."""

    @given(record_sets() | telling_sets(), policies())
    def test_every_occurrence_names_the_latest_unsafe_search(
        self, records: list[Record], policy: Policy
    ) -> None:
        """For each launch and fingerprint there is one occurrence, of the latest such search."""
        decoded = decode_records(
            [encode(each) for each in records], launch_paths=policy.rule.launch_paths
        )
        searches = {(s.origin.account_id, s.origin.event_id): s for s in decoded.searches}
        launches = {(x.origin.account_id, x.origin.event_id): x for x in decoded.launches}

        found = {
            (one.key.account_id, each.launch.origin.event_id, one.key.fingerprint): (
                each.search.origin.event_id
            )
            for one in find(decoded.searches, decoded.launches, policy)
            for each in one.occurrences
        }
        expected = occurrences_by_the_book(searches.values(), launches.values(), policy)
        assert expected == found

    @given(sets_with_damaged_copies(), policies())
    def test_no_occurrence_is_outside_the_window(
        self, records: list[Record], policy: Policy
    ) -> None:
        """`0 <= L.time - S.time <= window` holds of every occurrence, whatever copies say."""
        for one in evaluated(records, policy, {}).values():
            for each in one.occurrences:
                assert timedelta(0) <= each.gap <= policy.rule.window


class TestSection8:
    """Launches from a template that pinned an image, by a reading that tries every three."""

    @given(template_sets(), policies())
    def test_every_launch_from_a_pinned_template_is_an_occurrence(
        self, records: list[Record], policy: Policy
    ) -> None:
        """Each is one of the finding that its pin belongs to, beside what it follows itself."""
        decoded = decode_records(
            [encode(each) for each in records], launch_paths=policy.rule.launch_paths
        )

        found = {
            (one.key.actor_arn, one.key.fingerprint, each.launch.origin.event_id)
            for one in find(decoded.searches, decoded.launches, policy)
            for each in one.occurrences
        }
        of_its_own = {
            (str(each.origin.actor_arn), search.fingerprint, each.origin.event_id)
            for search, each in pair(*unique([*decoded.searches, *decoded.launches]), policy)
        }
        pinned = pinned_by_the_book(decoded.searches, decoded.launches, policy)
        assert of_its_own | pinned == found

    @given(template_sets(), policies())
    def test_occurrence_names_the_latest_search_and_prefers_no_pin(
        self, records: list[Record], policy: Policy
    ) -> None:
        """Of all ways in which a launch belongs to a finding, the same one is always shown."""
        decoded = decode_records(
            [encode(each) for each in records], launch_paths=policy.rule.launch_paths
        )
        searches, launches = unique([*decoded.searches, *decoded.launches])
        pairs = list(pair(searches, launches, policy))
        ways = [occur(search, launch) for search, launch in pairs]
        ways += [
            occur(search, launch, pin=pin)
            for search, pin, launch in pair_pinned(pairs, launches, policy)
        ]

        for finding in find(searches, launches, policy):
            for shown in finding.occurrences:
                rivals = [way for way in ways if (way.key, way.launch) == (shown.key, shown.launch)]
                times = [way.search.origin.event_time for way in rivals]
                assert shown.search.origin.event_time == max(times)
                same = [way for way in rivals if way.search == shown.search]
                assert (shown.pin is None) == any(way.pin is None for way in same)

    @pytest.mark.slow
    def test_the_laws_are_tried_on_launches_from_templates(self) -> None:
        """The sets drawn here hold every kind of occurrence that a template can make."""
        reached: set[tuple[bool, bool, bool]] = set()

        @settings(phases=[Phase.generate], max_examples=300)
        @given(template_sets(), policies())
        def look(records: list[Record], policy: Policy) -> None:
            for finding in evaluated(records, policy, {}).values():
                for each in finding.occurrences:
                    of_others = each.launch.origin.actor_arn != finding.key.actor_arn
                    reached.add((each.pin is not None, of_others, each.confidence == 0))

        look()

        assert {(True, True, False), (True, True, True), (True, False, False)} <= reached


class TestLaw3:
    """Adding an allowlist entry never raises a likelihood and never adds a finding."""

    @given(sets_of_records, policies(), entries, images())
    def test_an_entry_never_raises_a_score_nor_adds_a_finding(
        self,
        records: list[Record],
        without: Policy,
        entry: AllowlistEntry,
        known: KnownImages,
    ) -> None:
        """Nor does removing one lower a score or take a finding away."""
        added = Policy(rule=without.rule, entries=(*without.entries, entry))

        before, after = (evaluated(records, policy, known) for policy in (without, added))
        assert after.keys() <= before.keys()
        assert all(after[name].score <= before[name].score for name in after)

    @given(telling_sets(), policies(), images(), st.data())
    def test_removing_a_built_in_entry_never_lowers_a_score(
        self, records: list[Record], whole: Policy, known: KnownImages, data: st.DataObject
    ) -> None:
        """The aliases are entries like any other, and removing one is like removing any other."""
        removed = data.draw(st.sampled_from(whole.entries))
        fewer = Policy(
            rule=whole.rule, entries=tuple(each for each in whole.entries if each != removed)
        )

        before, after = (evaluated(records, policy, known) for policy in (whole, fewer))
        assert before.keys() <= after.keys()
        assert all(before[name].score <= after[name].score for name in before)

    @given(sets_of_records, policies(), entries, images())
    def test_an_entry_changes_no_occurrence_of_what_stays(
        self,
        records: list[Record],
        without: Policy,
        entry: AllowlistEntry,
        known: KnownImages,
    ) -> None:
        """An entry never deletes a record: what is still unsafe keeps all its occurrences."""
        added = Policy(rule=without.rule, entries=(*without.entries, entry))

        before, after = (evaluated(records, policy, known) for policy in (without, added))
        assert all(after[name].occurrences == before[name].occurrences for name in after)


class TestLaw4:
    """A narrower window never adds an occurrence."""

    @given(sets_of_records, policies(), windows, windows)
    def test_a_narrower_window_never_adds_an_occurrence(
        self, records: list[Record], policy: Policy, one: timedelta, other: timedelta
    ) -> None:
        """Whatever follows a search within a window follows it within a wider one."""
        narrow, wide = (
            Policy(
                rule=RuleConfig(
                    window=window,
                    mode=policy.rule.mode,
                    correlate_by=policy.rule.correlate_by,
                    launch_paths=policy.rule.launch_paths,
                ),
                entries=policy.entries,
            )
            for window in sorted([one, other])
        )

        fewer = occurrences_of(evaluated(records, narrow, {}).values())
        assert fewer <= occurrences_of(evaluated(records, wide, {}).values())


class TestEveryFinding:
    """What holds of any finding, whatever led to it."""

    @given(sets_of_records, policies(), images())
    def test_scores_and_confidences_are_between_0_and_100(
        self, records: list[Record], policy: Policy, known: KnownImages
    ) -> None:
        """Each step is clamped to 0..100, the first is BASE, and none is applied twice."""
        for finding in evaluated(records, policy, known).values():
            codes = [step.code for step in finding.steps]
            assert codes[0] == "BASE"
            assert len(codes) == len(set(codes))
            assert all(0 <= step.score <= 100 for step in finding.steps)
            assert all(0 <= each.confidence <= 100 for each in finding.occurrences)

    @given(sets_of_records, policies())
    def test_a_finding_is_unsafe_for_a_reason_and_never_empty(
        self, records: list[Record], policy: Policy
    ) -> None:
        """A finding is all occurrences of one key, each launch once, the latest first."""
        for finding in evaluated(records, policy, {}).values():
            launches = [each.launch.origin.event_id for each in finding.occurrences]
            times = [each.launch.origin.event_time for each in finding.occurrences]
            assert finding.reasons
            assert launches
            assert len(launches) == len(set(launches))
            assert times == sorted(times, reverse=True)
            assert all(each.key == finding.key for each in finding.occurrences)


@pytest.mark.slow
def test_the_laws_are_tried_on_every_step() -> None:
    """The sets of records drawn here reach each step of the likelihood."""
    reached: set[str] = set()

    @settings(phases=[Phase.generate], max_examples=300)
    @given(telling_sets(), policies(), images())
    def score(records: list[Record], policy: Policy, known: KnownImages) -> None:
        found = evaluated(records, policy, known).values()
        reached.update(step.code for finding in found for step in finding.steps)

    score()

    assert reached == {row.code for row in SCORE_STEPS}
