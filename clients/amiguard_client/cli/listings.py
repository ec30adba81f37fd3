"""What commands that list share: pages as options, and items in every form of output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import click

from amiguard_client.cli.output import (
    CSV,
    JSON,
    NDJSON,
    OCSF,
    TABLE,
    WIDE,
    YAML,
    say,
    to_json,
    write_list,
    write_ndjson,
    write_sheet,
    write_yaml_list,
)
from amiguard_client.cli.safe import safe
from amiguard_client.errors import InvalidRequestError

if TYPE_CHECKING:
    from amiguard_client.cli.sheets import Sheet

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

_FORMS = (TABLE, WIDE, JSON, NDJSON, YAML, CSV)


def output_option(forms: Sequence[str], text: str) -> Callable[[_Command], _Command]:
    """Makes the option for the form of output, the first of some unless given."""
    return click.option(
        "-o",
        "--output",
        metavar="FORM",
        type=click.Choice(forms),
        default=forms[0],
        show_default=True,
        help=text,
    )


LIST_OUTPUT = output_option(
    _FORMS,
    "table; wide, with a line for each item; json as the API has it, ndjson with a line for each "
    "item, or yaml; csv for a spreadsheet.",
)
FINDING_FORMS = (*_FORMS, OCSF)
FINDING_OUTPUT = output_option(
    FINDING_FORMS,
    "table; wide, with every column; json as the API has it, ndjson with a line for each finding, "
    "or yaml; csv for a spreadsheet; ocsf, a Detection Finding a line.",
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

    def write(self, output: str, *, sheet_of: Callable[[Iterable[Any]], Sheet]) -> None:
        """Writes the items, and says how to go on."""
        write_items(self._field, self, output, sheet_of=sheet_of, last=self._rest)
        if output not in {JSON, YAML} and self._rest:
            say(f"There is more: --all, or --page-token {self._rest['next_page_token']}")


def write_items(
    field: str,
    items: Iterable[Any],
    output: str,
    *,
    sheet_of: Callable[[Iterable[Any]], Sheet],
    to_plain: Callable[[Any], Any] = to_json,
    last: dict[str, Any] | None = None,
) -> None:
    """Writes messages in a form of output.

    `field` and `last` are what the one object of JSON or YAML calls the items, and its other
    fields.
    """
    match output:
        case "json":
            write_list(field, map(to_plain, items), last=last)
        case "ndjson":
            write_ndjson(map(to_plain, items))
        case "yaml":
            write_yaml_list(field, map(to_plain, items), last=last)
        case "csv":
            from amiguard_client.cli.csv_files import csv_lines

            click.echo(csv_lines(sheet_of(items).as_texts()), nl=False)
        case "ocsf":
            write_ndjson(map(ocsf_of, items))
        case _:
            write_sheet(sheet_of(items), is_wide=output == WIDE)


def ocsf_of(finding: Any) -> Any:
    """Returns the OCSF Detection Finding of a finding's message."""
    from amiguard.ocsf import detection_finding

    return detection_finding(finding)


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
