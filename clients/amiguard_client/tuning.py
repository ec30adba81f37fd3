"""Tuning a server: its allowlist, its rule configuration, what it knows of images, its audit."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from amiguard.v1 import tuning_service_pb2 as wire
from amiguard_client._tuning_calls import TuningCalls, entry_name
from amiguard_client._tuning_from_wire import (
    change_of,
    entry_of,
    image_of,
    preview_of,
    progress_of,
    rule_of,
)
from amiguard_client._tuning_requests import entry_message, image_batches, rule_message, set_end
from amiguard_client.tuning_values import Audit, KnownImage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime, timedelta

    from amiguard_client.channel import Connection
    from amiguard_client.tuning_values import (
        AllowlistEntry,
        CorrelateBy,
        Mode,
        RuleConfig,
        TuningChange,
        TuningPreview,
        TuningProgress,
    )

_PAGE_SIZE: Final = 1_000


class AuditBrokenError(Exception):
    """The audit is not whole; `number` is that of the first change that is not as it was."""

    def __init__(self, number: int, problem: str) -> None:
        super().__init__(f"change {number}: {problem}")
        self.number = number
        self.problem = problem


class TuningClient:
    """Tunes one server; had of `Client.tuning`. Safe to share between threads.

    Entries are named by `allowlistEntries/{allowlist_entry_id}` or by the bare id. Of every change,
    `validate_only` makes each check and not the change, and `refuse_if_loses_true_positives`
    refuses one under which a finding closed as TRUE_POSITIVE would vanish or fall to LOW. A change
    is in force when its call returns; `get_progress` says how far what is stored has followed.
    """

    def __init__(self, connection: Connection) -> None:
        self._calls = TuningCalls(connection)

    def get_entry(self, name: str) -> AllowlistEntry:
        """Returns one entry."""
        return entry_of(self._calls.get_entry(name))

    def list_entries(
        self,
        filter: str = "",  # noqa: A002 - the contract's word
        *,
        page_size: int = 0,
    ) -> Iterator[AllowlistEntry]:
        """Yields the entries a filter lets through, by name."""
        for page in self._calls.entry_pages(filter, page_size=page_size):
            yield from map(entry_of, page.allowlist_entries)

    def create_entry(
        self,
        entry_id: str,
        *,
        justification: str,
        trusted_owner: str | None = None,
        trusted_account: str | None = None,
        organization_pattern: str | None = None,
        account_ids: Iterable[str] = (),
        expire_time: datetime | None = None,
        ttl: timedelta | None = None,
        request_id: str | None = None,
        validate_only: bool = False,
        force: bool = False,
        refuse_if_loses_true_positives: bool = False,
    ) -> AllowlistEntry:
        """Creates an entry that vouches for an owner, an account or a pattern, and returns it.

        It ends at `expire_time` or after `ttl`, never where neither is given. A pattern that
        reaches into a well-known public family needs `force`. Calling again with the same
        `request_id`, a UUID, gives the first outcome.
        """
        entry = entry_message(
            trusted_owner=trusted_owner,
            trusted_account=trusted_account,
            organization_pattern=organization_pattern,
            account_ids=account_ids,
        )
        entry.justification = justification
        set_end(entry, expire_time, ttl)
        request = wire.CreateAllowlistEntryRequest(
            allowlist_entry_id=entry_id,
            allowlist_entry=entry,
            # Without one, a call that gRPC repeats would find the entry of its first attempt.
            request_id=request_id or str(uuid4()),
            validate_only=validate_only,
            force=force,
            refuse_if_loses_true_positives=refuse_if_loses_true_positives,
        )
        return entry_of(self._calls.create_entry(request))

    def update_entry(
        self,
        name: str,
        *,
        etag: str,
        justification: str | None = None,
        account_ids: Iterable[str] | None = None,
        expire_time: datetime | None = None,
        ttl: timedelta | None = None,
        never_expires: bool = False,
        validate_only: bool = False,
        refuse_if_loses_true_positives: bool = False,
    ) -> AllowlistEntry:
        """Sets what is given of an entry and returns it; raises a ConflictError at another etag.

        None leaves a part as it is; `never_expires` takes the end away.
        """
        ends = expire_time is not None or ttl is not None
        if ends and never_expires:
            raise ValueError("got an end and never_expires, expected one or the other")
        entry = wire.AllowlistEntry(
            name=entry_name(name),
            etag=etag,
            justification=justification or "",
            account_ids=account_ids or (),
        )
        set_end(entry, expire_time, ttl)
        request = wire.UpdateAllowlistEntryRequest(
            allowlist_entry=entry,
            validate_only=validate_only,
            refuse_if_loses_true_positives=refuse_if_loses_true_positives,
        )
        given = {
            "justification": justification is not None,
            "account_ids": account_ids is not None,
            "expire_time": ends or never_expires,
        }
        request.update_mask.paths.extend(path for path, is_given in given.items() if is_given)
        return entry_of(self._calls.update_entry(request))

    def delete_entry(
        self,
        name: str,
        *,
        etag: str | None = None,
        allow_missing: bool = False,
        validate_only: bool = False,
        refuse_if_loses_true_positives: bool = False,
    ) -> None:
        """Deletes an entry, with `etag` only if that is still its own."""
        self._calls.delete_entry(
            wire.DeleteAllowlistEntryRequest(
                name=entry_name(name),
                etag=etag or "",
                allow_missing=allow_missing,
                validate_only=validate_only,
                refuse_if_loses_true_positives=refuse_if_loses_true_positives,
            )
        )

    def get_rule_config(self, revision: int = 0) -> RuleConfig:
        """Returns a rule configuration, the one in force for 0."""
        return rule_of(self._calls.get_rule(revision))

    def list_rule_configs(self, *, page_size: int = 0) -> Iterator[RuleConfig]:
        """Yields rule configurations, newest first."""
        for page in self._calls.rule_pages(page_size=page_size):
            yield from map(rule_of, page.rule_configs)

    def update_rule_config(
        self,
        *,
        etag: str,
        correlation_window: timedelta | None = None,
        max_lateness: timedelta | None = None,
        public_patterns: Iterable[str] | None = None,
        mode: Mode | None = None,
        correlate_by: CorrelateBy | None = None,
        launch_paths: Iterable[str] | None = None,
        validate_only: bool = False,
        refuse_if_loses_true_positives: bool = False,
    ) -> RuleConfig:
        """Puts a revision in force in which what is given is another, and returns it.

        Raises a ConflictError where `etag` is not that of the revision in force.
        """
        config, paths = rule_message(
            correlation_window=correlation_window,
            max_lateness=max_lateness,
            public_patterns=public_patterns,
            mode=mode,
            correlate_by=correlate_by,
            launch_paths=launch_paths,
        )
        config.etag = etag
        request = wire.UpdateRuleConfigRequest(
            rule_config=config,
            validate_only=validate_only,
            refuse_if_loses_true_positives=refuse_if_loses_true_positives,
        )
        request.update_mask.paths.extend(paths)
        return rule_of(self._calls.update_rule(request))

    def restore_rule_config(self, revision: int, *, etag: str) -> RuleConfig:
        """Puts the settings of an older revision in force, as a further revision; returns it."""
        config = self._calls.get_rule(revision)
        config.etag = etag
        request = wire.UpdateRuleConfigRequest(rule_config=config)
        request.update_mask.paths.append("*")
        return rule_of(self._calls.update_rule(request))

    def preview_entry(
        self,
        *,
        name: str | None = None,
        trusted_owner: str | None = None,
        trusted_account: str | None = None,
        organization_pattern: str | None = None,
        account_ids: Iterable[str] = (),
        start_time: datetime | None = None,
        max_examples: int = 0,
    ) -> TuningPreview:
        """Says what an entry would do, in place of the one of its name if there is one.

        Findings created since `start_time` are judged again, those of the last 7 days where None;
        at most `max_examples` are returned, 20 where 0. So it is with the previews below.
        """
        entry = entry_message(
            trusted_owner=trusted_owner,
            trusted_account=trusted_account,
            organization_pattern=organization_pattern,
            account_ids=account_ids,
        )
        if name is not None:
            entry.name = entry_name(name)
        request = wire.PreviewTuningRequest(allowlist_entry=entry, max_examples=max_examples)
        return self._preview(request, start_time)

    def preview_deletion(
        self, name: str, *, start_time: datetime | None = None, max_examples: int = 0
    ) -> TuningPreview:
        """Says what the end of an entry would do."""
        request = wire.PreviewTuningRequest(
            deleted_allowlist_entry=entry_name(name), max_examples=max_examples
        )
        return self._preview(request, start_time)

    def preview_rule_config(
        self,
        *,
        correlation_window: timedelta | None = None,
        max_lateness: timedelta | None = None,
        public_patterns: Iterable[str] | None = None,
        mode: Mode | None = None,
        correlate_by: CorrelateBy | None = None,
        launch_paths: Iterable[str] | None = None,
        start_time: datetime | None = None,
        max_examples: int = 0,
    ) -> TuningPreview:
        """Says what other settings would do, on top of those in force; an empty list clears."""
        config, paths = rule_message(
            correlation_window=correlation_window,
            max_lateness=max_lateness,
            public_patterns=public_patterns,
            mode=mode,
            correlate_by=correlate_by,
            launch_paths=launch_paths,
        )
        request = wire.PreviewTuningRequest(rule_config=config, max_examples=max_examples)
        request.update_mask.paths.extend(paths)
        return self._preview(request, start_time)

    def get_progress(self) -> TuningProgress:
        """Says how far the latest change has been applied to what is stored."""
        return progress_of(self._calls.progress())

    def register_images(self, images: Iterable[KnownImage]) -> int:
        """Registers what is known of any number of images; returns of how many that was news."""
        return sum(map(self._calls.register_images, image_batches(images)))

    def list_images(self, *, region: str | None = None, page_size: int = 0) -> Iterator[KnownImage]:
        """Yields known images by region and id, of one region if it is given."""
        for page in self._calls.image_pages(region=region or "", page_size=page_size):
            yield from map(image_of, page.images)

    def forget_images(self, images: Iterable[KnownImage]) -> int:
        """Forgets images, by their ids and regions; returns how many of them were known."""
        return sum(map(self._calls.forget_images, image_batches(images)))

    def list_changes(
        self, *, start_time: datetime | None = None, page_size: int = 0
    ) -> Iterator[TuningChange]:
        """Yields changes, oldest first, those since `start_time` if it is given."""
        for page in self._calls.change_pages(start_time=start_time, page_size=page_size):
            yield from map(change_of, page.changes)

    def read_audit(self) -> Audit:
        """Returns every change, to be held against `verify_audit`."""
        changes: list[TuningChange] = []
        total_count, last_hash = 0, ""
        for page in self._calls.change_pages(page_size=_PAGE_SIZE):
            changes += map(change_of, page.changes)
            # Changes may have come in between; those of the last page are what it ends with.
            total_count, last_hash = page.total_count, page.last_hash
        return Audit(changes=tuple(changes), total_count=total_count, last_hash=last_hash)

    def _preview(
        self, request: wire.PreviewTuningRequest, start_time: datetime | None
    ) -> TuningPreview:
        if start_time is not None:
            request.start_time.FromDatetime(start_time)
        return preview_of(self._calls.preview(request))


def verify_audit(changes: Iterable[TuningChange], *, total_count: int, last_hash: str) -> None:
    """Raises AuditBrokenError, naming the first that is amiss, unless the audit is whole.

    `changes` are all of them, oldest first, `total_count` and `last_hash` what the server says of
    them: see `TuningClient.read_audit`. Whoever kept what it said once can hold as many changes
    against that.
    """
    count, previous = 0, ""
    for change in changes:
        count += 1
        if change.number != count:
            raise AuditBrokenError(count, f"missing; change {change.number} stands in its place")
        if change.previous_hash != previous:
            raise AuditBrokenError(count, "does not follow from the change before")
        if change.hash != _seal(change):
            raise AuditBrokenError(count, "is not what was sealed")
        previous = change.hash
    if count < total_count:
        raise AuditBrokenError(count + 1, f"missing; there were {total_count} changes")
    if count > total_count:
        raise AuditBrokenError(total_count + 1, f"added; there were {total_count} changes")
    if previous != last_hash:
        raise AuditBrokenError(max(count, 1), f"got hash {previous!r}, expected {last_hash!r}")


def described_images(output: Mapping[str, Any], *, region: str) -> tuple[KnownImage, ...]:
    """Returns what ec2 DescribeImages says of images, as boto3 returns it or the AWS CLI prints it.

    The output does not say which region it is of.
    """
    return tuple(
        KnownImage(
            image_id=image["ImageId"],
            region=region,
            owner_account_id=image.get("OwnerId"),
            owner_alias=image.get("ImageOwnerAlias"),
            image_name=image.get("Name"),
        )
        for image in output["Images"]
    )


def _seal(change: TuningChange) -> str:
    """Returns the hash of a change, worked out as the contract says from what it holds."""
    if change.change_time is None:
        return ""
    parts = {
        "actor": change.actor,
        "change_id": change.number,
        "change_time": change.change_time.isoformat(),
        "document": change.document.decode(errors="replace"),
        "method": change.method,
        "previous_hash": change.previous_hash,
    }
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(text.encode()).hexdigest()
