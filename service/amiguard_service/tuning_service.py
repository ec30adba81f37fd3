"""TuningService: what counts as safe and as likely, and who said so."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Final, TypeVar

import grpc.aio

from amiguard.v1 import tuning_service_pb2 as wire
from amiguard.v1.tuning_service_pb2_grpc import TuningServiceServicer
from amiguard_core.policy import KnownImage
from amiguard_service import calls
from amiguard_service.admission import Admission
from amiguard_service.convert import read_time
from amiguard_service.engine import Engine
from amiguard_service.entry_requests import ENTRY_FIELDS, entry_field, entry_id_of
from amiguard_service.filters import evaluate, parse_filter, write_filter
from amiguard_service.image_requests import read_region
from amiguard_service.limits import Limits
from amiguard_service.listing import Listing
from amiguard_service.preview_requests import read_max_examples, read_proposal
from amiguard_service.refusals import FieldInvalidError, ResourceNotFoundError
from amiguard_service.request_fields import fields_of
from amiguard_service.store.errors import StoreUnavailableError
from amiguard_service.store.schema import to_micros
from amiguard_service.store_calls import StoreCalls
from amiguard_service.tokens import PageTokens
from amiguard_service.tuned import AuditRow, RuleRevision, StoredEntry
from amiguard_service.tuning_convert import (
    change_message,
    entry_message,
    image_message,
    preview_message,
    progress_message,
    rule_message,
)
from amiguard_service.tuning_writes import TuningWrites

T = TypeVar("T")
Context = grpc.aio.ServicerContext[Any, Any]

MAX_PREVIEWS_PER_PRINCIPAL: Final = 1
MAX_PREVIEWS: Final = 2
"""Previews at a time: each reads all that is stored, in one of the few threads that read."""


class TuningService(TuningServiceServicer):
    """Reads what is in force, changes it, and says what a change would do."""

    def __init__(
        self,
        engine: Engine,
        executor: Executor,
        *,
        tokens: PageTokens,
        limits: Limits,
        on_store_lost: Callable[[StoreUnavailableError], None],
    ) -> None:
        self._engine = engine
        self._tokens = tokens
        self._calls = Admission(
            limits.max_calls, name="reads of tuning", per_caller=limits.max_calls_per_principal
        )
        self._previews = Admission(
            MAX_PREVIEWS, name="previews", per_caller=MAX_PREVIEWS_PER_PRINCIPAL
        )
        self._store = StoreCalls(executor, on_store_lost=on_store_lost)
        self._writes = TuningWrites(engine, self._store, limits=limits)

    async def GetAllowlistEntry(
        self, request: wire.GetAllowlistEntryRequest, context: Context
    ) -> wire.GetAllowlistEntryResponse:
        """Returns one entry."""
        del context
        entry_id = entry_id_of(request.name, field="name")
        entry = await self._read(lambda: self._engine.tuning.get_entry(entry_id))
        if entry is None:
            raise ResourceNotFoundError(request.name)
        return wire.GetAllowlistEntryResponse(allowlist_entry=entry_message(entry))

    async def ListAllowlistEntries(
        self, request: wire.ListAllowlistEntriesRequest, context: Context
    ) -> wire.ListAllowlistEntriesResponse:
        """Lists entries by name, the expired too."""
        del context
        condition = parse_filter(request.filter, ENTRY_FIELDS)
        listing = Listing(self._tokens, request, bound=write_filter(condition).encode())
        (after,) = listing.after(tuple[str]) or ("",)

        def find() -> list[StoredEntry]:
            return [
                entry
                for entry in self._engine.tuning.list_entries()
                if entry.entry_id > after and evaluate(condition, entry_field(entry))
            ]

        found = await self._read(find)
        page, token = listing.page(found, entry_message, lambda entry: (entry.entry_id,))
        return wire.ListAllowlistEntriesResponse(allowlist_entries=page, next_page_token=token)

    async def CreateAllowlistEntry(
        self, request: wire.CreateAllowlistEntryRequest, context: Context
    ) -> wire.CreateAllowlistEntryResponse:
        """Creates an entry."""
        del context
        return await self._writes.create_entry(request)

    async def UpdateAllowlistEntry(
        self, request: wire.UpdateAllowlistEntryRequest, context: Context
    ) -> wire.UpdateAllowlistEntryResponse:
        """Changes an entry."""
        del context
        return await self._writes.update_entry(request)

    async def DeleteAllowlistEntry(
        self, request: wire.DeleteAllowlistEntryRequest, context: Context
    ) -> wire.DeleteAllowlistEntryResponse:
        """Deletes an entry."""
        del context
        return await self._writes.delete_entry(request)

    async def GetRuleConfig(
        self, request: wire.GetRuleConfigRequest, context: Context
    ) -> wire.GetRuleConfigResponse:
        """Returns one configuration."""
        del context
        if request.revision < 0:
            raise FieldInvalidError("revision", got=str(request.revision), expected="0 or more")
        found = await self._read(lambda: self._engine.tuning.get_rule(request.revision))
        if found is None:
            raise ResourceNotFoundError(f"ruleConfigs/{request.revision}")
        return wire.GetRuleConfigResponse(rule_config=rule_message(found))

    async def ListRuleConfigs(
        self, request: wire.ListRuleConfigsRequest, context: Context
    ) -> wire.ListRuleConfigsResponse:
        """Lists configurations, newest first."""
        del context
        listing = Listing(self._tokens, request)
        (before,) = listing.after(tuple[int]) or (None,)
        found: list[RuleRevision] = await self._read(
            lambda: self._engine.tuning.list_rules(before=before, limit=listing.limit)
        )
        page, token = listing.page(found, rule_message, lambda rule: (rule.config.revision,))
        return wire.ListRuleConfigsResponse(rule_configs=page, next_page_token=token)

    async def UpdateRuleConfig(
        self, request: wire.UpdateRuleConfigRequest, context: Context
    ) -> wire.UpdateRuleConfigResponse:
        """Puts another configuration in force."""
        del context
        return await self._writes.update_rule(request)

    async def RegisterImages(
        self, request: wire.RegisterImagesRequest, context: Context
    ) -> wire.RegisterImagesResponse:
        """Stores what is known of images."""
        del context
        return await self._writes.register_images(request)

    async def ListImages(
        self, request: wire.ListImagesRequest, context: Context
    ) -> wire.ListImagesResponse:
        """Lists known images by region and id."""
        del context
        region = read_region(request.region)
        listing = Listing(self._tokens, request, bound=request.region.encode())
        after = listing.after(tuple[str, str])
        found: list[KnownImage] = await self._read(
            lambda: self._engine.known_images.list_page(
                region=region, after=after, limit=listing.limit
            )
        )
        page, token = listing.page(found, image_message, lambda i: (i.region, i.image_id))
        return wire.ListImagesResponse(images=page, next_page_token=token)

    async def ForgetImages(
        self, request: wire.ForgetImagesRequest, context: Context
    ) -> wire.ForgetImagesResponse:
        """Forgets images."""
        del context
        return await self._writes.forget_images(request)

    async def GetTuningProgress(
        self, request: wire.GetTuningProgressRequest, context: Context
    ) -> wire.GetTuningProgressResponse:
        """Says how far the latest change has been applied to what is stored."""
        del request, context
        return progress_message(await self._read(self._engine.passes.progress))

    async def PreviewTuning(
        self, request: wire.PreviewTuningRequest, context: Context
    ) -> wire.PreviewTuningResponse:
        """Says what a change would have done."""
        del context
        field, proposal = read_proposal(request)
        max_examples = read_max_examples(request.max_examples)
        since = None
        if request.HasField("start_time"):
            since = read_time(request.start_time, field="start_time")
        with self._previews.admit(), fields_of(field):
            preview = await self._store.run(
                lambda: self._engine.tuning.preview(
                    proposal, since=since, max_examples=max_examples
                )
            )
        calls.count(finding_count=preview.evaluated_count)
        return preview_message(preview)

    async def ListTuningChanges(
        self, request: wire.ListTuningChangesRequest, context: Context
    ) -> wire.ListTuningChangesResponse:
        """Lists changes, oldest first, and says where their chain ends."""
        del context
        since = None
        if request.HasField("start_time"):
            since = read_time(request.start_time, field="start_time")
        bound = b"" if since is None else str(to_micros(since)).encode()
        listing = Listing(self._tokens, request, bound=bound)
        (after,) = listing.after(tuple[int]) or (0,)
        found: list[AuditRow]
        # One read for both: the last page ends where the chain does.
        found, state = await self._read(
            lambda: self._engine.tuning.list_changes(after=after, since=since, limit=listing.limit)
        )
        page, token = listing.page(found, change_message, lambda row: (row.change_id,))
        return wire.ListTuningChangesResponse(
            changes=page,
            next_page_token=token,
            total_count=state.audit_count,
            last_hash=state.audit_hash,
        )

    async def _read(self, work: Callable[[], T]) -> T:
        """Returns what the store gives."""
        with self._calls.admit():
            return await self._store.run(work)
