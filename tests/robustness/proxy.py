"""The network between clients and servers, which can be cut anywhere, also within a message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")

HOST = "127.0.0.1"
_CHUNK_BYTES = 64 * 1024
_STOP_SECONDS = 10


class Way(StrEnum):
    """Where bytes go."""

    TO_SERVER = "to server"
    TO_CLIENT = "to client"


@dataclass(eq=False)
class _Link:
    """One connection of a client, and the one to the server that goes with it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter

    def cut(self) -> None:
        """Ends both connections without a word; what is on its way is lost."""
        self.client.transport.abort()
        self.server.transport.abort()


class Proxy:
    """Stands in front of one server, which may go and come back at another port.

    Each client gets a door, an address of its own: gRPC shares the connections to one address
    among all channels of a process. Made by `Network.add_proxy`; safe to use from any thread.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._target: int | Path | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._last_answer_at: dict[str, float] = {}
        self._links: set[_Link] = set()
        self._doors: list[asyncio.Server] = []
        self._budgets: dict[Way, int] = {}

    def aim(self, target: int | Path | None) -> None:
        """Sends new connections to a port or a socket of this machine; refuses them for None."""
        self._network.call(lambda: setattr(self, "_target", target))

    def add_door(self) -> str:
        """Returns one more address of the server."""
        return self._network.run(self._add_door())

    def cut(self) -> None:
        """Cuts every connection."""
        self._network.call(self._cut)

    def silence(self) -> None:
        """Passes no byte on any more and closes nothing, as a network that has lost its way."""
        self._network.call(self._flowing.clear)

    def end_silence(self) -> None:
        """Passes on what was held back and what follows."""
        self._network.call(self._flowing.set)

    def last_answer_at(self, address: str) -> float:
        """Returns when the server last sent something to one door, by the loop's clock."""
        return self._last_answer_at.get(address, 0.0)

    def cut_after(self, byte_count: int, way: Way) -> None:
        """Cuts every connection once so many more bytes have gone one way."""
        self._network.call(lambda: self._budgets.update({way: byte_count}))

    async def close(self) -> None:
        """Closes the doors and cuts what is connected."""
        for door in self._doors:
            door.close()
        self._flowing.set()
        self._cut()

    async def _add_door(self) -> str:
        def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
            host, port = writer.get_extra_info("sockname")
            return self._serve(reader, writer, f"{host}:{port}")

        door = await asyncio.start_server(serve, HOST, 0)
        self._doors.append(door)
        return f"{HOST}:{door.sockets[0].getsockname()[1]}"

    def _cut(self) -> None:
        for link in self._links:
            link.cut()

    async def _serve(
        self, reader: asyncio.StreamReader, client: asyncio.StreamWriter, address: str
    ) -> None:
        try:
            await self._flowing.wait()
            from_server, server = await self._connect()
        except OSError:
            client.transport.abort()
            return
        link = _Link(client, server)
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._pass_on(reader, server, Way.TO_SERVER, address))
                ways.create_task(self._pass_on(from_server, client, Way.TO_CLIENT, address))
        except* OSError:
            # One end has gone without a word, and so goes the other: see `finally`.
            pass
        finally:
            self._links.discard(link)
            link.cut()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._target is None:
            raise ConnectionRefusedError
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection(HOST, self._target)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way, address: str
    ) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            await self._flowing.wait()
            if way is Way.TO_CLIENT:
                self._last_answer_at[address] = asyncio.get_running_loop().time()
            budget = self._budgets.get(way)
            if budget is not None and budget <= len(data):
                del self._budgets[way]
                await _write_to_the_end(writer, data[:budget])
                self._cut()
                return
            if budget is not None:
                self._budgets[way] = budget - len(data)
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def _write_to_the_end(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Returns when the other end has been sent everything, so that it sees half a message."""
    writer.write(data)
    writer.close()
    await writer.wait_closed()


@dataclass
class Network:
    """The event loop that every proxy runs in, in a thread of its own."""

    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _proxies: list[Proxy] = field(default_factory=list)

    def add_proxy(self) -> Proxy:
        """Returns a proxy that refuses every connection until it is aimed."""
        proxy = Proxy(self)
        self._proxies.append(proxy)
        return proxy

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Returns what a coroutine gives in the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_STOP_SECONDS)

    def call(self, work: Callable[[], object]) -> None:
        """Calls a function in the loop and waits until it is done."""

        async def call() -> None:
            work()

        self.run(call())

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Network]:
        """Gives a network until the end of the block."""
        network = cls()
        thread = Thread(target=network._loop.run_forever, name="network")
        thread.start()
        try:
            yield network
        finally:
            network.run(network._close())
            network._loop.call_soon_threadsafe(network._loop.stop)
            thread.join(_STOP_SECONDS)
            network._loop.close()

    async def _close(self) -> None:
        for proxy in self._proxies:
            await proxy.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=_STOP_SECONDS / 2)
