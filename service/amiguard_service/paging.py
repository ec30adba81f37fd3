"""The paging of lists: page sizes, and tokens that go on with the list they came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from amiguard_service.refusals import FieldInvalidError

DEFAULT_PAGE_SIZE: Final = 50
MAX_PAGE_SIZE: Final = 500

T = TypeVar("T")


def read_page_size(page_size: int) -> int:
    """Returns how many entries a page has; raises FieldInvalidError for a negative number."""
    if page_size < 0:
        raise FieldInvalidError("page_size", got=str(page_size), expected="0 or more")
    return min(page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def cut_page(found: Sequence[T], page_size: int) -> tuple[Sequence[T], T | None]:
    """Returns a page and the entry it ends with, or None where nothing comes after it.

    `found` holds one entry more than the page, if there is one.
    """
    if len(found) <= page_size:
        return found, None
    return found[:page_size], found[page_size - 1]
