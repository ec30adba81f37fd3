"""Laws of diagnosis: what is wrong is said, and what is well is left alone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import pytest

from amiguard_core.policy import RuleConfig
from amiguard_service.clock_guard import ClockReading
from amiguard_service.coverage import (
    Days,
    RegionCount,
    RegionCoverage,
    SourceCount,
    SourceCoverage,
    day_of,
)
from amiguard_service.diagnosis import (
    MIN_HOURS,
    RETENTION_LAG,
    SILENCE,
    SINK_LAG,
    Code,
    Diagnosis,
    Severity,
    are_silent,
    diagnose_clocks,
    diagnose_durability,
    diagnose_region,
    diagnose_retention,
    diagnose_sinks,
    diagnose_sources,
    spell,
)
from amiguard_service.sinks import SinkProgress
from amiguard_service.store.clocks import Jump
from tests.store.values import ACCOUNT, NOON

RULE = RuleConfig()
MINUTE = timedelta(minutes=1)
SKEWED = ClockReading(
    time=NOON,
    server_time=NOON + timedelta(hours=25),
    difference=-timedelta(hours=25),
    jump=None,
)
STEADY = range(-48, 1)
"""Every hour of the last two days."""


def hour(number: float) -> datetime:
    """Returns the time so many hours after noon."""
    return NOON + timedelta(hours=number)


def region(
    hours: Iterable[float] = STEADY, *, launches: int = 0, searches: int = 0
) -> Days[RegionCount]:
    """Makes the counts of records in some hours, some in the last one searches or launches."""
    days: dict[int, RegionCount] = {}
    for number in hours:
        counted = days.setdefault(day_of(hour(number)), RegionCount(hour(number)))
        counted.count(hour(number) - 5 * MINUTE, arrival_time=hour(number))
    last = days[max(days)]
    last.launch_count, last.search_count = launches, searches
    return Days(tuple(sorted(days.items())))


def source(
    hours: Iterable[float] = STEADY, *, rejected: int = 0, records: int = 1
) -> Days[SourceCount]:
    """Makes the counts of a forwarder that sends in some hours."""
    days: dict[int, SourceCount] = {}
    for number in hours:
        counted = days.setdefault(day_of(hour(number)), SourceCount(hour(number)))
        counted.count(arrival_time=hour(number), records=records, rejected=rejected)
    return Days(tuple(sorted(days.items())))


def of_region(days: Days[RegionCount], *, now: datetime = NOON) -> list[Diagnosis]:
    """Diagnoses a region while forwarders send."""
    coverage = RegionCoverage(ACCOUNT, "eu-west-1", days)
    return list(diagnose_region(coverage, now=now, rule=RULE, all_silent=False))


def of_sources(
    *of: Days[SourceCount], now: datetime = NOON, knows_places: bool = True
) -> list[Diagnosis]:
    """Diagnoses forwarders called a, b and so on."""
    sources = [SourceCoverage(name, days) for name, days in zip("abcdef", of, strict=False)]
    return list(diagnose_sources(sources, now=now, knows_places=knows_places))


def only(found: list[Diagnosis]) -> Diagnosis:
    """Returns the one diagnosis there is."""
    (diagnosis,) = found
    return diagnosis


BEHIND = SinkProgress(
    sink_id="siem",
    failure_count=1,
    resume_time=None,
    delivered_count=0,
    last_delivery_time=None,
    last_error_time=NOON,
    last_error="HTTP 503",
    pending_count=1,
    oldest_pending_time=NOON,
    dead_letter_count=1,
)
"""A sink that is behind, and has not been sent everything."""


def codes(found: list[Diagnosis]) -> list[Code]:
    """Returns what is wrong."""
    return [diagnosis.code for diagnosis in found]


def test_nothing_is_wrong_where_all_is_well() -> None:
    """Records that come on time, with searches and launches among them, are no news."""
    assert of_region(region(launches=3, searches=40)) == []
    assert of_sources(source(), source()) == []


class TestSources:
    """What forwarders send, and whether they send at all."""

    def test_nothing_ever_received_is_an_error(self) -> None:
        """Without a forwarder nothing is found."""
        found = only(of_sources())

        assert (found.code, found.severity) == (Code.NOTHING_RECEIVED, Severity.ERROR)

    def test_records_of_nowhere_are_an_error(self) -> None:
        """Where no record says its account, nothing is found; of none at all nothing is said."""
        found = only(of_sources(source(records=7), knows_places=False))

        assert (found.code, found.severity) == (Code.PLACES_UNKNOWN, Severity.ERROR)
        assert of_sources(source(records=0), knows_places=False) == []

    def test_all_silent_is_one_error(self) -> None:
        """Where no forwarder sends any more, that is said once, with the time of the last."""
        found = only(of_sources(source(range(-48, -10)), source(range(-48, -4)), now=NOON))

        assert (found.code, found.severity) == (Code.ALL_SILENT, Severity.ERROR)
        assert "5 h" in found.message

    @pytest.mark.parametrize(
        ("hours", "severity"),
        [(range(-48, -5), Severity.WARNING), (range(-5 - MIN_HOURS + 1, -5), Severity.NOTE)],
        ids=["steady before", "hardly known"],
    )
    def test_silent_forwarder_is_named(self, hours: range, severity: Severity) -> None:
        """One that has stopped among others that send is a warning, if it was steady."""
        found = only(of_sources(source(hours), source()))

        assert (found.code, found.severity) == (Code.SOURCE_SILENT, severity)
        assert found.source == "a"
        assert "6 h" in found.message

    @pytest.mark.parametrize(
        ("records", "rejected", "severity"),
        [
            (1_000, 9, None),
            (10_000, 50, None),
            (990, 10, Severity.WARNING),
            (51, 50, Severity.WARNING),
            (50, 50, Severity.ERROR),
            (0, 50, Severity.ERROR),
        ],
    )
    def test_rejections_are_weighed(
        self, records: int, rejected: int, severity: Severity | None
    ) -> None:
        """A few odd records are none's business; one in a hundred is another kind of log."""
        found = of_sources(source([0], records=records, rejected=rejected))

        assert [diagnosis.severity for diagnosis in found] == ([severity] if severity else [])
        assert codes(found) == ([Code.REJECTIONS] if severity else [])

    def test_rejections_of_the_past_are_past(self) -> None:
        """What was mended two days ago is no longer reported."""
        days = source([-48], rejected=50)
        (past,) = days.counts
        (present,) = source([0]).counts

        assert of_sources(Days((past, present))) == []


class TestSilence:
    """Regions that nothing comes from any more."""

    @pytest.mark.parametrize(
        ("quiet", "found"),
        [(SILENCE, []), (SILENCE + MINUTE, [Code.REGION_SILENT])],
    )
    def test_steady_region_is_missed_after_hours(self, quiet: timedelta, found: list[Code]) -> None:
        """Three hours without a record are none where there never were as many before."""
        assert codes(of_region(region(), now=NOON + quiet)) == found

    def test_message_names_place_and_time(self) -> None:
        """A person reads what is missing, for how long, and since when that is unusual."""
        found = only(of_region(region(), now=NOON + timedelta(hours=3, minutes=10)))

        assert (found.account_id, found.region) == (ACCOUNT, "eu-west-1")
        assert found.message.startswith(
            f"No records from eu-west-1 of account {ACCOUNT} for 3 h, "
            "which has not happened since 2026-02-27"
        )

    @pytest.mark.parametrize(("quiet", "found"), [(17, []), (18, []), (19, [Code.REGION_SILENT])])
    def test_pause_that_was_there_before_is_no_news(self, quiet: int, found: list[Code]) -> None:
        """A region that is quiet every night is missed only after a longer night."""
        days = [range(start, start + 8) for start in (-72, -48, -24)]
        office = [number for day in days for number in day]

        assert codes(of_region(region(office), now=hour(-17 + quiet))) == found

    def test_region_that_is_hardly_known_is_noted(self) -> None:
        """Of a region that was heard of once, silence says little."""
        found = only(of_region(region([0]), now=hour(30)))

        assert (found.code, found.severity) == (Code.REGION_SILENT, Severity.NOTE)

    def test_silence_of_all_is_no_news_of_each(self) -> None:
        """Where no forwarder sends, no region is blamed."""
        coverage = RegionCoverage(ACCOUNT, "eu-west-1", region())

        found = diagnose_region(coverage, now=hour(9), rule=RULE, all_silent=True)

        assert found == ()

    @pytest.mark.parametrize(
        ("last", "silent"), [((-5, -5), True), ((-5, 0), False), ((0, 0), False)]
    )
    def test_all_are_silent_when_each_is(self, last: tuple[int, int], silent: bool) -> None:  # noqa: FBT001 - the answer
        """One forwarder that sends is enough."""
        sources = [SourceCoverage("x", source(range(-48, end + 1))) for end in last]

        assert are_silent(sources, now=NOON) == silent


