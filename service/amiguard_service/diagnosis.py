"""What is wrong with what comes in, in words: counts and the time in, diagnoses out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from msgspec import Struct

from amiguard_core.policy import RuleConfig
from amiguard_service.clock_guard import ClockFault, ClockReading
from amiguard_service.coverage import (
    CLOCK_TOLERANCE,
    LATENESS_BOUNDS,
    Days,
    RegionCount,
    RegionCoverage,
    SourceCount,
    SourceCoverage,
    day_of,
)
from amiguard_service.sinks import SinkProgress

SILENCE: Final = timedelta(hours=3)
"""CloudTrail delivers every 5 minutes, and where anything runs something is recorded every hour:
three hours without a record are no accident where there never were as many before."""
MIN_HOURS: Final = 6
"""Hours with records before a pause means anything: whoever was heard of less often may just be
quiet."""
RECENT_DAYS: Final = 1
"""Days before today whose events still count as present: whatever was mended stops being reported
the day after tomorrow at the latest."""
MIN_REJECTED: Final = 10
"""Rejections from which on they are more than odd records."""
REJECTED_SHARE: Final = 0.01
"""Real records are read to the last one, so that even this share is of another kind."""
MOSTLY_REJECTED_SHARE: Final = 0.5
"""The share at which a stream is ended: see `Limits.max_rejected_share`."""
MIN_UNIDENTIFIED: Final = 10
"""Searches and launches without a caller from which on they are more than a service's own."""
UNIDENTIFIED_SHARE: Final = 0.9
"""AWS's services leave out the caller of some calls, but never of nearly all."""
SLOW: Final = timedelta(hours=1)
"""CloudTrail delivers in 5 minutes on average, and in 10 at most as measured: an hour is a queue
that does not keep up. One of LATENESS_BOUNDS."""
SINK_LAG: Final = timedelta(minutes=15)
"""What waits longer for a sink waits for more than a restart and the longest wait after it."""
SLOW_SHARE: Final = 0.05
"""A retry now and then is late; one record in twenty is not now and then."""


RETENTION_LAG: Final = timedelta(hours=1)
"""A backlog that a quiet hour works off is none to tell of."""


class Code(StrEnum):
    """What can be wrong."""

    NOTHING_RECEIVED = "NOTHING_RECEIVED"
    ALL_SILENT = "ALL_SILENT"
    SOURCE_SILENT = "SOURCE_SILENT"
    PLACES_UNKNOWN = "PLACES_UNKNOWN"
    REJECTIONS = "REJECTIONS"
    REGION_SILENT = "REGION_SILENT"
    SEARCHES_MISSING = "SEARCHES_MISSING"
    BEYOND_HORIZON = "BEYOND_HORIZON"
    FUTURE_RECORDS = "FUTURE_RECORDS"
    UNIDENTIFIED_CALLERS = "UNIDENTIFIED_CALLERS"
    SLOW_DELIVERY = "SLOW_DELIVERY"
    SINK_FAILING = "SINK_FAILING"
    DEAD_LETTERS = "DEAD_LETTERS"
    NOT_DURABLE = "NOT_DURABLE"
    CLOCK_WRONG = "CLOCK_WRONG"
    RETENTION_BEHIND = "RETENTION_BEHIND"


class Severity(StrEnum):
    """How sure it is that something is missed."""

    ERROR = "ERROR"
    """Findings are missed."""
    WARNING = "WARNING"
    """Findings may be missed."""
    NOTE = "NOTE"
    """Most likely all is well."""


class Diagnosis(Struct, frozen=True):
    """One thing that is wrong, and with what: a source, or an account and region."""

    code: Code
    severity: Severity
    message: str
    source: str | None = None
    account_id: str | None = None
    region: str | None = None


