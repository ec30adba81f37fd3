"""The products, the server and the rulebook."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_eda.tests.environment import Environment, find_java, make_environment
from ansible_eda.tests.rulebook import Rulebook
from ansible_eda.tests.service import Service, serving
from tests.clients.live_server import Live, live_server

pytest_plugins = ["tests.databases"]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Ansible, ansible-rulebook and the collection."""
    return make_environment(tmp_path_factory.mktemp("ansible"))


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """The real server, with an empty database."""
    folder = tmp_path / "service"
    folder.mkdir()
    with serving(folder) as running:
        yield running


@pytest.fixture
def live(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Live]:
    """The real server in this process, with an empty database."""
    with live_server(migrated_sqlite, tmp_path) as running:
        yield running


@pytest.fixture
def make_rulebook(
    environment: Environment, service: Service, tmp_path: Path
) -> Iterator[Callable[..., Rulebook]]:
    """Makes rulebooks over the server that are not started, with variables of their own."""
    find_java()
    made: list[Rulebook] = []

    def make(**overrides: Any) -> Rulebook:
        folder = tmp_path / f"rulebook-{len(made)}"
        folder.mkdir()
        made.append(Rulebook(environment, service, folder, overrides))
        return made[-1]

    yield make
    for each in made:
        each.end()
