"""Coverage: what came in is counted, exactly where it matters, and survives what it is for."""

from __future__ import annotations

from datetime import timedelta
from threading import Thread

import pytest

from amiguard_core.decode import Decoded, Rejection
from amiguard_core.policy import RuleConfig
from amiguard_core.sightings import Sighting
from amiguard_service.coverage import RegionCount, RegionCoverage, SourceCoverage
from amiguard_service.coverage_book import CoverageQuery, CoverageReport
from amiguard_service.engine import Batch, Engine
from amiguard_service.retention import SweepLimits
from amiguard_service.store.errors import StoreUnavailableError
from tests.databases import durable
from tests.store.clock import ManualClock
from tests.store.values import ACCOUNT, NOON, batch, launch, origin, search

RULE = RuleConfig()
SECOND = timedelta(seconds=1)
REJECTION = Rejection(index=0, path="$", message="no", raw=b"{}")


@pytest.fixture
def database_url(database_url: str) -> str:
    """A database of which there is nothing to say."""
    return durable(database_url)


def report(engine: Engine, **query: object) -> CoverageReport:
    """Stores what was counted, and returns what the store has."""
    engine.coverage.flush()
    return engine.coverage.report(CoverageQuery(**({"limit": 100} | query)))  # type: ignore[arg-type]


def region(engine: Engine) -> RegionCoverage:
    """Returns the one region there is."""
    (found,) = report(engine).regions
    return found


def total(engine: Engine) -> RegionCount:
    """Returns what came from the one region there is."""
    return region(engine).days.total


def source(engine: Engine) -> SourceCoverage:
    """Returns the one forwarder there is."""
    (found,) = report(engine).sources
    return found


def others(count: int, *sightings: Sighting) -> Batch:
    """Makes a batch of so many records that are neither searches nor launches."""
    return Batch(Decoded(record_count=count, seen=list(sightings)), source="tests")


def sighting(seconds: float = 0, *, account: str = ACCOUNT, name: str = "eu-west-1") -> Sighting:
    """Makes a sighting of a record `seconds` after noon."""
    return Sighting(account, name, NOON + timedelta(seconds=seconds))


