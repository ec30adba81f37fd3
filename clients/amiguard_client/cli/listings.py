"""What commands that list share: pages as options, and pages as output."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

import click

from amiguard_client.cli.output import (
    JSON,
    NDJSON,
    TABLE,
    say,
    to_json,
    write_list,
    write_ndjson,
)
from amiguard_client.cli.safe import safe
from amiguard_client.errors import InvalidRequestError

_Command = TypeVar("_Command", bound=Callable[..., Any])


def page_size_option(*, most: int, usual: int) -> Callable[[_Command], _Command]:
    """Makes the option for the length of a page, within what the server allows."""
    return click.option(
        "--page-size",
        type=click.IntRange(1, most),
        metavar="COUNT",
        help=f"Most of a page; {usual} unless given.",
    )


PAGE_SIZE = page_size_option(most=500, usual=50)
TUNING_PAGE_SIZE = page_size_option(most=1_000, usual=100)
PAGE_TOKEN = click.option("--page-token", default="", help="Start at the page of this token.")
ALL = click.option("--all", "is_all", is_flag=True, help="Go on until there are no more pages.")
LIST_OUTPUT = click.option(
    "-o",
    "output",
    type=click.Choice([TABLE, JSON, NDJSON]),
    default=TABLE,
    show_default=True,
    help="A table, the JSON of the API, or that of one item a line.",
)


class Listing:
    """The items of one page or of all, and the token of the page that was not asked for."""

    def __init__(self, pages: Iterator[Any], *, field: str, is_all: bool) -> None:
        self._pages = pages if is_all else islice(pages, 1)
        self._field = field
        self._is_all = is_all
        self._rest: dict[str, Any] = {}

    def __iter__(self) -> Iterator[Any]:
        for page in self._pages:
            yield from getattr(page, self._field)
            if page.next_page_token and not self._is_all:
                self._rest["next_page_token"] = page.next_page_token

    def write(self, output: str) -> None:
        """Writes what was not yet read as JSON, and says how to go on."""
        if output == JSON:
            write_list(self._field, map(to_json, self), last=self._rest)
        elif output == NDJSON:
            write_ndjson(map(to_json, self))
        if output != JSON and self._rest:
            say(f"There is more: --all, or --page-token {self._rest['next_page_token']}")


@contextmanager
def pointing_into(expression: str) -> Iterator[None]:
    """Shows where in a filter the server stopped understanding it."""
    try:
        yield
    except InvalidRequestError as error:
        offset = error.metadata.get("offset", "")
        if error.reason == "FILTER_SYNTAX" and offset.isdecimal():
            before = safe(expression.encode()[: int(offset)].decode(errors="replace"))
            say(f"  {expression}")
            say(f"  {' ' * len(before)}^")
        raise
