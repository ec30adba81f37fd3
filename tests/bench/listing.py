"""What a page of findings costs among many findings, against among few.

Every filter is asked in every order, for a first page and one halfway down; few and many in turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median, quantiles
from time import perf_counter

from amiguard_service.convert import finding_message
from amiguard_service.engine import Engine
from amiguard_service.filters import FINDING_FIELDS, Filter, parse_filter
from amiguard_service.ordering import ORDER_FIELDS, OrderKey, parse_order_by
from amiguard_service.store.listing import position_of
from amiguard_service.store.schema import to_micros
from amiguard_service.stored import StoredFinding
from amiguard_service.tokens import Position
from tests.bench.figures import Figure, at_most
from tests.bench.population import (
    COMMON_IMAGE,
    COMMON_LABEL,
    COMMON_PATTERN,
    RARE_ASSIGNEE,
    RARE_IMAGE,
    RARE_LABEL,
    RARE_PATTERN,
    SPAN,
    Population,
    account_of,
    actor_of,
    image_of,
)
from tests.data.records import NINE_O_CLOCK

PAGE_SIZE = 50

_MIDDLE = (NINE_O_CLOCK - SPAN / 2).strftime("%Y-%m-%dT%H:%M:%SZ")


def filters(population: Population) -> dict[str, str]:
    """Returns the filters to ask by name; each finds of any population at least a few."""
    return {
        "none": "",
        "state": "state=OPEN",
        "state, few": "state=SUPPRESSED",
        "not suppressed": "state!=SUPPRESSED",
        "likelihood": "likelihood=HIGH",
        "not likelihood": "likelihood!=HIGH",
        "likelihood_score": "likelihood_score>=90",
        "confidence": "confidence>=50",
        "occurrence_count": "occurrence_count>=20",
        "disposition": "disposition=TRUE_POSITIVE",
        "account_id": f'account_id="{account_of(7)}"',
        "account_id, state": f'account_id="{account_of(7)}" state=OPEN',
        "region": "region=eu-west-1",
        "actor_arn": f'actor_arn="{actor_of(7)}"',
        "actor_arn, pattern": f'actor_arn="{actor_of(7)[:-2]}*"',
        "client": "client=terraform",
        "client, rare": "client=karpenter",
        "assignee": "assignee=analyst-3",
        "assignee, rare": f"assignee={RARE_ASSIGNEE}",
        "image_ids": f"image_ids:{COMMON_IMAGE}",
        "image_ids, rare": f"image_ids:{RARE_IMAGE}",
        "image_ids, own": f"image_ids:{image_of(population, 7)}",
        "name_patterns": f'name_patterns:"{COMMON_PATTERN}"',
        "name_patterns, rare": f'name_patterns:"{RARE_PATTERN}"',
        "labels": f"labels:{COMMON_LABEL}",
        "labels, value": f"labels.{COMMON_LABEL}=team-4",
        "labels, rare": f"labels:{RARE_LABEL}",
        "create_time": f"create_time>={_MIDDLE}",
        "update_time": f"update_time<{_MIDDLE}",
        "first_launch_time": f"first_launch_time>={_MIDDLE}",
        "last_launch_time": f"last_launch_time<{_MIDDLE}",
    }


ORDERS = (
    "",
    *ORDER_FIELDS,
    *(f"{field} desc" for field in ORDER_FIELDS),
    "likelihood_score desc, last_launch_time desc",
)


RANGES = {
    "likelihood_score": "likelihood_score",
    "occurrence_count": "occurrence_count",
    "create_time": "create_time",
    "update_time": "update_time",
    "last_launch_time": "last_launch_time",
}
"""Filters that ask for a range of what a list can be ordered by: an index serves them in that order
alone. A range of one in the order of another reads on until the page is full, however far that is.
"""


@dataclass(frozen=True, slots=True)
class Page:
    """One page to ask for."""

    place: str
    condition: Filter
    order: Sequence[OrderKey]
    after: Position | None

    def read(self, engine: Engine, *, limit: int = PAGE_SIZE + 1) -> list[StoredFinding]:
        """Returns what is on it, as a call of the API has to make it up."""
        found = engine.list_findings(self.condition, self.order, after=self.after, limit=limit)
        for finding in found:
            finding_message(finding)
        return found

    def seconds(self, engine: Engine, *, limit: int) -> float:
        """Returns what it takes to read."""
        started_at = perf_counter()
        self.read(engine, limit=limit)
        return perf_counter() - started_at


def pages(engine: Engine, text: str, *, orders: Sequence[str] = ORDERS) -> list[Page]:
    """Returns the pages of a filter to ask for, two in each order."""
    condition = parse_filter(text, FINDING_FIELDS)
    asked = []
    for order_by in orders:
        order = parse_order_by(order_by)
        first = Page(f"by {order_by or 'default'}, first", condition, order, None)
        middle: Position = (to_micros(NINE_O_CLOCK - SPAN / 2), "")
        if not order[0].field.endswith("_time"):
            found = first.read(engine)
            middle = position_of(found[-1], order) if found else ()
        asked.append(first)
        if middle:
            asked.append(replace(first, place=f"by {order_by or 'default'}, deep", after=middle))
    return asked


def measure(
    few: Engine, many: Engine, populations: tuple[Population, Population], *, rounds: int, name: str
) -> Iterator[Figure]:
    """Gives the worst page of each filter, by medians, and the 99th percentile over all of them.

    Of both as many rows are asked for as the few have on that page, and pages that show more of the
    one than of the other are left out, so that the same is compared.
    """
    everything: tuple[list[float], list[float]] = ([], [])
    few_filters, many_filters = (filters(population) for population in populations)
    for key in few_filters:
        orders = ORDERS if key not in RANGES else (RANGES[key], f"{RANGES[key]} desc")
        few_pages = {page.place: page for page in pages(few, few_filters[key], orders=orders)}
        many_pages = {page.place: page for page in pages(many, many_filters[key], orders=orders)}
        measured = []
        for place in few_pages.keys() & many_pages.keys():
            few_page, many_page = few_pages[place], many_pages[place]
            limit = min(len(few_page.read(few)), len(many_page.read(many)))
            shown = [
                sum(len(found.recent_occurrences) for found in page.read(engine, limit=limit))
                for page, engine in ((few_page, few), (many_page, many))
                if limit
            ]
            if not limit or max(shown) > 1.2 * min(shown):
                continue
            timed = [
                (few_page.seconds(few, limit=limit), many_page.seconds(many, limit=limit))
                for _ in range(rounds)
            ]
            few_ms = median(one for one, _ in timed) * 1_000
            many_ms = median(other for _, other in timed) * 1_000
            everything[0].extend(one for one, _ in timed)
            everything[1].extend(other for _, other in timed)
            ratio = many_ms / few_ms
            title = f"{name} list, {key}: {place}"
            measured.append(Figure(title, "ms", many_ms, few_ms, ratio, at_most(2)))
        yield max(measured, key=lambda figure: figure.ratio)
    few_p99, many_p99 = (quantiles(one, n=100)[98] * 1_000 for one in everything)
    yield Figure(
        f"{name} list, p99 of all", "ms", many_p99, few_p99, many_p99 / few_p99, at_most(2)
    )
