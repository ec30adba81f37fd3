"""Laws of the rule as one function: records and a policy in, findings out."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypedDict

import pytest

from amiguard_core.events import LaunchPath
from amiguard_core.findings import Finding, Likelihood, Suppression
from amiguard_core.pipeline import KnownImages, evaluate
from amiguard_core.policy import CorrelateBy, KnownImage, Mode, Policy, RuleConfig
from tests.data import agents, identities
from tests.data.launch_paths import (
    create_launch_configuration,
    create_launch_template,
    create_launch_template_version,
    template_tags,
)
from tests.data.records import (
    ACCOUNT,
    IMAGE_ID,
    NINE_O_CLOCK,
    REGION,
    UNAUTHORIZED,
    describe_images,
    run_instances,
)
from tests.data.shapes import Record, encode
from tests.data.variations import eventbridge, flattened, lookup_event, with_omitted_parameters

PATTERN = "acme-base-*"
NAMED = {"name": [PATTERN]}
STRANGER = "999988887777"
DOCUMENTED = Policy()
STRICT = Policy(rule=RuleConfig(mode=Mode.STRICT))
BY_ROLE = Policy(rule=RuleConfig(correlate_by=CorrelateBy.ROLE))
CI = identities.assumed_role(ACCOUNT, "ci", session="one", path="/ci/")
CI_AGAIN = identities.assumed_role(ACCOUNT, "ci", session="two", path="/ci/")
ROLE = f"arn:aws:iam::{ACCOUNT}:role/ci/ci"
NO_IMAGES: KnownImages = {}


class By(TypedDict):
    """Who called, when and with what."""

    at: datetime
    identity: identities.Identity
    user_agent: str


def after(
    seconds: float, identity: identities.Identity = CI, user_agent: str = agents.TERRAFORM
) -> By:
    """Says who called, and how many seconds past nine."""
    return {
        "at": NINE_O_CLOCK + timedelta(seconds=seconds),
        "identity": identity,
        "user_agent": user_agent,
    }


def findings(
    *records: Record, policy: Policy = DOCUMENTED, images: KnownImages = NO_IMAGES
) -> tuple[Finding, ...]:
    """Evaluates whole records."""
    return evaluate([encode(each) for each in records], policy, images=images)


def one_finding(
    *records: Record, policy: Policy = DOCUMENTED, images: KnownImages = NO_IMAGES
) -> Finding:
    """Evaluates records that make one finding."""
    (found,) = findings(*records, policy=policy, images=images)
    return found


def known(
    image_id: str = IMAGE_ID, *, owner: str | None = None, name: str | None = None
) -> KnownImages:
    """Registers one image."""
    image = KnownImage(image_id=image_id, region=REGION, owner_account_id=owner, image_name=name)
    return {(image_id, REGION): image}


def test_an_unsafe_search_and_a_launch_make_a_finding() -> None:
    """Key = (account, region, actor, fingerprint), with the launch as its occurrence."""
    search, launch = describe_images(filters=NAMED, **after(0)), run_instances(**after(45))

    found = one_finding(search, launch, policy=Policy(rule=RuleConfig(revision=7)))

    assert (found.key.account_id, found.key.region) == (ACCOUNT, REGION)
    assert found.key.actor_arn == ROLE
    assert found.key.fingerprint == found.latest.search.fingerprint
    assert found.reasons == ("NO_OWNER",)
    assert (found.score, found.likelihood) == (50, Likelihood.MEDIUM)
    assert found.confidence == 90
    assert found.rule_revision == 7
    assert found.suppression is None
    (occurrence,) = found.occurrences
    assert occurrence.search.origin.event_id == search["eventID"]
    assert occurrence.launch.origin.event_id == launch["eventID"]
    assert occurrence.gap == timedelta(seconds=45)
    assert found.image_ids == (IMAGE_ID,)


@pytest.mark.parametrize(
    "records",
    [
        [],
        [describe_images(filters=NAMED, **after(0))],
        [run_instances(**after(45))],
        [describe_images(filters=NAMED, **after(46)), run_instances(**after(45))],
        [describe_images(filters=NAMED, **after(0)), run_instances(**after(901))],
        [describe_images(**after(0)), run_instances(**after(45))],
        [
            describe_images(filters=NAMED, error=UNAUTHORIZED, **after(0)),
            run_instances(**after(45)),
        ],
        [
            describe_images(filters=NAMED, **after(0)),
            run_instances(error=UNAUTHORIZED, **after(45)),
        ],
        [describe_images(filters=NAMED, **after(0)), run_instances(**after(45, CI_AGAIN))],
        [
            describe_images(filters=NAMED, **after(0)),
            run_instances(region="eu-west-1", **after(45)),
        ],
        [
            describe_images(filters=NAMED, **after(0)),
            run_instances(account="012345678901", **after(45)),
        ],
    ],
    ids=[
        *("nothing", "no launch", "no search", "search later", "past the window", "safe search"),
        *("search refused", "launch refused", "other session", "other region", "other account"),
    ],
)
def test_what_does_not_belong_together_makes_none(records: list[Record]) -> None:
    """A finding needs a successful unsafe search and a successful launch that follows it."""
    assert findings(*records) == ()


def test_a_launch_without_an_image_id_still_counts() -> None:
    """No id at all is legal (launch template): the launch still counts."""
    launch = run_instances(image_id=None, launched_image_id=None, **after(45))

    found = one_finding(describe_images(filters=NAMED, **after(0)), launch)

    assert found.image_ids == ()


def test_pages_of_one_search_make_one_finding() -> None:
    """One logical search is many records; each launch is one occurrence, of the latest page."""
    pages = [
        describe_images(filters=NAMED, max_results=5, next_token=f"page-{page}", **after(page))
        for page in range(4)
    ]

    found = one_finding(*pages, run_instances(**after(9)))

    assert [each.search.origin.event_id for each in found.occurrences] == [pages[-1]["eventID"]]


def test_sessions_of_a_role_share_a_finding() -> None:
    """The actor is the role: two runs of one pipeline make two occurrences of one finding."""
    records = [
        describe_images(filters=NAMED, **after(0, CI)),
        run_instances(**after(0, CI)),
        describe_images(filters=NAMED, **after(3_600, CI_AGAIN)),
        run_instances(**after(3_600, CI_AGAIN)),
    ]

    found = one_finding(*records)

    assert [each.launch.origin.principal_arn for each in found.occurrences] == [
        CI_AGAIN["arn"],
        CI["arn"],
    ]


def test_by_role_another_session_may_launch() -> None:
    """ROLE = same actor."""
    records = [describe_images(filters=NAMED, **after(0)), run_instances(**after(5, CI_AGAIN))]

    assert findings(*records) == ()
    assert one_finding(*records, policy=BY_ROLE).key.actor_arn == ROLE


def test_by_role_a_user_is_its_own_actor() -> None:
    """Actor: the role for an assumed role, else the principal."""
    alice = identities.iam_user(ACCOUNT, "alice")
    records = [describe_images(filters=NAMED, **after(0, alice)), run_instances(**after(5, alice))]

    assert one_finding(*records, policy=BY_ROLE).key.actor_arn == alice["arn"]


def test_each_fingerprint_makes_a_finding() -> None:
    """One launch after two lines of code is an occurrence of both."""
    searches = [describe_images(filters={"name": [name]}, **after(0)) for name in ("acme-a", "b")]

    found = findings(*searches, run_instances(**after(5)))

    assert len(found) == 2
    assert len({each.key.fingerprint for each in found}) == 2


def test_findings_are_ordered_by_key_and_occurrences_by_time() -> None:
    """The result is ordered, the latest launch first, ties by event id."""
    searches = [
        describe_images(filters=NAMED, region=region, **after(0)) for region in ("z", "a", "m")
    ]
    launches = [
        run_instances(region="z", event_id=event_id, **after(seconds))
        for event_id, seconds in (("b", 5), ("a", 9), ("d", 5), ("c", 1))
    ]
    others = [run_instances(region=region, **after(1)) for region in ("m", "a")]

    found = findings(*searches, *launches, *others)

    assert [each.key.region for each in found] == ["a", "m", "z"]
    assert [each.launch.origin.event_id for each in found[-1].occurrences] == ["a", "d", "b", "c"]


def test_what_arrives_twice_counts_once() -> None:
    """Same identity = same record, in whatever envelopes its copies come."""
    search, launch = describe_images(filters=NAMED, **after(0)), run_instances(**after(45))
    once = findings(search, launch)
    copies = [eventbridge(launch), lookup_event(search), flattened(launch), search, launch]

    assert once == findings(search, launch, *copies)


def test_records_without_an_event_id_count_once_each() -> None:
    """No eventID: a record is identified by its content; two that differ are two records."""
    search = describe_images(filters=NAMED, event_id=None, **after(0))
    launches = [
        run_instances(event_id=None, request_id=request, **after(5)) for request in ("1", "2")
    ]

    found = one_finding(search, *launches, *launches, search)

    assert len(found.occurrences) == 2


def test_one_event_id_in_two_accounts_makes_two_findings() -> None:
    """Identity of a record: (`recipientAccountId`, `eventID`)."""
    accounts = ("012345678901", ACCOUNT)
    searches = [
        describe_images(filters=NAMED, account=account, event_id="s", **after(0))
        for account in accounts
    ]
    launches = [run_instances(account=account, event_id="l", **after(5)) for account in accounts]

    found = findings(*searches, *launches)
    assert [each.key.account_id for each in found] == list(accounts)


@pytest.mark.parametrize("order", [1, -1])
def test_two_copies_of_a_launch_name_the_images_of_both(order: int) -> None:
    """Two paths may cut off different parts of one event; there is one occurrence of it."""
    full = run_instances(launched_image_id="ami-started", **after(45))
    cut = {**full, "responseElements": None}
    search = describe_images(filters=NAMED, **after(0))

    found = one_finding(*[search, full, cut][::order])

    (occurrence,) = found.occurrences
    assert occurrence.launch.image_ids == tuple(sorted({"ami-started", *_requested(cut)}))
    assert occurrence.copy_count == 2


def _requested(launch: Record) -> set[str]:
    """Returns the images that the request of a launch names."""
    items = launch["requestParameters"]["instancesSet"]["items"]
    return {item["imageId"] for item in items}


@pytest.mark.parametrize("order", [1, -1])
def test_a_launch_never_follows_a_search_it_did_not_follow(order: int) -> None:
    """`0 <= L.time - S.time <= window`, though a copy of the launch tells another time."""
    early = run_instances(event_id="l", instance_ids=[f"i-{n}" for n in range(9)], **after(1))
    late = run_instances(event_id="l", **after(1_000))
    searches = [describe_images(filters=NAMED, **after(seconds)) for seconds in (0, 500)]

    found = one_finding(*[*searches, early, late][::order])

    assert all(timedelta(0) <= each.gap <= DOCUMENTED.rule.window for each in found.occurrences)


def test_other_paths_count_when_the_rule_asks_for_them() -> None:
    """Section 8: off by default; an occurrence says which path it took."""
    paths = (LaunchPath.CREATE_LAUNCH_TEMPLATE, LaunchPath.CREATE_LAUNCH_CONFIGURATION)
    policy = Policy(rule=RuleConfig(launch_paths=(LaunchPath.RUN_INSTANCES, *paths)))
    records = [
        describe_images(filters=NAMED, **after(0)),
        create_launch_template(image_id="ami-1", **after(5)),
        create_launch_configuration(image_id="ami-2", **after(6)),
    ]

    found = one_finding(*records, policy=policy)

    assert findings(*records) == ()
    assert [each.launch.path for each in found.occurrences] == [*reversed(paths)]
    assert found.image_ids == ("ami-1", "ami-2")


EVERY_PATH = Policy(rule=RuleConfig(launch_paths=tuple(LaunchPath)))
SCALING = identities.service_linked_role(
    ACCOUNT, "AWSServiceRoleForAutoScaling", service="autoscaling.amazonaws.com"
)
FLEET = identities.aws_service("ec2fleet.amazonaws.com")
MONTHS = 90 * 86_400


@pytest.mark.parametrize("identity", [SCALING, FLEET])
def test_launch_by_a_service_from_a_pinned_template_is_an_occurrence(
    identity: identities.Identity,
) -> None:
    """Section 8: of the finding that its template's pin belongs to, months later."""
    records = [
        describe_images(filters=NAMED, event_id="s", **after(0)),
        create_launch_template(image_id=IMAGE_ID, event_id="t", **after(70)),
        run_instances(
            image_id=None,
            launched_image_id=IMAGE_ID,
            tags=template_tags(),
            account=ACCOUNT,
            event_id="l",
            **after(MONTHS, identity, agents.CLOUDFORMATION),
        ),
    ]

    found = one_finding(*records, policy=EVERY_PATH)

    of_launch, of_pin = found.occurrences
    assert found.key.actor_arn == ROLE
    assert of_launch.pin == of_pin.launch
    assert of_launch.launch.origin.event_id == "l"
    assert of_launch.search == of_pin.search
    assert (of_launch.gap, of_launch.confidence) == (of_pin.gap, of_pin.confidence)
    assert of_launch.confidence == 75
    assert findings(*records) == ()


