"""Settings every test shares."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# The same examples in every run, so that a red run is about the change under test.
settings.register_profile(
    "fixed",
    database=None,
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
# New examples in every run, and many: `HYPOTHESIS_PROFILE=search` looks for laws that do not hold.
settings.register_profile(
    "search", settings.get_profile("fixed"), derandomize=False, max_examples=2_000
)
# Few examples, for `make quick`.
settings.register_profile("quick", settings.get_profile("fixed"), max_examples=15)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

pytest_plugins = ["tests.databases"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test that needs PostgreSQL, so that `-m "not postgres"` leaves it out."""
    for item in items:
        parameters = getattr(item, "callspec", None)
        backend = parameters.params.get("backend") if parameters else None
        names = getattr(item, "fixturenames", ())
        if getattr(backend, "name", "") == "postgresql" or "postgres" in names:
            item.add_marker("postgres")
