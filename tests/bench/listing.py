"""What a page of findings costs among many findings, against among few.

Every filter is asked in every order, for a first page and one halfway down; few and many in turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from time import perf_counter

from amiguard_service.convert import finding_message
from amiguard_service.engine import Engine
from amiguard_service.filters import FINDING_FIELDS, Filter, parse_filter
from amiguard_service.ordering import ORDER_FIELDS, OrderKey, parse_order_by
from amiguard_service.store.listing import position_of
from amiguard_service.store.schema import to_micros
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


ORDERS = ("", *ORDER_FIELDS, "likelihood_score desc, last_launch_time desc")


@dataclass(frozen=True, slots=True)
class Page:
    """One page to ask for."""

    condition: Filter
    order: Sequence[OrderKey]
    after: Position | None

    def seconds(self, engine: Engine) -> float:
        """Returns what it takes to read and to convert it."""
        started_at = perf_counter()
        found = engine.list_findings(
            self.condition, self.order, after=self.after, limit=PAGE_SIZE + 1
        )
        for finding in found:
            finding_message(finding)
        return perf_counter() - started_at


def pages(engine: Engine, text: str) -> list[tuple[str, Page]]:
    """Returns the pages of a filter to ask for, by order and place."""
    condition = parse_filter(text, FINDING_FIELDS)
    asked = []
    for order_by in ORDERS:
        order = parse_order_by(order_by)
        asked.append((f"by {order_by or 'default'}, first", Page(condition, order, None)))
        if order[0].field.endswith("_time"):
            middle: Position = (to_micros(NINE_O_CLOCK - SPAN / 2), "")
        else:
            after = engine.list_findings(condition, order, after=None, limit=PAGE_SIZE)
            if not after:
                continue
            middle = position_of(after[-1], order)
        asked.append((f"by {order_by or 'default'}, deep", Page(condition, order, middle)))
    return asked


def measure(
    few: Engine, many: Engine, populations: tuple[Population, Population], *, rounds: int, name: str
) -> Iterator[Figure]:
    """Gives the worst page of each filter, by medians, and the 99th percentile over all of them."""
    everything: tuple[list[float], list[float]] = ([], [])
    few_filters, many_filters = (filters(population) for population in populations)
    for key in few_filters:
        pairs = zip(pages(few, few_filters[key]), pages(many, many_filters[key]), strict=False)
        worst: Figure | None = None
        for (place, few_page), (_, many_page) in pairs:
            few_page.seconds(few)
            many_page.seconds(many)
            timed = [(few_page.seconds(few), many_page.seconds(many)) for _ in range(rounds)]
            few_ms = median(one for one, _ in timed) * 1_000
            many_ms = median(other for _, other in timed) * 1_000
            everything[0].extend(one for one, _ in timed)
            everything[1].extend(other for _, other in timed)
            if worst is None or many_ms / few_ms > worst.ratio:
                worst = Figure(
                    f"{name} list, {key}: {place}",
                    "ms",
                    many_ms,
                    few_ms,
                    many_ms / few_ms,
                    at_most(2),
                )
        if worst is not None:
            yield worst
    few_p99, many_p99 = (quantiles(one, n=100)[98] * 1_000 for one in everything)
    yield Figure(
        f"{name} list, p99 of all", "ms", many_p99, few_p99, many_p99 / few_p99, at_most(2)
    )
