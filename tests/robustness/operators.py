"""An operator at work: the policy and the known images change while everything breaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeAlias

import grpc
import msgspec
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from amiguard.v1 import tuning_service_pb2 as wire
from amiguard.v1.tuning_service_pb2_grpc import TuningServiceStub
from amiguard_core.decode import decode_records
from amiguard_core.events import RESOLVE_PREFIX
from amiguard_core.policy import (
    AllowlistEntry,
    CorrelateBy,
    EntryKind,
    KnownImage,
    Mode,
    Policy,
    RuleConfig,
)
from tests.data.draws import Draws
from tests.data.shapes import derived_uuid
from tests.robustness.history import History, What
from tests.robustness.waiting import patiently, wait_until

_PREFIX = "allowlistEntries/"
_JUSTIFICATION = "Only we use these names."
_CALL_SECONDS = 5
_PATIENCE_SECONDS = 60
_PASSING = {
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class Tuned:
    """What is in force besides the records."""

    policy: Policy = field(default_factory=Policy)
    images: Mapping[tuple[str, str], KnownImage] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """Returns it in a form that can be written as JSON."""
        return {
            "policy": msgspec.to_builtins(self.policy),
            "images": [msgspec.to_builtins(image) for image in self.images.values()],
        }

    @classmethod
    def from_description(cls, described: Mapping[str, Any]) -> Tuned:
        """Returns what `describe` was told of."""
        images = msgspec.convert(described["images"], list[KnownImage])
        return cls(
            msgspec.convert(described["policy"], Policy),
            {(image.image_id, image.region): image for image in images},
        )


@dataclass(frozen=True, slots=True)
class RuleChange:
    """Another rule configuration."""

    rule: RuleConfig

    def apply(self, tuned: Tuned) -> Tuned:
        """Returns what is in force after it."""
        return replace(tuned, policy=msgspec.structs.replace(tuned.policy, rule=self.rule))

    def send(self, stub: TuningServiceStub) -> None:
        """Makes it."""
        now = stub.GetRuleConfig(wire.GetRuleConfigRequest(), timeout=_CALL_SECONDS).rule_config
        window = Duration()
        window.FromTimedelta(self.rule.window)
        config = wire.RuleConfig(
            etag=now.etag,
            mode=wire.RuleConfig.Mode.Value(f"MODE_{self.rule.mode}"),
            correlate_by=wire.RuleConfig.CorrelateBy.Value(
                f"CORRELATE_BY_{self.rule.correlate_by}"
            ),
            correlation_window=window,
        )
        mask = FieldMask(paths=("mode", "correlate_by", "correlation_window"))
        request = wire.UpdateRuleConfigRequest(rule_config=config, update_mask=mask)
        stub.UpdateRuleConfig(request, timeout=_CALL_SECONDS)


@dataclass(frozen=True, slots=True)
class EntryCreation:
    """One more allowlist entry."""

    entry_id: str
    pattern: str

    def apply(self, tuned: Tuned) -> Tuned:
        """Returns what is in force after it."""
        entry = AllowlistEntry(
            name=_PREFIX + self.entry_id, kind=EntryKind.ORGANIZATION_PATTERN, subject=self.pattern
        )
        entries = (*tuned.policy.entries, entry)
        return replace(tuned, policy=msgspec.structs.replace(tuned.policy, entries=entries))

    def send(self, stub: TuningServiceStub) -> None:
        """Makes it; made again, it is the same entry."""
        entry = wire.AllowlistEntry(organization_pattern=self.pattern, justification=_JUSTIFICATION)
        request = wire.CreateAllowlistEntryRequest(
            allowlist_entry_id=self.entry_id,
            allowlist_entry=entry,
            request_id=derived_uuid(self.entry_id),
        )
        stub.CreateAllowlistEntry(request, timeout=_CALL_SECONDS)


@dataclass(frozen=True, slots=True)
class EntryDeletion:
    """One allowlist entry less, if it is there."""

    entry_id: str

    def apply(self, tuned: Tuned) -> Tuned:
        """Returns what is in force after it."""
        name = _PREFIX + self.entry_id
        entries = tuple(entry for entry in tuned.policy.entries if entry.name != name)
        return replace(tuned, policy=msgspec.structs.replace(tuned.policy, entries=entries))

    def send(self, stub: TuningServiceStub) -> None:
        """Makes it."""
        request = wire.DeleteAllowlistEntryRequest(name=_PREFIX + self.entry_id, allow_missing=True)
        stub.DeleteAllowlistEntry(request, timeout=_CALL_SECONDS)


@dataclass(frozen=True, slots=True)
class Registration:
    """What has become known of images."""

    images: tuple[KnownImage, ...]

    def apply(self, tuned: Tuned) -> Tuned:
        """Returns what is in force after it."""
        known = {(image.image_id, image.region): image for image in self.images}
        return replace(tuned, images={**tuned.images, **known})

    def send(self, stub: TuningServiceStub) -> None:
        """Makes it."""
        images = [
            wire.KnownImage(
                image_id=image.image_id,
                region=image.region,
                owner_account_id=image.owner_account_id or "",
                owner_alias=image.owner_alias or "",
                image_name=image.image_name or "",
            )
            for image in self.images
        ]
        stub.RegisterImages(wire.RegisterImagesRequest(images=images), timeout=_CALL_SECONDS)


Change: TypeAlias = RuleChange | EntryCreation | EntryDeletion | Registration

_RULES = (
    RuleConfig(),
    RuleConfig(mode=Mode.STRICT),
    RuleConfig(correlate_by=CorrelateBy.ROLE),
    RuleConfig(window=timedelta(seconds=60)),
    RuleConfig(mode=Mode.STRICT, window=timedelta(hours=1)),
)
_PATTERNS = ("acme-*", "acme-base-*")
_OWNERS = ((None, "999999999999"), ("amazon", "137112412989"), (None, "099720109477"))
_NAMES = (None, "acme-base-2026.03.01", "amzn2-ami-hvm-2.0-x86_64-gp2")


def draw_changes(draws: Draws, records: Sequence[bytes], *, count: int) -> tuple[Change, ...]:
    """Returns changes that an operator might make, in their order."""
    launches = [
        launch
        for launch in decode_records(list(records)).launches
        # Some name a parameter, others nothing.
        if launch.image_ids and not launch.image_ids[0].startswith(RESOLVE_PREFIX)
    ]
    changes: list[Change] = []
    for number in range(count):
        match draws.randrange(5):
            case 0:
                changes.append(EntryCreation(f"ours-{number}", draws.choice(_PATTERNS)))
            case 1:
                changes.append(EntryDeletion(f"ours-{draws.randrange(number + 1)}"))
            case 2:
                chosen = draws.sample(launches, k=min(5, len(launches)))
                regional = {(x.image_ids[0], x.origin.region): None for x in chosen}
                changes.append(Registration(tuple(_draw_image(draws, *key) for key in regional)))
            case _:
                changes.append(RuleChange(draws.choice(_RULES)))
    return tuple(changes)


def _draw_image(draws: Draws, image_id: str, region: str) -> KnownImage:
    alias, account = draws.choice(_OWNERS)
    return KnownImage(
        image_id=image_id,
        region=region,
        owner_account_id=account,
        owner_alias=alias,
        image_name=draws.choice(_NAMES),
    )


class Operator(Thread):
    """Makes one change after the other, each until it is made."""

    def __init__(self, addresses: Sequence[str], history: History) -> None:
        super().__init__(name="operator", daemon=True)
        self._history = history
        self._addresses = addresses
        self._changes: SimpleQueue[Change | None] = SimpleQueue()
        self.tuned = Tuned()
        self.complaints: list[str] = []

    def make(self, change: Change) -> None:
        """Has a change made as soon as those before it are."""
        self._changes.put(change)

    def close(self) -> None:
        """Takes no further change."""
        self._changes.put(None)

    def finish(self) -> None:
        """Returns once every change is made, or has failed."""
        self.close()
        self.join(_PATIENCE_SECONDS)

    def run(self) -> None:
        """Returns after `close`."""
        with grpc.insecure_channel(f"ipv4:{','.join(self._addresses)}") as channel:
            stub = TuningServiceStub(channel)
            while (change := self._changes.get()) is not None:
                self._history.note(self.name, What.CHANGE, change=repr(change))
                try:
                    patiently(lambda: _send(change, stub), _PassingError, seconds=_PATIENCE_SECONDS)
                except (_PassingError, grpc.RpcError) as error:
                    self.complaints.append(f"operator: {change}: {error}")
                    return
                self.tuned = change.apply(self.tuned)
                self._history.note(self.name, What.IN_FORCE, **self.tuned.describe())


def await_applied(address: str) -> None:
    """Returns once what is stored follows the policy."""
    with grpc.insecure_channel(address) as channel:
        stub = TuningServiceStub(channel)

        def is_applied() -> bool:
            request = wire.GetTuningProgressRequest()
            return not stub.GetTuningProgress(request, timeout=_CALL_SECONDS).in_progress

        wait_until(is_applied, "the policy is applied", seconds=_PATIENCE_SECONDS)


class _PassingError(Exception):
    """A call that may do better when it is made again."""


def _send(change: Change, stub: TuningServiceStub) -> None:
    try:
        change.send(stub)
    except grpc.RpcError as error:
        if isinstance(error, grpc.Call) and error.code() in _PASSING:
            raise _PassingError(str(error)) from error
        raise