@pytest.mark.parametrize(
    "paths",
    [
        (LaunchPath.RUN_INSTANCES, LaunchPath.CREATE_LAUNCH_TEMPLATE_VERSION),
        (LaunchPath.CREATE_LAUNCH_TEMPLATE_VERSION, LaunchPath.CREATE_FLEET),
    ],
)
def test_both_paths_must_be_enabled(paths: tuple[LaunchPath, ...]) -> None:
    """That of the call that pinned, and that of the launch."""
    policy = Policy(rule=RuleConfig(launch_paths=paths))
    web = {"image_id": None, "launched_image_id": IMAGE_ID, "tags": template_tags(version=2)}
    first = {**web, "tags": template_tags()}
    records = [
        describe_images(filters=NAMED, **after(0)),
        create_launch_template(**after(5)),
        create_launch_template_version(**after(6)),
        run_instances(**first, account=ACCOUNT, event_id="of-1", **after(MONTHS, FLEET)),  # type: ignore[arg-type]  # as they are
        run_instances(**web, account=ACCOUNT, event_id="of-2", **after(MONTHS, FLEET)),  # type: ignore[arg-type]  # as they are
    ]

    found = one_finding(*records, policy=policy)

    launched = {each.launch.origin.event_id for each in found.occurrences if each.pin}
    assert launched == ({"of-2"} if LaunchPath.RUN_INSTANCES in paths else set())


