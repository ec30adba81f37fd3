"""The allowlist as a file: strict in what it takes, whole in what it keeps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given

from amiguard_client.cli.bad_files import BadFileError
from amiguard_client.cli.entries import Entry, entry_of
from amiguard_client.cli.entry_files import parse_entries, read_entries, write_entries
from amiguard_client.cli.entry_plans import Action, make_plan
from amiguard_client.cli.yaml_files import parse_yaml
from tests.clients.cli.entry_values import entries

GOOD = """\
- id: ours
  organization_pattern: acme-*
  justification: because
"""


def parsed(text: str) -> list[Entry]:
    """Returns the entries of a file."""
    file = parse_yaml(text, name="allow.yaml")
    return parse_entries(file, "$.entries", file.value["entries"])


def problems(tmp_path: Path, text: str) -> list[str]:
    """Returns what is wrong with a file, less its folder."""
    path = tmp_path / "allow.yaml"
    path.write_text(text)
    with pytest.raises(BadFileError) as raised:
        read_entries(path)
    return [problem.removeprefix(f"{tmp_path}/") for problem in raised.value.problems]


@given(entries())
def test_file_holds_entries_whole(given_entries: list[Entry]) -> None:
    """Entries that are written are read back as they were."""
    expected = sorted(given_entries, key=lambda entry: entry.entry_id)

    assert parsed(write_entries(given_entries)) == expected


@given(entries())
def test_other_readers_see_the_same_texts(given_entries: list[Entry]) -> None:
    """A reader of YAML 1.1 sees every id, account and reason as the text that it is."""
    read = yaml.safe_load(write_entries(given_entries))["entries"]

    assert read == [e.to_plain() for e in sorted(given_entries, key=lambda e: e.entry_id)]


@given(entries())
def test_message_holds_entries_whole(given_entries: list[Entry]) -> None:
    """An entry survives the wire."""
    assert [entry_of(entry.to_message()) for entry in given_entries] == given_entries


@given(entries())
def test_exported_file_changes_nothing(given_entries: list[Entry]) -> None:
    """The plan of a file, where it was exported from, is empty."""
    wanted = parsed(write_entries(given_entries))

    plan = make_plan((e.to_message() for e in given_entries), wanted, prunes=True)

    assert (plan.changes, plan.unlisted, plan.problems) == ((), (), ())


@given(entries(), entries())
def test_plan_leads_from_one_allowlist_to_another(
    present: list[Entry], wanted: list[Entry]
) -> None:
    """Taking every step makes what is wanted, and nothing goes before all that is new has come."""
    plan = make_plan((entry.to_message() for entry in present), wanted, prunes=True)

    made = {entry.entry_id: entry for entry in present}
    for change in plan.changes:
        made.pop(change.entry.entry_id, None)
        if change.after is not None:
            made[change.after.entry_id] = change.after
    actions = [change.action for change in plan.changes]
    if not plan.problems:
        assert made == {entry.entry_id: entry for entry in wanted}
    assert actions == sorted(actions, key=list(Action).index)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "- id: ours\n  trusted_account: 000123456789\n  justification: x\n",
            (
                "allow.yaml:3: entries[0].trusted_account: got 000123456789 without quotes, wanted "
                "'000123456789': YAML takes it for a number and drops its zeros (ours)"
            ),
        ),
        (
            GOOD + "  account_ids: ['000000000001', 123456789012]\n",
            (
                "allow.yaml:5: entries[0].account_ids[1]: got 123456789012 without quotes, wanted "
                "'123456789012': YAML takes it for a number (ours)"
            ),
        ),
        (
            GOOD + "  account_ids: ['000000000001', '12345']\n",
            (
                "allow.yaml:5: entries[0].account_ids[1]: (ours) got '12345', wanted an account id "
                "of 12 digits"
            ),
        ),
        (
            GOOD + "  expires: 2100-01-01\n",
            "allow.yaml:5: entries[0].expires: got a key that is not known here (ours)",
        ),
        (GOOD + GOOD, "allow.yaml:5: entries[1].id: (ours) got the id of entries[0] again"),
        (
            "- id: Ours\n  trusted_owner: self\n  justification: x\n",
            "allow.yaml:2: entries[0].id: (Ours) got 'Ours', wanted 4 to 63 of a-z, 0-9 and -",
        ),
        (
            "- id: ours\n  trusted_owner: self\n",
            "allow.yaml:2: entries[0]: got no justification, which is required (ours)",
        ),
        (
            "- id: ours\n  trusted_owner: self\n  justification: ' '\n",
            "allow.yaml:4: entries[0].justification: (ours) got nothing, wanted a reason",
        ),
        (
            "- id: ours\n  justification: x\n",
            (
                "allow.yaml:2: entries[0]: (ours) got none of them, wanted one of trusted_owner, "
                "trusted_account, organization_pattern"
            ),
        ),
        (
            GOOD + "  trusted_owner: self\n",
            (
                "allow.yaml:2: entries[0]: (ours) got trusted_owner and organization_pattern, "
                "wanted one of trusted_owner, trusted_account, organization_pattern"
            ),
        ),
        (
            GOOD + "  expire_time: next year\n",
            (
                "allow.yaml:5: entries[0].expire_time: (ours) got 'next year', wanted a date or an "
                "RFC 3339 time, such as 2026-12-31 or 2026-12-31T18:00:00Z"
            ),
        ),
        (
            "- id: ours\n  organization_pattern: '*'\n  justification: x\n",
            (
                "allow.yaml:3: entries[0].organization_pattern: (ours) got a pattern of every "
                "name, wanted a narrower one"
            ),
        ),
        ("- ours\n", "allow.yaml:2: entries[0]: got text, wanted a mapping"),
        (
            "- id: 1234\n  trusted_owner: self\n  justification: x\n",
            (
                "allow.yaml:2: entries[0].id: got 1234 without quotes, wanted '1234': YAML takes "
                "it for a number"
            ),
        ),
    ],
)
def test_problem_names_file_line_entry_and_field(tmp_path: Path, text: str, expected: str) -> None:
    """What is wrong is told by where it stands, what was got and what was wanted."""
    assert problems(tmp_path, "entries:\n" + text) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "allow.yaml:1: got nothing, wanted a mapping"),
        ("[]", "allow.yaml:1: got a list, wanted a mapping"),
        ("entries: []\nversion: 1", "allow.yaml:2: version: got a key that is not known here"),
        ("entries:", "allow.yaml:1: entries: got nothing, wanted a list"),
        ("allowlist: []", "allow.yaml:1: allowlist: got a key that is not known here"),
    ],
)
def test_file_of_another_kind_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    """A file that holds something else is not taken for an empty allowlist."""
    assert problems(tmp_path, text) == [expected]


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    """A file with several mistakes is mended in one go."""
    text = "entries:\n- id: x\n  justification: ''\n  trusted_account: '1'\n- id: 1\n"

    found = problems(tmp_path, text)

    assert [problem.split(": ")[1] for problem in found] == [
        "entries[0].id",
        "entries[0].justification",
        "entries[0].trusted_account",
        "entries[1].id",
        "entries[1]",
        "entries[1]",
    ]


MISTAKES = """\
entris: []
entries:
- id: ours
  organization_pattern: acme-*
  account_ids: ["000000000001", 1_1112222333_3, "12345", 0x19, 000123456789]
  expire_time: 2030-13-45
  justification: builds
