"""Every action does on a real server what it says, run by the SDK."""

from __future__ import annotations

import gzip
import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from amiguard_client import AllowlistEntry, connect
from splunk_soar.package import APP
from splunk_soar.tests.soar import Soar, outcome_of, plain
from splunk_soar.tests.vault import vault
from tests.clients.live_server import Live
from tests.service.talking import LAUNCH, SEARCH
from tests.store.values import ACCOUNT, ALICE, UBUNTU

IN_A_MONTH = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)


def test_app_runs_as_a_program(python: Path, live: Live, tmp_path: Path) -> None:
    """The SDK's command line runs an action, as the README says."""
    name = live.occur(1)
    (tmp_path / "asset.json").write_text(json.dumps({"server": live.target, "insecure": True}))
    (tmp_path / "params.json").write_text(json.dumps({"finding": name}))
    command = [str(python), "-m", "src.app", "action", "get_finding"]
    command += ["-a", str(tmp_path / "asset.json"), "-p", str(tmp_path / "params.json")]

    done = subprocess.run(command, cwd=APP, check=True, capture_output=True, text=True)

    assert outcome_of(plain(done.stdout)).row["name"] == name


class TestConnectivity:
    """`test connectivity`."""

    def test_server_that_answers_is_enough(self, soar: Soar) -> None:
        """An asset that can poll passes."""
        outcome = soar.run("test connectivity")

        assert outcome.is_success
        assert outcome.message == "Test connectivity successful"


class TestGetFindings:
    """`get findings`."""

    def test_finding_is_returned_in_full(self, soar: Soar, live: Live) -> None:
        """A row says who searched for what where, how likely it is, why, and what to do."""
        name = live.occur(1, UBUNTU, images=("ami-7",))

        row = soar.run("get findings").row

        expected = {
            "name": name,
            "state": "OPEN",
            "disposition": None,
            "likelihood": "HIGH",
            "likelihood_score": 85,
            "account_id": ACCOUNT,
            "region": "eu-west-1",
            "actor_arn": ALICE,
            "name_patterns": [UBUNTU],
            "reasons": ["NO_OWNER"],
            "occurrence_count": 1,
            "image_ids": ["ami-7"],
            "last_launch_time": "2026-03-01T14:46:41Z",
            "assignee": None,
        }
        assert {key: row[key] for key in expected} == expected
        assert [step["code"] for step in row["score_steps"]] == ["BASE", "PUBLIC_NAME_FAMILY"]
        assert len(row["triage_steps"]) == 4
        assert "099720109477" in row["fix_snippet"]

    def test_filter_likelihood_order_and_count_are_kept(self, soar: Soar, live: Live) -> None:
        """What is asked for is returned, and that there is more is said."""
        live.occur(1, "team-exact")
        likely = [live.occur(number, UBUNTU + str(number)) for number in (2, 3)]

        outcome = soar.run(
            "get findings",
            filter="state = OPEN OR state = CLOSED",
            min_likelihood="HIGH",
            order_by="create_time",
            max_findings=1,
        )

        assert [row["name"] for row in outcome.data] == likely[:1]
        assert outcome.summary == "{'finding_count': 1, 'has_more': True}"
        assert outcome.message == "Findings: 1, and there are more"

    def test_nothing_found_is_a_success(self, soar: Soar) -> None:
        """No finding is an answer."""
        outcome = soar.run("get findings", min_likelihood="MEDIUM")

        assert (outcome.is_success, outcome.data) == (True, [])
        assert outcome.message == "Findings: 0"


class TestGetFinding:
    """`get finding`."""

    def test_occurrences_and_history_come_along(self, soar: Soar, live: Live) -> None:
        """One finding is returned with its launches, the latest first, and its moves."""
        name = live.occur(1, "acme-*")
        live.occur(2, "acme-*")

        row = soar.run("get finding", finding=name.removeprefix("findings/")).row

        assert row["name"] == name
        launches = [
            (each["search_event_id"], each["launch_event_id"]) for each in row["occurrences"]
        ]
        assert launches == [("s2", "l2"), ("s1", "l1")]
        assert row["occurrences"][0]["gap_seconds"] == 1
        assert row["occurrences"][0]["instance_ids"] == ["i-1"]
        assert [move["state_after"] for move in row["history"]] == ["OPEN"]

    def test_occurrences_are_no_more_than_asked_for(self, soar: Soar, live: Live) -> None:
        """The latest launches are kept."""
        name = live.occur(1, "acme-*")
        live.occur(2, "acme-*")

        row = soar.run("get finding", finding=name, max_occurrences=1).row

        assert [each["launch_event_id"] for each in row["occurrences"]] == ["l2"]
        assert row["occurrence_count"] == 2


