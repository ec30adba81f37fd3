"""Searches and launches out of log files: what a worker process of `hunt` does.

What comes back is small: about one record in a hundred is of interest.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import BinaryIO, cast

from isal import isal_zlib
from msgspec import Struct, field

from amiguard_client.log_files import Unreadable, open_text, split
from amiguard_client.log_folders import FoundFile
from amiguard_core.decode import Decoded, decode_log_file, decode_records
from amiguard_core.errors import InputTooLargeError, RecordMalformedError
from amiguard_core.events import Launch, LaunchPath, Search
from amiguard_core.inflate import Codec, inflate

MAX_TEXT_BYTES = 64 * 1024 * 1024
"""Text of a file that is held in memory; a larger file is read piece by piece, more slowly."""
_MAX_RECORD_BYTES = 16 * 1024 * 1024
_PIECE_RECORDS = 10_000
_NO_LIMIT = 2**31
_CODEC = Codec(isal_zlib.decompressobj, cast("type[Exception]", isal_zlib.IsalError))


class Rejected(Struct, frozen=True):
    """One record that cannot be read, and where it stands."""

    file: str
    index: int
    path: str
    message: str


class Scan(Struct):
    """What some files hold.

    `problems` are files that could not be read, one line each, `empty` the names of those with
    nothing in them.
    """

    searches: list[Search] = field(default_factory=list)
    launches: list[Launch] = field(default_factory=list)
    rejections: list[Rejected] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    file_count: int = 0
    record_count: int = 0
    failed_count: int = 0
    unidentified_count: int = 0

    def add(self, other: Scan) -> None:
        """Takes in what other files hold."""
        self.searches += other.searches
        self.launches += other.launches
        self.rejections += other.rejections
        self.problems += other.problems
        self.empty += other.empty
        self.file_count += other.file_count
        self.record_count += other.record_count
        self.failed_count += other.failed_count
        self.unidentified_count += other.unidentified_count

    def add_decoded(self, file: str, decoded: Decoded, *, first_index: int = 0) -> None:
        """Takes in records of a file, the first of which stands at `first_index`."""
        self.searches += decoded.searches
        self.launches += decoded.launches
        self.rejections += [
            Rejected(file, first_index + r.index, r.path, r.message) for r in decoded.rejections
        ]
        self.record_count += decoded.record_count
        self.failed_count += decoded.failed_count
        self.unidentified_count += decoded.unidentified_count


def scan_files(paths: Iterable[FoundFile], *, launch_paths: Iterable[LaunchPath]) -> Scan:
    """Reads files; one that cannot be read costs no other."""
    paths_counted = tuple(launch_paths)
    found = Scan()
    for path in paths:
        try:
            with path.open() as stream:
                scan_stream(stream, found, name=str(path), launch_paths=paths_counted)
        except OSError as error:
            found.problems.append(f"{path}: {error.strerror or error}")
    return found


def scan_stream(
    stream: BinaryIO, found: Scan, *, name: str, launch_paths: Iterable[LaunchPath]
) -> None:
    """Reads a file that is open and can seek."""
    content = stream.read(MAX_TEXT_BYTES + 1)
    if not content:
        found.empty.append(name)
        return
    found.file_count += 1
    if len(content) <= MAX_TEXT_BYTES:
        try:
            text = inflate(content, max_bytes=MAX_TEXT_BYTES, codec=_CODEC)
        except InputTooLargeError:
            pass  # read in pieces below
        except RecordMalformedError as error:
            found.rejections.append(Rejected(name, 0, error.path, str(error)))
            return
        else:
            decoded = decode_log_file(text, launch_paths=launch_paths, max_records=_NO_LIMIT)
            found.add_decoded(name, decoded)
            return
    del content
    stream.seek(0)
    _scan_pieces(stream, found, name=name, launch_paths=launch_paths)


def _scan_pieces(
    stream: BinaryIO, found: Scan, *, name: str, launch_paths: Iterable[LaunchPath]
) -> None:
    records = split(open_text(stream), max_record_bytes=_MAX_RECORD_BYTES)
    first_index = 0
    while piece := list(islice(records, _PIECE_RECORDS)):
        for index, record in enumerate(piece):
            if isinstance(record, Unreadable):
                found.rejections.append(
                    Rejected(name, first_index + index, record.path, record.message)
                )
        # An unreadable record leaves an empty one behind, so that positions stay as they are.
        readable = [b"" if isinstance(r, Unreadable) else r for r in piece]
        decoded = decode_records(readable, launch_paths=launch_paths, max_records=_NO_LIMIT)
        decoded.rejections = [r for r in decoded.rejections if readable[r.index]]
        found.add_decoded(name, decoded, first_index=first_index)
        first_index += len(piece)
