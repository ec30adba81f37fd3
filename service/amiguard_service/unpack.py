"""One payload in, a decoded batch out: all of it within bounds of memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, cast

from isal import isal_zlib
from msgspec import Struct

from amiguard_core.decode import Decoded, Rejection, decode_log_file, decode_records
from amiguard_core.errors import InputTooLargeError, RecordMalformedError
from amiguard_core.events import LaunchPath
from amiguard_core.log_files.inflate import Codec, TextTooLargeError, inflate

MIN_SUSPECT_BYTES: Final = 8 * 1024 * 1024
"""Inflated text that is looked at before it is parsed. What is shorter cannot hold enough values to
matter, and nearly all log files are shorter."""

MAX_VALUES_PER_RECORD: Final = 400
"""JSON values that a record has on average at most, counted by commas and opening brackets; those
of real trails have 50."""

_ISAL: Final = Codec(isal_zlib.decompressobj, cast("type[Exception]", isal_zlib.IsalError))


class Job(Struct, frozen=True, array_like=True):
    """A payload and how to read it: the bytes of a log file, or records one by one.

    Launches by paths that do not count are read too: they may, once the policy changes.
    """

    payload: bytes | list[bytes]
    launch_paths: tuple[LaunchPath, ...]
    max_records: int
    max_inflated_bytes: int


def unpack(job: Job) -> Decoded:
    """Returns what a payload holds. A log file that cannot be read is one rejection, at index 0."""
    if isinstance(job.payload, list):
        return decode_records(
            job.payload,
            launch_paths=job.launch_paths,
            other_paths=LaunchPath,
            max_records=job.max_records,
        )
    try:
        inflated = inflate(job.payload, max_bytes=job.max_inflated_bytes, codec=_ISAL)
        _check_values(inflated.text, job.max_records)
        decoded = decode_log_file(
            inflated.text,
            launch_paths=job.launch_paths,
            other_paths=LaunchPath,
            max_records=job.max_records,
            damage=inflated.damage,
        )
    except TextTooLargeError:
        wanted = f"at most {job.max_inflated_bytes} bytes"
        return rejected(
            job.payload, InputTooLargeError("$", got="more once inflated", wanted=wanted)
        )
    except RecordMalformedError as error:
        return rejected(job.payload, error)
    except MemoryError:
        return rejected(job.payload, over_memory())
    # Where nothing could be inflated, the file as it came is what there is to keep.
    decoded.rejections = [
        rejection if rejection.raw else replace(rejection, raw=job.payload)
        for rejection in decoded.rejections
    ]
    return decoded


def over_memory() -> RecordMalformedError:
    """Makes the error of a payload that a process cannot hold."""
    return InputTooLargeError("$", got="more than fits into memory", wanted="a log file")


def rejected(log_file: bytes, error: RecordMalformedError) -> Decoded:
    """Returns the batch of a log file that is set aside as a whole."""
    rejection = Rejection(index=0, path=error.path, message=str(error), raw=log_file)
    return Decoded(rejections=[rejection])


def _check_values(text: bytes, max_records: int) -> None:
    """Refuses a text whose values would take many times its size in memory."""
    if len(text) < MIN_SUSPECT_BYTES:
        return
    most = MAX_VALUES_PER_RECORD * max_records
    value_count = sum(map(text.count, (b",", b"[", b"{")))
    if value_count > most:
        raise InputTooLargeError(
            "$", got=f"{value_count} values", wanted=f"at most {most} in one log file"
        )
