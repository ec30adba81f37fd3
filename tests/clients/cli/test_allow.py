"""`amiguardctl allow list|get|add|update|remove` on a real server."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import Result

from amiguard_client import Client, Disposition
from tests.clients.cli.command_line import run, run_program
from tests.clients.cli.terminal import asking
from tests.clients.live_server import Live

BUILT_IN = ["alias-amazon", "alias-aws-backup-vault", "alias-aws-marketplace", "alias-self"]
OURS = ("--pattern", "acme-*", "--justification", "ours alone")


def allow(live: Live, *args: object, stdin: bytes | None = None) -> Result:
    """Runs a verb of `allow` on the server."""
    return run("--server", live.target, "allow", *args, stdin=stdin)


def after(live: Live, *args: object) -> Any:
    """Returns the JSON of the entry after a change that succeeds."""
    result = allow(live, *args, "--yes", "-o", "json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def ids(live: Live) -> list[str]:
    """Returns the ids of the entries there are."""
    result = allow(live, "list", "--all", "-o", "json")
    names = [entry["name"] for entry in json.loads(result.stdout)["allowlist_entries"]]
    return [name.removeprefix("allowlistEntries/") for name in names]


def score(live: Live, finding: str) -> int:
    """Returns the score of a finding."""
    live.engine.passes.run(max_steps=100)
    result = run("--server", live.target, "findings", "get", finding, "-o", "json")
    value: int = json.loads(result.stdout)["likelihood_score"]
    return value


def test_built_in_aliases_are_entries_like_any_other(live: Live) -> None:
    """The four aliases are listed, shown and removed as entries."""
    before = ids(live)
    shown = allow(live, "get", "alias-self")
    removed = allow(live, "remove", "alias-self", "--yes")

    assert before == BUILT_IN
    assert "trusted_owner  self" in shown.stdout
    assert removed.exit_code == 0
    assert ids(live) == BUILT_IN[:3]


@pytest.mark.parametrize(
    ("option", "subject", "field"),
    [
        ("--pattern", "acme-*", "organization_pattern"),
        ("--account", "000123456789", "trusted_account"),
        ("--owner", "amazon", "trusted_owner"),
    ],
)
def test_add_vouches_for_each_kind_of_subject(
    live: Live, option: str, subject: str, field: str
) -> None:
    """An entry is as its options say, and is there afterwards."""
    added = after(
        *(live, "add", "ours", option, subject, "--justification", "why"),
        *("--in-account", "000000000002", "--in-account", "000000000001"),
        *("--expires", "2100-01-01"),
    )
    shown = json.loads(allow(live, "get", "ours", "-o", "json").stdout)

    assert added == shown
    assert added[field] == subject
    assert added["justification"] == "why"
    assert added["account_ids"] == ["000000000001", "000000000002"]
    assert added["expire_time"] == "2100-01-01T00:00:00Z"


def test_ttl_counts_from_now(live: Live) -> None:
    """--ttl ends an entry so much later than now."""
    now = datetime.now(UTC)

    added = after(live, "add", "ours", *OURS, "--ttl", "90d")

    ends = datetime.fromisoformat(added["expire_time"])
    assert timedelta(0) <= ends - now - timedelta(days=90) < timedelta(minutes=1)


def test_dry_run_says_what_would_be_and_changes_nothing(live: Live) -> None:
    """--dry-run shows counts and examples as its output, asks nobody and adds nothing."""
    ours, other = live.occur(1, "acme-base-*"), live.occur(2, "other-*")

    result = allow(live, "add", "ours", *OURS, "--dry-run")

    assert result.exit_code == 0
    assert result.stdout.startswith(
        "Judged 2 findings again: 0 would be gone, 1 would have another score, 0 would be new.\n"
    )
    assert ours.removeprefix("findings/") in result.stdout
    assert other.removeprefix("findings/") not in result.stdout
    assert "MEDIUM 50" in result.stdout
    assert "LOW 10" in result.stdout
    assert ids(live) == BUILT_IN


def test_dry_run_as_json_is_the_preview_of_the_contract(live: Live) -> None:
    """--dry-run -o json is the JSON of PreviewTuning, with as many examples as asked for."""
    for number in range(3):
        live.occur(number, f"acme-{number}-*")

    result = allow(live, "add", "ours", *OURS, "--dry-run", "-o", "json", "--examples", 2)

    preview = json.loads(result.stdout)
    assert preview["evaluated_count"] == "3"
    assert preview["rescored_count"] == "3"
    assert len(preview["examples"]) == 2


def test_preview_can_look_back_less_far(live: Live) -> None:
    """--since leaves findings out that were made before."""
    live.occur(1, "acme-base-*")

    result = allow(live, "add", "ours", *OURS, "--dry-run", "--since", "2100-01-01")

    assert result.stdout.startswith("Judged 0 findings again")


def test_change_is_shown_before_it_is_made(live: Live) -> None:
    """With --yes the preview is talk, and the entry the output."""
    live.occur(1, "acme-base-*")

    result = allow(live, "add", "ours", *OURS, "--yes")

    assert "1 would have another score" in result.stderr
    assert "acme-base-*" in result.stderr
    assert result.stdout.startswith("entry ")


def test_entry_lowers_what_it_covers_and_removal_brings_it_back(live: Live) -> None:
    """What the verbs do is what the rule says: the score falls, and comes back."""
    finding = live.occur(1, "acme-base-*")

    scores = [score(live, finding)]
    after(live, "add", "ours", *OURS)
    scores.append(score(live, finding))
    after(live, "update", "ours", "--in-account", "000000000009")
    scores.append(score(live, finding))
    after(live, "update", "ours", "--everywhere")
    scores.append(score(live, finding))
    after(live, "remove", "ours")
    scores.append(score(live, finding))

    assert scores == [50, 10, 50, 10, 50]


def test_update_changes_what_is_named_alone(live: Live) -> None:
    """Each option sets its field; the rest stays, and each change is told field by field."""
    after(live, "add", "ours", *OURS, "--in-account", "000000000001", "--ttl", "90d")

    told = allow(live, "update", "ours", "--justification", "better", "--yes")
    endless = after(live, "update", "ours", "--never-expires")
    ending = after(live, "update", "ours", "--expires", "2100-01-01")
    shorter = after(live, "update", "ours", "--ttl", "1d")

    assert told.stderr.startswith("~ justification: ours alone -> better\n")
    assert endless["account_ids"] == ["000000000001"]
    assert endless["justification"] == "better"
    assert "expire_time" not in endless
    assert ending["expire_time"] == "2100-01-01T00:00:00Z"
    assert shorter["expire_time"] < "2100"


@pytest.mark.parametrize(
    "verb",
    [("add", "ours", *OURS), ("update", "ours", "--justification", "x"), ("remove", "ours")],
    ids=lambda verb: verb[0],
)
def test_nobody_is_asked_without_a_terminal(verb: tuple[str, ...]) -> None:
    """Where standard input is no terminal, a change wants --yes, before any server is asked."""
    done = run_program("--server", "127.0.0.1:1", "allow", *verb)

    assert (done.returncode, done.stdout) == (2, b"")
    assert b"--yes" in done.stderr


@pytest.mark.parametrize(("answer", "expected"), [("y", 0), ("n", 1), ("", 1)])
def test_somebody_is_asked_after_the_preview(live: Live, answer: str, expected: int) -> None:
    """At a terminal the change is made for a yes and for nothing else."""
    live.occur(1, "acme-base-*")

    with asking("--server", live.target, "allow", "add", "ours", *OURS) as asked:
        asked.wait_for("Add ours? [y/N]")
        code, output, said = asked.answer(answer)

    assert code == expected
    assert ("ours" in ids(live)) == (expected == 0)
    assert ("Nothing was changed." in said) == (expected == 1)
    assert bool(output) == (expected == 0)


def test_two_operators_at_one_entry_lose_nothing(live: Live) -> None:
    """Who decided on what was there before is told so and changes nothing: the other's stands."""
    after(live, "add", "ours", *OURS)

    with asking(
        *("--server", live.target, "allow", "update", "ours"),
        *("--justification", "of the first"),
    ) as first:
        first.wait_for("Change ours? [y/N]")
        second = after(live, "update", "ours", "--justification", "of the second")
        code, output, said = first.answer("y")

    assert (code, output) == (1, "")
    assert second["etag"] in said
    assert "Reason: ETAG_MISMATCH" in said
    assert json.loads(allow(live, "get", "ours", "-o", "json").stdout) == second


