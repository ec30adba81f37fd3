"""Files of every kind and size give the records they hold."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from amiguard_client.cli import scan
from amiguard_client.cli.scan import scan_files
from amiguard_client.log_folders import FoundFile
from amiguard_core.decode import DEFAULT_LAUNCH_PATHS
from tests.data.log_files import log_content
from tests.data.records import describe_images, run_instances
from tests.data.shapes import encode

RECORDS = [encode(describe_images()), encode(run_instances()), b"nonsense"]


def write(root: Path, name: str, content: bytes) -> Path:
    """Writes a file."""
    path = root / name
    path.write_bytes(content)
    return path


def named(path: Path) -> FoundFile:
    """Returns a file as one that is named on the command line."""
    return FoundFile(str(path))


@pytest.mark.parametrize("max_text_bytes", [10, 10_000_000], ids=["pieces", "whole"])
@pytest.mark.parametrize("is_gzip", [True, False], ids=["gzip", "plain"])
def test_file_is_read_the_same_whole_and_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_text_bytes: int, *, is_gzip: bool
) -> None:
    """A file too large to be held in memory gives the same records, at the same positions."""
    monkeypatch.setattr(scan, "MAX_TEXT_BYTES", max_text_bytes)
    monkeypatch.setattr(scan, "_PIECE_RECORDS", 2)
    content = b"\n".join(RECORDS)
    path = write(tmp_path, "a", gzip.compress(content) if is_gzip else content)

    found = scan_files([named(path)], launch_paths=DEFAULT_LAUNCH_PATHS)

    assert (len(found.searches), len(found.launches), found.record_count) == (1, 1, 2)
    assert [(r.file, r.index) for r in found.rejections] == [(str(path), 2)]


def test_record_that_cannot_be_read_keeps_its_position_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot even be taken apart is one rejection, and the records before it count."""
    monkeypatch.setattr(scan, "MAX_TEXT_BYTES", 10)
    path = write(tmp_path, "a", log_content(RECORDS[:2])[:-2] + b",{")

    found = scan_files([named(path)], launch_paths=DEFAULT_LAUNCH_PATHS)

    assert found.record_count == 2
    assert [(r.index, r.path) for r in found.rejections] == [(2, "$"), (3, "$")]
    assert "cut short" in found.rejections[-1].message


def test_damaged_gzip_is_one_rejection(tmp_path: Path) -> None:
    """Of gzip that is cut short the records before the end are read, and the cut is told."""
    path = write(tmp_path, "a", gzip.compress(log_content(RECORDS[:2]))[:-10])

    found = scan_files([named(path)], launch_paths=DEFAULT_LAUNCH_PATHS)

    assert found.record_count == 2
    assert [(r.index, r.path) for r in found.rejections] == [(2, "$")]


def test_missing_and_empty_files_cost_no_other(tmp_path: Path) -> None:
    """A file that is gone is told in a line, one with nothing in it by its name."""
    missing, empty = tmp_path / "missing", write(tmp_path, "empty", b"")
    good = write(tmp_path, "good", RECORDS[0])

    found = scan_files(map(named, (missing, empty, good)), launch_paths=DEFAULT_LAUNCH_PATHS)

    assert found.problems == [f"{missing}: No such file or directory"]
    assert found.empty == [str(empty)]
    assert (found.file_count, len(found.searches)) == (1, 1)
