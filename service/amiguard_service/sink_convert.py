"""Sinks and their dead letters as messages of the wire."""

from __future__ import annotations

from datetime import datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from amiguard.v1 import sink_service_pb2 as wire
from amiguard_service.deliverer import Trial
from amiguard_service.sinks import SINKS, DeadLetter, Sink, SinkKind, SinkProgress
from amiguard_service.stored import finding_name


def sink_message(progress: SinkProgress, configured: Sink | None, *, now: datetime) -> wire.Sink:
    """Returns a sink; `configured` is None where the settings have none of its name."""
    message = wire.Sink(
        name=SINKS + progress.sink_id,
        state=_state_of(progress, configured),
        pending_count=progress.pending_count,
        lag=_lag_of(progress, now),
        dead_letter_count=progress.dead_letter_count,
        delivered_count=progress.delivered_count,
        last_delivery_time=_timestamp(progress.last_delivery_time),
        last_error=progress.last_error,
        last_error_time=_timestamp(progress.last_error_time),
        resume_time=_timestamp(progress.resume_time),
        failure_count=progress.failure_count,
    )
    if configured is not None:
        message.kind = wire.Sink.Kind.Value(f"KIND_{configured.kind.upper()}")
        message.url = configured.shown_url
        message.filter = configured.filter
        message.minimum_likelihood = configured.minimum_likelihood
        if configured.kind is SinkKind.WEBHOOK:
            message.payload = wire.Sink.Payload.Value(f"PAYLOAD_{configured.payload.upper()}")
    return message


def dead_letter_message(letter: DeadLetter) -> wire.DeadLetter:
    """Returns a dead letter."""
    return wire.DeadLetter(
        finding=finding_name(letter.finding_id),
        take_up_time=_timestamp(letter.take_up_time),
        last_attempt_time=_timestamp(letter.last_attempt_time),
        attempt_count=letter.attempt_count,
        last_error=letter.last_error,
    )


def trial_message(trial: Trial) -> wire.TestSinkResponse:
    """Returns what came of a test."""
    duration = Duration()
    duration.FromTimedelta(trial.duration)
    return wire.TestSinkResponse(
        delivered=trial.outcome.is_delivered, answer=trial.outcome.answer, duration=duration
    )


def _state_of(progress: SinkProgress, configured: Sink | None) -> wire.Sink.State.ValueType:
    if configured is None:
        return wire.Sink.STATE_NOT_CONFIGURED
    return wire.Sink.STATE_FAILING if progress.failure_count else wire.Sink.STATE_DELIVERING


def _lag_of(progress: SinkProgress, now: datetime) -> Duration:
    lag = Duration()
    if progress.oldest_pending_time is not None:
        # Another server's clock may be ahead.
        lag.FromTimedelta(max(now - progress.oldest_pending_time, now - now))
    return lag


def _timestamp(time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp
