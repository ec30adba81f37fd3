"""What the tuning of a server is made of, as immutable values. Every time is aware UTC."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from amiguard_client.values import Finding


class Mode(StrEnum):
    """Which searches count as unsafe; UNKNOWN is one this client is too old to know."""

    UNKNOWN = "UNKNOWN"
    DOCUMENTED = "DOCUMENTED"
    STRICT = "STRICT"


class CorrelateBy(StrEnum):
    """What ties a launch to a search; UNKNOWN is one this client is too old to know."""

    UNKNOWN = "UNKNOWN"
    PRINCIPAL = "PRINCIPAL"
    ROLE = "ROLE"


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowlistEntry:
    """Something the organization vouches for: an image owner, an account or a name pattern.

    Of these three one is set. It applies in `account_ids`, in every account where there are none,
    until `expire_time`, for good where that is None. `match_count` counts the scores it affected.
    """

    name: str
    trusted_owner: str | None
    trusted_account: str | None
    organization_pattern: str | None
    account_ids: tuple[str, ...]
    justification: str
    expire_time: datetime | None
    create_time: datetime | None
    creator: str
    update_time: datetime | None
    last_match_time: datetime | None
    match_count: int
    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleConfig:
    """One revision of the rule's settings."""

    revision: int
    correlation_window: timedelta
    max_lateness: timedelta
    public_patterns: tuple[str, ...]
    mode: Mode
    correlate_by: CorrelateBy
    launch_paths: tuple[str, ...]
    create_time: datetime | None
    creator: str
    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownImage:
    """What is known of one image: whose it is, by account or alias, and its name."""

    image_id: str
    region: str
    owner_account_id: str | None = None
    owner_alias: str | None = None
    image_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningProgress:
    """How far the latest change has been applied to what is stored.

    `done_count` counts `FINDINGS` or `LANES`, as `scope` says, which is None when nothing is under
    way.
    """

    policy_version: int
    in_progress: bool
    scope: str | None
    done_count: int
    start_time: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningDifference:
    """One finding that would be another; `before` is None for a new one, `after` for one gone."""

    before: Finding | None
    after: Finding | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningPreview:
    """What a change would have done: how many findings were judged again, and what of them.

    `examples` come worst first. What came before `evidence_start_time` is judged again only where a
    finding was made of it; None where nothing waits to be.
    """

    evaluated_count: int
    removed_count: int
    rescored_count: int
    added_count: int
    examples: tuple[TuningDifference, ...]
    evidence_start_time: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningChange:
    """One change of the allowlist, the rule configuration or the known images.

    `document` is the change as it was sealed, and `hash` the seal over it and all before it.
    """

    change_time: datetime | None
    actor: str
    method: str
    entry_before: AllowlistEntry | None
    entry_after: AllowlistEntry | None
    rule_config_after: RuleConfig | None
    rule_config_before: RuleConfig | None
    images: tuple[str, ...]
    number: int
    document: bytes
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Every change, oldest first, with how many there are and the hash of the last by the server.

    Whoever keeps `total_count` and `last_hash` elsewhere can tell later that nothing up to there
    was altered since.
    """

    changes: tuple[TuningChange, ...]
    total_count: int
    last_hash: str
