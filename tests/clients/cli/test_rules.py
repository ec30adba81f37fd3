"""`amiguardctl rules get|list|diff|set|rollback|status` on a real server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from amiguard.v1 import tuning_service_pb2 as wire
from amiguard_client._tuning_calls import TuningCalls
from tests.clients.cli.command_line import run, run_program
from tests.clients.cli.terminal import asking
from tests.clients.live_server import Live

FIRST = """\
correlation_window: 15m
max_lateness: 1d
mode: DOCUMENTED
correlate_by: PRINCIPAL
launch_paths:
- RunInstances
public_patterns: []
"""


def rules(live: Live, *args: object, stdin: str | None = None) -> Result:
    """Runs a verb of `rules` on the server."""
    content = None if stdin is None else stdin.encode()
    return run("--server", live.target, "rules", *args, stdin=content)


def put(live: Live, *args: object, stdin: str | None = None) -> Any:
    """Returns the JSON of the revision that a change puts in force."""
    result = rules(live, *args, "--yes", "-o", "json", stdin=stdin)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def in_force(live: Live) -> str:
    """Returns the configuration in force as a file, without its comment."""
    text = rules(live, "get", "-o", "yaml").stdout
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))


def test_first_revision_is_the_documented_rule(live: Live) -> None:
    """A new server has revision 1, with the settings that the rule starts with."""
    shown = rules(live, "get")

    assert in_force(live) == FIRST
    assert shown.stdout.startswith("revision            1\n")


def test_set_changes_what_is_named_alone(live: Live) -> None:
    """Each option sets its field in a new revision; the others stay."""
    put(live, "set", "--window", "10m", "--public-pattern", "acme-*", "--public-pattern", "b-*")
    put(live, "set", "--mode", "strict", "--correlate-by", "role", "--lateness", "2h")
    last = put(live, "set", "--launch-path", "runinstances", "--launch-path", "CreateFleet")

    assert last["revision"] == "4"
    assert in_force(live) == (
        "correlation_window: 10m\n"
        "max_lateness: 2h\n"
        "mode: STRICT\n"
        "correlate_by: ROLE\n"
        "launch_paths:\n"
        "- RunInstances\n"
        "- CreateFleet\n"
        "public_patterns:\n"
        "- acme-*\n"
        "- b-*\n"
    )


def test_public_patterns_can_be_cleared(live: Live) -> None:
    """--no-public-patterns leaves those that are built in, and shows what that does."""
    live.occur(1, "acme-base-*")
    put(live, "set", "--public-pattern", "acme-*")

    result = rules(live, "set", "--no-public-patterns", "--yes")

    assert in_force(live) == FIRST
    assert "~ public_patterns: acme-* -> none\n" in result.stderr
    assert "1 would have another score" in result.stderr


def test_change_is_shown_field_by_field_and_at_work(live: Live) -> None:
    """Before it is made a change is told with its fields and with the findings it would touch."""
    live.occur(1, "acme-base-*")

    dry = rules(live, "set", "--public-pattern", "acme-*", "--dry-run")
    done = rules(live, "set", "--public-pattern", "acme-*", "--yes")

    assert dry.stdout.startswith(
        "~ public_patterns: none -> acme-*\n"
        "Judged 1 finding again: "
        "0 would be gone, 1 would have another score, 0 would be new.\n"
    )
    assert "HIGH 85" in dry.stdout
    assert "1 would have another score" in done.stderr
    assert done.stdout.startswith("revision            2\n")


def test_dry_run_as_json_is_the_preview_of_the_contract(live: Live) -> None:
    """--dry-run -o json is the JSON of PreviewTuning, and nothing is changed."""
    live.occur(1, "acme-base-*")

    result = rules(live, "set", "--public-pattern", "acme-*", "--dry-run", "-o", "json")

    assert json.loads(result.stdout)["rescored_count"] == "1"
    assert in_force(live) == FIRST


def test_what_is_so_already_makes_no_revision(live: Live) -> None:
    """Setting what is set says so and changes nothing."""
    result = rules(live, "set", "--window", "15m", "--yes")

    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "Nothing to change: revision 1 is the same.\n"


def test_file_comes_out_and_goes_in(live: Live, tmp_path: Path) -> None:
    """What `get -o yaml` writes, `set -f` puts in force; options have the last word."""
    put(live, "set", "--window", "10m", "--public-pattern", "acme-*")
    path = tmp_path / "rule.yaml"
    path.write_text(rules(live, "get", "-o", "yaml").stdout)

    same = rules(live, "set", "-f", path, "--yes")
    first = put(live, "set", "-f", "-", stdin=FIRST)
    again = put(live, "set", "-f", path, "--window", "5m")

    assert same.stderr == "Nothing to change: revision 2 is the same.\n"
    assert (first["correlation_window"], "public_patterns" in first) == ("900s", False)
    assert (again["correlation_window"], again["public_patterns"]) == ("300s", ["acme-*"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("correlation_window: 900", "1: correlation_window: got 900 without quotes"),
        ("correlation_window: 15 minutes", "1: correlation_window: got '15 minutes', wanted"),
        ("correlation_window: 2d", "1: correlation_window: got 172800 s, wanted 1 second"),
        ("mode: strict", "1: mode: got 'strict', wanted one of DOCUMENTED, STRICT"),
        (
            "launch_paths: [StartInstances]",
            "1: launch_paths[0]: got 'StartInstances', wanted one of",
        ),
        ("window: 15m", "1: window: got a key that is not known here"),
        ("public_patterns: ['']", "1: public_patterns[0]: got 0 characters"),
        ("- mode", "1: got a list, wanted a mapping"),
    ],
)
def test_bad_file_exits_2_with_line_and_field(tmp_path: Path, text: str, expected: str) -> None:
    """What is wrong with a file is told before any server is asked."""
    path = tmp_path / "rule.yaml"
    path.write_text(text)

    result = run("--server", "127.0.0.1:1", "rules", "set", "-f", path, "--yes")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"{path}:{expected}")


def test_every_mistake_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    """Whatever is wrong with one setting, the others are checked as well."""
    path = tmp_path / "rule.yaml"
    path.write_text(
        "windw: 1\ncorrelation_window: 2d\nmax_lateness: 900\nmode: strict\n"
        "launch_paths: [StartInstances, RunInstances, 7, Run]\npublic_patterns: ['', 7, '*']\n",
        # With a byte order mark, which is passed over.
        encoding="utf-8-sig",
    )

    result = run("--server", "127.0.0.1:1", "rules", "set", "-f", path, "--yes")

    places = [line.removeprefix(f"{path}:").split(": ")[1] for line in result.stderr.splitlines()]
    assert result.exit_code == 2
    assert sorted(places) == [
        "correlation_window",
        "launch_paths[0]",
        "launch_paths[2]",
        "launch_paths[3]",
        "max_lateness",
        "mode",
        "public_patterns[0]",
        "public_patterns[1]",
        "public_patterns[2]",
        "windw",
    ]


def test_rollback_is_a_new_revision_equal_to_an_old_one(live: Live) -> None:
    """Nothing is undone: the old settings come again, under the next number."""
    put(live, "set", "--window", "10m", "--public-pattern", "acme-*")
    put(live, "set", "--mode", "strict")

    back = put(live, "rollback", 1)

    assert back["revision"] == "4"
    assert in_force(live) == FIRST
    assert json.loads(rules(live, "diff", 1, 4, "-o", "json").stdout) == {
        "from": 1,
        "to": 4,
        "changes": [],
    }


def test_diff_names_settings_with_both_values(live: Live) -> None:
    """Two revisions, or one and that in force, are held side by side."""
    put(live, "set", "--window", "10m")
    put(live, "set", "--mode", "strict")

    two = rules(live, "diff", 1, 2)
    with_present = rules(live, "diff", 2)

    assert two.stdout == "~ correlation_window: 15m -> 10m\n"
    assert with_present.stdout == "~ mode: DOCUMENTED -> STRICT\n"


def test_revisions_are_listed_newest_first(live: Live) -> None:
    """Every revision stays and is listed with who put it in force."""
    put(live, "set", "--window", "10m")

    listed = rules(live, "list", "-o", "ndjson")
    table = rules(live, "list", "--page-size", 1)

    assert [json.loads(line)["revision"] for line in listed.stdout.splitlines()] == ["2", "1"]
    assert table.stdout.splitlines()[2].startswith("2")
    assert table.stderr.startswith("There is more: ")


def test_missing_revision_exits_1(live: Live) -> None:
    """A revision that never was is said to, by its name."""
    result = rules(live, "get", 9)

    assert result.exit_code == 1
    assert "ruleConfigs/9" in result.stderr


def test_two_operators_lose_nothing(live: Live) -> None:
    """Who decided on another revision than the one in force is told so, and changes nothing."""
    with asking("--server", live.target, "rules", "set", "--window", "5m") as first:
        first.wait_for("Put this in force? [y/N]")
        put(live, "set", "--window", "10m")
        code, output, said = first.answer("y")

    assert (code, output) == (1, "")
    assert "Reason: ETAG_MISMATCH" in said
    assert "correlation_window: 10m" in in_force(live)


@pytest.mark.parametrize("verb", [("set", "--mode", "strict"), ("rollback", "1")])
def test_etag_makes_a_change_conditional(live: Live, verb: tuple[str, ...]) -> None:
    """With the etag of an older revision nothing is changed."""
    old = json.loads(rules(live, "get", "-o", "json").stdout)["etag"]
    put(live, "set", "--window", "10m")

    result = rules(live, *verb, "--etag", old, "--yes")

    assert result.exit_code == 1
    assert "Reason: ETAG_MISMATCH" in result.stderr


def test_setting_out_of_range_is_refused_by_field(live: Live) -> None:
    """The server's word on a setting names its field."""
    result = rules(live, "set", "--window", "25h", "--yes")

    assert result.exit_code == 1
    assert "correlation_window" in result.stderr
    assert "Reason: INVALID_FIELD" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("set", "--yes"),
        ("set", "--window", "soon", "--yes"),
        ("set", "--mode", "lenient", "--yes"),
        ("set", "--public-pattern", "a-*", "--no-public-patterns", "--yes"),
        ("get", "0"),
        ("diff",),
        ("rollback", "--yes"),
        ("backtest",),
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_2(arguments: tuple[str, ...]) -> None:
    """What cannot be meant is refused before any server is asked."""
    result = run("--server", "127.0.0.1:1", "rules", *arguments)

    assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.parametrize("verb", [("set", "--mode", "strict"), ("rollback", "1")])
def test_nobody_is_asked_without_a_terminal(verb: tuple[str, ...]) -> None:
    """Where standard input is no terminal, a change wants --yes."""
    done = run_program("--server", "127.0.0.1:1", "rules", *verb)

    assert done.returncode == 2
    assert b"--yes" in done.stderr


def test_status_says_that_a_change_is_applied(live: Live) -> None:
    """Once all that is stored has been gone over, it is said to be."""
    live.occur(1, "acme-base-*")
    put(live, "set", "--window", "10m")
    live.engine.passes.run(max_steps=100)

    assert rules(live, "status").stdout == "policy 2: applied to all that is stored\n"
    assert json.loads(rules(live, "status", "-o", "json").stdout) == {"policy_version": "2"}


def test_status_says_how_far_a_change_has_come(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is under way, it is said since when and how much is done."""
    progress = wire.GetTuningProgressResponse(
        policy_version=7, in_progress=True, scope="LANES", done_count=1200
    )
    progress.start_time.FromJsonString("2026-03-01T10:00:00Z")
    monkeypatch.setattr(TuningCalls, "progress", lambda _: progress)

    said = rules(live, "status").stdout

    assert said == "policy 7: under way since 2026-03-01T10:00:00Z, 1,200 lanes done\n"
