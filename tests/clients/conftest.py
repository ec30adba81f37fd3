"""Servers and clients for the tests of the client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from amiguard_client import Client, connect
from tests.clients.live_server import Live, live_server
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


@pytest.fixture
def live(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Live]:
    """The real server, with an empty database."""
    with live_server(migrated_sqlite, tmp_path) as running:
        yield running


@pytest.fixture
def live_client(live: Live) -> Iterator[Client]:
    """A client of the real server."""
    with connect(live.target, insecure=True) as connected:
        yield connected
