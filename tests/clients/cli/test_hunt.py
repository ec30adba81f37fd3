"""`amiguardctl hunt` finds in files what the rule finds in their records."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format

from amiguard.v1 import finding_service_pb2
from amiguard_core.pipeline import evaluate
from amiguard_core.policy import CorrelateBy, Mode, Policy, RuleConfig
from tests.clients.cli.command_line import run, run_program
from tests.data import identities
from tests.data.bench import write_bench_files
from tests.data.demo import write_demo
from tests.data.log_files import deliver, log_content, write_log_files
from tests.data.records import describe_images, run_instances
from tests.data.scenario import scenario
from tests.data.shapes import encode

if TYPE_CHECKING:
    from click.testing import Result


def findings_of(result: Result) -> list[dict[str, Any]]:
    """Returns the findings of `-o json`."""
    found: list[dict[str, Any]] = json.loads(result.stdout)["findings"]
    return found


def test_demo_is_found_as_its_stories_tell(tmp_path: Path) -> None:
    """The findings of a whole delivered tree are those its stories tell, and no others."""
    facts = write_demo(tmp_path)

    result = run("hunt", tmp_path, "-o", "json")

    assert result.exit_code == 0
    assert {
        (
            found["account_id"],
            found["region"],
            found["actor_arn"],
            tuple(found["search"]["name_patterns"]),
            found["search"]["client"],
            found["likelihood"].removeprefix("LIKELIHOOD_"),
            found["likelihood_score"],
            int(found["occurrence_count"]),
            found.get("suppression"),
        )
        for found in findings_of(result)
    } == {
        (
            told.account_id,
            told.region,
            told.actor_arn,
            told.name_patterns,
            told.client,
            told.likelihood,
            told.likelihood_score,
            told.occurrence_count,
            told.suppression,
        )
        for told in facts.findings
    }
    assert f"{facts.search_count} searches" in result.stderr
    assert f"{facts.skipped_file_count} files of other CloudTrail feeds" in result.stderr


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ((), RuleConfig()),
        (("--mode", "strict"), RuleConfig(mode=Mode.STRICT)),
        (("--correlate-by", "role"), RuleConfig(correlate_by=CorrelateBy.ROLE)),
    ],
    ids=["documented", "strict", "role"],
)
def test_files_hold_what_their_records_hold(
    tmp_path: Path, seed: int, options: tuple[str, ...], rule: RuleConfig
) -> None:
    """Hunting through delivered files gives the findings of the rule over the records."""
    records = scenario(seed, searches=40, launches=40)
    write_log_files(tmp_path, deliver(records, seed=seed, repeated=10))

    found = findings_of(run("hunt", tmp_path, "-o", "json", *options))

    expected = evaluate(map(encode, records), Policy(rule=rule))
    assert {f["name"]: (f["likelihood_score"], int(f["occurrence_count"])) for f in found} == {
        f"findings/{f.key.finding_id()}": (f.score, len(f.occurrences)) for f in expected
    }
    assert found != []


def test_workers_find_what_one_process_finds(tmp_path: Path) -> None:
    """The number of worker processes changes nothing but the time it takes."""
    write_bench_files(tmp_path, files=40, records_per_file=1_000, relevant_share=0.02, seed=1)

    alone = run_program("hunt", "--jobs", 1, "-o", "json", tmp_path)
    together = run_program("hunt", "--jobs", 3, "-o", "json", tmp_path)

    assert alone.returncode == together.returncode == 0
    assert len(json.loads(alone.stdout)["findings"]) > 0
    assert together.stdout == alone.stdout
    assert together.stderr == alone.stderr


def test_json_is_that_of_the_contract(tmp_path: Path) -> None:
    """`-o json` reads as a response of the API; what only a server knows is left out."""
    write_demo(tmp_path)

    result = run("hunt", tmp_path, "-o", "json")

    response = json_format.Parse(result.stdout, finding_service_pb2.GetFindingsResponse())
    assert len(response.findings) == 6
    for finding in response.findings:
        assert not finding.HasField("create_time")
        assert finding.etag == ""
        assert finding.remediation.fix_snippet != ""


def test_likeliest_findings_come_first(tmp_path: Path) -> None:
    """Findings are ordered by likelihood, in each form of output."""
    write_demo(tmp_path)

    as_lines = run("hunt", tmp_path, "-o", "ndjson").stdout.splitlines()
    as_table = run("hunt", tmp_path).stdout.splitlines()

    scores = [json.loads(line)["likelihood_score"] for line in as_lines]
    assert scores == sorted(scores, reverse=True)
    assert [line.split()[0] for line in as_table[2:]] == [
        json.loads(line)["name"].removeprefix("findings/") for line in as_lines
    ]


def test_rejected_records_exit_5(tmp_path: Path) -> None:
    """A record that cannot be read is named with file, position and path; the rest is read."""
    path = tmp_path / "a.json"
    broken = {**describe_images(), "eventName": 7}
    path.write_bytes(log_content([encode(describe_images()), json.dumps(broken).encode()]))

    result = run("hunt", path)

    assert result.exit_code == 5
    assert f"rejected: {path}[1] $.eventName: got a number" in result.stderr
    assert "1 search " in result.stderr


def test_unreadable_file_exits_1_and_costs_no_other(tmp_path: Path) -> None:
    """A missing file is told in a line, and what the others hold is found all the same."""
    path = tmp_path / "a.json"
    path.write_bytes(
        log_content(
            [
                encode(describe_images(filters={"name": ["acme-*"]})),
                encode(run_instances()),
            ]
        )
    )

    result = run("hunt", tmp_path / "missing", path, "-o", "json")

    assert result.exit_code == 1
    assert len(findings_of(result)) == 1
    assert f"{tmp_path / 'missing'}: no such file or folder" in result.stderr


@pytest.mark.parametrize("is_gzip", [True, False])
def test_standard_input_is_hunted_through(*, is_gzip: bool) -> None:
    """`-` reads a log file from standard input."""
    records = [describe_images(filters={"name": ["acme-*"]}), run_instances()]
    content = log_content(map(encode, records))

    done = run_program(
        "hunt", "-", "-o", "ndjson", stdin=gzip.compress(content) if is_gzip else content
    )

    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1


def test_nothing_found_is_success(tmp_path: Path) -> None:
    """Files without findings give an empty list and success."""
    path = tmp_path / "a.json"
    path.write_bytes(log_content([encode(describe_images(owners=["self"]))]))

    result = run("hunt", path, "-o", "json")

    assert (result.exit_code, json.loads(result.stdout)) == (0, {"findings": []})


def test_window_decides_which_launches_follow(tmp_path: Path) -> None:
    """A launch just past the window follows nothing; a wider window lets it."""
    from datetime import timedelta

    from tests.data.records import NINE_O_CLOCK

    path = tmp_path / "a.json"
    later = NINE_O_CLOCK + timedelta(seconds=61)
    path.write_bytes(
        log_content(
            [
                encode(describe_images(filters={"name": ["acme-*"]})),
                encode(run_instances(at=later)),
            ]
        )
    )

    assert findings_of(run("hunt", path, "-o", "json", "--window", "60s")) == []
    assert len(findings_of(run("hunt", path, "-o", "json", "--window", "61s"))) == 1


def of_sessions(path: Path, *sessions: str) -> Path:
    """Writes a search by the first session of a role, and a launch by each of the others."""
    first, *others = (
        identities.assumed_role("111122223333", "deploy", session=name) for name in sessions
    )
    search = describe_images(filters={"name": ["acme-*"]}, identity=first)
    records = [search, *(run_instances(identity=one) for one in others)]
    path.write_bytes(log_content(map(encode, records)))
    return path


@pytest.mark.parametrize(
    ("sessions", "options", "count", "line"),
    [
        (("a", "b"), (), 0, "1 more finding with --correlate-by role"),
        (("a", "a", "b", "c"), (), 1, "2 more launches with --correlate-by role"),
        (("a", "a"), (), 1, None),
        (("a", "b"), ("--correlate-by", "role"), 1, None),
    ],
)
def test_hunt_says_what_roles_would_add(
    tmp_path: Path,
    sessions: tuple[str, ...],
    options: tuple[str, ...],
    count: int,
    line: str | None,
) -> None:
    """What only session names keep apart is not found by principal, and not kept quiet either."""
    path = of_sessions(tmp_path / "a.json", *sessions)

    result = run("hunt", path, "-o", "json", *options)

    assert (result.exit_code, len(findings_of(result))) == (0, count)
    if line is None:
        assert "--correlate-by" not in result.stderr
    else:
        assert f"{line}: calls of one role under different session names\n" in result.stderr
