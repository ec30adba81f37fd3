"""Clocks of servers, each of which can be shifted while its server runs: libfaketime does it."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from pathlib import Path

_PLACES = ("/usr/lib", "/usr/lib64", "/usr/local/lib")
_NAME = "faketime/libfaketimeMT.so.1"
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - libfaketime chose it
LEFT_OUT = "clock shifted: libfaketime is not installed (the package `faketime`)"


def find_faketime() -> Path | None:
    """Returns the library that shifts the clock of a process; None where there is none."""
    found = (library for place in _PLACES for library in sorted(Path(place).glob(f"**/{_NAME}")))
    return next(found, None)


class ServerClock:
    """What one server takes for the time of day. Its durations stay right."""

    def __init__(self, library: Path, file: Path) -> None:
        self._library = library
        self._file = file
        self.shift(timedelta(0))

    @property
    def environment(self) -> dict[str, str]:
        """What makes a process follow this clock."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def shift(self, by: timedelta) -> None:
        """Makes the clock wrong by so much, at once."""
        beside = self._file.with_suffix(".new")
        beside.write_text(f"{round(by.total_seconds()):+d}\n")
        beside.replace(self._file)


def forget_clock(process_id: int) -> None:
    """Removes what libfaketime leaves of a process that was killed."""
    for name in (f"faketime_shm_{process_id}", f"sem.faketime_sem_{process_id}"):
        with suppress(FileNotFoundError):
            (_SHARED_MEMORY / name).unlink()
