"""Pages: as many entries as asked for, and as fit a message."""

from __future__ import annotations

from google.protobuf.wrappers_pb2 import StringValue

from amiguard_service.paging import MAX_PAGE_BYTES, fill_page


def wrap(text: str) -> StringValue:
    """Returns a message of a text's size."""
    return StringValue(value=text)


def test_page_ends_where_the_entries_do() -> None:
    """Without an entry more there is nothing to go on to."""
    page, has_more = fill_page(["a", "b"], 2, wrap)

    assert page == [wrap("a"), wrap("b")]
    assert not has_more


def test_page_is_cut_at_its_size() -> None:
    """The page goes on after its last entry."""
    page, has_more = fill_page(["a", "b", "c"], 2, wrap)

    assert page == [wrap("a"), wrap("b")]
    assert has_more


def test_page_of_large_entries_fits_a_message() -> None:
    """A page ends early rather than be too large to receive, and goes on from there."""
    large = "x" * (MAX_PAGE_BYTES // 3)

    page, has_more = fill_page([f"{n}{large}" for n in range(5)], 4, wrap)

    assert len(page) == 2
    assert sum(message.ByteSize() for message in page) <= MAX_PAGE_BYTES
    assert has_more


def test_page_holds_at_least_one_entry() -> None:
    """An entry over the limit is sent alone, or the list would never end."""
    page, has_more = fill_page(["x" * (MAX_PAGE_BYTES + 1), "b"], 4, wrap)

    assert len(page) == 1
    assert has_more
