"""Somebody else's system: an HTTP server on a free port that answers as a test tells it to."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Event, Thread
from typing import Any

TIMEOUT = 30
"""Seconds after which a test gives up on a request that should come."""


@dataclass(frozen=True)
class Received:
    """A request."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """The body, read as JSON."""
        document: dict[str, Any] = json.loads(self.body)
        return document


@dataclass
class Answer:
    """What is answered to a request."""

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    raw: bytes | None = None
    """Sent in place of an HTTP answer."""
    waits_for: Event | None = None
    hangs: Event | None = None
    """Waited for after `raw`, with the connection open."""


@dataclass
class Receiver:
    """What was received, and what is answered from now on."""

    url: str
    answer: Answer | Callable[[Received], Answer] = field(default_factory=Answer)
    requests: Queue[Received] = field(default_factory=Queue)

    def take(self) -> Received:
        """Returns the next request, waiting for it."""
        return self.requests.get(timeout=TIMEOUT)

    def handle(self, received: Received) -> Answer:
        """Keeps a request, and returns what to answer."""
        self.requests.put(received)
        return self.answer(received) if callable(self.answer) else self.answer


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Receives requests until the end of the block, encrypted where it is given the means."""

    class Handler(BaseHTTPRequestHandler):
        """Answers as the receiver says."""

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = receiver.handle(Received(self.path, headers, self.rfile.read(length)))
            if answer.waits_for is not None:
                answer.waits_for.wait(TIMEOUT)
            if answer.raw is not None:
                self.wfile.write(answer.raw)
                self.wfile.flush()
                if answer.hangs is not None:
                    answer.hangs.wait(TIMEOUT)
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        """Does not wait for those who hang up."""

        request_queue_size = 64

        def handle_error(self, *_: object) -> None:
            """Says nothing: who gives up waiting hangs up."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    scheme = "http" if tls is None else "https"
    receiver = Receiver(f"{scheme}://127.0.0.1:{server.server_port}/hook")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join(TIMEOUT)
        server.server_close()
