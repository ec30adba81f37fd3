"""`amiguardctl allow export|apply` on a real server."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace

from amiguard_client.cli import allow_files
from amiguard_client.cli.entries import Entry
from amiguard_client.cli.entry_files import write_entries
from tests.clients.cli.command_line import run, run_program
from tests.clients.cli.entry_values import entries
from tests.clients.cli.terminal import asking
from tests.clients.live_server import Live

TWO = """\
entries:
- id: ours
  organization_pattern: acme-*
  justification: ours alone
- id: team-images
  trusted_account: '000123456789'
  justification: the image factory
  account_ids: ['000000000002', '000000000001']
  expire_time: 2100-01-01
"""


def allow(live: Live, *args: object, stdin: str | None = None) -> Result:
    """Runs a verb of `allow` on the server."""
    content = None if stdin is None else stdin.encode()
    return run("--server", live.target, "allow", *args, stdin=content)


def applied(live: Live, text: str, *args: object) -> Result:
    """Applies a file that is good."""
    result = allow(live, "apply", "-f", "-", "--yes", *args, stdin=text)
    assert result.exit_code == 0, result.stderr
    return result


def changes(live: Live) -> list[str]:
    """Returns the changes of the audit, as method and entry."""
    result = run("--server", live.target, "audit", "list", "--all", "-o", "json")
    return [
        f"{change['method']} {(change.get('entry_after') or change['entry_before'])['name']}"
        for change in json.loads(result.stdout)["changes"]
    ]


def test_export_of_a_new_server_has_the_built_in_aliases(live: Live) -> None:
    """The aliases that are trusted from the start are entries like any other."""
    text = allow(live, "export").stdout

    assert text.count("trusted_owner:") == 4
    assert "- id: alias-aws-marketplace\n  trusted_owner: aws-marketplace\n" in text


def test_file_is_put_in_force_and_comes_out_again(live: Live) -> None:
    """What is applied is exported, in one form however it was written."""
    applied(live, TWO, "--prune")

    exported = allow(live, "export").stdout

    assert exported.partition("entries:\n")[2] == (
        "- id: ours\n"
        "  organization_pattern: acme-*\n"
        "  justification: ours alone\n"
        "- id: team-images\n"
        "  trusted_account: '000123456789'\n"
        "  justification: the image factory\n"
        "  account_ids:\n"
        "  - '000000000001'\n"
        "  - '000000000002'\n"
        "  expire_time: '2100-01-01T00:00:00Z'\n"
    )


def test_applying_the_exported_file_changes_nothing(live: Live, tmp_path: Path) -> None:
    """For any allowlist: export, apply and export again give the same, with no change between."""
    numbers = count()

    @settings(max_examples=20, suppress_health_check=list(HealthCheck))
    @given(entries())
    def law(drawn: list[Entry]) -> None:
        number = next(numbers)
        # An entry's subject is for good, so each round has ids of its own.
        fresh = [replace(e, entry_id=f"{number}-{e.entry_id}"[:63]) for e in drawn]
        applied(live, write_entries(fresh), "--prune", "--force")
        path = tmp_path / "allow.yaml"
        path.write_text(allow(live, "export").stdout, encoding="utf-8")
        before = changes(live)

        again = allow(live, "apply", "-f", path, "--prune", "--yes")

        assert (again.exit_code, again.stdout) == (0, "")
        assert again.stderr == "Nothing to change.\n"
        assert changes(live) == before
        assert allow(live, "export").stdout == path.read_text(encoding="utf-8")

    law()


def test_plan_is_like_a_diff(live: Live) -> None:
    """+ is added, ~ changed field by field, - removed; each with its effect on findings."""
    live.occur(1, "acme-base-*")
    applied(live, TWO)
    text = """\
entries:
- id: ours
  organization_pattern: acme-*
  justification: for the base images
  account_ids: ['000000000009']
- id: more
  organization_pattern: beta-*
  justification: the other team's
