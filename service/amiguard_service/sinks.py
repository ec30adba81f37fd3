"""What a sink is: where findings go, which of them, and in what form."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from amiguard_service.delivery import RetryLimits
from amiguard_service.filters import Filter, MatchAll

SINKS: Final = "sinks/"
"""How the name of a sink begins; its id follows."""


class SinkKind(StrEnum):
    """How a sink is reached."""

    WEBHOOK = "webhook"
    APPRISE = "apprise"


class Payload(StrEnum):
    """The form in which a webhook gets a finding."""

    FINDING = "finding"
    OCSF = "ocsf"


@dataclass(frozen=True, slots=True)
class Sink:
    """A sink as configured.

    `shown_url` is the URL without what is secret in it. `condition` is the whole of what findings
    have to fulfil, `filter` and `minimum_likelihood` what the operator wrote of it. The first of
    `secrets` is the one to sign with, and so are the others while receivers change over.
    """

    sink_id: str
    kind: SinkKind
    url: str = field(repr=False)
    shown_url: str
    secrets: tuple[bytes, ...] = field(default=(), repr=False)
    filter: str = ""
    minimum_likelihood: str = ""
    condition: Filter = field(default_factory=MatchAll)
    payload: Payload = Payload.FINDING
    timeout: timedelta = timedelta(seconds=10)
    limits: RetryLimits = field(default_factory=RetryLimits)
    private_network: bool = False
    tls_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class SinkProgress:
    """How far the deliveries of a sink have come, whichever server makes them.

    `failure_count` counts the failures since the last delivery; nothing is sent before
    `resume_time`. `oldest_pending_time` is when the first change was taken up that is not delivered
    yet, dead letters left aside.
    """

    sink_id: str
    failure_count: int
    resume_time: datetime | None
    delivered_count: int
    last_delivery_time: datetime | None
    last_error_time: datetime | None
    last_error: str
    pending_count: int
    oldest_pending_time: datetime | None
    dead_letter_count: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A finding that a sink was not sent until a limit was met, and what came of it last."""

    finding_id: str
    take_up_time: datetime
    last_attempt_time: datetime | None
    attempt_count: int
    last_error: str
