"""What findings are made of, as immutable values. Every time is aware UTC."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta


class State(StrEnum):
    """Where a finding stands with its handlers; UNKNOWN is one this client is too old to know."""

    UNKNOWN = "UNKNOWN"
    OPEN = "OPEN"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    CLOSED = "CLOSED"
    SUPPRESSED = "SUPPRESSED"


class Disposition(StrEnum):
    """What a closed finding turned out to be; UNKNOWN is one this client is too old to know."""

    UNKNOWN = "UNKNOWN"
    TRUE_POSITIVE = "TRUE_POSITIVE"
    UNRELATED_LAUNCH = "UNRELATED_LAUNCH"
    FALSE_POSITIVE = "FALSE_POSITIVE"
    RISK_ACCEPTED = "RISK_ACCEPTED"


class Likelihood(StrEnum):
    """How likely an outsider's image could be picked; UNKNOWN is one this client is too old for."""

    UNKNOWN = "UNKNOWN"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFilter:
    """One filter of a search, as written."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSearch:
    """What an unsafe search asked for.

    `reasons` say why it is unsafe; `fingerprint` identifies the request whatever its paging;
    `client` is the program that asked, as a person would name it.
    """

    name_patterns: tuple[str, ...]
    other_filters: tuple[SearchFilter, ...]
    owners: tuple[str, ...]
    reasons: tuple[str, ...]
    fingerprint: str
    client: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventReference:
    """Points at one CloudTrail event."""

    event_id: str
    event_time: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedTemplate:
    """A version of a launch template, and the call that pinned an image into it.

    `launch_path` is the API of that call.
    """

    template_id: str
    version: str
    pin: EventReference
    launch_path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """One launch that followed the search, attributed to the latest search that matches.

    `image_ids` is empty where the record names none. `launch_path` is the API that consumed the
    image. `suppression` says why the rule sets it aside, if it does; `client` is the program that
    searched. `pinned_template` is set where the launch was made from a launch template into which
    the finding's actor had pinned an image; `gap` is then from the search to that call.
    `copy_count` is how many copies of the launch say different things; `image_ids` and
    `instance_ids` are those of all of them.
    """

    search: EventReference
    launch: EventReference
    gap: timedelta
    principal_arn: str
    image_ids: tuple[str, ...]
    instance_ids: tuple[str, ...]
    source_ip_address: str
    user_agent: str
    confidence: int
    launch_path: str
    suppression: str | None
    client: str
    pinned_template: PinnedTemplate | None = None
    copy_count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreStep:
    """One step of a likelihood: the score after it, and the allowlist entry that caused it."""

    code: str
    score: int
    allowlist_entry: str | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remediation:
    """What a person should do: triage steps in order, and the mended lookup ready to paste."""

    steps: tuple[str, ...]
    fix_snippet: str
    fix_language: str
    suggested_owners: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One unsafe way of looking up an image, by one actor, and the launches that followed it.

    `recent_occurrences` are the latest launches, at most 20. `disposition` is set once it is
    closed, `accept_until_time` while the risk is accepted, `suppression` while the rule itself
    sets it aside. `etag` makes a change conditional. Times only a server knows are None where a
    finding was made without one, and `ocsf_json` is for callers of the bare stubs: here
    `amiguard_client.ocsf` makes the event.
    """

    name: str
    state: State
    disposition: Disposition | None
    likelihood: Likelihood
    likelihood_score: int
    confidence: int
    score_steps: tuple[ScoreStep, ...]
    account_id: str
    region: str
    actor_arn: str
    search: ImageSearch
    occurrence_count: int
    recent_occurrences: tuple[Occurrence, ...]
    image_ids: tuple[str, ...]
    first_launch_time: datetime | None
    last_launch_time: datetime | None
    remediation: Remediation
    suppression: str | None
    rule_revision: int
    assignee: str | None
    labels: Mapping[str, str]
    accept_until_time: datetime | None
    create_time: datetime | None
    update_time: datetime | None
    ocsf_json: str | None = None
    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingHistoryEntry:
    """One move of a finding from state to state, or one edit of it by a person.

    `actor` is the principal that moved it, `amiguard` where the rule did. `state_before` is None
    in the move that made the finding, `comment` where the rule moved it. `assignee_before` and the
    labels before and after are None where they stayed.
    """

    change_time: datetime | None
    actor: str
    state_before: State | None
    state_after: State
    disposition: Disposition | None
    accept_until_time: datetime | None
    assignee: str | None
    comment: str | None
    assignee_before: str | None = None
    labels_before: Mapping[str, str] | None = None
    labels_after: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingChanges:
    """Findings as they stood after their change, none in a sign of life.

    Everything up to `cursor` has been sent: store it after handling `findings`.
    """

    findings: tuple[Finding, ...]
    cursor: str
