"""The paging of lists: page sizes, and tokens that go on with the list they came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from google.protobuf.message import Message

from amiguard_service.refusals import FieldInvalidError

DEFAULT_PAGE_SIZE: Final = 50
MAX_PAGE_SIZE: Final = 500
MAX_PAGE_BYTES: Final = 3 << 20
"""A client that sets no limit of its own takes messages of 4 MiB."""

T = TypeVar("T")
MessageT = TypeVar("MessageT", bound=Message)


def read_page_size(
    page_size: int, *, default: int = DEFAULT_PAGE_SIZE, most: int = MAX_PAGE_SIZE
) -> int:
    """Returns how many entries a page has; raises FieldInvalidError for a negative number."""
    if page_size < 0:
        raise FieldInvalidError("page_size", got=str(page_size), expected="0 or more")
    return min(page_size or default, most)


def fill_page(
    found: Sequence[T], page_size: int, convert: Callable[[T], MessageT]
) -> tuple[list[MessageT], bool]:
    """Returns the messages of a page, and whether entries come after it.

    `found` holds one entry more than the page, if there is one. A page of large entries ends
    before MAX_PAGE_BYTES, but holds one entry at least.
    """
    page: list[MessageT] = []
    room = MAX_PAGE_BYTES
    for entry in found[:page_size]:
        message = convert(entry)
        room -= message.ByteSize()
        if room < 0 and page:
            break
        page.append(message)
    return page, len(found) > len(page)
