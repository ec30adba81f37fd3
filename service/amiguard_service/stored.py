"""Findings as they stand in the store, for whoever reads them out of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from msgspec import Struct

from amiguard_core.events import Launch, SearchRequest
from amiguard_core.findings import FindingKey, Likelihood, ScoreStep
from amiguard_core.judge import NAME_FILTER

FINDINGS: Final = "findings/"
"""How the name of a finding begins; its id follows."""

MAX_RECENT_OCCURRENCES = 20
MAX_IMAGE_IDS = 100


def finding_name(finding_id: str) -> str:
    """Returns the resource name of a finding."""
    return FINDINGS + finding_id


class State(StrEnum):
    """Where a finding stands with its handlers."""

    OPEN = "OPEN"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    CLOSED = "CLOSED"
    SUPPRESSED = "SUPPRESSED"


class Disposition(StrEnum):
    """What a closed finding turned out to be."""

    TRUE_POSITIVE = "TRUE_POSITIVE"
    UNRELATED_LAUNCH = "UNRELATED_LAUNCH"
    FALSE_POSITIVE = "FALSE_POSITIVE"
    RISK_ACCEPTED = "RISK_ACCEPTED"


class StoredOccurrence(Struct, frozen=True):
    """One occurrence of a stored finding.

    `pin` is the call that pinned the image, where the launch was made from a launch template.
    """

    search_event_id: str
    search_time: datetime
    launch_event_id: str
    launch_time: datetime
    principal_arn: str | None
    image_ids: tuple[str, ...]
    instance_ids: tuple[str, ...]
    source_ip_address: str
    user_agent: str
    client: str
    launch_path: str
    confidence: int
    suppression: str | None
    used_time: datetime
    pin: Launch | None = None
    copy_count: int = 1

    @property
    def gap(self) -> timedelta:
        """The time from the search to the use of its answer: to the pin, else to the launch."""
        return self.used_time - self.search_time


class StoredFinding(Struct, frozen=True):
    """One finding as committed.

    `recent_occurrences` holds the latest MAX_RECENT_OCCURRENCES, newest launch first; `image_ids`
    the first MAX_IMAGE_IDS in order. `etag` changes with every change.
    """

    finding_id: str
    key: FindingKey
    state: State
    request: SearchRequest
    reasons: tuple[str, ...]
    client: str
    steps: tuple[ScoreStep, ...]
    score: int
    confidence: int
    occurrence_count: int
    recent_occurrences: tuple[StoredOccurrence, ...]
    image_ids: tuple[str, ...]
    first_launch_time: datetime
    last_launch_time: datetime
    rule_revision: int
    create_time: datetime
    update_time: datetime
    etag: str
    suppression: str | None = None
    disposition: Disposition | None = None
    assignee: str = ""
    labels: Mapping[str, str] = {}
    accept_until_time: datetime | None = None

    @property
    def search_names(self) -> tuple[str, ...]:
        """The name patterns searched for."""
        return self.request.values_of(NAME_FILTER)

    @property
    def likelihood(self) -> Likelihood:
        """The likelihood as a band."""
        return Likelihood.of_score(self.score)

    @property
    def revision(self) -> int:
        """How many changes have led to it. The etag is that number, opaque to clients."""
        return int(self.etag, 16)


class FindingEdit(Struct, frozen=True, omit_defaults=True):
    """What a person set on a finding: the values before and after, None for what stayed."""

    assignee_before: str | None = None
    labels_before: dict[str, str] | None = None
    labels_after: dict[str, str] | None = None


class HistoryEntry(Struct, frozen=True):
    """One move of a finding from state to state, or one edit of it: both states are then the same.

    `number` rises along the history of a finding, with gaps. `state_before` is None where the
    finding was opened. Disposition, assignee and `accept_until_time` are those after the move.
    """

    finding_id: str
    number: int
    time: datetime
    actor: str
    state_before: State | None
    state_after: State
    comment: str = ""
    disposition: Disposition | None = None
    assignee: str = ""
    accept_until_time: datetime | None = None
    edit: FindingEdit | None = None
