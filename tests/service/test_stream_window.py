"""Laws of one stream that only a peer of the test's own can show, message by message."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import grpc.aio
import pytest

from amiguard.v1 import ingest_service_pb2 as wire
from amiguard_service import calls
from amiguard_service.calls import Call
from amiguard_service.drain import Drain
from amiguard_service.intake import Batch, Outcome
from amiguard_service.limits import Limits
from amiguard_service.payloads import Unpacker
from amiguard_service.refusals import DrainingError, WindowOverrunError
from amiguard_service.stream import EventStream
from amiguard_service.unpack_pool import UnpackPool
from tests.service.talking import SEARCH, records
from tests.service.waiting import until

LIMITS = Limits(max_batches_in_flight=2)
OPENING = wire.SubmitEventsRequest(open=wire.OpenStream(source="tests"))


class Peer:
    """A client whose every message is here already, and who keeps what it is told."""

    def __init__(self, *requests: wire.SubmitEventsRequest, ends: bool = True) -> None:
        self._requests = list(requests)
        self._ends = ends
        self.responses: list[wire.SubmitEventsResponse] = []
        self.has_been_read = asyncio.Event()

    async def read(self) -> wire.SubmitEventsRequest | object:
        """Returns the next message, then the end of the stream, unless the client stays."""
        if self._requests:
            return self._requests.pop(0)
        self.has_been_read.set()
        if not self._ends:
            await asyncio.Event().wait()
        return grpc.aio.EOF

    async def write(self, message: wire.SubmitEventsResponse) -> None:
        """Keeps a response."""
        self.responses.append(message)

    @property
    def told(self) -> list[str | None]:
        """What kinds of response came."""
        return [response.WhichOneof("message") for response in self.responses]


class Shelf:
    """Takes batches, and commits them when told to."""

    def __init__(self) -> None:
        self.taken: list[asyncio.Future[Outcome]] = []

    async def submit(self, batch: Batch) -> asyncio.Future[Outcome]:
        """Keeps a batch until it is told to commit."""
        del batch
        self.taken.append(asyncio.get_running_loop().create_future())
        return self.taken[-1]

    def commit(self) -> None:
        """Commits what was taken."""
        for outcome in self.taken:
            if not outcome.done():
                outcome.set_result(
                    Outcome(
                        accepted_count=1,
                        relevant_count=1,
                        duplicate_count=0,
                        rejections=(),
                        finding_ids=(),
                    )
                )


def batch(sequence: int) -> wire.SubmitEventsRequest:
    """Makes a message with a batch that needs a commit."""
    return wire.SubmitEventsRequest(batch=records(SEARCH, sequence=sequence))


def run(
    peer_of: Callable[[], Peer], act: Callable[[Peer, Shelf, Drain], Awaitable[None]]
) -> tuple[Peer, Exception | None]:
    """Serves a peer while `act` is done to it; returns it, and what the stream was ended with."""

    async def serve() -> tuple[Peer, Exception | None]:
        peer, shelf, drain = peer_of(), Shelf(), Drain()
        calls.begin_call(Call(method="SubmitEvents", peer="test"))
        unpacker = Unpacker(UnpackPool(1), LIMITS, launch_paths=lambda: ())
        stream = EventStream(peer, unpacker=unpacker, committer=shelf, limits=LIMITS, drain=drain)

        async def serve_stream() -> None:
            await stream.open()
            await stream.run()

        async with asyncio.timeout(30):
            _, ended = await asyncio.gather(
                act(peer, shelf, drain), serve_stream(), return_exceptions=True
            )
        assert ended is None or isinstance(ended, Exception)
        return peer, ended

    return asyncio.run(serve())


def test_the_window_is_enforced() -> None:
    """A client that overruns the window is stopped, and still gets the acks it waits for."""

    async def act(peer: Peer, shelf: Shelf, drain: Drain) -> None:
        del peer, drain
        await until(lambda: len(shelf.taken) >= LIMITS.max_batches_in_flight)
        shelf.commit()

    peer, ended = run(lambda: Peer(OPENING, batch(1), batch(2), batch(3)), act)

    assert peer.told == ["opened", "ack", "ack"]
    assert isinstance(ended, WindowOverrunError)


def test_go_away_is_said_once_and_what_was_read_is_acked() -> None:
    """A drain asks to leave, once; batches in flight are acked; a client that leaves ends well."""

    async def act(peer: Peer, shelf: Shelf, drain: Drain) -> None:
        await peer.has_been_read.wait()
        await asyncio.gather(drain.run(0.0), asyncio.sleep(0))
        shelf.commit()

    peer, ended = run(lambda: Peer(OPENING, batch(1), batch(2)), act)

    assert sorted(map(str, peer.told)) == ["ack", "ack", "go_away", "opened"]
    assert ended is None


def test_a_client_that_does_not_leave_is_cut() -> None:
    """Who is still there when the grace period is half over gets its acks, and is sent away."""

    async def act(peer: Peer, shelf: Shelf, drain: Drain) -> None:
        await peer.has_been_read.wait()
        shelf.commit()
        with drain.serving():
            await drain.run(0.0)

    peer, ended = run(lambda: Peer(OPENING, batch(1), ends=False), act)

    assert peer.told.count("ack") == 1
    assert peer.told.count("go_away") == 1
    assert isinstance(ended, DrainingError)


@pytest.mark.parametrize("requests", [(), (OPENING,), (OPENING, batch(1))])
def test_a_failing_peer_ends_the_stream(requests: tuple[wire.SubmitEventsRequest, ...]) -> None:
    """What the transport raises while the stream is read is raised by the stream."""

    class Broken(Peer):
        async def read(self) -> wire.SubmitEventsRequest | object:
            request = await super().read()
            if request is grpc.aio.EOF:
                raise ConnectionResetError
            return request

    async def act(peer: Peer, shelf: Shelf, drain: Drain) -> None:
        del drain
        await peer.has_been_read.wait()
        shelf.commit()

    _, ended = run(lambda: Broken(*requests), act)

    assert isinstance(ended, ConnectionResetError)
