"""The app in its own environment, and the real server that it speaks to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from splunk_soar.package import build_wheel, make_environment
from splunk_soar.tests.soar import Runner, Soar, running
from tests.clients.live_server import Live, live_server

pytest_plugins = ["tests.databases"]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of amiguard."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def python(wheel: Path) -> Path:
    """The Python of an environment that has the SDK and the wheel."""
    return make_environment(wheel)


@pytest.fixture(scope="session")
def runner(python: Path) -> Iterator[Runner]:
    """What runs the app."""
    with running(python) as started:
        yield started


@pytest.fixture
def live(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Live]:
    """The real server, with an empty database."""
    with live_server(migrated_sqlite, tmp_path) as started:
        yield started


@pytest.fixture
def make_soar(runner: Runner, tmp_path: Path) -> Callable[..., Soar]:
    """Makes a platform with an asset."""

    def make(**asset: Any) -> Soar:
        return Soar(runner, tmp_path, asset)

    return make


@pytest.fixture
def soar(make_soar: Callable[..., Soar], live: Live) -> Soar:
    """A platform whose asset is the server."""
    return make_soar(server=live.target, insecure=True)
