"""A network between server and database that goes silent: nothing passes, nothing is closed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

from sqlalchemy import make_url

_CHUNK_BYTES = 64 * 1024


class SilentNetwork:
    """Passes bytes to one address until `go_silent`, and again after `go_on`."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._door = socket.create_server(("127.0.0.1", 0))
        self._passes = Event()
        self._passes.set()
        self._ends: list[socket.socket] = []
        self._is_closed = False
        self.port: int = self._door.getsockname()[1]
        self.is_silent_after = Event()
        """Set as soon as something has come that does not pass."""
        Thread(target=self._accept, daemon=True).start()

    def go_silent(self) -> None:
        """Takes what comes, also new connections, and passes nothing on."""
        self.is_silent_after.clear()
        self._passes.clear()

    def go_on(self) -> None:
        """Passes on what has come and what comes."""
        self._passes.set()

    def close(self) -> None:
        """Ends every connection."""
        self._is_closed = True
        self._passes.set()
        for end in (self._door, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._door.accept()
                server = socket.socket(socket.AF_UNIX)
                self._ends += [client, server]
                try:
                    server.connect(self._target)
                except OSError:
                    client.close()
                    continue
                for ends in ((client, server), (server, client)):
                    Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK_BYTES):
                if not self._passes.is_set():
                    self.is_silent_after.set()
                self._passes.wait()
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


@contextmanager
def silent_network(url: str) -> Iterator[tuple[SilentNetwork, str]]:
    """Gives a network to the database of a URL with a folder of sockets, and the URL through it."""
    parsed = make_url(url)
    folder = str(parsed.query["host"])
    network = SilentNetwork(f"{folder}/.s.PGSQL.{parsed.port or parsed.query.get('port', 5432)}")
    through = parsed.set(host="127.0.0.1", port=network.port).difference_update_query(
        ["host", "port"]
    )
    try:
        yield network, through.render_as_string(hide_password=False)
    finally:
        network.close()
