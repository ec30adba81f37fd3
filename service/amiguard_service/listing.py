"""One page of a list that is told in full by its position: tuning, sinks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

import msgspec
from google.protobuf.message import Message

from amiguard_service import calls
from amiguard_service.paging import fill_page, read_page_size
from amiguard_service.tokens import PageTokenMismatch, PageTokens, Position

DEFAULT_PAGE_SIZE: Final = 100
MAX_PAGE_SIZE: Final = 1_000

T = TypeVar("T")
PositionT = TypeVar("PositionT", bound=Position)
MessageT = TypeVar("MessageT", bound=Message)


class ListRequest(Protocol):
    """A request for a page of a list."""

    @property
    def page_size(self) -> int:
        """Entries of a page at most; 0 for the usual number."""

    @property
    def page_token(self) -> str:
        """Where to go on; empty for the beginning."""


class Listing:
    """One page of a list, under way. `bound` is what has to stay the same from page to page."""

    def __init__(self, tokens: PageTokens, request: ListRequest, *, bound: bytes = b"") -> None:
        self._tokens = tokens
        self._call = type(request).__name__.removesuffix("Request")
        self._bound = bound
        self._token = request.page_token
        self._page_size = read_page_size(
            request.page_size, default=DEFAULT_PAGE_SIZE, most=MAX_PAGE_SIZE
        )

    @property
    def limit(self) -> int:
        """How many entries to look for: one more than the page shows that there are more."""
        return self._page_size + 1

    def after(self, kind: type[PositionT]) -> PositionT | None:
        """Returns the position to go on after; None for the beginning."""
        if not self._token:
            return None
        try:
            return msgspec.convert(self._tokens.open(self._call, self._bound, self._token), kind)
        except msgspec.ValidationError:
            # Ours, but from a release that sealed something else.
            raise PageTokenMismatch(self._call) from None

    def page(
        self,
        found: Sequence[T],
        convert: Callable[[T], MessageT],
        position_of: Callable[[T], Position],
    ) -> tuple[list[MessageT], str]:
        """Returns the messages of the page, and the token to go on with, empty at the end."""
        page, has_more = fill_page(found, self._page_size, convert)
        calls.count(entry_count=len(page))
        if not has_more:
            return page, ""
        last = found[len(page) - 1]
        return page, self._tokens.seal(self._call, self._bound, position_of(last))
