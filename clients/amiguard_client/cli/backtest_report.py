"""What became of the cases of a backtest: for people, and as JUnit XML for CI."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from msgspec import Struct

from amiguard_client.cli._convert import finding_message
from amiguard_client.cli.output import count_text
from amiguard_client.cli.partial_match import assign, differences, plain_of
from amiguard_client.cli.safe import safe
from amiguard_core.pipeline import find

if TYPE_CHECKING:
    from amiguard_client.cli.backtest_cases import Case


class Outcome(Struct, frozen=True):
    """A case that was judged; it failed where there are complaints."""

    file: str
    name: str
    complaints: tuple[str, ...]


def judge(case: Case) -> Outcome:
    """Returns what became of a case."""
    found = find(case.scan.searches, case.scan.launches, case.policy, images=case.images)
    findings = [plain_of(finding_message(finding)) for finding in found]
    complaints = (*_rejection_complaints(case), *_finding_complaints(case, findings))
    return Outcome(case.file, case.name, complaints)


def lines_of(outcome: Outcome) -> Iterator[str]:
    """Yields an outcome for people."""
    verdict = "FAIL" if outcome.complaints else "ok  "
    yield safe(f"{verdict} {outcome.file}: {outcome.name}")
    for complaint in outcome.complaints:
        for line in complaint.split("\n"):
            yield f"       {safe(line)}"


def summary_of(outcomes: list[Outcome]) -> str:
    """Returns the counts."""
    failed = sum(bool(outcome.complaints) for outcome in outcomes)
    return f"{count_text(len(outcomes), 'case')}  {failed:,} failed"


def junit_of(outcomes: Iterable[Outcome]) -> bytes:
    """Returns the outcomes as JUnit XML, one suite a file."""
    root = ET.Element("testsuites", name="amiguard backtest")
    for file, group in groupby(outcomes, key=lambda outcome: outcome.file):
        cases = list(group)
        failed = sum(bool(case.complaints) for case in cases)
        suite = ET.SubElement(
            root, "testsuite", name=safe(file), tests=str(len(cases)), failures=str(failed)
        )
        for case in cases:
            element = ET.SubElement(suite, "testcase", classname=safe(file), name=safe(case.name))
            if case.complaints:
                first = safe(case.complaints[0].partition("\n")[0])
                failure = ET.SubElement(element, "failure", message=first)
                failure.text = "\n".join(line.strip() for line in list(lines_of(case))[1:])
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _rejection_complaints(case: Case) -> Iterator[str]:
    rejections = case.scan.rejections
    if len(rejections) == case.rejected_count:
        return
    lines = [f"rejected: got {len(rejections)}, wanted {case.rejected_count}"]
    lines += [f"  {r.file}[{r.index}] {r.message}" for r in rejections]
    yield "\n".join(lines)


def _finding_complaints(case: Case, findings: list[dict[str, Any]]) -> Iterator[str]:
    assigned = assign(case.findings, findings)
    left = [finding for index, finding in enumerate(findings) if index not in assigned.values()]
    for index, wanted in enumerate(case.findings):
        if index in assigned:
            continue
        lines = [f"findings[{index}]: nothing that was found is this"]
        if left:
            nearest = min(left, key=lambda finding: len(differences(wanted, finding)))
            lines.append(f"  the nearest: {_described(nearest)}")
            lines += [f"    {difference}" for difference in differences(wanted, nearest)]
        yield "\n".join(lines)
    for finding in left:
        yield f"found, and not expected: {_described(finding)}"


def _described(finding: dict[str, Any]) -> str:
    parts = (
        f"{finding['likelihood']} {finding['likelihood_score']}",
        finding["account_id"],
        finding["region"],
        ", ".join(finding["search"]["name_patterns"]),
        finding["actor_arn"],
    )
    return "  ".join(filter(None, parts))
