"""What came in, for people: what is wrong with it, and where it came from."""

from __future__ import annotations

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


def diagnosis_list(diagnoses: Iterable[Diagnosis]) -> Table:
    """Returns what is wrong, the worst first, a sentence each."""
    ordered = sorted(diagnoses, key=lambda diagnosis: _ORDER.index(diagnosis.severity))
    return grid_of(
        [
            (d.severity.value, Text(safe(d.message), style=_COLORS.get(d.severity, "")))
            for d in ordered
        ]
    )


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