class TestHandling:
    """`acknowledge finding` and `close finding`."""

    def test_finding_is_taken_up(self, soar: Soar, live: Live) -> None:
        """The state moves, and the assignee is set."""
        name = live.occur(1)

        row = soar.run("acknowledge finding", finding=name, assignee="mallory").row

        assert (row["state"], row["assignee"]) == ("ACKNOWLEDGED", "mallory")
        assert soar.run("get finding", finding=name).row["state"] == "ACKNOWLEDGED"

    def test_finding_is_closed_with_a_disposition(self, soar: Soar, live: Live) -> None:
        """What it turned out to be, and why, is kept."""
        name = live.occur(1)

        row = soar.run(
            "close finding", finding=name, disposition="FALSE_POSITIVE", comment="our own image"
        ).row

        assert (row["state"], row["disposition"]) == ("CLOSED", "FALSE_POSITIVE")
        last = soar.run("get finding", finding=name).row["history"][-1]
        assert last["comment"] == "our own image"

    def test_risk_is_accepted_until_a_time(self, soar: Soar, live: Live) -> None:
        """RISK_ACCEPTED takes its end along, with whatever offset it is given."""
        name = live.occur(1)
        until = IN_A_MONTH.astimezone(tz=None).isoformat()

        row = soar.run(
            "close finding",
            finding=name,
            disposition="RISK_ACCEPTED",
            comment="until the rebuild",
            accept_until=until,
        ).row

        assert row["accept_until_time"] == IN_A_MONTH.isoformat().replace("+00:00", "Z")

    def test_day_is_its_beginning_in_utc(self, soar: Soar, live: Live) -> None:
        """A day without a time is enough to accept a risk until."""
        name = live.occur(1)
        day = IN_A_MONTH.date().isoformat()

        row = soar.run(
            "close finding",
            finding=name,
            disposition="RISK_ACCEPTED",
            comment="until the rebuild",
            accept_until=day,
        ).row

        assert row["accept_until_time"] == f"{day}T00:00:00Z"

    def test_playbook_that_runs_again_changes_nothing(self, soar: Soar, live: Live) -> None:
        """A finding that is already as an action would leave it stays so, and it succeeds."""
        name = live.occur(1)
        closing = {"finding": name, "disposition": "TRUE_POSITIVE", "comment": "it was one"}

        acknowledged = [soar.run("acknowledge finding", finding=name).row for _ in range(2)]
        closed = [soar.run("close finding", **closing).row for _ in range(2)]

        assert acknowledged[0] == acknowledged[1]
        assert closed[0] == closed[1]


RECORDS = {
    "a list": f"[{SEARCH.decode()}, {LAUNCH.decode()}]",
    "a log file": f'{{"Records": [{SEARCH.decode()}, {LAUNCH.decode()}]}}',
    "lines": f"{SEARCH.decode()}\n{LAUNCH.decode()}\n",
}


