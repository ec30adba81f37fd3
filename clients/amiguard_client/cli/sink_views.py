"""Sinks and their dead letters, for people."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from amiguard.v1 import sink_service_pb2 as wire
from amiguard_client.cli.finding_rows import time_text
from amiguard_client.cli.safe import safe
from amiguard_client.cli.sheets import Cell, Sheet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.message import Message

_STYLES = {
    wire.Sink.STATE_FAILING: "bold red",
    wire.Sink.STATE_NOT_CONFIGURED: "yellow",
}


def sink_sheet(messages: Iterable[wire.Sink]) -> Sheet:
    """Returns sinks, one a row."""
    sheet = Sheet(
        (
            "SINK",
            "STATE",
            "WAITING",
            "LAG",
            "DEAD",
            "DELIVERED",
            "LAST DELIVERY (UTC)",
            "URL",
            "LAST ERROR (UTC)",
        ),
        spare=("DELIVERED", "URL", "LAST DELIVERY (UTC)"),
    )
    for message in messages:
        state = wire.Sink.State.Name(message.state).removeprefix("STATE_")
        dead = f"{message.dead_letter_count:,}"
        sheet.add(
            message.name.removeprefix("sinks/"),
            Cell(state, style=_STYLES.get(message.state, "")),
            f"{message.pending_count:,}",
            _lag(message),
            Cell(dead, style="bold red" if message.dead_letter_count else ""),
            f"{message.delivered_count:,}",
            _stamp(message, "last_delivery_time"),
            message.url,
            _error(message, "last_error_time"),
        )
    return sheet


def dead_letter_sheet(messages: Iterable[wire.DeadLetter]) -> Sheet:
    """Returns dead letters, one a row."""
    sheet = Sheet(("FINDING", "SINCE (UTC)", "ATTEMPTS", "LAST ERROR (UTC)"))
    for message in messages:
        sheet.add(
            message.finding,
            _stamp(message, "take_up_time"),
            f"{message.attempt_count:,}",
            _error(message, "last_attempt_time"),
        )
    return sheet


def _lag(message: wire.Sink) -> str:
    if not message.pending_count:
        return ""
    return str(timedelta(seconds=message.lag.ToSeconds()))


def _error(message: wire.Sink | wire.DeadLetter, time_field: str) -> str:
    if not message.last_error:
        return ""
    return f"{_stamp(message, time_field)} {safe(message.last_error)}"


def _stamp(message: Message, field: str) -> str:
    if not message.HasField(field):
        return ""
    return time_text(getattr(message, field).ToDatetime(tzinfo=UTC))