class TestSearchesMissing:
    """Launches without searches: read-only events do not get through."""

    def test_launches_without_a_search_are_a_warning(self) -> None:
        """The person is told where read-only events are dropped, and by what."""
        found = only(of_region(region(launches=2)))

        assert (found.code, found.severity) == (Code.SEARCHES_MISSING, Severity.WARNING)
        assert found.message.startswith(
            "2 launches (RunInstances) but never a search (DescribeImages) from eu-west-1"
        )
        assert "an EventBridge rule in state ENABLED drops read-only events" in found.message

    @pytest.mark.parametrize(("launches", "searches"), [(0, 0), (0, 5), (2, 1)])
    def test_a_search_is_enough(self, launches: int, searches: int) -> None:
        """Where one search came through, or nothing was launched, nothing is missing."""
        assert of_region(region(launches=launches, searches=searches)) == []


class TestRecent:
    """What has gone wrong since yesterday."""

    @staticmethod
    def today(**counts: int) -> Days[RegionCount]:
        """Makes counts of today and the two days before it."""
        days = region(launches=0, searches=100)
        for name, count in counts.items():
            setattr(days.counts[-1][1], name, count)
        return days

    def test_partners_that_were_forgotten_are_counted(self) -> None:
        """The person is told how many, which setting decides, and when it is nothing."""
        found = only(of_region(self.today(beyond_horizon_count=12)))

        assert (found.code, found.severity) == (Code.BEYOND_HORIZON, Severity.WARNING)
        assert found.message.startswith(
            f"12 records from eu-west-1 of account {ACCOUNT} came since yesterday after their "
            "partner was forgotten"
        )
        assert "max_lateness, which is 24 h" in found.message

    def test_records_of_the_future_are_a_clock(self) -> None:
        """Records cannot come before they are made."""
        found = only(of_region(self.today(future_count=1)))

        assert (found.code, found.severity) == (Code.FUTURE_RECORDS, Severity.WARNING)
        assert "clock" in found.message

    @pytest.mark.parametrize(
        ("unidentified", "found"), [(9, []), (89, []), (90, [Code.UNIDENTIFIED_CALLERS])]
    )
    def test_callers_that_are_nearly_all_missing(
        self, unidentified: int, found: list[Code]
    ) -> None:
        """Some of AWS's own calls name nobody; of nearly all, something took the names away."""
        assert codes(of_region(self.today(unidentified_count=unidentified))) == found

    @pytest.mark.parametrize(("slow", "found"), [(1, []), (2, [Code.SLOW_DELIVERY])])
    def test_slow_delivery_is_noted(self, slow: int, found: list[Code]) -> None:
        """A late record now and then is usual; more than one in twenty is a queue."""
        days = self.today(record_count=20)
        days.counts[-2][1].record_count = days.counts[-2][1].lateness[1] = 0
        days.counts[-1][1].lateness = [0, 20 - slow, 0, 0, slow, 0, 0]

        diagnoses = of_region(days)

        assert codes(diagnoses) == found
        assert {diagnosis.severity for diagnosis in diagnoses} <= {Severity.NOTE}

    def test_what_is_over_is_over(self) -> None:
        """What went wrong before yesterday is not reported any more."""
        days = self.today()
        days.counts[0][1].beyond_horizon_count = days.counts[0][1].future_count = 5

        assert of_region(days) == []


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(seconds=59), "0 min"),
        (timedelta(minutes=119), "119 min"),
        (timedelta(hours=2), "2 h"),
        (timedelta(hours=47, minutes=59), "47 h"),
        (timedelta(days=2), "2 d"),
        (timedelta(days=400, hours=5), "400 d"),
    ],
)
def test_durations_are_spelled_in_one_unit(duration: timedelta, text: str) -> None:
    """A duration is told in the greatest unit that it has two of."""
    assert spell(duration) == text