class TestSubmitEvents:
    """`submit events`."""

    @pytest.mark.parametrize("records", RECORDS.values(), ids=RECORDS)
    def test_records_are_judged(self, soar: Soar, records: str) -> None:
        """A search and its launch become a finding, in whatever form they are given, and once."""
        first = soar.run("submit events", records=records).row
        again = soar.run("submit events", records=records).row

        assert (first["accepted_count"], first["relevant_count"], first["rejected_count"]) == (
            2,
            2,
            0,
        )
        (found,) = soar.run("get findings").data
        assert first["finding_names"] == [found["name"]]
        assert (again["accepted_count"], again["duplicate_count"]) == (2, 2)

    def test_one_record_is_enough(self, soar: Soar) -> None:
        """A record that is spread over lines is one record."""
        record = json.dumps(json.loads(SEARCH), indent=2)

        row = soar.run("submit events", records=record).row

        assert (row["accepted_count"], row["relevant_count"]) == (1, 1)

    def test_rejected_record_does_not_hold_up_the_others(self, soar: Soar) -> None:
        """What cannot be read is named by its position, and the rest is taken in."""
        outcome = soar.run("submit events", records=f"[{SEARCH.decode()}, 5]")

        (rejection,) = outcome.row["rejections"]
        assert (outcome.row["accepted_count"], outcome.row["rejected_count"]) == (1, 1)
        assert rejection["index"] == 1
        assert outcome.message.startswith("Accepted: 1, rejected: 1, findings: 0; record 1: ")

    def test_file_of_the_vault_is_submitted(self, soar: Soar, tmp_path: Path) -> None:
        """A log file that somebody attached is read from where the vault keeps it."""
        log_file = tmp_path / "trail.json.gz"
        log_file.write_bytes(gzip.compress(RECORDS["a log file"].encode()))

        with vault({"0a1b": log_file}) as address:
            login = ("--soar-url", address, "--soar-user", "admin", "--soar-password", "secret")
            row = soar.run("submit events", *login, vault_id="0a1b").row
            unknown = soar.run("submit events", *login, vault_id="ffff").failure

        assert (row["accepted_count"], len(row["finding_names"])) == (2, 1)
        assert "vault_id: got 'ffff', wanted the id of a file in the vault" in unknown


class TestAllowPattern:
    """`allow pattern`."""

    def test_trial_changes_nothing(self, soar: Soar, live: Live) -> None:
        """Unless told to apply it the action says what would become of findings."""
        name = live.occur(1, "acme-base-*")

        outcome = soar.run("allow pattern", pattern="acme-*", justification="only ours")

        row = outcome.row
        assert (row["is_applied"], row["evaluated_count"], row["rescored_count"]) == (False, 1, 1)
        assert row["examples"] == [{"name": name, "score_before": 50, "score_after": 10}]
        assert outcome.message.startswith("Tried, and nothing changed: of 1 findings")
        assert _entries(live) == []
        assert soar.run("get finding", finding=name).row["likelihood_score"] == 50

    def test_entry_is_made_with_its_reason(self, soar: Soar, live: Live) -> None:
        """Applied, the entry is in force with its justification, its accounts and its end."""
        name = live.occur(1, "acme-base-*")

        row = soar.run(
            "allow pattern",
            pattern="acme-*",
            justification="only ours",
            apply=True,
            entry_id="acme-names",
            account_ids=f"{ACCOUNT}, 000123456789",
            expire_time=IN_A_MONTH.date().isoformat(),
        ).row

        expected = {
            "is_applied": True,
            "entry_name": "allowlistEntries/acme-names",
            "pattern": "acme-*",
            "justification": "only ours",
            "account_ids": ["000123456789", ACCOUNT],
            "expire_time": f"{IN_A_MONTH.date().isoformat()}T00:00:00Z",
        }
        assert {key: row[key] for key in expected} == expected
        assert [(each.name, each.justification) for each in _entries(live)] == [
            ("allowlistEntries/acme-names", "only ours")
        ]
        found = soar.run("get finding", finding=name).row
        assert found["score_steps"][-1]["allowlist_entry"] == "allowlistEntries/acme-names"

    def test_entry_is_made_once(self, soar: Soar, live: Live) -> None:
        """A playbook that runs again finds the entry it made."""
        wanted = {"pattern": "acme-*", "justification": "only ours", "apply": True}

        made = soar.run("allow pattern", **wanted).row
        again = soar.run("allow pattern", **wanted | {"justification": "another reason"}).row

        assert made["entry_name"] == again["entry_name"] == _entries(live)[0].name
        assert again["justification"] == "only ours"


def _entries(live: Live) -> list[AllowlistEntry]:
    """The entries that somebody made."""
    with connect(live.target, insecure=True) as client:
        return [entry for entry in client.tuning.list_entries() if entry.organization_pattern]
