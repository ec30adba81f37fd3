"""`amiguardctl rules backtest`: cases in files, without a server."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import Result

from tests.clients.cli.command_line import run, run_program
from tests.data import backtest_trail
from tests.source_code import ROOT

EXAMPLE = ROOT / "tests" / "data" / "backtest"
DOCS = ROOT / "docs" / "tuning.md"
FAILING = """\
cases:
- name: wrong score
  records: trail.json
  expect: {findings: [{likelihood: HIGH, region: eu-west-1}]}
- name: nothing expected
  records: trail.json
  expect: {findings: []}
- name: one too many
  records: trail.json
  expect: {findings: [{}, {likelihood: LOW}]}
- name: right
  records: trail.json
  expect: {findings: [{likelihood_score: 50}]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the log file of the example."""
    (tmp_path / "trail.json").write_bytes(backtest_trail.trail())
    return tmp_path


def backtest(folder: Path, cases: str, *args: object) -> Result:
    """Runs the cases of a file."""
    path = folder / "cases.yaml"
    path.write_text(cases)
    return run("rules", "backtest", path, *args)


def case(**fields: object) -> str:
    """Makes a file of one case; what is given stands in place of a good one's fields."""
    good: dict[str, object] = {
        "name": "a case",
        "records": "trail.json",
        "expect": {"findings": [{"likelihood_score": 50}]},
    }
    return json.dumps({"cases": [good | fields]})


def test_example_is_as_it_expects() -> None:
    """The example runs as it stands, as a program, and every case of it is ok."""
    done = run_program(
        *("rules", "backtest", "--rule", EXAMPLE / "rule.yaml"),
        *("--allow", EXAMPLE / "allow.yaml", EXAMPLE / "cases"),
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().splitlines()[-1] == "4 cases  0 failed"


def test_example_has_the_log_file_that_is_generated() -> None:
    """What is stored is what the generator makes."""
    assert (EXAMPLE / "cases" / "trail.json").read_bytes() == backtest_trail.trail()


def test_documented_files_are_good(folder: Path) -> None:
    """Every file in the documentation is taken, and its cases are as they expect."""
    blocks = re.findall(r"```yaml\n# file: (\S+)\n(.*?)```", DOCS.read_text(), re.DOTALL)
    for name, text in blocks:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    shutil.copy(folder / "trail.json", folder / "cases")

    result = run(
        *("rules", "backtest", "--rule", folder / "rule.yaml"),
        *("--allow", folder / "allow.yaml", folder / "cases"),
    )
    linted = run("allow", "lint", "-f", folder / "allow.yaml", "--rule", folder / "rule.yaml")

    assert [name for name, _ in blocks] == ["allow.yaml", "rule.yaml", "cases/names.yaml"]
    assert (result.exit_code, linted.exit_code) == (0, 0), result.stdout + linted.stdout


def test_documented_commands_are_there() -> None:
    """Every command line in the documentation has the commands and options it names."""
    lines = re.findall(r"^(?:amiguardctl) (.*)$", DOCS.read_text(), re.MULTILINE)
    assert len(lines) >= 6

    for line in lines:
        arguments = shlex.split(line.partition(" >")[0])
        assert run(*arguments, "--help").exit_code == 0, line


def test_case_that_is_not_as_expected_exits_1(folder: Path) -> None:
    """Each case has a line, and what is not as expected is told with the nearest finding."""
    result = backtest(folder, FAILING)

    verdicts = [line for line in result.stdout.splitlines() if not line.startswith(" ")]
    assert result.exit_code == 1
    assert [line.split()[0] for line in verdicts[:-1]] == ["FAIL", "FAIL", "FAIL", "ok"]
    assert verdicts[-1] == "4 cases  3 failed"
    assert '           likelihood: got "MEDIUM", wanted "HIGH"\n' in result.stdout
    assert "found, and not expected: MEDIUM 50  000123456789  eu-west-1" in result.stdout
    assert "findings[1]: nothing that was found is this" in result.stdout


def test_junit_says_the_same(folder: Path) -> None:
    """--junit has a suite a file, a case a case, and a failure for each that failed."""
    junit = folder / "junit.xml"

    backtest(folder, FAILING, "--junit", junit)

    (suite,) = ET.parse(junit).getroot()  # noqa: S314 - written by the command under test
    assert (suite.get("tests"), suite.get("failures")) == ("4", "3")
    assert [case.get("name") for case in suite] == [
        *("wrong score", "nothing expected", "one too many", "right"),
    ]
    assert [len(case) for case in suite] == [1, 1, 1, 0]
    failure = suite[0][0]
    assert 'likelihood: got "MEDIUM", wanted "HIGH"' in (failure.text or "")


def test_junit_holds_whatever_records_say(folder: Path) -> None:
    """Text of records cannot break the XML, nor command a terminal."""
    junit = folder / "junit.xml"
    hostile = "x\x1b[2J<&\x00\u202e"

    result = backtest(folder, case(name=hostile, expect={"findings": []}), "--junit", junit)

    assert result.exit_code == 1
    assert r"x\x1b[2J<&\x00\u202e" in result.stdout
    assert ET.parse(junit).getroot()[0][0].get("name") == r"x\x1b[2J<&\x00\u202e"  # noqa: S314 - as above


def test_records_can_stand_in_the_case(folder: Path) -> None:
    """Records, envelopes and paths can be mixed in a list."""
    search, launch = json.loads(backtest_trail.trail())["Records"]
    (folder / "launch.json").write_text(json.dumps({"Records": [launch]}))
    envelope = {"detail-type": "AWS API Call via CloudTrail", "detail": search}

    assert backtest(folder, case(records=[envelope, "launch.json"])).exit_code == 0
    assert backtest(folder, case(records=[search], expect={"findings": []})).exit_code == 0


def test_record_that_cannot_be_read_fails_the_case_unless_expected(folder: Path) -> None:
    """A rejected record is a mistake of the case, or what the case is about."""
    call = {"eventSource": "ec2.amazonaws.com", "eventName": "RunInstances"}
    broken = [{**call, "awsRegion": "eu-west-1", "eventTime": 1}]

    unexpected = backtest(folder, case(records=broken, expect={"findings": []}))
    expected = backtest(folder, case(records=broken, expect={"findings": [], "rejected": 1}))

    assert unexpected.exit_code == 1
    assert "rejected: got 1, wanted 0" in unexpected.stdout
    assert "  records[0] $.eventTime: " in unexpected.stdout
    assert expected.exit_code == 0


def test_settings_of_a_case_stand_in_place_of_those_given(folder: Path) -> None:
    """--rule is for every case; what a case says holds for it alone."""
    rule = folder / "rule.yaml"
    rule.write_text("correlation_window: 10s\nmode: STRICT")
    wide = {"correlation_window": "15m"}

    narrow = backtest(folder, case(expect={"findings": []}), "--rule", rule)
    widened = backtest(folder, case(policy=wide), "--rule", rule)

    assert (narrow.exit_code, widened.exit_code) == (0, 0)


def test_allowlist_is_the_given_one(folder: Path) -> None:
    """--allow is the whole allowlist; a case can add to it and replace in it."""
    allow = folder / "allow.yaml"
    allow.write_text("entries: [{id: ours, organization_pattern: 'acme-base-*', justification: x}]")
    low = {"findings": [{"likelihood_score": 10}]}
    other = {"id": "ours", "organization_pattern": "beta-*", "justification": "x"}

    given = backtest(folder, case(expect=low), "--allow", allow)
    replaced = backtest(folder, case(policy={"entries": [other]}), "--allow", allow)

    assert (given.exit_code, replaced.exit_code) == (0, 0)


def test_entry_counts_until_it_expires(folder: Path) -> None:
    """Which entries count is decided at the time of the case, now unless it says so."""
    entry = {
        "id": "ours",
        "organization_pattern": "acme-base-*",
        "justification": "x",
        "expire_time": "2026-01-01",
    }
    policy = {"entries": [entry]}
    low = {"findings": [{"likelihood_score": 10}]}

    before = backtest(folder, case(policy=policy, at="2025-12-31", expect=low))
    after = backtest(folder, case(policy=policy, at="2026-01-02"))

    assert (before.exit_code, after.exit_code) == (0, 0)


@pytest.mark.parametrize("is_listed", [True, False])
def test_images_are_known_from_a_file(folder: Path, *, is_listed: bool) -> None:
    """--images takes what `images list` and what `aws ec2 describe-images` print."""
    images = folder / "images.json"
    image_id = "ami-0a1b2c3d4e5f60718"
    listed = {"image_id": image_id, "region": "eu-west-1", "owner_alias": "amazon"}
    described = {"ImageId": image_id, "ImageOwnerAlias": "amazon", "Public": True}
    document = {"images": [listed]} if is_listed else {"Images": [described]}
    images.write_text(json.dumps(document))
    trusted = {"findings": [{"score_steps": [{"code": "TRUSTED_IMAGE"}]}]}

    result = backtest(
        *(folder, case(expect=trusted), "--images", images),
        *(() if is_listed else ("--region", "eu-west-1")),
    )

    assert result.exit_code == 0, result.stdout


def test_described_images_want_a_region(folder: Path) -> None:
    """The output of describe-images does not say where it is from."""
    images = folder / "images.json"
    images.write_text('{"Images": []}')

    result = backtest(folder, case(), "--images", images)

    assert result.exit_code == 2
    assert "--region" in result.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1: got nothing, wanted a mapping"),
        ("case: []", "1: case: got a key that is not known here"),
        ("cases:\n- name: x", "2: cases[0]: got no records, which is required"),
        (case(expect={}), "1: cases[0].expect: got no findings, which is required"),
        (case(records=1), "1: cases[0].records: got 1 without quotes"),
        (case(records="missing.json"), "missing.json: No such file"),
        (case(expect={"findings": [{"liklihood": 1}]}), "liklihood: got a key that a Finding has"),
        (
            case(expect={"findings": [{"search": {"names": []}}]}),
            "search.names: got a key that a ImageSearch has not",
        ),
        (
            case(expect={"findings": [{"recent_occurrences": [1]}]}),
            "recent_occurrences[0]: wanted a mapping, the keys of Occurrence",
        ),
        (case(expect={"findings": [{"etag": "x"}]}), "etag: only a server knows this"),
        (case(policy={"window": "1m"}), "policy.window: got a key that is not known here"),
        (case(policy={"mode": "LAX"}), "policy.mode: got 'LAX', wanted one of"),
        (case(policy={"entries": [{"id": "x"}]}), "policy.entries[0]: got no justification"),
        (case(policy={"entries": 1}), "policy.entries: wanted a list"),
        (case(at="noon"), "cases[0].at: got 'noon', wanted a date"),
        (case(images=[{"image_id": "ami-1"}]), "images[0]: got no region, which is required"),
    ],
)
def test_bad_file_exits_2_with_line_and_field(folder: Path, text: str, expected: str) -> None:
    """A mistake of the file is no failed case: it is told by where it stands, and 2 is returned."""
    result = backtest(folder, text)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"{folder}/cases.yaml:")
    assert expected in result.stderr


def test_folder_is_searched_for_files_of_cases(folder: Path) -> None:
    """A folder stands for the YAML files in it and below; one without any is a mistake."""
    below = folder / "below"
    below.mkdir()
    shutil.copy(folder / "trail.json", below)
    (below / "b.yml").write_text(case(name="b"))
    (folder / "a.yaml").write_text(case(name="a"))
    (folder / "empty").mkdir()

    found = run("rules", "backtest", folder)
    empty = run("rules", "backtest", folder / "empty")

    assert [line.rpartition(" ")[2] for line in found.stdout.splitlines()[:2]] == ["a", "b"]
    assert empty.exit_code == 2
    assert "no file of cases in this folder" in empty.stderr


def test_every_bad_file_is_named_before_a_case_is_judged(folder: Path) -> None:
    """Files are read first, all of them: one mistake does not hide another."""
    (folder / "a.yaml").write_text("cases: 1")
    (folder / "b.yaml").write_text("cases:\n- 1\n- 2")
    (folder / "c.yaml").write_text(case())

    result = run("rules", "backtest", folder)

    assert (result.exit_code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 3