def test_every_diagnosis_is_for_people() -> None:
    """Each is a sentence that says what to do, without the form of a program."""
    found = [
        *of_sources(),
        *of_sources(source(), knows_places=False),
        *of_sources(source(range(-48, -10))),
        *of_sources(source(range(-48, -10)), source(rejected=50)),
        *of_region(region(launches=1), now=hour(4)),
        *of_region(
            TestRecent.today(
                beyond_horizon_count=1, future_count=1, unidentified_count=100, record_count=1
            )
        ),
        *diagnose_sinks([BEHIND], now=NOON + 2 * SINK_LAG),
        *diagnose_durability(["synchronous_commit = off"]),
        *diagnose_clocks(SKEWED),
        *diagnose_retention(NOON, now=NOON + 2 * RETENTION_LAG, horizon=timedelta(0)),
    ]

    assert {diagnosis.code for diagnosis in found} >= set(Code) - {Code.SLOW_DELIVERY}
    assert [d for d in found if not d.message.endswith(".") or "\n" in d.message] == []


def jumped(start: datetime, end: datetime) -> ClockReading:
    """Makes what is read an hour after the time jumped."""
    now = end + timedelta(hours=1)
    return ClockReading(time=now, server_time=now, difference=timedelta(0), jump=Jump(start, end))


@pytest.mark.parametrize(
    ("reading", "said"),
    [
        (SKEWED, "clock is 25 h ahead of the database's, whose time is 2026-03-01 12:00:00 UTC"),
        (
            ClockReading(NOON, NOON - timedelta(days=3), timedelta(days=3), jump=None),
            "clock is 3 d behind the database's",
        ),
        (
            jumped(NOON, NOON + timedelta(days=7)),
            "the clock was set, or no server ran. Nothing is deleted until 2026-03-09 12:00:00 UTC",
        ),
        (jumped(NOON, NOON - timedelta(days=7)), "the clock was set back"),
    ],
)
def test_wrong_clock_is_told_with_both_times(reading: ClockReading, said: str) -> None:
    """A person reads which clock it is, by how much, and until when nothing is deleted."""
    (found,) = diagnose_clocks(reading)

    assert (found.code, found.severity) == (Code.CLOCK_WRONG, Severity.WARNING)
    assert said in found.message


def test_right_clocks_are_no_news() -> None:
    """Neither are they a day after a jump."""
    over = jumped(NOON - timedelta(days=9), NOON - timedelta(days=2))
    late = ClockReading(NOON, NOON, timedelta(0), jump=over.jump)

    assert diagnose_clocks(late) == ()


@pytest.mark.parametrize("oldest", [None, NOON, NOON - timedelta(hours=24) - RETENTION_LAG])
def test_retention_is_behind_from_an_hour_on(oldest: datetime | None) -> None:
    """How many hours is said; until then, or with nothing that waits, it is no news."""
    lag = timedelta(hours=24)
    found = diagnose_retention(oldest, now=NOON, horizon=lag)
    later = diagnose_retention(oldest, now=NOON + timedelta(hours=30), horizon=lag)

    is_late = oldest not in {None, NOON}
    assert [d.code for d in found] == [Code.RETENTION_BEHIND] * is_late
    assert ["31 h behind" in d.message for d in later] == [is_late] * (oldest is not None)
