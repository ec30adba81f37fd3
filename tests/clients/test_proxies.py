"""Proxies of the environment: passed by on this machine, and named where they fail."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from amiguard.v1 import finding_pb2
from amiguard_client import AmiguardError, RetryPolicy, UnreachableError, connect
from amiguard_client._watch import Watcher
from amiguard_client.cli.advice import line_on
from amiguard_client.proxies import proxy_variable
from tests.clients.scripted_server import ScriptedServer, serve

READ_BY_GRPC = ("grpc_proxy", "https_proxy", "http_proxy")
OTHERS = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "all_proxy")
ELSEWHERE = "amiguard.example.com:7443"
HEADERS = 1
"""The kind of an HTTP/2 frame that begins a call, or an answer."""
SHORT = timedelta(seconds=20)


@dataclass
class Peer:
    """A listener that notes what each connection says first, and answers the same to all."""

    port: int
    heard: list[bytes] = field(default_factory=list)


@contextmanager
def answering(answer: bytes) -> Iterator[Peer]:
    """Runs a listener that answers what each connection says first."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = Peer(listener.getsockname()[1])

        def run() -> None:
            while True:
                try:
                    taken, _ = listener.accept()
                except OSError:
                    return
                with taken:
                    peer.heard.append(taken.recv(65_536))
                    taken.sendall(answer)
                    while taken.recv(65_536):
                        pass

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield peer
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(timeout=30)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*READ_BY_GRPC, *OTHERS, "no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "dns:///127.0.0.1", "ipv4:127.0.0.1"])
@pytest.mark.parametrize("name", [*READ_BY_GRPC, *OTHERS])
def test_this_machine_is_reached_without_a_proxy(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, name: str, host: str
) -> None:
    """No proxy is sent a call, or a token, that is for a server on this machine."""
    server.findings.findings = [finding_pb2.Finding(name="findings/f")]
    port = server.target.rpartition(":")[2]
    with answering(b"HTTP/1.1 403 Forbidden\r\n\r\n") as proxy:
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")

        with connect(f"{host}:{port}", insecure=True, token="secret", timeout=SHORT) as client:
            found = client.get_finding("f")

    assert (found.name, proxy.heard) == ("findings/f", [])


def call(target: str) -> AmiguardError:
    """Returns what a call to a server raises."""
    with (
        connect(target, insecure=True, timeout=SHORT) as client,
        pytest.raises(AmiguardError) as raised,
    ):
        client.get_finding("f")
    return raised.value


@pytest.mark.parametrize("name", READ_BY_GRPC)
def test_a_failing_proxy_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """An error behind a proxy names the variable and no credentials, and says what to do."""
    with answering(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n") as proxy:
        monkeypatch.setenv(name, f"http://user:password@127.0.0.1:{proxy.port}")

        error = call(ELSEWHERE)

    assert proxy.heard[0].startswith(f"CONNECT {ELSEWHERE} ".encode())
    assert isinstance(error, UnreachableError)
    text = f"{ELSEWHERE} cannot be reached through the proxy that {name} names: "
    assert str(error).startswith(text)
    assert "password" not in str(error)
    assert line_on(error).endswith(
        f"response code 407. Check {name}, or name the server's host in no_proxy."
    )


def test_a_watch_in_silence_names_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that nothing comes of tells of the proxy on its way as well."""
    with answering(b"HTTP/1.1 200 OK\r\n\r\n") as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        with connect(ELSEWHERE, insecure=True) as client:
            watcher = Watcher(
                client.connection,
                filter="",
                retry=RetryPolicy(max_attempts=1),
                patience=timedelta(milliseconds=100),
            )

            with pytest.raises(UnreachableError, match="the proxy that https_proxy names: no answ"):
                next(iter(watcher))


def test_the_servers_own_refusal_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that can be reached is not said to be behind a proxy that failed."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with serve() as server:
        assert "proxy" not in str(call(server.target))


@pytest.mark.parametrize(
    ("variables", "target", "expected"),
    [
        ({}, ELSEWHERE, None),
        (dict.fromkeys(OTHERS, "http://p"), ELSEWHERE, None),
        ({"http_proxy": "http://p", "https_proxy": "http://p"}, ELSEWHERE, "https_proxy"),
        ({"grpc_proxy": "", "https_proxy": "http://p"}, ELSEWHERE, None),
        ({"http_proxy": "http://p", "no_proxy": "a.net, .Example.com"}, ELSEWHERE, None),
        ({"http_proxy": "http://p", "no_proxy": "other.com"}, ELSEWHERE, "http_proxy"),
        ({"http_proxy": "http://p", "no_proxy": "10.0.0.0/8"}, "10.1.2.3:443", None),
        ({"http_proxy": "http://p", "no_proxy": "10.0.0.0/8"}, "[2001:db8::1]:443", "http_proxy"),
        (
            {"http_proxy": "http://p", "no_proxy": "example.com", "no_grpc_proxy": "a.net"},
            ELSEWHERE,
            "http_proxy",
        ),
        ({"http_proxy": "http://p"}, "[::1]:443", None),
        ({"http_proxy": "http://p"}, "unix:/run/a.sock", None),
    ],
)
def test_the_proxy_is_the_one_that_grpc_takes(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], target: str, expected: str | None
) -> None:
    """The first variable that is set decides, unless no_proxy lists the host."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert proxy_variable(target) == expected


def serve_statuses(taken: socket.socket, status: int) -> None:
    """Answers every call of an HTTP/2 connection with an HTTP status alone."""
    # HPACK: a literal value for the indexed name `:status`.
    block = b"\x08\x03" + str(status).encode()
    ends_stream_and_headers = b"\x05"
    with taken, taken.makefile("rb") as frames:
        taken.sendall(b"\0\0\0\x04\0\0\0\0\0")
        frames.read(len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
        while head := frames.read(9):
            frames.read(int.from_bytes(head[:3], "big"))
            if head[3] == HEADERS:
                length = len(block).to_bytes(3, "big")
                taken.sendall(
                    length + bytes([HEADERS]) + ends_stream_and_headers + head[5:9] + block
                )


@contextmanager
def http2_peer(status: int) -> Iterator[int]:
    """Runs something that speaks HTTP/2 and no gRPC; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            while True:
                try:
                    taken, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve_statuses, args=(taken, status), daemon=True).start()

        threading.Thread(target=run, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 407, 413, 429, 502, 503, 504])
def test_an_http_status_is_told_as_a_proxys_answer(status: int) -> None:
    """A gRPC server answers 200, so another status is of something in between, as is said."""
    with http2_peer(status) as port:
        error = call(f"127.0.0.1:{port}")

    assert str(error) == (
        f"127.0.0.1:{port} cannot be reached: a proxy or load balancer in between answered with "
        f"HTTP status {status}"
    )
    assert line_on(error) == f"Error: {error}. Check what stands in between, and its log."
