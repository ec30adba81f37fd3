"""Laws of naming forms that are not read: each by its first bytes, and no sound text by mistake."""

from __future__ import annotations

import pytest

from amiguard_core.log_files.forms import MIN_BYTES, other_form, starts_like_utf_16

MAGICS = {
    b"\x1f\x8b": "got damaged gzip, wanted whole gzip, which this tells: gzip -t FILE",
    b"PK\x03\x04": "got a zip archive, wanted its files: unzip FILE -d FOLDER",
    b"7z\xbc\xaf\x27\x1c": "got a 7z archive, wanted its files: 7z x FILE -oFOLDER",
    b"BZh": "got bzip2, wanted gzip or plain text: bzip2 -dc FILE | amiguardctl submit -",
    b"\xfd7zXZ\0": "got xz, wanted gzip or plain text: xz -dc FILE | amiguardctl submit -",
    b"\x28\xb5\x2f\xfd": (
        "got Zstandard, wanted gzip or plain text: zstd -dc FILE | amiguardctl submit -"
    ),
    b"\x04\x22\x4d\x18": "got LZ4, wanted gzip or plain text: lz4 -dc FILE | amiguardctl submit -",
    b"PAR1": (
        "got Parquet, wanted JSON as CloudTrail delivers it: "
        "amiguardctl submit s3://BUCKET/PREFIX of the trail"
    ),
}
UTF_16 = "got UTF-16, wanted UTF-8: iconv -f UTF-16 -t UTF-8 FILE > NEW"
TAR = "got a tar archive, wanted its files: tar -xf FILE -C FOLDER"
CSV = "got CSV, wanted JSON: aws cloudtrail lookup-events > FILE"


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("magic", MAGICS)
def test_a_form_is_known_by_its_first_bytes(magic: bytes, *, is_first: bool) -> None:
    """All of them, at the beginning: a part of them or a place behind says nothing."""
    assert other_form(magic, is_first=is_first) == MAGICS[magic]
    assert other_form(magic + b"\0\xff\n", is_first=is_first) == MAGICS[magic]
    assert other_form(magic[:-1], is_first=is_first) is None
    assert other_form(b" " + magic, is_first=is_first) is None


@pytest.mark.parametrize("is_first", [True, False])
def test_a_tar_archive_says_so_behind_its_first_file(*, is_first: bool) -> None:
    """Its mark has a place of its own, which the bytes that are looked at hold."""
    name = b"log.json".ljust(257, b"\0")

    assert other_form((name + b"ustar").ljust(MIN_BYTES), is_first=is_first) == TAR
    assert MIN_BYTES == 512
    for start in (name[:-1], name + b"\0", name + b"\n"):
        assert other_form(start + b"ustar", is_first=is_first) is None


@pytest.mark.parametrize(
    "text",
    [
        *(b"\xff\xfe", b"\xfe\xff", b"\xff\xfe{\0", b"{\0a\0", b"\0{\0a", b"[\0{\0", b"\0[\0{"),
        b'{\0"\0\0',
    ],
)
def test_utf_16_is_known_with_and_without_its_mark(text: bytes) -> None:
    """Only at the beginning of a file: elsewhere it is more likely a damaged line."""
    assert starts_like_utf_16(text) is True
    assert other_form(text, is_first=True) == UTF_16
    assert other_form(text, is_first=False) is None


@pytest.mark.parametrize(
    "text", [b"", b"{", b"{\0", b"{\0\0\0", b"\0{\0\0", b"\0\0{", b"{a", b"a\0{\0"]
)
def test_zeros_alone_are_no_utf_16(text: bytes) -> None:
    """UTF-32, padding, and what is too short to tell are something else."""
    assert starts_like_utf_16(text) is False
    assert other_form(text, is_first=True) is None


@pytest.mark.parametrize(
    ("line", "is_csv"),
    [
        (b"eventID,eventName", True),
        (b'"eventID","event name"\r', True),
        (b"_a;b_1;c.d ", True),
        (b"a\tb", True),
        (b"eventID", False),
        (b"a,1b", False),
        (b"1a,b", False),
        (b"a,,b", False),
        (b"a,b,", False),
        (b"a:b", False),
        (b'{"a":1},b', False),
        (b"", False),
    ],
)
def test_a_line_of_names_is_a_header_of_csv(line: bytes, *, is_csv: bool) -> None:
    """It is the first of a file, and has two names at least."""
    for text in (line, line + b"\n1,2\n"):
        assert other_form(text, is_first=True) == (CSV if is_csv else None)
        assert other_form(text, is_first=False) is None
