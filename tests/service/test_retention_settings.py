"""Settings of retention: durations, each with its unit, and the defaults that the store has."""

from __future__ import annotations

from datetime import timedelta

import pytest

from amiguard_service.config import ConfigError, load
from amiguard_service.retention import Retention
from amiguard_service.settings import show_duration

INSECURE = {"insecure": True}
NAMES = ("rejected", "changes", "findings", "coverage")


def test_defaults_are_those_of_retention() -> None:
    """A server that is set nothing keeps things as long as the store says."""
    settings = load(INSECURE, {}).settings

    kept = [getattr(settings, f"retention_{name}") for name in NAMES]
    assert kept == [getattr(Retention(), name) for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("5d", timedelta(days=5)),
        ("48h", timedelta(hours=48)),
        ("10000m", timedelta(minutes=10_000)),
        ("3650d", timedelta(days=3_650)),
    ],
)
def test_durations_are_read(name: str, text: str, duration: timedelta) -> None:
    """A whole number and its unit, in the environment as in a file."""
    effective = load(INSECURE, {f"AMIGUARD_RETENTION_{name.upper()}": text})

    assert getattr(effective.settings, f"retention_{name}") == duration
    assert f'retention_{name} = "{show_duration(duration)}"' in effective.as_toml()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["", "5", "5 d", "5w", "-5d", "1.5d", "0d", "9m", "3651d", "d"])
def test_what_is_no_such_duration_is_refused(name: str, text: str) -> None:
    """A wrong one stops the start, and says what was got and what was expected."""
    with pytest.raises(ConfigError) as caught:
        load(INSECURE, {f"AMIGUARD_RETENTION_{name.upper()}": text})

    assert caught.value.name == f"retention_{name}"
    assert "a whole number and m, h or d, from " in caught.value.expected


def test_number_without_a_unit_is_refused() -> None:
    """A bare number could be of any unit."""
    with pytest.raises(ConfigError):
        load(INSECURE | {"retention_findings": 400}, {})


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(days=30), "30d"),
        (timedelta(hours=36), "36h"),
        (timedelta(minutes=90), "90m"),
        (timedelta(hours=48), "2d"),
    ],
)
def test_durations_are_shown_as_they_are_read(duration: timedelta, text: str) -> None:
    """What is shown can be set."""
    assert show_duration(duration) == text
