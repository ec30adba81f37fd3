"""AWS and servers for the tests of forwarders."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.forward.cloud import Cloud, serving_cloud


@pytest.fixture(scope="session")
def _served_cloud() -> Iterator[Cloud]:
    with serving_cloud() as cloud:
        yield cloud


@pytest.fixture
def cloud(_served_cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """AWS, with one empty bucket, where the clients of this process find it."""
    for name, value in _served_cloud.environment.items():
        monkeypatch.setenv(name, value)
    _served_cloud.reset()
    return _served_cloud