@pytest.mark.category("coverage")
class TestSearchesAndLaunches:
    """What the rule needs is counted exactly."""

    def test_times_and_counts(self, engine: Engine, clock: ManualClock) -> None:
        """The last search and the last launch are told apart, by their own times."""
        engine.commit([batch(search(origin("s1", 5)), search(origin("s2", 3)))])
        engine.commit([batch(launch(origin("l", 9)))])

        counted = total(engine)
        assert (counted.record_count, counted.search_count, counted.launch_count) == (3, 2, 1)
        assert counted.last_search_time == NOON + 5 * SECOND
        assert counted.last_launch_time == NOON + 9 * SECOND
        assert counted.last_record_time == NOON + 9 * SECOND
        assert counted.last_arrival_time == clock.now

    def test_repeats_count_once(self, engine: Engine) -> None:
        """A record is counted once however often it comes, in one batch, commit or many."""
        sent = batch(search(origin("s")), search(origin("s")))

        engine.commit([sent, sent])
        engine.commit([sent])

        assert total(engine).search_count == 1

    def test_commit_that_fails_counts_nothing(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Counts stand and fall with the records they count."""

        def fail(*_: object, **__: object) -> None:
            raise StoreUnavailableError("the database is unavailable")

        with monkeypatch.context() as broken:
            broken.setattr("amiguard_service.commit.insert_rejections", fail)
            with pytest.raises(StoreUnavailableError):
                engine.commit([batch(search(origin("s")))])
        failed = report(engine)
        engine.commit([batch(search(origin("s")))])

        assert failed.regions == ()
        assert total(engine).search_count == 1

    def test_caller_that_is_missing_is_counted(self, engine: Engine) -> None:
        """Records that name nobody are counted too, as often as they are sent."""
        sent = batch(search(origin("s", principal=None)), launch(origin("l", 1)))

        engine.commit([sent])
        engine.commit([sent])

        counted = total(engine)
        assert (counted.search_count, counted.launch_count) == (2, 1)
        assert counted.unidentified_count == 2

    @pytest.mark.parametrize(
        ("kind", "late", "counted"),
        [
            (search, RULE.window + RULE.lateness, 0),
            (search, RULE.window + RULE.lateness + SECOND, 1),
            (launch, RULE.lateness, 0),
            (launch, RULE.lateness + SECOND, 1),
        ],
    )
    def test_what_may_have_missed_its_partner_is_counted(
        self, engine: Engine, clock: ManualClock, kind: object, late: timedelta, counted: int
    ) -> None:
        """A record counts as beyond the horizon from when a partner may have been forgotten."""
        assert callable(kind)
        clock.now = NOON + late

        engine.commit([batch(kind(origin("r")))])

        assert total(engine).beyond_horizon_count == counted

    def test_what_is_within_the_horizon_misses_no_partner(
        self, engine: Engine, clock: ManualClock
    ) -> None:
        """The first moment in which a launch can miss its search is the first that is counted."""
        clock.now = NOON
        engine.commit([batch(search(origin("s")))])
        clock.now = NOON + RULE.window + RULE.lateness
        engine.sweep(clock.now, SweepLimits())

        last_moment = origin("l", RULE.window.total_seconds())
        (outcome,) = engine.commit([batch(launch(last_moment))])

        assert len(outcome.finding_ids) == 1
        assert total(engine).beyond_horizon_count == 0

    def test_record_of_the_future_tells_no_last_time(
        self, engine: Engine, clock: ManualClock
    ) -> None:
        """A clock that is wrong is counted, and hides no silence."""
        clock.now = NOON
        engine.commit([batch(search(origin("s", 60)))])
        engine.commit([batch(launch(origin("l", 61)))])

        counted = total(engine)
        assert counted.future_count == 1
        assert (counted.last_search_time, counted.last_launch_time) == (NOON + 60 * SECOND, None)
        assert counted.last_record_time == NOON + 60 * SECOND


@pytest.mark.category("coverage")
class TestOtherRecords:
    """What the rule does not need is counted by the records that were looked into."""

    def test_batches_that_need_no_transaction_are_stored_together(
        self, engine: Engine, clock: ManualClock
    ) -> None:
        """What is noted adds up until it is stored, and is stored once."""
        clock.now = NOON
        engine.note(others(100, sighting(-60)))
        clock.now += timedelta(hours=1)
        engine.note(others(20, sighting(-30)))

        engine.coverage.flush()
        engine.coverage.flush()

        counted = total(engine)
        assert counted.record_count == 120
        assert counted.last_record_time == NOON - 30 * SECOND
        assert counted.last_arrival_time == clock.now
        assert region(engine).days.hours[-1] - region(engine).days.hours[0] == 1
        assert source(engine).days.total.record_count == 120

    def test_what_cannot_be_stored_is_stored_later(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While the database is lost counts wait, and more may be added to them."""

        def fail(*_: object, **__: object) -> None:
            raise StoreUnavailableError("the database is unavailable")

        engine.note(others(100, sighting()))
        with monkeypatch.context() as broken:
            broken.setattr(engine._database, "write", fail)
            with pytest.raises(StoreUnavailableError):
                engine.coverage.flush()
        engine.note(others(1, sighting()))

        assert total(engine).record_count == 101

    def test_committed_batches_count_their_other_records_too(self, engine: Engine) -> None:
        """Of a batch with a search in it nothing is left to a later flush."""
        sent = batch(search(origin("s")))
        sent.decoded.record_count = 50
        sent.decoded.seen.append(sighting(name="us-east-1"))

        engine.commit([sent])

        counts = {
            found.region: found.days.total.record_count
            for found in engine.coverage.report(CoverageQuery(limit=10)).regions
        }
        assert counts == {"eu-west-1": 1, "us-east-1": 49}


@pytest.mark.category("coverage")
class TestSources:
    """What forwarders send is counted by their names."""

    def test_rejections_are_counted_by_who_sent_them(self, engine: Engine) -> None:
        """Read and rejected inputs are told apart."""
        engine.commit([batch(search(origin("s")), rejections=(REJECTION,) * 3)])

        sent = source(engine).days.total
        assert (source(engine).source, sent.record_count, sent.rejected_count) == ("tests", 1, 3)


@pytest.mark.category("coverage")
class TestReports:
    """What is stored is read by account and region, a page at a time."""

    def test_pages_hold_each_region_once(self, engine: Engine) -> None:
        """Pages of any size join to the whole, in order of account and region."""
        accounts = ("111122223333", "000000000001", "444455556666")
        places = [(a, r) for a in accounts for r in ("us-east-1", "eu-west-1", "af-south-1")]
        for number, (account, name) in enumerate(places):
            where = origin(f"s{number}", number, account=account, region=name)
            engine.commit([batch(search(where))])

        for size in (1, 2, 4, 9, 10):
            seen: list[tuple[str, str]] = []
            page = report(engine, limit=size)
            seen += [(found.account_id, found.region) for found in page.regions]
            while page.next_after is not None:
                page = report(engine, limit=size, after=page.next_after)
                seen += [(found.account_id, found.region) for found in page.regions]
            assert seen == sorted(places)

    @pytest.mark.parametrize(
        ("query", "places"),
        [
            ({"account_id": ACCOUNT}, [(ACCOUNT, "eu-west-1"), (ACCOUNT, "us-east-1")]),
            ({"region": "us-east-1"}, [(ACCOUNT, "us-east-1"), ("444455556666", "us-east-1")]),
            ({"account_id": ACCOUNT, "region": "us-east-1"}, [(ACCOUNT, "us-east-1")]),
            ({"account_id": "999999999999"}, []),
        ],
    )
    def test_one_account_or_region_can_be_asked_for(
        self, engine: Engine, query: dict[str, str], places: list[tuple[str, str]]
    ) -> None:
        """A query for one account or region gives just that, and no word of forwarders."""
        for account, name in (
            (ACCOUNT, "eu-west-1"),
            (ACCOUNT, "us-east-1"),
            ("444455556666", "us-east-1"),
        ):
            engine.note(others(1, sighting(account=account, name=name)))

        found = report(engine, **query)

        assert [(one.account_id, one.region) for one in found.regions] == places
        assert {diagnosis.source for diagnosis in found.diagnoses} <= {None}

    def test_days_are_apart_and_summed(self, engine: Engine, clock: ManualClock) -> None:
        """Counts are kept by the day of arrival."""
        clock.now = NOON
        engine.commit([batch(search(origin("s1")))])
        clock.now += timedelta(days=2)
        engine.commit([batch(search(origin("s2", 60)))])

        (first, one), (second, other) = region(engine).days.counts
        assert (one.search_count, other.search_count, total(engine).search_count) == (1, 1, 2)
        assert second - first == 2

    def test_diagnoses_come_with_their_page(self, engine: Engine, clock: ManualClock) -> None:
        """A region's diagnoses are on its page, those of forwarders on the first."""
        clock.now = NOON
        for number, name in enumerate(("eu-west-1", "us-east-1")):
            engine.commit([batch(launch(origin(f"l{number}", region=name)))])

        first = report(engine, limit=1)
        second = report(engine, limit=1, after=first.next_after)

        assert [(d.code, d.region) for d in first.diagnoses] == [("SEARCHES_MISSING", "eu-west-1")]
        assert [(d.code, d.region) for d in second.diagnoses] == [("SEARCHES_MISSING", "us-east-1")]
        assert (len(first.sources), second.sources) == (1, ())

    def test_records_of_nowhere_are_told_of(self, engine: Engine, clock: ManualClock) -> None:
        """Searches and launches whose account was lost on the way find nothing, and it is said."""
        clock.now = NOON
        nowhere = [origin(f"n{number}", number, account=None) for number in range(2)]
        engine.commit([batch(search(nowhere[0]), launch(nowhere[1]))])
        alone = report(engine)
        engine.commit([batch(search(origin("s")), launch(origin("l", 1)))])

        assert [diagnosis.code for diagnosis in alone.diagnoses] == ["PLACES_UNKNOWN"]
        assert report(engine).diagnoses == ()

    def test_nothing_is_said_of_nothing(self, engine: Engine) -> None:
        """Without a record ever there is one diagnosis, which says so."""
        found = report(engine)

        assert (found.regions, found.sources) == ((), ())
        assert [diagnosis.code for diagnosis in found.diagnoses] == ["NOTHING_RECEIVED"]


@pytest.mark.category("coverage")
def test_counts_outlive_the_server(engine: Engine, other: Engine) -> None:
    """Two servers count into one book, which a third reads."""
    engine.commit([batch(search(origin("s1", 1)))])
    other.commit([batch(search(origin("s2", 2)), launch(origin("l", 3)))])
    other.note(others(10, sighting()))
    other.coverage.flush()

    counted = total(engine)
    assert (counted.record_count, counted.search_count, counted.launch_count) == (13, 2, 1)
    assert counted.last_search_time == NOON + 2 * SECOND


@pytest.mark.category("coverage")
def test_server_that_stops_stores_what_it_counted(database_url: str, engine: Engine) -> None:
    """Nothing that was noted is lost to an orderly end."""
    stopping = Engine.open(database_url)
    stopping.note(others(10, sighting()))

    stopping.close()

    assert total(engine).record_count == 10


@pytest.mark.category("coverage")
def test_servers_that_count_side_by_side_lose_nothing(engine: Engine, other: Engine) -> None:
    """Counts of transactions side by side add up, and none waits for another for ever."""
    places = [f"eu-west-{number}" for number in range(1, 6)]
    rounds = 15

    def count(server: Engine, name: str, order: list[str]) -> None:
        for number in range(rounds):
            where = f"{name}-{number}"
            server.commit([batch(*(search(origin(f"{where}-{at}", region=at)) for at in order))])
            server.coverage.flush()

    threads = [
        Thread(target=count, args=[server, name, order])
        for server, name, order in (
            (engine, "a", places),
            (other, "b", places[::-1]),
            (engine, "c", places[::-1]),
        )
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    found = report(engine).regions
    assert [one.days.total.search_count for one in found] == [rounds * len(threads)] * len(places)
