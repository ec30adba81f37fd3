"""Servers and clients for the tests of the client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from amiguard_client import Client, connect
from tests.clients.scripted_server import ScriptedServer, serve


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A server that does what it should, unless told otherwise."""
    with serve() as running:
        yield running


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[Client]:
    """A client of the server."""
    with connect(server.target, insecure=True) as connected:
        yield connected