def test_entry_changed_meanwhile_is_not_removed(live: Live) -> None:
    """A removal is of the entry that was shown: changed by somebody else, it stays."""
    after(live, "add", "ours", *OURS)

    with asking("--server", live.target, "allow", "remove", "ours") as first:
        first.wait_for("Remove ours? [y/N]")
        after(live, "update", "ours", "--justification", "still needed")
        code, _, said = first.answer("y")

    assert code == 1
    assert "Reason: ETAG_MISMATCH" in said
    assert "ours" in ids(live)


@pytest.mark.parametrize("verb", [("update", "--justification", "x"), ("remove",)])
def test_etag_makes_a_change_conditional(live: Live, verb: tuple[str, ...]) -> None:
    """With the etag of before, nothing is changed."""
    old = after(live, "add", "ours", *OURS)["etag"]
    new = after(live, "update", "ours", "--justification", "newer")

    result = allow(live, verb[0], "ours", *verb[1:], "--etag", old, "--yes")

    assert result.exit_code == 1
    assert "Reason: ETAG_MISMATCH" in result.stderr
    assert json.loads(allow(live, "get", "ours", "-o", "json").stdout) == new


def test_entry_that_is_there_is_not_added_again(live: Live) -> None:
    """A second entry of one id is refused by its name."""
    after(live, "add", "ours", *OURS)

    result = allow(live, "add", "ours", "--pattern", "beta-*", "--justification", "x", "--yes")

    assert result.exit_code == 1
    assert "Reason: RESOURCE_EXISTS" in result.stderr


