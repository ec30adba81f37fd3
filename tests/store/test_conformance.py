"""What every store keeps to. A backend that leaves a category out says why in its `Backend`."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import permutations

import pytest
from msgspec.structs import replace
from sqlalchemy import select

from amiguard_core._requests import MAX_ARN_BYTES, MAX_EVENT_ID_BYTES, MAX_IDENTIFIER_LENGTH
from amiguard_core.decode import Rejection
from amiguard_core.events import Launch, Search
from amiguard_core.findings import Suppression
from amiguard_service.engine import Engine
from amiguard_service.filters import FINDING_FIELDS, MatchAll, parse_filter
from amiguard_service.lifecycle import Edit
from amiguard_service.ordering import DEFAULT_ORDER, parse_order_by
from amiguard_service.store.listing import position_of
from amiguard_service.store.pending import EARLIEST, LATEST
from amiguard_service.store.rejections import MAX_RAW_BYTES
from amiguard_service.store.schema import rejected_records
from amiguard_service.stored import State, StoredFinding
from tests.data.draws import Draws
from tests.databases import BACKENDS, ISOLATED
from tests.store.clock import ManualClock
from tests.store.values import NOON, UBUNTU, batch, launch, origin, search

pytestmark = pytest.mark.parametrize("backend", [*BACKENDS, *ISOLATED], ids=str, indirect=True)
"""Whatever isolation a database has by default, the store is the same."""


def all_findings(engine: Engine, text: str = "") -> list[StoredFinding]:
    """Lists findings by a filter."""
    condition = parse_filter(text, FINDING_FIELDS)
    return engine.list_findings(condition, DEFAULT_ORDER, after=None, limit=1_000)


def only(engine: Engine) -> StoredFinding:
    """Returns the one finding there is."""
    (found,) = all_findings(engine)
    return found


@pytest.mark.category("pairing")
class TestPairing:
    """Which launches are attributed to which searches."""

    def test_search_and_launch_make_a_finding(self, engine: Engine) -> None:
        """A launch within the window after an unsafe search is found."""
        (outcome,) = engine.commit([batch(search(origin("s")), launch(origin("l", 42), "ami-9"))])

        found = only(engine)
        assert (found.finding_id,) == outcome.finding_ids
        assert found.occurrence_count == 1
        assert found.image_ids == ("ami-9",)
        assert found.last_launch_time == NOON + timedelta(seconds=42)
        (occurrence,) = found.recent_occurrences
        assert (occurrence.search_event_id, occurrence.launch_event_id) == ("s", "l")
        assert occurrence.gap == timedelta(seconds=42)

    @pytest.mark.parametrize("order", list(permutations(range(3))))
    def test_order_of_arrival_is_of_no_account(
        self, engine: Engine, order: tuple[int, ...]
    ) -> None:
        """Whatever comes first, the launch is attributed to the latest search."""
        records: list[Search | Launch]
        records = [search(origin("s1")), search(origin("s2", 5)), launch(origin("l", 9))]

        for index in order:
            engine.commit([batch(records[index])])

        (occurrence,) = only(engine).recent_occurrences
        assert occurrence.search_event_id == "s2"

    def test_window_is_closed_at_both_ends(self, engine: Engine) -> None:
        """Equal times belong together, the window's end too, one second more does not."""
        launches = [launch(origin("before", -1)), launch(origin("same", 0))]
        launches += [launch(origin("last", 900)), launch(origin("beyond", 901))]

        engine.commit([batch(search(origin("s")), *launches)])

        occurrences = only(engine).recent_occurrences
        assert [o.launch_event_id for o in occurrences] == ["last", "same"]

    @pytest.mark.parametrize("together", [True, False])
    @pytest.mark.parametrize("first", [EARLIEST, LATEST - timedelta(seconds=1)])
    def test_records_of_the_ends_of_time_pair(
        self, engine: Engine, first: datetime, *, together: bool
    ) -> None:
        """Where a window goes past what a date can be, it ends there, and nothing fails."""
        found = search(replace(origin("s"), event_time=first))
        used = launch(replace(origin("l"), event_time=first + timedelta(seconds=1)))

        if together:
            engine.commit([batch(found, used)])
        else:
            engine.commit([batch(used)])
            engine.commit([batch(found)])

        assert [o.launch_event_id for o in only(engine).recent_occurrences] == ["l"]

    def test_nothing_is_consumed(self, engine: Engine) -> None:
        """One search serves every launch in its window, in whatever batch they come."""
        engine.commit([batch(search(origin("s")))])
        for number in range(3):
            engine.commit([batch(launch(origin(f"l{number}", number)))])

        assert only(engine).occurrence_count == 3

    @pytest.mark.parametrize(
        "other",
        [
            origin("l", 1, region="eu-west-2"),
            origin("l", 1, account="444455556666"),
            origin("l", 1, principal="arn:aws:iam::111122223333:user/bob"),
            origin("l", 1, principal=None),
            origin("l", 1, account=None),
        ],
        ids=["region", "account", "principal", "no principal", "no account"],
    )
    def test_other_keys_do_not_pair(self, engine: Engine, other: object) -> None:
        """Account, region and principal must be the same."""
        assert isinstance(other, type(origin("l")))
        engine.commit([batch(search(origin("s"))), batch(launch(other))])

        assert all_findings(engine) == []

    def test_copies_that_differ_are_all_judged(self, engine: Engine) -> None:
        """A copy that lost its filters on the way hides nothing, whichever came first."""
        cut = search(origin("s"), "x", owners=("self",))

        engine.commit([batch(cut)])
        engine.commit([batch(search(origin("s")))])
        engine.commit([batch(launch(origin("l", 1)))])

        assert only(engine).search_names == (UBUNTU,)

    def test_fuller_copy_of_a_launch_is_shown(self, engine: Engine) -> None:
        """Two copies of a launch are one occurrence, with what the fuller one says."""
        engine.commit([batch(search(origin("s")), launch(origin("l", 1, agent=""), "ami-1"))])
        engine.commit([batch(launch(origin("l", 1), "ami-1"))])

        found = only(engine)
        assert found.occurrence_count == 1
        assert found.recent_occurrences[0].user_agent == "aws-cli/2.17.32"


