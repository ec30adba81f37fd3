"""Names the forms that log files come in and that are not read, with a command that helps."""

from __future__ import annotations

import re

MIN_BYTES = 512
"""Bytes from which on every form can be told: a tar archive says so at byte 257."""

_UTF_16 = re.compile(rb"\xff\xfe|\xfe\xff|[{\[]\0[^\0]|\0[{\[]\0[^\0]")
_MAGICS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "damaged gzip", "whole gzip, which this tells: gzip -t FILE"),
    (b"PK\x03\x04", "a zip archive", "its files: unzip FILE -d FOLDER"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "its files: 7z x FILE -oFOLDER"),
    (b"BZh", "bzip2", "gzip or plain text: bzip2 -dc FILE | amiguardctl submit -"),
    (b"\xfd7zXZ\0", "xz", "gzip or plain text: xz -dc FILE | amiguardctl submit -"),
    (b"\x28\xb5\x2f\xfd", "Zstandard", "gzip or plain text: zstd -dc FILE | amiguardctl submit -"),
    (b"\x04\x22\x4d\x18", "LZ4", "gzip or plain text: lz4 -dc FILE | amiguardctl submit -"),
    (
        b"PAR1",
        "Parquet",
        "JSON as CloudTrail delivers it: amiguardctl submit s3://BUCKET/PREFIX of the trail",
    ),
)
_TAR_MAGIC = slice(257, 262)
_CSV_HEADER = re.compile(rb'"?[A-Za-z_][\w .]*+"?(?:[,;\t]"?[A-Za-z_][\w .]*+"?)++\s*')


def starts_like_utf_16(text: bytes) -> bool:
    """Says whether a document that begins so is UTF-16, with or without its byte order mark."""
    return _UTF_16.match(text) is not None


def other_form(text: bytes, *, is_first: bool) -> str | None:
    """Returns what a text that is no JSON is, and what to do with it; None where it is not known.

    `is_first` says that the file begins with it. Only there a line of names is a header of CSV, and
    UTF-16 more than one damaged line.
    """
    if is_first and starts_like_utf_16(text):
        return "got UTF-16, wanted UTF-8: iconv -f UTF-16 -t UTF-8 FILE > NEW"
    for magic, got, wanted in _MAGICS:
        if text.startswith(magic):
            return f"got {got}, wanted {wanted}"
    line = text.partition(b"\n")[0]
    if line[_TAR_MAGIC] == b"ustar":
        return "got a tar archive, wanted its files: tar -xf FILE -C FOLDER"
    if is_first and _CSV_HEADER.fullmatch(line):
        return "got CSV, wanted JSON: aws cloudtrail lookup-events > FILE"
    return None
