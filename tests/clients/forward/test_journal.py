"""What was acknowledged, across restarts and crashes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiguard_client.forward.errors import SetupError
from amiguard_client.forward.journal import Journal

ITEMS = st.tuples(st.sampled_from(["", "a", "b/ä"]), st.text(max_size=5))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a journal is made."""
    return tmp_path / "state"


def has(journal: Journal, group: str, item: str) -> bool:
    """Says whether a journal holds an item."""
    return item in journal.items(group)


@given(entries=st.lists(ITEMS, max_size=10), others=st.lists(ITEMS, max_size=5))
def test_what_was_added_is_there_after_a_restart(
    tmp_path_factory: pytest.TempPathFactory,
    entries: list[tuple[str, str]],
    others: list[tuple[str, str]],
) -> None:
    """A journal holds what was added to it, in this run or before, and nothing else."""
    path = tmp_path_factory.mktemp("journal") / "state"
    with Journal(path) as journal:
        for entry in entries:
            journal.add(*entry)
            assert has(journal, *entry)

    with Journal(path) as journal:
        for entry in (*entries, *others):
            assert has(journal, *entry) is (entry in entries)


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_line_that_was_being_written_is_forgotten(path: Path, cut: int) -> None:
    """A crash within a line costs that line alone, and what is added next is whole."""
    with Journal(path) as journal:
        journal.add("a", "first")
        journal.add("a", "second")
    path.write_bytes(path.read_bytes()[:-cut])

    with Journal(path) as journal:
        assert has(journal, "a", "first")
        assert not has(journal, "a", "second")
        journal.add("a", "third")

    with Journal(path) as journal:
        assert has(journal, "a", "first")
        assert has(journal, "a", "third")


@pytest.mark.parametrize("length", range(1, 12))
def test_a_first_line_that_was_being_written_is_no_other_file(path: Path, length: int) -> None:
    """A crash within the very first line leaves a journal with nothing in it."""
    path.write_bytes(b'["a","first"]\n'[:length])

    with Journal(path) as journal:
        assert not has(journal, "a", "first")


def test_what_is_no_longer_wanted_is_taken_out(path: Path) -> None:
    """Items that are not to be kept go, so that the file does not grow for ever."""
    with Journal(path) as journal:
        for number in range(10):
            journal.add("a", str(number))

    with Journal(path, keeps=lambda _group, item: int(item) > 7) as journal:
        assert [has(journal, "a", str(number)) for number in (7, 8, 9)] == [False, True, True]
        journal.add("a", "10")

    assert path.read_text().splitlines() == ['["a","8"]', '["a","9"]', '["a","10"]']


def test_two_processes_do_not_share_a_journal(path: Path) -> None:
    """Whoever comes second is told so."""
    with Journal(path), pytest.raises(SetupError, match="another process has it open"):
        Journal(path)
    with Journal(path):
        pass


@pytest.mark.parametrize("content", [b'{"Records":[]}', b"hello\n", b"\x1f\x8b\x00", b"[1]\n"])
def test_another_file_is_left_alone(path: Path, content: bytes) -> None:
    """A file that is no journal is refused, and not written to."""
    path.write_bytes(content)

    with pytest.raises(SetupError, match="got another file"):
        Journal(path)

    assert path.read_bytes() == content


def test_a_journal_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    """Where the file cannot be had, the error names it and why."""
    (tmp_path / "file").touch()

    with pytest.raises(SetupError, match="file/state: "):
        Journal(tmp_path / "file" / "state")