def test_added_again_after_its_removal_is_there(live: Live) -> None:
    """The same command at a later time is not taken for a repetition."""
    after(live, "add", "ours", *OURS)
    after(live, "remove", "ours")

    again = after(live, "add", "ours", *OURS)

    assert again["name"] == "allowlistEntries/ours"
    assert "ours" in ids(live)


def test_pattern_of_public_names_wants_force(live: Live) -> None:
    """A pattern that vouches for well-known names is refused by field, unless forced."""
    public = ("add", "ubuntu", "--pattern", "ubuntu/*", "--justification", "why")

    refused = allow(live, *public, "--yes")
    forced = allow(live, *public, "--force", "--yes")

    assert refused.exit_code == 1
    assert "organization_pattern" in refused.stderr
    assert "force" in refused.stderr
    assert forced.exit_code == 0


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (("--account", "123", "--justification", "x"), "trusted_account"),
        (("--owner", "amazom", "--justification", "x"), "trusted_owner"),
        (("--pattern", "*", "--justification", "x"), "organization_pattern"),
        (("--pattern", "acme-*", "--justification", " "), "justification"),
        (("--pattern", "acme-*", "--justification", "x", "--in-account", "1"), "account_ids[0]"),
        (
            ("--pattern", "acme-*", "--justification", "x", "--expires", "2001-01-01"),
            "expire_time",
        ),
    ],
)
def test_refused_field_is_named(live: Live, options: tuple[str, ...], field: str) -> None:
    """What no allowlist may hold is refused with its field, before anybody is asked."""
    result = allow(live, "add", "ours", *options, "--yes")

    assert (result.exit_code, result.stdout) == (1, "")
    assert field in result.stderr
    assert "Reason: INVALID_FIELD" in result.stderr
    assert ids(live) == BUILT_IN


def test_true_positive_that_would_be_lost_is_named(live: Live, live_client: Client) -> None:
    """With --refuse-if-loses-true-positives the change is refused for a finding's sake."""
    finding = live.occur(1, "acme-base-*")
    live_client.close_finding(finding, Disposition.TRUE_POSITIVE, comment="it was")

    refused = allow(live, "add", "ours", *OURS, "--yes", "--refuse-if-loses-true-positives")
    accepted = allow(live, "add", "ours", *OURS, "--yes")

    assert refused.exit_code == 1
    assert f"would lose {finding}" in refused.stderr
    assert "Reason: LOSES_TRUE_POSITIVES" in refused.stderr
    assert accepted.exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "ours", "--justification", "x", "--yes"),
        ("add", "ours", "--owner", "self", "--pattern", "a*", "--justification", "x", "--yes"),
        ("add", "ours", "--owner", "self", "--yes"),
        (
            *("add", "ours", "--owner", "self", "--justification", "x"),
            *("--ttl", "1d", "--expires", "2100-01-01", "--yes"),
        ),
        ("update", "ours", "--yes"),
        ("update", "ours", "--everywhere", "--in-account", "000000000001", "--yes"),
        ("update", "ours", "--never-expires", "--ttl", "1d", "--yes"),
        ("remove", "--yes"),
        ("apply", "--yes"),
        ("lint", "--rule", "rule.yaml"),
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_2(arguments: tuple[str, ...]) -> None:
    """What cannot be meant is refused before any server is asked."""
    result = run("--server", "127.0.0.1:1", "allow", *arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr != ""


def test_missing_entry_exits_1(live: Live) -> None:
    """An entry that is not there is said to, by its name."""
    result = allow(live, "remove", "nothing", "--yes")

    assert result.exit_code == 1
    assert "allowlistEntries/nothing" in result.stderr


def test_list_is_paged_and_filtered(live: Live) -> None:
    """Pages and filters are those of the server."""
    page = allow(live, "list", "--page-size", 3, "-o", "json")
    filtered = allow(live, "list", "--filter", 'trusted_owner = "self"', "-o", "ndjson")
    wrong = allow(live, "list", "--filter", "trusted_owner = ")

    response = json.loads(page.stdout)
    assert len(response["allowlist_entries"]) == 3
    assert response["next_page_token"]
    assert [json.loads(line)["trusted_owner"] for line in filtered.stdout.splitlines()] == ["self"]
    assert wrong.stderr.splitlines()[1].strip() == "^"


def test_entries_cannot_command_the_terminal(live: Live) -> None:
    """Text of entries is shown as text, in tables, details and changes."""
    hostile = "[bold red]\u202e"
    added = allow(live, "add", "ours", "--owner", "self", "--justification", hostile, "--yes")
    updated = allow(live, "update", "ours", "--justification", hostile * 2, "--yes")
    listed = allow(live, "list")

    for shown in (added.stdout, updated.stdout, updated.stderr, listed.stdout):
        assert r"[bold red]\u202e" in shown
        assert "\u202e" not in shown