def diagnose_sources(
    sources: Sequence[SourceCoverage], *, now: datetime, knows_places: bool
) -> tuple[Diagnosis, ...]:
    """Returns what is wrong with what all forwarders send.

    `knows_places` says whether of any record the account and the region are known.
    """
    if not sources:
        message = (
            "No forwarder has ever sent a record, or none for as long as counts are kept: see that "
            "one runs, has this server's address, and a token with the role ingest."
        )
        return (Diagnosis(Code.NOTHING_RECEIVED, Severity.ERROR, message),)
    found = [_diagnose_rejections(source, now=now) for source in sources]
    if not knows_places:
        found.append(_diagnose_places(sources))
    if are_silent(sources, now=now):
        last = max(source.days.total.last_arrival_time for source in sources)
        message = (
            f"No forwarder has sent anything for {spell(now - last)}: see that one still runs, and "
            "what its log says."
        )
        return (Diagnosis(Code.ALL_SILENT, Severity.ERROR, message), *_known(found))
    found += [_diagnose_silent_source(source, now=now) for source in sources]
    return _known(found)


def are_silent(sources: Iterable[SourceCoverage], *, now: datetime) -> bool:
    """Says whether no forwarder sends any more, which makes each region's silence no news."""
    return all(_silence(source.days, now=now) for source in sources)


def diagnose_sinks(sinks: Iterable[SinkProgress], *, now: datetime) -> tuple[Diagnosis, ...]:
    """Returns what is wrong with where findings are delivered to."""
    found = [(_diagnose_lag(sink, now=now), _diagnose_dead_letters(sink)) for sink in sinks]
    return _known(diagnosis for of_sink in found for diagnosis in of_sink)


def diagnose_durability(gaps: Sequence[str]) -> tuple[Diagnosis, ...]:
    """Returns what is wrong with settings of the database, each as NAME = VALUE."""
    if not gaps:
        return ()
    message = (
        f"The database may lose what was acknowledged when it or its machine fails, because of "
        f"{', '.join(gaps)}: forwarders do not send again what was acknowledged. Set it back, "
        "see docs/operating.md."
    )
    return (Diagnosis(Code.NOT_DURABLE, Severity.WARNING, message),)


def diagnose_clocks(reading: ClockReading) -> tuple[Diagnosis, ...]:
    """Returns what is wrong with the clocks, so that nothing is deleted by them."""
    if reading.fault is None:
        return ()
    if reading.fault is ClockFault.DIFFERS or reading.jump is None:
        side = "behind" if reading.difference > timedelta(0) else "ahead of"
        message = (
            f"This server's clock is {spell(abs(reading.difference))} {side} the database's, whose "
            f"time is {_moment(reading.time)}. Everything is dated by the database's clock, and "
            "this server deletes nothing. Set the clock that is wrong."
        )
    else:
        start, end = reading.jump
        cause = (
            "the clock was set back"
            if reading.fault is ClockFault.WENT_BACK
            else "the clock was set, or no server ran"
        )
        message = (
            f"The database's time went from {_moment(start)} to {_moment(end)}: {cause}. Nothing "
            f"is deleted until {_moment(reading.held_until(reading.jump))}. See that the time is "
            f"right, which is {_moment(reading.time)} now."
        )
    return (Diagnosis(Code.CLOCK_WRONG, Severity.WARNING, message),)


def diagnose_retention(
    oldest_arrival: datetime | None, *, now: datetime, horizon: timedelta
) -> tuple[Diagnosis, ...]:
    """Returns whether searches and launches wait for longer than they should, a horizon."""
    late = timedelta(0) if oldest_arrival is None else now - oldest_arrival - horizon
    if late < RETENTION_LAG:
        return ()
    message = (
        f"Retention is {late / timedelta(hours=1):.0f} h behind: the oldest search or launch that "
        f"waits should have been deleted {spell(late)} ago, so the database grows. Records come "
        "faster than they are deleted, or no server deletes: see the log for clock.wrong and "
        "task.failed. Nothing is missed by it."
    )
    return (Diagnosis(Code.RETENTION_BEHIND, Severity.WARNING, message),)


def diagnose_region(
    coverage: RegionCoverage, *, now: datetime, rule: RuleConfig, all_silent: bool
) -> tuple[Diagnosis, ...]:
    """Returns what is wrong with what comes from one account and region."""
    return _known(
        (
            None if all_silent else _diagnose_silent_region(coverage, now=now),
            _diagnose_searches(coverage),
            *_diagnose_recent(coverage, now=now, rule=rule),
        )
    )


