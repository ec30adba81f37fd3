"""Counts what is not read on the way in, so that each reason is told with one example."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class _Words:
    """How a reason is told of one thing and of several, and what to do about it."""

    one: str
    many: str
    advice: str = ""


class Reason(Enum):
    """Why something is not read."""

    OTHER_FEED = _Words("file of other CloudTrail feeds", "files of other CloudTrail feeds")
    OTHER_FEED_FOLDER = _Words(
        "folder of other CloudTrail feeds", "folders of other CloudTrail feeds"
    )
    OTHER_SERVICE = _Words("file of other AWS services", "files of other AWS services")
    OTHER_SERVICE_FOLDER = _Words("folder of other AWS services", "folders of other AWS services")
    OTHER_NAME = _Words(
        "file that is not named as a log file",
        "files that are not named as log files",
        "name them on the command line, or rename them to .json or .json.gz",
    )
    OTHER_CONTENT = _Words(
        "file without an extension that begins neither as JSON nor as gzip",
        "files without an extension that begin neither as JSON nor as gzip",
    )
    HIDDEN_FOLDER = _Words(
        "hidden folder", "hidden folders", "name them on the command line to read them"
    )
    FOLDER_MARK = _Words("object that only marks a folder", "objects that only mark folders")
    LINK = _Words("symbolic link", "symbolic links", "--follow-links reads what they lead to")
    BROKEN_LINK = _Words("link that leads nowhere", "links that lead nowhere")
    SPECIAL = _Words("pipe, socket or device", "pipes, sockets or devices")
    NO_NEW_OBJECT = _Words(
        "notification that names no new object", "notifications that name no new object"
    )
    TEST_EVENT = _Words("test event", "test events")


class LeftOut:
    """What was left out, by reason. Used from one thread.

    `on_first` is told one line when a reason is met for the first time: for work that has no end.
    """

    def __init__(self, on_first: Callable[[str], None] | None = None) -> None:
        self._on_first = on_first
        self._met: dict[Reason, str] = {}
        self._counts: dict[Reason, int] = {}

    def add(self, reason: Reason, example: object) -> None:
        """Counts one thing; the first of its reason is the example."""
        self._counts[reason] = self._counts.get(reason, 0) + 1
        if reason in self._met:
            return
        self._met[reason] = str(example)
        if self._on_first is not None:
            self._on_first(f"leaves out {reason.value.many}, such as {self._rest(reason)}")

    def count(self, reason: Reason) -> int:
        """Returns how many were left out for a reason."""
        return self._counts.get(reason, 0)

    def start_over(self) -> None:
        """Counts from zero, as the same files are looked at again."""
        self._counts.clear()

    def lines(self) -> list[str]:
        """Returns one line for each reason, with the count and one example."""
        return [
            f"left out {count:,} {reason.value.one if count == 1 else reason.value.many}, "
            f"such as {self._rest(reason)}"
            for reason, count in self._counts.items()
        ]

    def _rest(self, reason: Reason) -> str:
        advice = reason.value.advice
        return f"{self._met[reason]}: {advice}" if advice else self._met[reason]