@pytest.mark.category("repetition")
class TestRepetition:
    """What records do that come again."""

    def test_second_commit_changes_nothing(self, engine: Engine, clock: ManualClock) -> None:
        """A batch sent again has the effect of a batch sent once."""
        sent = batch(search(origin("s")), launch(origin("l", 1)))
        engine.commit([sent])
        before = only(engine)
        clock.now += timedelta(hours=1)

        (outcome,) = engine.commit([sent])

        assert outcome.duplicate_count == 2
        assert outcome.finding_ids == ()
        assert only(engine) == before

    def test_repeats_within_a_batch_are_counted(self, engine: Engine) -> None:
        """A record twice in one batch is one duplicate."""
        (outcome,) = engine.commit([batch(search(origin("s")), search(origin("s")))])

        assert outcome.accepted_count == 2
        assert outcome.duplicate_count == 1

    def test_batches_of_one_commit_have_their_own_outcomes(self, engine: Engine) -> None:
        """The batch that repeats another's record counts it; each names what it touched."""
        first, second, third = engine.commit(
            [
                batch(search(origin("s"))),
                batch(search(origin("s")), launch(origin("l", 1))),
                batch(),
            ]
        )

        assert [o.duplicate_count for o in (first, second, third)] == [0, 1, 0]
        assert first.finding_ids == second.finding_ids != ()
        assert third.finding_ids == ()

    def test_one_event_id_in_two_accounts_is_two_records(self, engine: Engine) -> None:
        """A record is known by its account and event id together."""
        other = origin("s", account="444455556666")

        outcomes = engine.commit([batch(search(origin("s"))), batch(search(other))])

        assert [outcome.duplicate_count for outcome in outcomes] == [0, 0]


