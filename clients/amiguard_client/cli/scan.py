"""Searches and launches out of log files: what a worker process of `hunt` does.

What comes back is small: about one record in a hundred is of interest.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, islice
from typing import BinaryIO, cast

from isal import isal_zlib
from msgspec import Struct, field

from amiguard_client.log_files import LogReader, pieces_of
from amiguard_client.log_folders import FoundFile
from amiguard_core.decode import Decoded, decode_items, decode_log_file
from amiguard_core.events import Launch, LaunchPath, Search
from amiguard_core.log_files.inflate import Codec, TextTooLargeError, inflate

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
    padding_bytes: int = 0

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
        self.padding_bytes += other.padding_bytes

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
        self.padding_bytes += decoded.padding_bytes


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
    """Reads a file that is open, or a pipe."""
    content = stream.read(MAX_TEXT_BYTES + 1)
    if not content:
        found.empty.append(name)
        return
    found.file_count += 1
    try:
        # A file that is not read to its end is not to be mistaken for one that is cut short.
        is_whole = len(content) <= MAX_TEXT_BYTES
        inflated = inflate(content, max_bytes=MAX_TEXT_BYTES, codec=_CODEC) if is_whole else None
    except TextTooLargeError:
        inflated = None
    if inflated is None:
        pieces = chain([content], pieces_of(stream))
        _scan_pieces(pieces, found, name=name, launch_paths=launch_paths)
        return
    found.add_decoded(
        name,
        decode_log_file(
            inflated.text,
            launch_paths=launch_paths,
            max_records=_NO_LIMIT,
            damage=inflated.damage,
        ),
    )
    found.padding_bytes += inflated.padding_bytes


def _scan_pieces(
    pieces: Iterable[bytes], found: Scan, *, name: str, launch_paths: Iterable[LaunchPath]
) -> None:
    reader = LogReader(max_record_bytes=_MAX_RECORD_BYTES)
    items = reader.read(pieces)
    first_index = 0
    while piece := list(islice(items, _PIECE_RECORDS)):
        decoded = decode_items(piece, launch_paths=launch_paths)
        found.add_decoded(name, decoded, first_index=first_index)
        first_index += len(piece)
    found.padding_bytes += reader.padding_bytes
