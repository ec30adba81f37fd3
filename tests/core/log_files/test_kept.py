"""The reader gives of broken files what it gave, in whatever pieces they come."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.log_files.keep import PIECES, answers, read_kept


@pytest.mark.parametrize("size", PIECES)
def test_broken_file_gives_what_it_gave(size: int) -> None:
    """Every record, every part that is not read, and the words about it."""
    changed: list[tuple[Any, list[str]]] = []
    for kept in read_kept():
        given, padding = answers(kept["file"].encode("latin-1"), kept["limit"], size)
        if (given, padding) != (kept["gives"], kept["padding"]):
            changed.append((kept, given))

    assert changed == []
