"""Coverage: what came in is counted, exactly where it matters, and survives what it is for."""

from __future__ import annotations

from datetime import timedelta
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amiguard_core.decode import Decoded, Rejection, decode_records
from amiguard_core.policy import RuleConfig
from amiguard_core.sightings import Sighting
from amiguard_service.coverage import RegionCount, RegionCoverage, SourceCoverage
from amiguard_service.coverage_book import CoverageQuery, CoverageReport
from amiguard_service.engine import Batch, Engine
from amiguard_service.store.errors import StoreUnavailableError
from tests.store.clock import ManualClock
from tests.store.test_laws import clear
from tests.store.values import ACCOUNT, NOON, batch, launch, origin, search

RULE = RuleConfig()
SECOND = timedelta(seconds=1)
REJECTION = Rejection(index=0, path="$", message="no", raw=b"{}")


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
        ("kind", "late", "is_beyond"),
        [
            (search, RULE.window + RULE.lateness, False),
            (search, RULE.window + RULE.lateness + SECOND, True),
            (launch, RULE.lateness, False),
            (launch, RULE.lateness + SECOND, True),
        ],
    )
    def test_what_may_have_missed_its_partner_is_counted(
        self, engine: Engine, clock: ManualClock, kind: object, late: timedelta, is_beyond: bool
    ) -> None:
        """A record counts as beyond the horizon from when a partner may have been forgotten."""
        assert callable(kind)
        clock.now = NOON + late

        engine.commit([batch(kind(origin("r")))])

        assert total(engine).beyond_horizon_count == is_beyond

    def test_what_is_within_the_horizon_misses_no_partner(
        self, engine: Engine, clock: ManualClock
    ) -> None:
        """The first moment in which a launch can miss its search is the first that is counted."""
        engine_limits = {"s": 0, "l": RULE.window.total_seconds()}
        clock.now = NOON
        engine.commit([batch(search(origin("s", engine_limits["s"])))])
        clock.now = NOON + RULE.window + RULE.lateness
        from amiguard_service.retention import SweepLimits

        engine.sweep(clock.now, SweepLimits())

        (outcome,) = engine.commit([batch(launch(origin("l", engine_limits["l"])))])

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

    def test_lateness_falls_into_buckets(self, engine: Engine, clock: ManualClock) -> None:
        """A bucket has its upper bound in it."""
        clock.now = NOON
        minutes = (0, 1, 5, 15, 60, 6 * 60, 24 * 60, 24 * 60 + 1)
        seen = [sighting(-60 * minute) for minute in minutes]

        engine.note(others(len(seen), *seen))

        assert total(engine).lateness == [2, 1, 1, 1, 1, 1, 1]

    @given(count=st.integers(1, 1_000), places=st.lists(st.booleans(), min_size=1, max_size=20))
    @settings(max_examples=20)
    def test_those_not_looked_into_are_shared_out(
        self, migrated_sqlite: object, count: int, places: list[bool]
    ) -> None:
        """Every record is counted once, among the places of those that were looked into."""
        del migrated_sqlite
        from amiguard_service.tally import Tally

        count = max(count, len(places))
        seen = [sighting(name="eu-west-1" if west else "us-east-1") for west in places]
        tally = Tally()

        tally.add_batch(others(count, *seen), arrival_time=NOON)

        counts = {where.region: counted.record_count for where, counted in tally.regions.items()}
        assert sum(counts.values()) == count
        even = count / len(places)
        assert all(
            abs(counts[where] - even * places.count(where == "eu-west-1")) <= places.count(
                where == "eu-west-1"
            )
            for where in counts
        )
