"""Laws of files that are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from amiguard_client.whole_files import write_whole


@pytest.mark.parametrize("is_synced", [False, True])
def test_it_takes_the_place_of_what_was_there(tmp_path: Path, *, is_synced: bool) -> None:
    """The new content is there, for its owner's eyes alone, and nothing beside it."""
    path = tmp_path / "place"
    path.write_bytes(b"former")

    write_whole(path, b"new", is_synced=is_synced)

    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_where_it_fails_what_was_there_stays(tmp_path: Path) -> None:
    """What cannot be replaced is as it was, and no half of the new content is left behind."""
    path = tmp_path / "place"
    (path / "kept").mkdir(parents=True)

    with pytest.raises(OSError, match="place"):
        write_whole(path, b"new")

    assert list(tmp_path.iterdir()) == [path]
    assert (path / "kept").is_dir()