"""

    result = allow(live, "apply", "-f", "-", "--dry-run", "--prune", stdin=text)

    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[:11] == [
        "+ more",
        "    + organization_pattern: beta-*",
        "    + justification: the other team's",
        "    + account_ids: all",
        "    + expire_time: never",
        "    by itself: no change of 1 finding of the last 7 days",
        "~ ours",
        "    ~ justification: ours alone -> for the base images",
        "    ~ account_ids: all -> 000000000009",
        "    by itself: 1 with another score of 1 finding of the last 7 days",
        "- alias-amazon",
    ]
    assert [line for line in lines if line.startswith("-")] == [
        "- alias-amazon",
        "- alias-aws-backup-vault",
        "- alias-aws-marketplace",
        "- alias-self",
        "- team-images",
    ]


def test_dry_run_changes_nothing(live: Live) -> None:
    """--dry-run needs no consent and leaves everything as it is."""
    result = allow(live, "apply", "-f", "-", "--dry-run", stdin=TWO)

    assert result.exit_code == 0
    assert changes(live) == []


def test_plan_as_json(live: Live) -> None:
    """-o json is one object: each change with what was, what is to be, and its effect."""
    result = allow(live, "apply", "-f", "-", "--dry-run", "-o", "json", stdin=TWO)

    plan = json.loads(result.stdout)
    assert [(c["action"], c["entry"], c["before"]) for c in plan["changes"]] == [
        ("add", "allowlistEntries/ours", None),
        ("add", "allowlistEntries/team-images", None),
    ]
    assert plan["changes"][0]["after"] == {
        "id": "ours",
        "organization_pattern": "acme-*",
        "justification": "ours alone",
    }
    assert plan["unlisted"][0] == "alias-amazon"


def test_what_is_not_in_the_file_stays_without_prune(live: Live) -> None:
    """Entries that the file does not name are counted and left alone, unless pruned."""
    applied(live, TWO)

    kept = applied(live, "entries: []")
    pruned = applied(live, "entries: []", "--prune")

    assert "Not in the file, and left as they are without --prune: 6 entries." in kept.stderr
    assert "Made 6 changes." in pruned.stderr
    assert allow(live, "export").stdout.endswith("entries: []\n")


def test_new_entries_come_before_old_ones_go(live: Live) -> None:
    """At no time between is less vouched for than before and after."""
    applied(live, TWO, "--prune")

    applied(live, TWO.replace("id: ours", "id: mine"), "--prune")

    assert changes(live)[-2:] == [
        "CreateAllowlistEntry allowlistEntries/mine",
        "DeleteAllowlistEntry allowlistEntries/ours",
    ]


def test_field_that_is_left_out_is_cleared(live: Live) -> None:
    """The file is the whole truth of an entry: what it does not say does not hold."""
    applied(live, TWO)
    bare = TWO.partition("  account_ids")[0]

    result = applied(live, bare)

    assert "    ~ account_ids: 000000000001, 000000000002 -> all\n" in result.stdout
    assert "    ~ expire_time: 2100-01-01T00:00:00Z -> never\n" in result.stdout
    assert "Nothing to change." in applied(live, bare).stderr


def test_refused_change_keeps_all_others_from_being_made(live: Live) -> None:
    """Every change is checked by the server before the first is made."""
    text = TWO + "- id: ubuntu\n  organization_pattern: ubuntu/*\n  justification: x\n"

    refused = allow(live, "apply", "-f", "-", "--yes", stdin=text)
    forced = allow(live, "apply", "-f", "-", "--yes", "--force", stdin=text)

    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("ubuntu: refused; nothing was changed\n")
    assert "organization_pattern" in refused.stderr
    assert forced.exit_code == 0
    assert len(changes(live)) == 3


def test_subject_never_changes(live: Live) -> None:
    """Another subject under the same id is a mistake of the file, said with both."""
    applied(live, TWO)

    result = allow(*(live, "apply", "-f", "-", "--yes"), stdin=TWO.replace("acme-*", "beta-*"))

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "<stdin>: ours: got organization_pattern 'beta-*', but it is "
        "organization_pattern 'acme-*': give the new one another id\n"
    )


def test_bad_file_exits_2_and_names_its_problems(live: Live, tmp_path: Path) -> None:
    """What is wrong with a file is on standard error, a line each, and nothing is changed."""
    path = tmp_path / "allow.yaml"
    path.write_text("entries:\n- id: ours\n  trusted_account: 000123456789\n  justification: x\n")

    done = run_program("--server", live.target, "allow", "apply", "-f", path, "--yes")

    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().startswith(
        f"{path}:3: entries[0].trusted_account: got 000123456789"
    )
    assert changes(live) == []


def test_run_that_was_cut_off_is_repeated_for_the_rest(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that fails in between says how far it came; repeated, it does what is left."""
    from amiguard_client import UnreachableError
    from amiguard_client._tuning_calls import TuningCalls

    create = TuningCalls.create_entry

    def cut(self: TuningCalls, request: object) -> object:
        if request.allowlist_entry_id == "team-images" and not request.validate_only:  # type: ignore[attr-defined]
            raise UnreachableError("gone", code="UNAVAILABLE")
        return create(self, request)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(TuningCalls, "create_entry", cut)
        broken = allow(live, "apply", "-f", "-", "--yes", stdin=TWO)
    repeated = applied(live, TWO)

    assert broken.exit_code == 3
    assert "team-images: not done; 1 of 2 changes are made" in broken.stderr
    assert repeated.stdout.startswith("+ team-images\n")
    assert len(changes(live)) == 2


