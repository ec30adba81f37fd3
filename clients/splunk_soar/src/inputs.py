"""Parameters as people and playbooks give them, read into values.

An action can be run by a playbook with whatever it has at hand, so a parameter is checked here
even where the form of the platform offers a list of values.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime

from soar_sdk.exceptions import ActionFailure


def text_of(value: str | None) -> str | None:
    """Returns a text without the space around it, None for one that is empty."""
    return (value or "").strip() or None


def required(name: str, value: str | None) -> str:
    """Returns a text that has to be there."""
    text = text_of(value)
    if text is None:
        raise ActionFailure(f"{name}: got nothing, wanted a text")
    return text


def one_of(name: str, value: str, choices: Iterable[str]) -> str:
    """Returns a value that is one of a few."""
    text = value.strip()
    if text not in (wanted := tuple(choices)):
        raise ActionFailure(f"{name}: got {text!r}, wanted one of {', '.join(wanted)}")
    return text


def at_least_one(name: str, value: int) -> int:
    """Returns a number of things to have at most."""
    if value < 1:
        raise ActionFailure(f"{name}: got {value}, wanted 1 or more")
    return value


def list_of(value: str | None) -> list[str]:
    """Returns the items of a list that is separated by commas."""
    return [item for part in (value or "").split(",") if (item := part.strip())]


def time_of(name: str, value: str | None) -> datetime | None:
    """Returns a time; a day is its beginning in UTC."""
    text = text_of(value)
    if text is None:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is not None:
        return datetime(day.year, day.month, day.day, tzinfo=UTC)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise ActionFailure(
            f"{name}: got {text!r}, wanted a day or a time with its offset, "
            "such as 2027-03-01 or 2027-03-01T12:00:00Z"
        )
    return time.astimezone(UTC)
