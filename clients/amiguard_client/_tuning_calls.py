"""Calls of the TuningService, with the messages of the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amiguard.v1 import tuning_service_pb2 as wire
from amiguard.v1.tuning_service_pb2_grpc import TuningServiceStub

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from amiguard_client.channel import Connection

ENTRY_PREFIX = "allowlistEntries/"


class TuningCalls:
    """The TuningService of one server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = TuningServiceStub(connection.channel)

    def get_entry(self, name: str) -> wire.AllowlistEntry:
        """Returns one entry, by name or bare id."""
        request = wire.GetAllowlistEntryRequest(name=entry_name(name))
        return self._connection.call(self._stub.GetAllowlistEntry, request).allowlist_entry

    def entry_pages(
        self,
        filter: str = "",  # noqa: A002 - the contract's word
        *,
        page_size: int = 0,
        page_token: str = "",
    ) -> Iterator[wire.ListAllowlistEntriesResponse]:
        """Yields pages of entries by name, from the first or the one a token stands for."""
        request = wire.ListAllowlistEntriesRequest(
            page_size=page_size, page_token=page_token, filter=filter
        )
        return self._pages(self._stub.ListAllowlistEntries, request)

    def entries(self) -> list[wire.AllowlistEntry]:
        """Returns every entry."""
        pages = self.entry_pages(page_size=1_000)
        return [entry for page in pages for entry in page.allowlist_entries]

    def create_entry(self, request: wire.CreateAllowlistEntryRequest) -> wire.AllowlistEntry:
        """Creates an entry and returns it."""
        return self._connection.call(self._stub.CreateAllowlistEntry, request).allowlist_entry

    def update_entry(self, request: wire.UpdateAllowlistEntryRequest) -> wire.AllowlistEntry:
        """Changes an entry and returns it."""
        return self._connection.call(self._stub.UpdateAllowlistEntry, request).allowlist_entry

    def delete_entry(self, request: wire.DeleteAllowlistEntryRequest) -> None:
        """Deletes an entry."""
        self._connection.call(self._stub.DeleteAllowlistEntry, request)

    def get_rule(self, revision: int = 0) -> wire.RuleConfig:
        """Returns a rule configuration, the one in force for 0."""
        request = wire.GetRuleConfigRequest(revision=revision)
        return self._connection.call(self._stub.GetRuleConfig, request).rule_config

    def rule_pages(
        self, *, page_size: int = 0, page_token: str = ""
    ) -> Iterator[wire.ListRuleConfigsResponse]:
        """Yields pages of rule configurations, newest first."""
        request = wire.ListRuleConfigsRequest(page_size=page_size, page_token=page_token)
        return self._pages(self._stub.ListRuleConfigs, request)

    def update_rule(self, request: wire.UpdateRuleConfigRequest) -> wire.RuleConfig:
        """Puts a rule configuration in force and returns it."""
        return self._connection.call(self._stub.UpdateRuleConfig, request).rule_config

    def preview(self, request: wire.PreviewTuningRequest) -> wire.PreviewTuningResponse:
        """Returns what a change would do, and does nothing."""
        return self._connection.call(self._stub.PreviewTuning, request)

    def progress(self) -> wire.GetTuningProgressResponse:
        """Returns how far the latest change has been applied to what is stored."""
        return self._connection.call(self._stub.GetTuningProgress, wire.GetTuningProgressRequest())

    def register_images(self, images: Iterable[wire.KnownImage]) -> int:
        """Registers at most 1,000 images; returns of how many that was news."""
        request = wire.RegisterImagesRequest(images=images)
        return self._connection.call(self._stub.RegisterImages, request).changed_count

    def image_pages(
        self, *, region: str = "", page_size: int = 0, page_token: str = ""
    ) -> Iterator[wire.ListImagesResponse]:
        """Yields pages of known images by region and id."""
        request = wire.ListImagesRequest(page_size=page_size, page_token=page_token, region=region)
        return self._pages(self._stub.ListImages, request)

    def forget_images(self, images: Iterable[wire.KnownImage]) -> int:
        """Forgets at most 1,000 images; returns how many of them were known."""
        request = wire.ForgetImagesRequest(images=images)
        return self._connection.call(self._stub.ForgetImages, request).forgotten_count

    def change_pages(
        self, *, start_time: datetime | None = None, page_size: int = 0, page_token: str = ""
    ) -> Iterator[wire.ListTuningChangesResponse]:
        """Yields pages of changes, oldest first."""
        request = wire.ListTuningChangesRequest(page_size=page_size, page_token=page_token)
        if start_time is not None:
            request.start_time.FromDatetime(start_time)
        return self._pages(self._stub.ListTuningChanges, request)

    def last_hash(self) -> str:
        """Returns the hash that the chain of all changes ends with, empty before the first."""
        return next(self.change_pages(page_size=1)).last_hash

    def _pages(self, method: Any, request: Any) -> Iterator[Any]:
        """Yields the pages of a list as they are asked for."""
        while True:
            page = self._connection.call(method, request)
            yield page
            request.page_token = page.next_page_token
            if not request.page_token:
                return


def entry_name(text: str) -> str:
    """Returns the resource name for a name or for the bare id of an entry."""
    return text if text.startswith(ENTRY_PREFIX) else ENTRY_PREFIX + text
