"""Laws of counting what arrives."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiguard_core.decode import Decoded
from amiguard_core.policy import RuleConfig
from amiguard_core.sightings import Sighting
from amiguard_service.coverage import CLOCK_TOLERANCE, Days, RegionCount, SourceCount, day_of
from amiguard_service.intake import Batch
from amiguard_service.tally import Counted, Tally
from tests.store.values import ACCOUNT, NOON, origin, search

REGIONS = ("eu-west-1", "us-east-1", "af-south-1")
MINUTE = timedelta(minutes=1)

seen_times = st.lists(
    st.tuples(st.sampled_from(REGIONS), st.integers(-100_000, 100)), min_size=1, max_size=40
)


def others(count: int, seen: list[tuple[str, int]], *, source: str = "tests") -> Batch:
    """Makes a batch of so many records, some of which were seen."""
    sightings = [
        Sighting(ACCOUNT, region, NOON + timedelta(seconds=second)) for region, second in seen
    ]
    return Batch(Decoded(record_count=count, seen=sightings), source)


def tallied(*batches: Batch, at: datetime = NOON) -> Tally:
    """Counts batches that arrive at a time."""
    tally = Tally()
    for one in batches:
        tally.add_batch(one, arrival_time=at)
    return tally


def only(tally: Tally) -> RegionCount:
    """Returns the one count of a region."""
    (counted,) = tally.regions.values()
    return counted


@given(seen=seen_times, unseen=st.integers(0, 1_000))
def test_those_not_looked_into_are_shared_out(seen: list[tuple[str, int]], unseen: int) -> None:
    """Every record is counted once, evenly among those that were looked into."""
    tally = tallied(others(len(seen) + unseen, seen))

    counts = {where.region: counted.record_count for where, counted in tally.regions.items()}
    assert sum(counts.values()) == len(seen) + unseen
    for region, share in Counter(region for region, _ in seen).items():
        least = share * (1 + unseen // len(seen))
        assert least <= counts[region] <= least + share


@given(seen=seen_times)
def test_every_record_has_its_bucket(seen: list[tuple[str, int]]) -> None:
    """The buckets hold just the records that were counted."""
    tally = tallied(others(10 * len(seen), seen))

    assert all(sum(c.lateness) == c.record_count for c in tally.regions.values())


@given(parts=st.lists(seen_times, max_size=4), cut=st.integers(0, 4))
def test_counts_add_up_however_they_are_split(parts: list[list[tuple[str, int]]], cut: int) -> None:
    """Two tallies added are the tally of both."""
    batches = [others(3 * len(seen), seen, source=f"s{len(seen)}") for seen in parts]

    whole = tallied(*batches)
    joined = tallied(*batches[:cut]).add(tallied(*batches[cut:]))

    assert (joined.regions, joined.sources) == (whole.regions, whole.sources)


@pytest.mark.parametrize(
    ("late", "bucket"),
    [
        (timedelta(0), 0),
        (MINUTE, 0),
        (MINUTE + timedelta(microseconds=1), 1),
        (5 * MINUTE, 1),
        (15 * MINUTE, 2),
        (60 * MINUTE, 3),
        (6 * 60 * MINUTE, 4),
        (24 * 60 * MINUTE, 5),
        (24 * 60 * MINUTE + timedelta(seconds=1), 6),
        (-5 * MINUTE, 0),
    ],
)
def test_bucket_has_its_upper_bound_in_it(late: timedelta, bucket: int) -> None:
    """Lateness falls into the first bucket that it is not over."""
    counted = only(tallied(others(1, [("eu-west-1", 0)]), at=NOON + late))

    assert counted.lateness.index(1) == bucket


@pytest.mark.parametrize(
    ("ahead", "count"),
    [(timedelta(0), 0), (CLOCK_TOLERANCE, 0), (CLOCK_TOLERANCE + timedelta(seconds=1), 1)],
)
def test_record_of_the_future_is_one_that_no_clock_explains(ahead: timedelta, count: int) -> None:
    """Clocks may differ a little; what is dated further ahead is counted, and tells no time."""
    counted = only(tallied(others(1, [("eu-west-1", 0)]), at=NOON - ahead))

    assert counted.future_count == count
    assert (counted.last_record_time is None) == bool(count)


@pytest.mark.parametrize(
    ("account", "region"),
    [
        ("", "eu-west-1"),
        ("11112222333a", "eu-west-1"),
        ("1111222233334", "eu-west-1"),
        (ACCOUNT, ""),
        (ACCOUNT, "EU West"),
        (ACCOUNT, "x" * 33),
        (ACCOUNT, "eu-west-1\0"),
        ("\u0661" * 12, "eu-west-1"),
    ],
)
def test_names_that_are_made_up_are_not_counted(account: str, region: str) -> None:
    """Whoever sends records cannot fill the book with names, and yet is counted as their sender."""
    made_up = Batch(Decoded(record_count=1, seen=[Sighting(account, region, NOON)]), "tests")

    tally = tallied(made_up)

    assert tally.regions == {}
    (sent,) = tally.sources.values()
    assert sent.record_count == 1


def test_times_before_cloudtrail_are_not_counted() -> None:
    """A time that no record can have says nothing of a place."""
    first = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=23)))
    seen = Sighting(ACCOUNT, "eu-west-1", first)

    tally = tallied(Batch(Decoded(record_count=1, seen=[seen]), "tests"))

    assert tally.regions == {}


def test_relevant_records_are_counted_where_they_are_fresh() -> None:
    """Searches and launches that name somebody count as they are stored."""
    tally = Tally()
    tally.add_counted(Counted([search(origin("s"))], arrival_time=NOON, rule=RuleConfig()))

    counted = only(tally)
    assert (counted.search_count, counted.launch_count, counted.record_count) == (1, 0, 1)


class TestDays:
    """What counts by day tell together."""

    @staticmethod
    def days(*hours: int) -> Days[SourceCount]:
        """Makes counts of hours since noon in which something arrived."""
        by_day: dict[int, SourceCount] = {}
        for hour in hours:
            time = NOON + timedelta(hours=hour)
            counted = by_day.setdefault(day_of(time), SourceCount(time))
            counted.count(arrival_time=time, records=1, rejected=0)
        return Days(tuple(sorted(by_day.items())))

    @pytest.mark.parametrize(
        ("hours", "pause"),
        [((0,), 0), ((0, 1), 2), ((0, 1, 5), 5), ((0, 20), 21), ((0, 30, 31), 31)],
    )
    def test_longest_pause_is_no_shorter_than_it_was(
        self, hours: tuple[int, ...], pause: int
    ) -> None:
        """A pause is as long as the hours around it allow, over midnight too."""
        assert self.days(*hours).longest_pause == timedelta(hours=pause)

    def test_days_sum_up(self) -> None:
        """All days together, some of them, or none."""
        days = self.days(0, 24, 25, 48)
        today = day_of(NOON)

        assert days.total.record_count == 4
        assert days.first == NOON.replace(hour=0)
        assert [since and since.record_count for since in map(days.since, (today, today + 1))] == [
            4,
            3,
        ]
        assert days.since(today + 3) is None

    def test_sums_change_no_day(self) -> None:
        """Adding up leaves what is added as it was."""
        days = self.days(0, 24)

        assert days.total == days.total
        assert [counted.record_count for _, counted in days.counts] == [1, 1]