def test_answer_that_was_lost_makes_no_second_entry(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A creation that is sent twice, because its answer was lost, happens once."""
    from amiguard_client._tuning_calls import TuningCalls

    create = TuningCalls.create_entry

    def twice(self: TuningCalls, request: object) -> object:
        create(self, request)  # type: ignore[arg-type]
        return create(self, request)  # type: ignore[arg-type]

    monkeypatch.setattr(TuningCalls, "create_entry", twice)
    applied(live, TWO)

    assert len(changes(live)) == 2


def test_nobody_is_asked_where_the_file_is_standard_input(live: Live) -> None:
    """A file from a pipe wants --yes: there is nobody to ask."""
    result = allow(live, "apply", "-f", "-", stdin=TWO)

    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert changes(live) == []


def test_somebody_is_asked_after_the_plan(live: Live, tmp_path: Path) -> None:
    """At a terminal the plan is carried out for a yes alone; what changed meanwhile is refused."""
    path = tmp_path / "allow.yaml"
    path.write_text(TWO.replace("ours alone", "of the first"))
    applied(live, TWO)

    with asking("--server", live.target, "allow", "apply", "-f", path) as first:
        first.wait_for("Make 1 change? [y/N]")
        applied(live, TWO.replace("ours alone", "of the second"))
        code, output, said = first.answer("y")

    assert code == 1
    assert output.startswith("~ ours\n")
    assert "Reason: ETAG_MISMATCH" in said
    assert "justification: of the second" in allow(live, "export").stdout


def test_export_as_json_is_the_list_of_the_contract(live: Live) -> None:
    """-o json is what `allow list --all` gives."""
    exported = allow(live, "export", "-o", "json")
    listed = allow(live, "list", "--all", "-o", "json")

    assert json.loads(exported.stdout) == json.loads(listed.stdout)


def test_every_change_is_tried_in_the_time_there_is(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are; those that were not got to are counted."""
    wanted = [
        f"- id: ours-{number:02}\n  organization_pattern: acme-{number}-*\n  justification: why\n"
        for number in range(25)
    ]
    text = "entries:\n" + "".join(wanted)

    whole = allow(live, "apply", "-f", "-", "--dry-run", stdin=text)
    monkeypatch.setattr(allow_files, "PREVIEW_TIME", timedelta(0))
    hurried = allow(live, "apply", "-f", "-", "--dry-run", stdin=text)
    told = json.loads(allow(live, "apply", "-f", "-", "--dry-run", "-o", "json", stdin=text).stdout)

    assert whole.stdout.count("by itself: ") == 25
    assert "not tried" not in whole.stderr
    assert "by itself" not in hurried.stdout
    assert "The last 25 of 25 changes were not tried within 0 s.\n" in hurried.stderr
    assert told["untried_count"] == len(told["changes"]) == 25
