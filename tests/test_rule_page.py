"""What docs/rule.md says is what the core decides, and code cites sections that exist."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from pathlib import Path

import pytest

from amiguard_core.events import LaunchPath, SearchFilter, SearchRequest
from amiguard_core.findings import HIGH_FROM, MEDIUM_FROM, Suppression
from amiguard_core.judge import Protection, Reason
from amiguard_core.pipeline import evaluate
from amiguard_core.policy import EntryKind, Policy
from amiguard_core.remediation import remediate
from amiguard_core.score_steps import SCORE_STEPS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/rule.md").read_text(encoding="utf-8")
FIRES, OWNERS = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
SECTIONS = set(re.findall(r"^## (\d+)\. ", PAGE, re.MULTILINE))
SOURCES = [
    path
    for folder in ("clients", "migrations", "proto", "service", "tests")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".proto"} and "_pb2" not in path.name
]


def table_under(heading: str) -> list[list[str]]:
    """Returns the cells of the rows of the first table under a heading."""
    text = re.split(rf"^#+ {re.escape(heading)}\n", PAGE, maxsplit=1, flags=re.MULTILINE)[1]
    rows = [line for line in text.split("\n#")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[2:]]


def found_in(text: str) -> list[tuple[str, int, int]]:
    """Evaluates the records of a log file; gives likelihood, score and confidence of findings."""
    records = [json.dumps(record).encode() for record in json.loads(text)["Records"]]
    found = evaluate(records, Policy())
    return [(finding.likelihood.value, finding.score, finding.confidence) for finding in found]


def test_score_table_is_that_of_the_core() -> None:
    """The page's table has each step, in order, with its effect and its condition."""
    expected = [[row.code, str(row.effect), row.condition] for row in SCORE_STEPS]

    assert table_under("Likelihood") == expected


def test_bands_are_those_of_the_core() -> None:
    """The page says where MEDIUM and HIGH begin."""
    assert f"LOW is below {MEDIUM_FROM}, MEDIUM from {MEDIUM_FROM}, HIGH from {HIGH_FROM}." in PAGE


@pytest.mark.parametrize("codes", [EntryKind, LaunchPath, Protection, Reason, Suppression])
def test_page_names_every_code(codes: type[StrEnum]) -> None:
    """A code that a user can see is explained."""
    missing = [code for code in codes if not re.search(rf"\b{code}\b", PAGE)]

    assert missing == []


def test_example_fires_as_the_page_says() -> None:
    """The example gives the finding that the page names."""
    (likelihood, score, confidence) = found_in(FIRES)[0]

    assert f"one finding: likelihood {likelihood} {score}, confidence {confidence}." in PAGE


def test_example_with_an_owner_does_not_fire() -> None:
    """The page's line, put in place of the empty owners, makes the example safe."""
    assert '"ownersSet": {}' in FIRES

    assert found_in(FIRES.replace('"ownersSet": {}', OWNERS.strip())) == []


@pytest.mark.parametrize(("client", "shown"), table_under("11. Triage and the fix"))
def test_fix_is_that_of_the_client(client: str, shown: str) -> None:
    """What the page shows for a client is in the corrected lookup of its findings."""
    records = json.loads(FIRES)["Records"]
    ((item,),) = [records[0]["requestParameters"]["filterSet"]["items"]]
    pattern = item["valueSet"]["items"][0]["value"]
    request = SearchRequest(filters=(SearchFilter("name", (pattern,)),))

    fix = remediate(request, client=client, account_id="111122223333", region="eu-west-1")

    assert re.sub(r"\s+", "", shown.strip("`")) in re.sub(r"\s+", "", fix.fix_snippet)


def test_page_says_where_everything_is() -> None:
    """Each file that the page sends a reader to is there."""
    core = ROOT / "service/amiguard_core"
    rows = table_under("Where it is in the code")
    named = [name for _, where in rows for name in re.findall(r"`(\w+\.py)`", where)]

    assert named
    assert [name for name in named if not (core / name).exists()] == []


def test_code_cites_sections_that_exist() -> None:
    """Each section number in code is one of the page's."""
    wrong = []
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        for cited in re.findall(r"\b[Ss]ections? (\d+(?:(?:, | and |, and )\d+)*)", text):
            unknown = set(re.findall(r"\d+", cited)) - SECTIONS
            wrong += [f"{path.relative_to(ROOT)}: section {number}" for number in sorted(unknown)]

    assert wrong == []


@pytest.mark.parametrize("page", ["RULE.md", "CLOUDTRAIL.md", "DESIGN.md"])
def test_code_cites_no_page_that_is_not_here(page: str) -> None:
    """Code cites docs/rule.md, which a reader has."""
    here = Path(__file__)
    texts = [(path, path.read_text(encoding="utf-8")) for path in SOURCES if path != here]

    assert [str(path.relative_to(ROOT)) for path, text in texts if page in text] == []