def _known(found: Iterable[Diagnosis | None]) -> tuple[Diagnosis, ...]:
    return tuple(diagnosis for diagnosis in found if diagnosis is not None)


def _silence(days: Days[RegionCount] | Days[SourceCount], *, now: datetime) -> timedelta | None:
    """Returns for how long nothing came, if that is long and longer than ever before."""
    quiet = now - days.total.last_arrival_time
    return quiet if quiet > max(SILENCE, days.longest_pause) else None


def _severity_of_silence(days: Days[RegionCount] | Days[SourceCount]) -> Severity:
    return Severity.WARNING if len(days.hours) >= MIN_HOURS else Severity.NOTE


def _diagnose_silent_source(source: SourceCoverage, *, now: datetime) -> Diagnosis | None:
    quiet = _silence(source.days, now=now)
    if quiet is None:
        return None
    message = (
        f"The forwarder {source.source} has sent nothing for {spell(quiet)}, "
        f"{_former_pauses(source.days)}: see that it still runs."
    )
    severity = _severity_of_silence(source.days)
    return Diagnosis(Code.SOURCE_SILENT, severity, message, source=source.source)


def _diagnose_rejections(source: SourceCoverage, *, now: datetime) -> Diagnosis | None:
    sent = source.days.since(day_of(now) - RECENT_DAYS)
    if sent is None or sent.rejected_count < MIN_REJECTED:
        return None
    share = sent.rejected_count / (sent.record_count + sent.rejected_count)
    if share < REJECTED_SHARE:
        return None
    message = (
        f"{share:.0%} of what the forwarder {source.source} sent since yesterday was rejected "
        f"({sent.rejected_count} inputs): they are no CloudTrail records, or of a form that is not "
        "known here. The table rejected_records says why of each."
    )
    severity = Severity.ERROR if share >= MOSTLY_REJECTED_SHARE else Severity.WARNING
    return Diagnosis(Code.REJECTIONS, severity, message, source=source.source)


def _diagnose_places(sources: Sequence[SourceCoverage]) -> Diagnosis | None:
    count = sum(source.days.total.record_count for source in sources)
    if not count:
        return None
    message = (
        f"{_count(count, 'record', 'records')} came, none of which says of which account and "
        "region it is, so no launch can be told to follow a search: see whether something on the "
        "way removes recipientAccountId, userIdentity or awsRegion."
    )
    return Diagnosis(Code.PLACES_UNKNOWN, Severity.ERROR, message)


def _diagnose_silent_region(coverage: RegionCoverage, *, now: datetime) -> Diagnosis | None:
    quiet = _silence(coverage.days, now=now)
    if quiet is None:
        return None
    message = (
        f"No records from {_place(coverage)} for {spell(quiet)}, "
        f"{_former_pauses(coverage.days)}: see that its trail still delivers, and that the "
        "forwarder takes in what it delivers."
    )
    return _of_region(coverage, Code.REGION_SILENT, _severity_of_silence(coverage.days), message)


def _diagnose_searches(coverage: RegionCoverage) -> Diagnosis | None:
    total = coverage.days.total
    if not total.launch_count or total.search_count:
        return None
    message = (
        f"{_count(total.launch_count, 'launch', 'launches')} (RunInstances) but never a search "
        f"(DescribeImages) from {_place(coverage)}: an EventBridge rule in state ENABLED drops "
        "read-only events, so set it to ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS; a trail "
        "drops them unless it logs read events. Where only services start instances all is well."
    )
    return _of_region(coverage, Code.SEARCHES_MISSING, Severity.WARNING, message)


def _diagnose_recent(
    coverage: RegionCoverage, *, now: datetime, rule: RuleConfig
) -> tuple[Diagnosis | None, ...]:
    recent = coverage.days.since(day_of(now) - RECENT_DAYS)
    if recent is None:
        return ()
    return (
        _diagnose_lost_partners(coverage, recent, rule),
        _diagnose_future(coverage, recent),
        _diagnose_callers(coverage, recent),
        _diagnose_delivery(coverage, recent),
    )