@pytest.mark.category("findings")
class TestFindings:
    """What a finding carries, and how it changes."""

    def test_finding_carries_how_it_was_scored(self, engine: Engine) -> None:
        """The steps lead to the score; the client and the reasons are there."""
        engine.commit([batch(search(origin("s")), launch(origin("l", 1)))])

        found = only(engine)
        assert [step.code for step in found.steps] == ["BASE", "PUBLIC_NAME_FAMILY"]
        assert found.score == 85
        assert found.confidence == 90
        assert found.reasons == ("NO_OWNER",)
        assert found.client == "aws-cli"
        assert found.state is State.OPEN

    def test_confidence_falls_with_the_occurrence_that_held_it(self, engine: Engine) -> None:
        """A later search by another program takes the launch over, and its confidence counts."""
        engine.commit([batch(search(origin("s1")), launch(origin("l", 9)))])

        engine.commit([batch(search(origin("s2", 5, agent="Boto3/1.0 Botocore/1.0")))])

        found = only(engine)
        assert found.confidence == 70
        assert found.client == "boto3"

    def test_suppressed_until_one_occurrence_is_not(self, engine: Engine) -> None:
        """Packer's own check is set aside; the same search by another program opens it."""
        packer = search(origin("s1", agent="Packer/1.9"), "acme-base-2026")
        engine.commit([batch(packer, launch(origin("l1", 1)))])
        set_aside = only(engine)

        other = search(origin("s2", 100), "acme-base-2026")
        engine.commit([batch(other, launch(origin("l2", 101)))])

        opened = only(engine)
        assert set_aside.state is State.SUPPRESSED
        assert set_aside.suppression == Suppression.PACKER_PREVALIDATION
        assert opened.state is State.OPEN
        assert opened.suppression is None

    def test_etag_and_update_time_follow_changes(self, engine: Engine, clock: ManualClock) -> None:
        """A change gives another etag and update time; the creation time stays."""
        engine.commit([batch(search(origin("s")), launch(origin("l1", 1)))])
        before = only(engine)
        clock.now += timedelta(minutes=5)

        engine.commit([batch(launch(origin("l2", 2)))])

        after = only(engine)
        assert after.etag != before.etag
        assert after.create_time == before.create_time
        assert after.update_time == clock.now

    def test_times_do_not_run_backwards(self, engine: Engine, clock: ManualClock) -> None:
        """Whichever server takes the next record in, and however slow its clock is."""
        engine.commit([batch(search(origin("s")), launch(origin("l1", 1)))])
        before = only(engine)
        clock.now -= timedelta(seconds=30)

        engine.commit([batch(launch(origin("l2", 2)))])

        after = only(engine)
        assert after.occurrence_count == 2
        assert after.update_time == before.update_time == before.create_time

    def test_unknown_finding_is_none(self, engine: Engine) -> None:
        """There is nothing under an id that was never given."""
        assert engine.get_finding("111122223333-0") is None
        assert engine.list_occurrences("nonsense", after=None, limit=1) is None

    def test_occurrences_are_paged_newest_first(self, engine: Engine) -> None:
        """Pages of occurrences hold each once, newest launch first."""
        launches = [launch(origin(f"l{n:02}", n // 2)) for n in range(25)]
        engine.commit([batch(search(origin("s")), *launches)])
        found = only(engine)

        seen: list[tuple[datetime, str]] = []
        while True:
            after = seen[-1] if seen else None
            page = engine.list_occurrences(found.finding_id, after=after, limit=7)
            assert page is not None
            seen += [(o.launch_time, o.launch_event_id) for o in page]
            if len(page) < 7:
                break

        assert len(found.recent_occurrences) == 20
        assert sorted(seen, reverse=True) == seen
        assert {launch.origin.event_id for launch in launches} == {event for _, event in seen}


@pytest.mark.category("listing")
class TestListing:
    """Filters, orders and pages."""

    @pytest.fixture(autouse=True)
    def _findings(self, engine: Engine, clock: ManualClock) -> None:
        for number, names in enumerate((UBUNTU, "acme-*", "acme-exact", "*"), start=1):
            where = 100_000 * number
            records = [search(origin(f"s{number}", where), names)]
            records_and = [
                launch(origin(f"l{number}.{n}", where + n), f"ami-{number}") for n in range(number)
            ]
            clock.now += timedelta(minutes=1)
            engine.commit([batch(*records, *records_and)])

    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("likelihood = HIGH", {UBUNTU, "*"}),
            ("likelihood != HIGH", {"acme-*", "acme-exact"}),
            ("likelihood = MEDIUM AND occurrence_count > 2", {"acme-exact"}),
            ("image_ids : ami-2", {"acme-*"}),
            ('name_patterns : "acme-*"', {"acme-*"}),
            ("account_id = 111122223333", {UBUNTU, "acme-*", "acme-exact", "*"}),
            ("actor_arn = *alice", {UBUNTU, "acme-*", "acme-exact", "*"}),
            ("actor_arn = *Alice", set()),
            ("NOT client = aws-cli", set()),
            ("state = OPEN", {UBUNTU, "acme-*", "acme-exact", "*"}),
            ("disposition = UNSPECIFIED", {UBUNTU, "acme-*", "acme-exact", "*"}),
            ("labels : team", set()),
            ("labels.team != a", {UBUNTU, "acme-*", "acme-exact", "*"}),
            ("likelihood_score < 50 OR likelihood_score >= 95", {"acme-exact", "*"}),
            ('last_launch_time > "2026-03-04T00:00:00Z"', {"acme-exact", "*"}),
            ("likelihood_score > 32768", set()),
            ("confidence < 40000 AND confidence > -40000", {UBUNTU, "acme-*", "acme-exact", "*"}),
            ("likelihood_score != 4294967296", {UBUNTU, "acme-*", "acme-exact", "*"}),
            ("occurrence_count >= 9223372036854775807", set()),
        ],
    )
    def test_filter_selects(self, engine: Engine, text: str, names: set[str]) -> None:
        """A filter gives just the findings it is true of."""
        assert {name for f in all_findings(engine, text) for name in f.search_names} == names

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "create_time",
            "last_launch_time desc",
            "likelihood_score desc, occurrence_count",
            "occurrence_count desc",
        ],
    )
    @pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
    def test_pages_make_the_whole_list(self, engine: Engine, text: str, size: int) -> None:
        """Pages of any size join to the list in its order, nothing missing and nothing twice."""
        order = parse_order_by(text)
        whole = engine.list_findings(MatchAll(), order, after=None, limit=100)

        seen: list[StoredFinding] = []
        while True:
            after = position_of(seen[-1], order) if seen else None
            page = engine.list_findings(MatchAll(), order, after=after, limit=size)
            seen += page
            if len(page) < size:
                break

        assert whole == seen
        assert len(whole) == 4

    def test_default_order_is_newest_change_first(self, engine: Engine) -> None:
        """Without an order the finding that changed last comes first."""
        assert [f.occurrence_count for f in all_findings(engine)] == [4, 3, 2, 1]

    @pytest.mark.parametrize(
        ("text", "counts"),
        [
            ("create_time", [2, 3, 3, 5]),
            ("update_time, occurrence_count", [3, 2, 3, 5]),
            ("last_launch_time", [2, 3, 3, 5]),
            ("likelihood_score, occurrence_count desc", [3, 3, 2, 5]),
            ("occurrence_count desc, create_time", [5, 3, 3, 2]),
        ],
    )
    def test_lists_follow_what_one_commit_changes(
        self, engine: Engine, clock: ManualClock, text: str, counts: list[int]
    ) -> None:
        """Findings that change together are each listed by what they keep and what is new."""
        four = next(f for f in all_findings(engine) if f.search_names == ("*",))
        engine.update_finding(four.finding_id, Edit(assignee="alice"), etag=None, actor="tests")
        clock.now += timedelta(minutes=1)
        agent = "HashiCorp/1.0 Terraform/1.9.5"

        engine.commit(
            [
                batch(
                    launch(origin("more1", 100_010), "ami-1"),
                    search(origin("other2", 200_020, agent=agent), "acme-*"),
                    launch(origin("more2", 200_021), "ami-2"),
                    launch(origin("more4", 400_000.5), "ami-4"),
                )
            ]
        )

        order = parse_order_by(text)
        found = engine.list_findings(MatchAll(), order, after=None, limit=10)
        assert [f.occurrence_count for f in found] == counts
        by_client = {f.search_names: f for f in all_findings(engine, "client = terraform")}
        assert set(by_client) == {("acme-*",)}
        assert [f.occurrence_count for f in all_findings(engine, "assignee = alice")] == [5]
        assert len(all_findings(engine, "client = aws-cli")) == 3


