"""Replays records that others recorded, where they are: they are not part of this project.

`AMIGUARD_REPLAY_DIR` names the folder; without it, `shared` beside the repository is looked at. It
holds `data/invictus/CloudTrail/*.json` (log files), `data/real_records.jsonl` (a record a line) and
`cases/N.ndjson.gz` with `cases/N.expected.json` (records, and the findings they make).
"""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from amiguard_core.decode import decode_log_file, decode_records
from amiguard_core.events import LaunchPath
from amiguard_core.findings import Finding
from amiguard_core.log_files.inflate import inflate
from amiguard_core.pipeline import evaluate, find
from amiguard_core.policy import Policy

FOLDER = Path(os.environ.get("AMIGUARD_REPLAY_DIR", Path(__file__).resolve().parents[2] / "shared"))
CASES = ("1", "2", "3")
MAX_BYTES = 100_000_000


def recorded(*parts: str) -> Path:
    """Returns a path in the folder; skips the test where there is none."""
    path = FOLDER.joinpath(*parts)
    if not path.exists():
        pytest.skip(
            f"nothing to replay: set AMIGUARD_REPLAY_DIR to a folder with {'/'.join(parts)}"
        )
    return path


def as_case(finding: Finding) -> dict[str, Any]:
    """Writes a finding the way the cases do."""
    seconds = [int(each.launch.origin.event_time.timestamp()) for each in finding.occurrences]
    return {
        "account_id": finding.key.account_id,
        "region": finding.key.region,
        "actor_arn": finding.key.actor_arn,
        "name_patterns": sorted(finding.latest.search.request.values_of("name")),
        "occurrence_count": len(finding.occurrences),
        "first_launch_time": min(seconds),
        "last_launch_time": max(seconds),
        "likelihood_score": finding.score,
        "launches": {
            each.launch.origin.event_id: {
                "search_event_id": each.search.origin.event_id,
                "gap_s": int(each.gap.total_seconds()),
            }
            for each in finding.occurrences
        },
    }


def in_order(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Orders findings by all they say."""
    return sorted(findings, key=lambda finding: json.dumps(finding, sort_keys=True))


def test_delivered_log_files_hold_no_finding() -> None:
    """Whole log files of an account under attack read without a refusal, and find nothing."""
    folder = recorded("data", "invictus", "CloudTrail")
    decoded = [decode_log_file(path.read_bytes()) for path in sorted(folder.glob("*.json"))]
    searches = [search for each in decoded for search in each.searches]
    launches = [launch for each in decoded for launch in each.launches]

    findings = find(searches, launches, Policy())

    assert [each.rejections for each in decoded if each.rejections] == []
    assert sum(each.record_count for each in decoded) == 2_900
    assert findings == ()


def test_published_records_read_without_a_refusal() -> None:
    """Real records of many sources are read, whatever their authors left out."""
    lines = recorded("data", "real_records.jsonl").read_bytes().splitlines()

    decoded = decode_records(lines, launch_paths=frozenset(LaunchPath))

    assert decoded.rejections == []
    assert decoded.record_count == len(lines)


@pytest.mark.parametrize("case", CASES)
def test_a_case_makes_the_findings_it_expects(case: str) -> None:
    """Every finding, with its score, and for each launch the search it follows."""
    text = inflate(recorded("cases", f"{case}.ndjson.gz").read_bytes(), max_bytes=MAX_BYTES).text
    expected = json.loads(recorded("cases", f"{case}.expected.json").read_text())
    for finding in expected:
        finding["name_patterns"].sort()

    found = [as_case(finding) for finding in evaluate(text.splitlines(), Policy())]

    assert in_order(expected) == in_order(found)


@pytest.mark.parametrize("case", CASES)
def test_a_case_reads_the_same_as_a_log_file(case: str) -> None:
    """One record a line, handed in line by line or as the file it came in."""
    data = recorded("cases", f"{case}.ndjson.gz").read_bytes()
    text = gzip.decompress(data)

    assert decode_records(text.splitlines()) == decode_log_file(
        inflate(data, max_bytes=MAX_BYTES).text
    )
