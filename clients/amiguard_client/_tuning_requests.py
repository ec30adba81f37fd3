"""What is asked of the TuningService, as messages of the wire."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from amiguard.v1 import tuning_service_pb2 as wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime, timedelta

    from amiguard_client.tuning_values import CorrelateBy, KnownImage, Mode

MAX_IMAGES: Final = 1_000
"""Images of one call, as the contract has it."""


def entry_message(
    *,
    trusted_owner: str | None,
    trusted_account: str | None,
    organization_pattern: str | None,
    account_ids: Iterable[str],
) -> wire.AllowlistEntry:
    """Returns an entry that vouches for one thing; raises ValueError for none and for several."""
    given = [s for s in (trusted_owner, trusted_account, organization_pattern) if s is not None]
    if len(given) != 1:
        raise ValueError(
            f"got {len(given)} of trusted_owner, trusted_account and organization_pattern, "
            "expected one"
        )
    entry = wire.AllowlistEntry(account_ids=account_ids)
    if trusted_owner is not None:
        entry.trusted_owner = trusted_owner
    if trusted_account is not None:
        entry.trusted_account = trusted_account
    if organization_pattern is not None:
        entry.organization_pattern = organization_pattern
    return entry


def set_end(
    entry: wire.AllowlistEntry, expire_time: datetime | None, ttl: timedelta | None
) -> None:
    """Says when an entry ends; raises ValueError where two ways are given."""
    if expire_time is not None and ttl is not None:
        raise ValueError("got expire_time and ttl, expected one or the other")
    if expire_time is not None:
        entry.expire_time.FromDatetime(expire_time)
    if ttl is not None:
        entry.ttl.FromTimedelta(ttl)


def rule_message(
    *,
    correlation_window: timedelta | None,
    max_lateness: timedelta | None,
    public_patterns: Iterable[str] | None,
    mode: Mode | None,
    correlate_by: CorrelateBy | None,
    launch_paths: Iterable[str] | None,
) -> tuple[wire.RuleConfig, list[str]]:
    """Returns a configuration with what is given, and the paths of that."""
    config, paths = wire.RuleConfig(), []
    for path, span in (("correlation_window", correlation_window), ("max_lateness", max_lateness)):
        if span is not None:
            getattr(config, path).FromTimedelta(span)
            paths.append(path)
    for path, texts in (("public_patterns", public_patterns), ("launch_paths", launch_paths)):
        if texts is not None:
            getattr(config, path).extend(texts)
            paths.append(path)
    if mode is not None:
        config.mode = wire.RuleConfig.Mode.Value(f"MODE_{mode}")
        paths.append("mode")
    if correlate_by is not None:
        config.correlate_by = wire.RuleConfig.CorrelateBy.Value(f"CORRELATE_BY_{correlate_by}")
        paths.append("correlate_by")
    return config, paths


def image_batches(images: Iterable[KnownImage]) -> Iterator[list[wire.KnownImage]]:
    """Yields images in as many as a call takes."""
    rest = iter(images)
    while batch := list(islice(rest, MAX_IMAGES)):
        yield [
            wire.KnownImage(
                image_id=image.image_id,
                region=image.region,
                owner_account_id=image.owner_account_id or "",
                owner_alias=image.owner_alias or "",
                image_name=image.image_name or "",
            )
            for image in batch
        ]