def test_an_unreadable_record_finds_nothing_and_hides_nothing() -> None:
    """A refusal never touches its neighbours."""
    records = [describe_images(filters=NAMED, **after(0)), run_instances(**after(45))]
    raw = [encode(each) for each in records]

    assert evaluate(raw, DOCUMENTED) == evaluate([b"oops", raw[0], b"\xff", raw[1]], DOCUMENTED)


def test_a_finding_is_suppressed_until_one_occurrence_is_not() -> None:
    """Suppression: while every occurrence is Packer's; the first that is not makes it OPEN."""
    packer = after(0, user_agent=agents.PACKER)
    name = {"name": ["acme-base-7"]}
    built = [describe_images(filters=name, **packer), run_instances(**after(5))]
    other = [describe_images(filters=name, **after(600)), run_instances(**after(601))]

    assert one_finding(*built).suppression is Suppression.PACKER_PREVALIDATION
    assert one_finding(*built, *other).suppression is None


def test_strict_finds_what_documented_does_not() -> None:
    """Mode STRICT asks what is true: a stranger's account as owner protects nothing."""
    records = [
        describe_images(filters=NAMED, owners=[STRANGER], **after(0)),
        run_instances(**after(5)),
    ]

    assert findings(*records) == ()
    assert one_finding(*records, policy=STRICT).reasons == ("UNTRUSTED_OWNER",)


