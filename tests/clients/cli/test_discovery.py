"""Which files of a tree are read, and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest

from amiguard_client.cli.discovery import Discovery
from amiguard_client.left_out import Reason


def touch(root: Path, *names: str) -> list[Path]:
    """Makes files with something in them."""
    paths = [root / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    return paths


def found(*paths: Path) -> tuple[list[Path], list[str], int]:
    """Returns the files found, what was reported, and how many of other feeds were left out."""
    problems: list[str] = []
    discovery = Discovery(on_problem=problems.append)
    files = [file.path for file in discovery.find(paths)]
    return files, problems, discovery.left_out.count(Reason.OTHER_FEED)


def test_log_files_are_found_in_the_order_of_their_names(tmp_path: Path) -> None:
    """Folders are read recursively, by name, whatever the file system's order."""
    expected = touch(
        tmp_path,
        "a.json",
        "b/c.json.gz",
        "b/d.NDJSON",
        "b/z/e.jsonl.gz",
        "c.ndjson.gz",
        "d.jsonl",
    )
    touch(tmp_path, "readme.txt", "b/x.json.bak", ".hidden.json", "d.parquet", "e.bz2.gz")

    assert found(tmp_path) == (expected, [], 0)


@pytest.mark.parametrize(
    "folder",
    [
        "CloudTrail-Digest",
        "CloudTrail-Insight",
        "CloudTrail-NetworkActivity",
        "CloudTrail-Aggregated",
        "CloudTrail-Insight-Aggregated",
    ],
)
def test_other_feeds_are_skipped(tmp_path: Path, folder: str) -> None:
    """What CloudTrail delivers beside the log files is left out, and counted."""
    (kept,) = touch(tmp_path, "AWSLogs/1/CloudTrail/r/2026/03/02/a.json.gz")
    touch(tmp_path, f"AWSLogs/1/{folder}/r/2026/03/02/a.json.gz")

    assert found(tmp_path) == ([kept], [], 1)


def test_folders_with_a_name_of_ones_own_are_kept(tmp_path: Path) -> None:
    """Only CloudTrail's own folders are left out, not those that begin alike."""
    kept = touch(tmp_path, "CloudTrail-2026/a.json", "CloudTrail-Digest.json")

    assert found(tmp_path) == (sorted(kept), [], 0)


def test_named_file_is_taken_whatever_its_name(tmp_path: Path) -> None:
    """A file that is named itself needs no suffix."""
    paths = touch(tmp_path, "b.log", "a.txt")

    assert found(*paths) == (paths, [], 0)


def test_named_file_of_another_feed_is_refused(tmp_path: Path) -> None:
    """A digest is no log file, even when it is named itself, and the line says so."""
    (path,) = touch(tmp_path, "CloudTrail-Digest/a.json.gz")

    files, (problem,), _ = found(path)

    assert files == []
    assert problem.startswith(f"rejected: {path}: got a CloudTrail-Digest file")


def test_paths_that_lead_nowhere_are_reported_in_one_line_each(tmp_path: Path) -> None:
    """A path without a log file costs one line, and no other path."""
    (tmp_path / "empty").mkdir()
    (kept,) = touch(tmp_path, "a.json")

    files, problems, _ = found(tmp_path / "missing", kept, tmp_path / "empty")

    assert files == [kept]
    assert [problem.partition(": ")[0] for problem in problems] == [
        str(tmp_path / "missing"),
        str(tmp_path / "empty"),
    ]


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    """A link that leads back up does not make an endless tree."""
    (kept,) = touch(tmp_path, "tree/a.json")
    (tmp_path / "tree" / "up").symlink_to(tmp_path, target_is_directory=True)

    assert found(tmp_path / "tree") == ([kept], [], 0)
