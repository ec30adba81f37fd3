"""The allowlist as a YAML file: `allow export` writes it, `allow apply` and others read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct, field
from msgspec.structs import replace

from amiguard_client.cli.bad_files import BadFileError, Problems
from amiguard_client.cli.entries import ENTRY_ID, MAX_JUSTIFICATION, Entry
from amiguard_client.cli.times import WANTED, time_of
from amiguard_client.cli.yaml_files import YamlFile, read_yaml, write_yaml
from amiguard_core.allowlist import refusals_of
from amiguard_core.policy import EntryKind

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

_HEADER = """\
# The allowlist of amiguard. Put it in force with: amiguardctl allow apply -f FILE
# Every account id is in quotes: YAML takes a bare one for a number and drops its zeros.
"""
_KINDS = ", ".join(kind.value for kind in EntryKind)

_REQUIRED = ("id", "justification")
_SOME_ACCOUNT = "000000000000"
_STAND_INS = {
    "id": "some-id",
    "justification": "some reason",
    "trusted_owner": "self",
    "trusted_account": _SOME_ACCOUNT,
    "organization_pattern": "some-name",
    "expire_time": "2100-01-01T00:00:00Z",
}
"""What every check lets through. An entry that has one is told of, and never returned."""


class _File(Struct, forbid_unknown_fields=True):
    entries: list[Any]


class _Entry(Struct, forbid_unknown_fields=True):
    id: str
    justification: str
    trusted_owner: str | None = None
    trusted_account: str | None = None
    organization_pattern: str | None = None
    account_ids: list[str] = field(default_factory=list)
    expire_time: str | None = None


def write_entries(entries: Iterable[Entry]) -> str:
    """Returns the file of entries, by id."""
    ordered = sorted(entries, key=lambda entry: entry.entry_id)
    return _HEADER + write_yaml({"entries": [entry.to_plain() for entry in ordered]})


def read_entries(path: Path) -> list[Entry]:
    """Returns the entries of a file, or of standard input; raises BadFileError for all of it."""
    file = read_yaml(path)
    problems = Problems()
    with problems.gathering():
        file.convert("$", file.value, _File)
    items = file.value.get("entries") if isinstance(file.value, dict) else None
    entries: list[Entry] = []
    with problems.gathering():
        entries = parse_entries(file, "$.entries", items if isinstance(items, list) else ())
    problems.check()
    return entries


def parse_entries(file: YamlFile, path: str, items: Iterable[Any]) -> list[Entry]:
    """Returns the entries that stand under a path; raises BadFileError with all that is wrong."""
    entries: list[Entry] = []
    problems = Problems()
    first_seen: dict[str, int] = {}
    for index, item in enumerate(items):
        reader = _EntryReader(file, f"{path}[{index}]", item)
        with problems.gathering():
            entries.append(reader.read())
        if reader.entry_id is None:
            continue
        first = first_seen.setdefault(reader.entry_id, index)
        if first != index:
            first_path = f"{path}[{first}]".removeprefix("$.")
            problems.add(reader.problem("id", f"got the id of {first_path} again"))
    problems.check()
    return entries


class _EntryReader:
    """Reads one entry of a file."""

    def __init__(self, file: YamlFile, path: str, item: Any) -> None:
        self._file = file
        self._path = path
        self._item = item
        named = item.get("id") if isinstance(item, dict) else None
        self.entry_id = named if isinstance(named, str) else None

    def problem(self, where: str, text: str) -> str:
        """Returns a complaint about a part of the entry."""
        label = f"({self.entry_id}) {text}" if self.entry_id else text
        return self._file.problem(f"{self._path}.{where}" if where else self._path, label)

    def read(self) -> Entry:
        """Returns the entry; raises BadFileError with all that is wrong with it."""
        problems: list[str] = []
        try:
            self._file.convert(self._path, self._item, _Entry)
        except BadFileError as error:
            named = f" ({self.entry_id})" if self.entry_id else ""
            problems += [problem + named for problem in error.problems]
            if not isinstance(self._item, dict):
                raise
        given = self._given()
        problems += self._problems_of(given)
        subject = self._subject_of(given, problems)
        entry = Entry(
            entry_id=given.id,
            kind=subject[0],
            subject=subject[1],
            justification=given.justification,
            account_ids=tuple(sorted(set(given.account_ids))),
            expire_time=self._time_of(given, problems),
        )
        problems += self._refusals(entry, given)
        if problems:
            raise BadFileError(problems)
        return entry

    def _given(self) -> _Entry:
        """Returns the entry with stand-ins for what is no text, so that all else is checked."""
        texts = {}
        for name, stand_in in _STAND_INS.items():
            given = self._item.get(name)
            if isinstance(given, str):
                texts[name] = given
            elif given is not None or name in _REQUIRED:
                texts[name] = stand_in
        listed = self._item.get("account_ids")
        accounts = [
            account if isinstance(account, str) else _SOME_ACCOUNT
            for account in (listed if isinstance(listed, list) else ())
        ]
        return _Entry(**texts, account_ids=accounts)

    def _problems_of(self, given: _Entry) -> Iterable[str]:
        if not ENTRY_ID.fullmatch(given.id):
            yield self.problem("id", f"got {given.id!r}, wanted 4 to 63 of a-z, 0-9 and -")
        if not given.justification.strip():
            yield self.problem("justification", "got nothing, wanted a reason")
        if len(given.justification) > MAX_JUSTIFICATION:
            length = len(given.justification)
            yield self.problem(
                "justification", f"got {length} characters, wanted at most {MAX_JUSTIFICATION}"
            )

    def _subject_of(self, given: _Entry, problems: list[str]) -> tuple[EntryKind, str]:
        subjects = {kind: getattr(given, kind.value) for kind in EntryKind}
        found = [(kind, text) for kind, text in subjects.items() if text is not None]
        if len(found) == 1:
            return found[0]
        is_misspelt = self._item.keys() - set(_Entry.__struct_fields__)
        if not found and is_misspelt:
            return EntryKind.TRUSTED_OWNER, _STAND_INS[EntryKind.TRUSTED_OWNER]
        got = " and ".join(kind.value for kind, _ in found) or "none of them"
        problems.append(self.problem("", f"got {got}, wanted one of {_KINDS}"))
        return EntryKind.TRUSTED_OWNER, _STAND_INS[EntryKind.TRUSTED_OWNER]

    def _time_of(self, given: _Entry, problems: list[str]) -> datetime | None:
        if given.expire_time is None:
            return None
        time = time_of(given.expire_time)
        if time is None:
            problems.append(
                self.problem("expire_time", f"got {given.expire_time!r}, wanted {WANTED}")
            )
        return time

    def _refusals(self, entry: Entry, given: _Entry) -> Iterable[str]:
        """Yields what no allowlist takes; whether a pattern is public is asked when it is added."""
        # In the file's own order, so that an account that is refused is named by its place there.
        as_written = replace(entry, account_ids=tuple(given.account_ids))
        for refusal in refusals_of(as_written.to_core(), force=True):
            yield self.problem(refusal.field, f"got {refusal.got}, wanted {refusal.wanted}")
