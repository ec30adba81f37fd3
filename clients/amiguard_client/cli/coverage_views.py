"""What came in, for people: what is wrong with it, and where it came from."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from rich.text import Text

from amiguard_client.cli.safe import safe
from amiguard_client.cli.sheets import Sheet, grid_of
from amiguard_client.coverage import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from rich.table import Table

    from amiguard_client.coverage import Diagnosis, RegionCoverage, SourceCoverage

_COLORS = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}
_ORDER = (Severity.ERROR, Severity.UNKNOWN, Severity.WARNING, Severity.NOTE)


MOST_OF_A_KIND = 3
"""Problems of one kind that are told in full: what is wrong with one forwarder shows in every
account and region that it sends."""


def diagnosis_list(diagnoses: Iterable[Diagnosis], *, most_of_a_kind: int | None = None) -> Table:
    """Returns what is wrong, the worst first, a sentence each.

    Of more than `most_of_a_kind` of one kind the others are counted.
    """
    ordered = sorted(diagnoses, key=lambda d: (_ORDER.index(d.severity), d.code))
    rows = []
    for (severity, code), of_kind in groupby(ordered, key=lambda d: (d.severity, d.code)):
        told = list(of_kind)
        style = _COLORS.get(severity, "")
        shown = told[:most_of_a_kind]
        rows += [(severity.value, Text(safe(d.message), style=style)) for d in shown]
        if len(told) > len(shown):
            more = f"... and {len(told) - len(shown)} more of this kind ({code}); --all tells them"
            rows.append((severity.value, Text(more, style=style)))
    return grid_of(rows)


def region_sheet(regions: Iterable[RegionCoverage]) -> Sheet:
    """Returns what came from accounts and regions, one a row."""
    sheet = Sheet(
        (
            "ACCOUNT",
            "REGION",
            "LAST ARRIVAL (UTC)",
            "RECORDS",
            "SEARCHES",
            "LAST SEARCH",
            "LAUNCHES",
            "LAST LAUNCH",
            "TOO LATE",
        )
    )
    for region in regions:
        sheet.add(
            region.account_id,
            region.region,
            _time(region.last_arrival_time),
            f"{region.record_count:,}",
            f"{region.search_count:,}",
            _time(region.last_search_time),
            f"{region.launch_count:,}",
            _time(region.last_launch_time),
            f"{region.beyond_horizon_count:,}",
        )
    return sheet


def source_sheet(sources: Iterable[SourceCoverage]) -> Sheet:
    """Returns what forwarders sent, one a row."""
    sheet = Sheet(("FORWARDER", "LAST ARRIVAL (UTC)", "RECORDS", "REJECTED"))
    for source in sources:
        sheet.add(
            source.source,
            _time(source.last_arrival_time),
            f"{source.record_count:,}",
            f"{source.rejected_count:,}",
        )
    return sheet


def _time(time: datetime | None) -> str:
    return "" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"
