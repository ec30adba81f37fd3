"""SinkService: where findings go, and how that fares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import grpc.aio

from amiguard.v1 import sink_service_pb2 as wire
from amiguard.v1.sink_service_pb2_grpc import SinkServiceServicer
from amiguard_service.admission import Admission
from amiguard_service.convert import finding_id_of
from amiguard_service.deliverer import Deliverer
from amiguard_service.engine import Engine
from amiguard_service.limits import Limits
from amiguard_service.listing import Listing
from amiguard_service.refusals import FieldInvalidError, ResourceNotFoundError
from amiguard_service.sink_convert import dead_letter_message, sink_message, trial_message
from amiguard_service.sinks import SINKS, DeadLetter, Sink, SinkProgress
from amiguard_service.store_calls import StoreCalls
from amiguard_service.tokens import PageTokens

T = TypeVar("T")
Context = grpc.aio.ServicerContext[Any, Any]

MAX_TESTS: Final = 4
"""Tests at a time: each is a request to somebody else's system."""
_MAX_NAME_LENGTH: Final = 128


class SinkService(SinkServiceServicer):
    """Tells of sinks, retries what they did not take, and tests them."""

    def __init__(
        self,
        engine: Engine,
        deliverer: Deliverer,
        store: StoreCalls,
        *,
        tokens: PageTokens,
        limits: Limits,
    ) -> None:
        self._engine = engine
        self._deliverer = deliverer
        self._store = store
        self._tokens = tokens
        self._calls = Admission(
            limits.max_calls, name="calls of sinks", per_caller=limits.max_calls_per_principal
        )
        self._tests = Admission(MAX_TESTS, name="tests of sinks")

    async def ListSinks(
        self, request: wire.ListSinksRequest, context: Context
    ) -> wire.ListSinksResponse:
        """Lists sinks by name."""
        del context
        listing = Listing(self._tokens, request)
        (after,) = listing.after(tuple[str]) or ("",)
        now = self._engine.now()

        def find() -> list[SinkProgress]:
            return [one for one in self._engine.sinks.progress() if one.sink_id > after]

        def message(progress: SinkProgress) -> wire.Sink:
            return sink_message(progress, self._deliverer.sinks.get(progress.sink_id), now=now)

        found = await self._run(find)
        page, token = listing.page(
            found[: listing.limit], message, lambda progress: (progress.sink_id,)
        )
        return wire.ListSinksResponse(sinks=page, next_page_token=token)

    async def ListDeadLetters(
        self, request: wire.ListDeadLettersRequest, context: Context
    ) -> wire.ListDeadLettersResponse:
        """Lists the dead letters of a sink."""
        del context
        sink_id = _sink_id_of(request.sink)
        listing = Listing(self._tokens, request, bound=sink_id.encode())
        (after,) = listing.after(tuple[str]) or ("",)

        def find() -> list[DeadLetter]:
            if sink_id not in {one.sink_id for one in self._engine.sinks.progress()}:
                raise ResourceNotFoundError(request.sink)
            return self._engine.sinks.list_dead_letters(sink_id, after=after, limit=listing.limit)

        found = await self._run(find)
        page, token = listing.page(found, dead_letter_message, lambda one: (one.finding_id,))
        return wire.ListDeadLettersResponse(dead_letters=page, next_page_token=token)

    async def RetryDeadLetters(
        self, request: wire.RetryDeadLettersRequest, context: Context
    ) -> wire.RetryDeadLettersResponse:
        """Makes dead letters due."""
        del context
        sink = self._configured(request.sink)
        finding_id = None
        if request.finding:
            finding_id = finding_id_of(request.finding, field="finding")
        count = await self._run(lambda: self._engine.sinks.retry(sink.sink_id, finding_id))
        return wire.RetryDeadLettersResponse(retried_count=count)

    async def TestSink(
        self, request: wire.TestSinkRequest, context: Context
    ) -> wire.TestSinkResponse:
        """Sends a test, and says what came of it."""
        del context
        sink = self._configured(request.sink)
        with self._tests.admit():
            return trial_message(await self._deliverer.test(sink))

    def _configured(self, name: str) -> Sink:
        sink = self._deliverer.sinks.get(_sink_id_of(name))
        if sink is None:
            raise ResourceNotFoundError(name)
        return sink

    async def _run(self, work: Callable[[], T]) -> T:
        """Returns what the store gives."""
        with self._calls.admit():
            return await self._store.run(work)


def _sink_id_of(name: str) -> str:
    """Returns the id in the name of a sink."""
    sink_id = name.removeprefix(SINKS)
    is_id = 0 < len(sink_id) <= _MAX_NAME_LENGTH and "\x00" not in sink_id
    if not name.startswith(SINKS) or not is_id:
        got = "nothing" if not name else "another text"
        raise FieldInvalidError("sink", got=got, expected="sinks/{sink_id}")
    return sink_id
