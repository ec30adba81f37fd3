"""Servers and clients for the tests of the client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from amiguard_client import Client, connect
from tests.clients.live_server import Live, live_server
from tests.clients.scripted_server import ScriptedServer, serve

if TYPE_CHECKING:
    from tests.clients.forward.cloud import Cloud


@pytest.fixture(scope="session")
def _served_cloud() -> Iterator[Cloud]:
    # Loaded by the tests that need it: moto is large.
    from tests.clients.forward.cloud import serving_cloud

    with serving_cloud() as cloud:
        yield cloud


@pytest.fixture
def cloud(_served_cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """AWS, with one empty bucket, where the clients of this process find it."""
    for name, value in _served_cloud.environment.items():
        monkeypatch.setenv(name, value)
    _served_cloud.reset()
    return _served_cloud


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
