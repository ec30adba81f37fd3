"""What people ask to be put in force: requests read and checked, done, and the answers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from time import monotonic
from typing import Final, Protocol, TypeVar

from amiguard.v1 import tuning_service_pb2 as wire
from amiguard_service.admission import Admission
from amiguard_service.allowance import Allowance
from amiguard_service.engine import Engine
from amiguard_service.entry_requests import (
    ENTRY,
    entry_id_of,
    read_draft,
    read_entry_id,
    read_entry_patch,
)
from amiguard_service.identity import caller
from amiguard_service.image_requests import read_image_keys, read_images
from amiguard_service.limits import Limits
from amiguard_service.request_fields import fields_of, read_etag, read_request_id
from amiguard_service.rule_requests import RULE, read_rule_patch
from amiguard_service.store.errors import StoreError
from amiguard_service.store_calls import StoreCalls
from amiguard_service.tuned import RuleRevision
from amiguard_service.tuning import Guard
from amiguard_service.tuning_convert import entry_message, rule_message

T = TypeVar("T")

SETTLE_TIME: Final = timedelta(seconds=2)
"""How long the answer to a change waits for what is stored to follow: enough for a small database,
and not too long for a person."""
PATIENCE: Final = timedelta(seconds=10)
"""How long changes in a row wait together: whoever makes thousands of them need not wait each time
for what the next one begins anew."""
PATIENCE_SHARE: Final = 0.1
"""What part of the time changes wait all in all, past that."""


class _Guarded(Protocol):
    """A request of which the guards are read."""

    @property
    def validate_only(self) -> bool:
        """Whether only to check."""

    @property
    def refuse_if_loses_true_positives(self) -> bool:
        """Whether to keep what people have found to be true."""


class TuningWrites:
    """Serves the calls that change what is in force."""

    def __init__(self, engine: Engine, store: StoreCalls, *, limits: Limits) -> None:
        self._engine = engine
        self._store = store
        self._calls = Admission(
            limits.max_calls, name="changes of tuning", per_caller=limits.max_calls_per_principal
        )
        self._patience = Allowance(PATIENCE.total_seconds(), share=PATIENCE_SHARE)

    async def create_entry(
        self, request: wire.CreateAllowlistEntryRequest
    ) -> wire.CreateAllowlistEntryResponse:
        """Creates an entry, once for each request id."""
        entry_id = read_entry_id(request.allowlist_entry_id)
        request_id = read_request_id(request.request_id)
        draft = read_draft(request.allowlist_entry)
        actor, guard = caller().name, _read_guard(request, force=request.force)
        with fields_of(ENTRY):
            entry = await self._change(
                lambda: self._engine.tuning.create_entry(
                    entry_id, draft, actor=actor, request_id=request_id, guard=guard
                ),
                guard,
            )
        return wire.CreateAllowlistEntryResponse(allowlist_entry=entry_message(entry))

    async def update_entry(
        self, request: wire.UpdateAllowlistEntryRequest
    ) -> wire.UpdateAllowlistEntryResponse:
        """Changes an entry that is still as the caller saw it."""
        given = request.allowlist_entry
        entry_id = entry_id_of(given.name, field=f"{ENTRY}.name")
        etag = read_etag(given.etag, field=f"{ENTRY}.etag")
        patch = read_entry_patch(given, request.update_mask)
        actor, guard = caller().name, _read_guard(request)
        with fields_of(ENTRY):
            entry = await self._change(
                lambda: self._engine.tuning.update_entry(
                    entry_id, patch, etag=etag, actor=actor, guard=guard
                ),
                guard,
            )
        return wire.UpdateAllowlistEntryResponse(allowlist_entry=entry_message(entry))

    async def delete_entry(
        self, request: wire.DeleteAllowlistEntryRequest
    ) -> wire.DeleteAllowlistEntryResponse:
        """Deletes an entry."""
        entry_id = entry_id_of(request.name, field="name")
        actor, guard = caller().name, _read_guard(request)
        await self._change(
            lambda: self._engine.tuning.delete_entry(
                entry_id,
                etag=request.etag or None,
                actor=actor,
                allow_missing=request.allow_missing,
                guard=guard,
            ),
            guard,
        )
        return wire.DeleteAllowlistEntryResponse()

    async def update_rule(
        self, request: wire.UpdateRuleConfigRequest
    ) -> wire.UpdateRuleConfigResponse:
        """Puts another configuration in force."""
        etag = read_etag(request.rule_config.etag, field=f"{RULE}.etag")
        patch = read_rule_patch(request.rule_config, request.update_mask)
        actor, guard = caller().name, _read_guard(request)

        def work() -> RuleRevision:
            revision = self._engine.tuning.update_rule(patch, etag=etag, actor=actor, guard=guard)
            # Records are unpacked by it from now on. The change is made, whatever becomes of this.
            with suppress(StoreError):
                self._engine.refresh_policy()
            return revision

        with fields_of(RULE):
            revision = await self._change(work, guard)
        return wire.UpdateRuleConfigResponse(rule_config=rule_message(revision))

    async def register_images(
        self, request: wire.RegisterImagesRequest
    ) -> wire.RegisterImagesResponse:
        """Stores what is known of images."""
        images, actor = read_images(request.images), caller().name
        with self._calls.admit():
            count = await self._store.run(
                lambda: self._engine.known_images.register(images, actor=actor)
            )
        return wire.RegisterImagesResponse(changed_count=count)

    async def forget_images(self, request: wire.ForgetImagesRequest) -> wire.ForgetImagesResponse:
        """Forgets images."""
        keys, actor = read_image_keys(request.images), caller().name
        with self._calls.admit():
            count = await self._store.run(
                lambda: self._engine.known_images.forget(keys, actor=actor)
            )
        return wire.ForgetImagesResponse(forgotten_count=count)

    async def _change(self, work: Callable[[], T], guard: Guard) -> T:
        """Returns what a change gives, after what is stored has followed it for a while."""
        with self._calls.admit():
            changed = await self._store.run(work)
            if not guard.validate_only:
                # The change is made. What a lost database keeps from being done now, `Tuner` does.
                with suppress(StoreError):
                    await self._settle()
        return changed

    async def _settle(self) -> None:
        begun_at = monotonic()
        deadline = begun_at + min(SETTLE_TIME.total_seconds(), self._patience.left())
        try:
            progress = await self._store.run(self._engine.passes.progress)
            while progress.scope is not None and monotonic() < deadline:
                progress = await self._store.run(self._engine.passes.step)
        finally:
            self._patience.spend(monotonic() - begun_at)


def _read_guard(request: _Guarded, *, force: bool = False) -> Guard:
    return Guard(
        validate_only=request.validate_only,
        force=force,
        keep_true_positives=request.refuse_if_loses_true_positives,
    )
