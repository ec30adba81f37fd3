"""Durations as they are written on a command line."""

from __future__ import annotations

from datetime import timedelta

import click
import pytest

from amiguard_client.cli.durations import Duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("24h", timedelta(hours=24)),
        ("7d", timedelta(days=7)),
    ],
)
def test_number_and_unit_make_a_duration(text: str, expected: timedelta) -> None:
    """A whole number with a unit is a duration."""
    assert Duration().convert(text, None, None) == expected


@pytest.mark.parametrize(
    "text", ["", "15", "m", "1.5h", "-1s", "15 m", "\u0661\u0665m", "9999999999s"]
)
def test_anything_else_is_refused(text: str) -> None:
    """A duration without a unit, or that is not whole, is not guessed at."""
    with pytest.raises(click.BadParameter, match="90s, 15m or 24h"):
        Duration().convert(text, None, None)