def test_omitted_parameters_are_a_finding_in_strict_alone() -> None:
    """Over 100 KB: unsafe with reason PARAMETERS_OMITTED and confidence 5 in mode STRICT."""
    search = with_omitted_parameters(describe_images(filters=NAMED, **after(0)))
    records = [search, run_instances(**after(5))]

    found = one_finding(*records, policy=STRICT)

    assert findings(*records) == ()
    assert (found.reasons, found.confidence) == (("PARAMETERS_OMITTED",), 5)


def test_a_known_image_scores_the_findings_it_appears_in() -> None:
    """Knowing one more image re-scores the findings it appears in."""
    records = [describe_images(filters=NAMED, **after(0)), run_instances(**after(400))]
    stranger = one_finding(*records, images=known(owner=STRANGER, name="acme-base-7"))
    own = one_finding(*records, images=known(owner=ACCOUNT, name="other"))
    elsewhere = one_finding(*records, images={(IMAGE_ID, "eu-west-1"): known()[IMAGE_ID, REGION]})

    assert (stranger.score, stranger.confidence) == (100, 100)
    assert (own.score, own.confidence) == (10, 0)
    assert elsewhere == one_finding(*records)


def test_every_launch_of_a_finding_must_be_of_a_trusted_image() -> None:
    """TRUSTED_IMAGE: every launched image, of all occurrences, is known to be trusted."""
    records = [
        describe_images(filters=NAMED, **after(0)),
        run_instances(image_id="ami-known", **after(5)),
        run_instances(image_id="ami-other", **after(6)),
    ]

    assert one_finding(*records[:2], images=known("ami-known", owner=ACCOUNT)).score == 10
    assert one_finding(*records, images=known("ami-known", owner=ACCOUNT)).score == 50


def test_a_launch_of_an_unnamed_image_is_not_of_a_trusted_one() -> None:
    """TRUSTED_IMAGE: every launched image is known; one that no record names is not."""
    records = [
        describe_images(filters=NAMED, **after(0)),
        run_instances(image_id="ami-known", **after(5)),
        run_instances(image_id=None, launched_image_id=None, **after(6)),
    ]

    assert one_finding(*records, images=known("ami-known", owner=ACCOUNT)).score == 50
