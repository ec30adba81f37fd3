"""How the log is written, and what becomes of a line that cannot be."""

from __future__ import annotations

import errno
import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from amiguard_service import logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Takes back what a test configures for the whole process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


class FullDisk(io.StringIO):
    """A file on a disk that is full until it is freed."""

    is_full = True

    def write(self, text: str, /) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


@pytest.mark.parametrize("style", ["json", "console"])
def test_line_that_cannot_be_written_fails_nobody(style: str) -> None:
    """A full disk under the log costs lines of it, and no call that would have told of itself."""
    disk = FullDisk()
    logs.configure(level="info", style=style, stream=disk)

    structlog.get_logger().info("first")
    logging.getLogger("library").warning("second")
    disk.is_full = False
    structlog.get_logger().info("third")

    assert "third" in disk.getvalue()
    assert "first" not in disk.getvalue()


def test_events_of_libraries_come_in_the_same_form() -> None:
    """Whoever reads the log reads JSON, line by line, whoever wrote it."""
    stream = io.StringIO()
    logs.configure(level="info", style="json", stream=stream)

    structlog.get_logger().info("ours", count=1)
    logging.getLogger("library").warning("theirs")

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [
        ("ours", "info"),
        ("theirs", "warning"),
    ]
