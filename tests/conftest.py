"""Settings every test shares."""

from __future__ import annotations

import os

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
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

pytest_plugins = ["tests.databases"]