- id: Bad_ID
  organization_pattern: ""
  justification: ""
- id: ours
  trusted_account: 000123456789
  expires: never
  justification: 7
- acme
- trusted_owner: somebody
  trusted_account: "12"
"""


def test_every_mistake_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    """Whatever is wrong with an entry, the rest of it and of the file is checked as well."""
    found = [re.split(":? got ", problem)[0] for problem in problems(tmp_path, MISTAKES)]

    assert sorted(found) == sorted(
        [
            "allow.yaml:1: entris",
            "allow.yaml:5: entries[0].account_ids[4]",
            "allow.yaml:6: entries[0].expire_time: (ours)",
            "allow.yaml:5: entries[0].account_ids[1]: (ours)",
            "allow.yaml:5: entries[0].account_ids[2]: (ours)",
            "allow.yaml:5: entries[0].account_ids[3]: (ours)",
            "allow.yaml:8: entries[1].id: (Bad_ID)",
            "allow.yaml:10: entries[1].justification: (Bad_ID)",
            "allow.yaml:9: entries[1].organization_pattern: (Bad_ID)",
            "allow.yaml:12: entries[2].trusted_account",
            "allow.yaml:13: entries[2].expires",
            "allow.yaml:14: entries[2].justification",
            "allow.yaml:11: entries[2].id: (ours)",
            "allow.yaml:15: entries[3]",
            "allow.yaml:16: entries[4]",
            "allow.yaml:16: entries[4]",
            "allow.yaml:16: entries[4]",
        ]
    )


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    """A file that an editor began with a byte order mark is read as without it."""
    path = tmp_path / "allow.yaml"
    path.write_text("entries:\n" + GOOD, encoding="utf-8-sig")

    assert [entry.entry_id for entry in read_entries(path)] == ["ours"]