def _diagnose_lost_partners(
    coverage: RegionCoverage, recent: RegionCount, rule: RuleConfig
) -> Diagnosis | None:
    count = recent.beyond_horizon_count
    if not count:
        return None
    message = (
        f"{_count(count, 'record', 'records')} from {_place(coverage)} came since yesterday after "
        "their partner was forgotten, or may have been: searches and launches that were later than "
        f"max_lateness, which is {spell(rule.lateness)}. Mend the delivery, or raise it. Log files "
        "of the past that were submitted all at once miss nothing."
    )
    return _of_region(coverage, Code.BEYOND_HORIZON, Severity.WARNING, message)


def _diagnose_future(coverage: RegionCoverage, recent: RegionCount) -> Diagnosis | None:
    if not recent.future_count:
        return None
    message = (
        f"{_count(recent.future_count, 'record', 'records')} from {_place(coverage)} came since "
        f"yesterday before they were made, by more than {spell(CLOCK_TOLERANCE)}: this server's "
        "clock is slow, or the records' times were changed on the way."
    )
    return _of_region(coverage, Code.FUTURE_RECORDS, Severity.WARNING, message)


def _diagnose_callers(coverage: RegionCoverage, recent: RegionCount) -> Diagnosis | None:
    count, of = recent.unidentified_count, recent.search_count + recent.launch_count
    if count < MIN_UNIDENTIFIED or count < of * UNIDENTIFIED_SHARE:
        return None
    message = (
        f"{count} of {of} searches and launches from {_place(coverage)} name no caller, so no "
        "launch can be told to follow a search: see whether something on the way removes "
        "userIdentity.arn."
    )
    return _of_region(coverage, Code.UNIDENTIFIED_CALLERS, Severity.WARNING, message)


def _diagnose_delivery(coverage: RegionCoverage, recent: RegionCount) -> Diagnosis | None:
    slow = sum(recent.lateness[LATENESS_BOUNDS.index(SLOW) + 1 :])
    if slow <= recent.record_count * SLOW_SHARE:
        return None
    message = (
        f"{slow / recent.record_count:.0%} of the records from {_place(coverage)} came more than "
        f"{spell(SLOW)} after they were made, since yesterday: findings are as late."
    )
    return _of_region(coverage, Code.SLOW_DELIVERY, Severity.NOTE, message)


def _diagnose_lag(sink: SinkProgress, *, now: datetime) -> Diagnosis | None:
    oldest = sink.oldest_pending_time
    if oldest is None or now - oldest < SINK_LAG:
        return None
    why = f"its last failure was: {sink.last_error}" if sink.failure_count else "no server sends it"
    message = (
        f"{_count(sink.pending_count, 'finding waits', 'findings wait')} for the sink "
        f"{sink.sink_id}, the oldest for {spell(now - oldest)}; {why}. Try it with amiguardctl "
        f"sinks test {sink.sink_id}."
    )
    return Diagnosis(Code.SINK_FAILING, Severity.WARNING, message)


def _diagnose_dead_letters(sink: SinkProgress) -> Diagnosis | None:
    if not sink.dead_letter_count:
        return None
    count = _count(sink.dead_letter_count, "finding was", "findings were")
    message = (
        f"{count} not delivered to the sink {sink.sink_id}, and only a person has it tried again: "
        f"amiguardctl sinks dead {sink.sink_id} says why, sinks retry {sink.sink_id} tries."
    )
    return Diagnosis(Code.DEAD_LETTERS, Severity.ERROR, message)


def _of_region(coverage: RegionCoverage, code: Code, severity: Severity, message: str) -> Diagnosis:
    return Diagnosis(
        code, severity, message, account_id=coverage.account_id, region=coverage.region
    )


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def _place(coverage: RegionCoverage) -> str:
    return f"{coverage.region} of account {coverage.account_id}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _former_pauses(days: Days[RegionCount] | Days[SourceCount]) -> str:
    if len(days.hours) < MIN_HOURS:
        return "and little before"
    return f"which has not happened since {days.first:%Y-%m-%d}"


def spell(duration: timedelta) -> str:
    """Returns a duration in the greatest unit that it has two of, rounded down."""
    for unit, size in (("d", timedelta(days=1)), ("h", timedelta(hours=1))):
        if duration >= 2 * size:
            return f"{duration // size} {unit}"
    return f"{duration // timedelta(minutes=1)} min"
