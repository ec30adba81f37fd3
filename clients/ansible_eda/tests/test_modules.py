"""Laws of the modules, each run by the real Ansible against the real server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from ansible_eda.tests.environment import COLLECTION, Environment
from ansible_eda.tests.service import Service

Result: TypeAlias = dict[str, Any]
Play: TypeAlias = Callable[..., list[Result]]

NOBODY = "findings/111122223333-000000000000000000000000"
PATTERN = {"id": "base-images", "organization_pattern": "acme-*", "justification": "ours"}


@dataclass(frozen=True)
class Step:
    """A task of a play."""

    module: str
    options: dict[str, Any]
    is_check: bool = False
    who: str = "admin"


@pytest.fixture
def play(environment: Environment, service: Service, tmp_path: Path) -> Play:
    """Runs steps in one play, failing or not, and returns the result of each."""

    def run(*steps: Step) -> list[Result]:
        results = tmp_path / "results.json"
        tasks: list[dict[str, Any]] = [
            {
                f"amiguard.eda.{step.module}": {
                    "server": service.address,
                    "ca": str(service.ca),
                    "token_file": str(service.token_file(step.who)),
                    **step.options,
                },
                "check_mode": step.is_check,
                "ignore_errors": True,
                "register": f"result{number}",
            }
            for number, step in enumerate(steps)
        ]
        names = ", ".join(f"result{number}" for number in range(len(steps)))
        content = f"{{{{ [{names}] | to_json }}}}"
        tasks.append({"ansible.builtin.copy": {"content": content, "dest": str(results)}})
        head = {"hosts": "localhost", "connection": "local", "gather_facts": False}
        (tmp_path / "play.yml").write_text(json.dumps([{**head, "tasks": tasks}]))
        python = {"ANSIBLE_PYTHON_INTERPRETER": str(environment.bin / "python")}
        done = subprocess.run(
            [str(environment.bin / "ansible-playbook"), "play.yml"],
            check=False,
            cwd=tmp_path,
            env=environment.variables(tmp_path) | python,
            capture_output=True,
            text=True,
        )
        assert results.exists(), done.stdout + done.stderr
        found: list[Result] = json.loads(results.read_text())
        results.unlink()
        return found

    return run


def changes(results: list[Result]) -> list[bool]:
    """Returns which results are changes."""
    return [each["changed"] for each in results]


def test_a_finding_is_brought_into_a_state(play: Play, service: Service) -> None:
    """Check mode says what the change is, the change is made once, and again changes nothing."""
    name = service.find("alice", "team-*")
    with service.connect() as client:
        client.update_finding(name, labels={"kept": "yes", "gone": "soon"})
    wanted = {
        "name": name,
        "state": "acknowledged",
        "assignee": "cloud-team",
        "labels": {"triage": "auto", "gone": ""},
    }

    tried, look, made, again = play(
        Step("finding", wanted, is_check=True),
        Step("finding_info", {"name": name}),
        Step("finding", wanted, who="triage"),
        Step("finding", wanted, who="triage"),
    )

    (untouched,) = look["findings"]
    assert untouched["state"] == "OPEN"
    assert untouched["labels"] == {"kept": "yes", "gone": "soon"}
    assert changes([tried, made, again]) == [True, True, False]
    assert made["finding"]["state"] == "ACKNOWLEDGED"
    assert made["finding"]["assignee"] == "cloud-team"
    assert made["finding"]["labels"] == {"kept": "yes", "triage": "auto"}
    assert again["finding"] == made["finding"]


def test_a_finding_is_closed_and_reopened(play: Play, service: Service) -> None:
    """A closed one stays closed as it was; for another disposition it has to be reopened."""
    name = service.find("alice", "team-*")
    closing = {"name": name, "state": "closed", "comment": "mended"}

    closed, again, otherwise, reopened = play(
        Step("finding", {**closing, "disposition": "TRUE_POSITIVE"}),
        Step("finding", {**closing, "disposition": "TRUE_POSITIVE"}),
        Step("finding", {**closing, "disposition": "FALSE_POSITIVE"}),
        Step("finding", {"name": name, "state": "open", "comment": "not mended"}),
    )

    assert changes([closed, again, reopened]) == [True, False, True]
    assert closed["finding"]["disposition"] == "TRUE_POSITIVE"
    assert otherwise["failed"]
    assert otherwise["msg"].startswith(f"{name} is CLOSED as TRUE_POSITIVE, expected")
    assert reopened["finding"]["state"] == "OPEN"


def test_findings_are_read_by_name_and_by_filter(play: Play, service: Service) -> None:
    """A name that there is none of gives none; what a filter lets through is all there."""
    names = {service.find(user, "team-*") for user in ("alice", "bob")}

    by_name, by_filter, none = play(
        Step("finding_info", {"name": min(names)}),
        Step("finding_info", {"filter": "state = OPEN"}),
        Step("finding_info", {"name": NOBODY}),
    )

    assert [each["name"] for each in by_name["findings"]] == [min(names)]
    assert {each["name"] for each in by_filter["findings"]} == names
    assert none["findings"] == []


def test_an_entry_is_previewed_created_changed_and_deleted(play: Play, service: Service) -> None:
    """A preview comes with every change, with the role read alone; the same again is no change."""
    name = service.find("alice", "acme-base-*")
    deletion = {"id": PATTERN["id"], "state": "absent"}

    tried, missing, made, again, scoped, gone, nothing = play(
        Step("allowlist_entry", PATTERN, is_check=True, who="triage"),
        Step("allowlist_entry", deletion, is_check=True, who="triage"),
        Step("allowlist_entry", PATTERN),
        Step("allowlist_entry", PATTERN),
        Step("allowlist_entry", {**PATTERN, "account_ids": ["444455556666"]}),
        Step("allowlist_entry", deletion),
        Step("allowlist_entry", deletion),
    )

    assert changes([tried, missing, made, again]) == [True, False, True, False]
    assert changes([scoped, gone, nothing]) == [True, True, False]
    (example,) = tried["preview"]["examples"]
    assert example["name"] == name
    assert example["before"] == {"likelihood": "MEDIUM", "likelihood_score": 50}
    assert example["after"] == {"likelihood": "LOW", "likelihood_score": 10}
    assert made["entry"]["organization_pattern"] == "acme-*"
    assert again["preview"] is None
    assert scoped["entry"]["account_ids"] == ["444455556666"]
    assert gone["entry"] is None


def test_a_failure_is_one_line(play: Play) -> None:
    """What went wrong is said in one line, with its code, and without a traceback."""
    other = {**PATTERN, "organization_pattern": "*"}
    cases = (
        (Step("finding", {"name": NOBODY}), "NOT_FOUND", NOBODY),
        (Step("finding_info", {"filter": "stat = OPEN"}), "INVALID_ARGUMENT", "stat"),
        (
            Step("finding_info", {"name": "a", "token_file": "/no/file"}),
            "INVALID_ARGUMENT",
            "token_file: cannot read /no/file",
        ),
        (
            Step("finding_info", {"name": "a", "server": "127.0.0.1:1"}),
            "UNAVAILABLE",
            "127.0.0.1:1",
        ),
        (Step("allowlist_entry", other), "INVALID_ARGUMENT", "organization_pattern"),
        (Step("allowlist_entry", {**PATTERN, "expire_time": "soon"}), None, "expire_time: got"),
        (Step("allowlist_entry", PATTERN, who="triage"), "PERMISSION_DENIED", "admin"),
    )

    results = play(*(step for step, _, _ in cases))

    for result, (step, code, message) in zip(results, cases, strict=True):
        assert result["failed"], step
        assert result["code"] == code, (step, result["msg"])
        assert message in result["msg"], step
        assert "\n" not in result["msg"], step
        assert "Traceback" not in json.dumps(result), step


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("module", "finding"),
        ("module", "finding_info"),
        ("module", "allowlist_entry"),
        ("filter", "covering_entries"),
        ("role", "triage"),
    ],
)
def test_documentation_is_there(
    environment: Environment, tmp_path: Path, kind: str, name: str
) -> None:
    """ansible-doc shows each part of the collection."""
    words = ["ansible-doc", "--type", kind, "--json", f"amiguard.eda.{name}"]
    done = subprocess.run(
        [str(environment.bin / words[0]), *words[1:]],
        check=False,
        env=environment.variables(tmp_path),
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert f"amiguard.eda.{name}" in json.loads(done.stdout)


def test_tests_stay_out_of_the_archive(environment: Environment) -> None:
    """The collection that users install holds what they need."""
    installed = environment.collections / "ansible_collections" / "amiguard" / "eda"

    assert (COLLECTION / "tests").exists()
    assert not (installed / "tests").exists()
    assert (installed / "extensions/eda/rulebooks/triage.yml").exists()