@pytest.mark.category("rejections")
class TestRejections:
    """What was set aside."""

    def test_rejected_records_are_kept(self, engine: Engine) -> None:
        """What was set aside is there with its place, path and first bytes."""
        raw = b"x" * (MAX_RAW_BYTES + 1)
        rejection = Rejection(index=3, path="$.eventTime", message="no", raw=raw)

        engine.commit([batch(rejections=(rejection,))])

        rows = engine._database.read(lambda c: c.execute(select(rejected_records)).all())
        (row,) = rows
        assert (row.position, row.path, row.message) == (3, "$.eventTime", "no")
        assert (bytes(row.raw), row.raw_length) == (raw[:MAX_RAW_BYTES], len(raw))
        assert row.source == "tests"


@pytest.mark.category("keys")
def test_the_longest_keys_of_records_are_stored(engine: Engine) -> None:
    """A record that is read can be stored, however little its texts can be compressed."""
    draws = Draws(1)
    principal = draws.token(MAX_ARN_BYTES)
    where = [
        origin(draws.token(MAX_EVENT_ID_BYTES), n, region=draws.token(64), principal=principal)
        for n in range(2)
    ]
    used = replace(where[1], region=where[0].region)

    engine.commit([batch(search(where[0]), launch(used, draws.token(MAX_IDENTIFIER_LENGTH)))])

    assert only(engine).occurrence_count == 1


@pytest.mark.category("keys")
def test_replicas_share_page_token_keys(engine: Engine, database_url: str) -> None:
    """Two servers of one database seal and open with the same key."""
    other = Engine.open(database_url)

    keys = other.page_token_keys()

    other.close()
    assert engine.page_token_keys() == keys
