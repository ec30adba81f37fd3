"""Times on the command line."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import pytest

from amiguard_client.cli.times import Time


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-12-31", datetime(2026, 12, 31, tzinfo=UTC)),
        ("2026-12-31T18:00:00Z", datetime(2026, 12, 31, 18, tzinfo=UTC)),
        ("2026-12-31t18:00:00z", datetime(2026, 12, 31, 18, tzinfo=UTC)),
        ("2026-12-31T18:00:00", datetime(2026, 12, 31, 18, tzinfo=UTC)),
        ("2026-12-31 18:00:00+02:00", datetime(2026, 12, 31, 16, tzinfo=UTC)),
        ("2026-12-31T18:00:00.250Z", datetime(2026, 12, 31, 18, 0, 0, 250_000, tzinfo=UTC)),
    ],
)
def test_time_is_utc_unless_it_says_otherwise(text: str, expected: datetime) -> None:
    """A date is its midnight, a time without an offset is UTC."""
    assert Time().convert(text, None, None) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "90d",
        "2026-13-01",
        "2026-02-30",
        "2026-12-31T25:00:00Z",
        "20261231",
        "2026-W01-1",
    ],
)
def test_what_is_no_time_is_refused_by_what_was_got(text: str) -> None:
    """The message has what was got and what was wanted."""
    with pytest.raises(click.BadParameter, match="wanted a date") as raised:
        Time().convert(text, None, None)

    assert repr(text) in raised.value.message
