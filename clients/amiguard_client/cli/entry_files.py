"""The allowlist as a YAML file: `allow export` writes it, `allow apply` and others read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct, field
from msgspec.structs import replace

from amiguard_client.cli.bad_files import BadFileError
from amiguard_client.cli.entries import ENTRY_ID, MAX_JUSTIFICATION, Entry
from amiguard_client.cli.times import WANTED, time_of
from amiguard_client.cli.yaml_files import YamlFile, read_yaml, write_yaml
from amiguard_core.allowlist import check_entry
from amiguard_core.errors import PolicyError
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
    return parse_entries(file, "$.entries", file.convert("$", file.value, _File).entries)


def parse_entries(file: YamlFile, path: str, items: Iterable[Any]) -> list[Entry]:
    """Returns the entries that stand under a path; raises BadFileError with all that is wrong."""
    entries: list[Entry] = []
    problems: list[str] = []
    first_seen: dict[str, int] = {}
    for index, item in enumerate(items):
        reader = _EntryReader(file, f"{path}[{index}]")
        try:
            entry = reader.read(item)
        except BadFileError as error:
            problems += error.problems
            continue
        first = first_seen.setdefault(entry.entry_id, index)
        if first != index:
            first_path = f"{path}[{first}]".removeprefix("$.")
            problems.append(reader.problem("id", f"got the id of {first_path} again"))
        entries.append(entry)
    if problems:
        raise BadFileError(problems)
    return entries


class _EntryReader:
    """Reads one entry of a file."""

    def __init__(self, file: YamlFile, path: str) -> None:
        self._file = file
        self._path = path
        self._id: str | None = None

    def problem(self, where: str, text: str) -> str:
        """Returns a complaint about a part of the entry."""
        label = f"({self._id}) {text}" if self._id else text
        return self._file.problem(f"{self._path}.{where}" if where else self._path, label)

    def read(self, item: Any) -> Entry:
        """Returns the entry; raises BadFileError with all that is wrong with it."""
        if isinstance(item, dict) and isinstance(item.get("id"), str):
            self._id = item["id"]
        try:
            given = self._file.convert(self._path, item, _Entry)
        except BadFileError as error:
            named = f" ({self._id})" if self._id else ""
            raise BadFileError(problem + named for problem in error.problems) from error
        problems = list(self._problems_of(given))
        kind, subject = self._subject_of(given, problems)
        entry = Entry(
            entry_id=given.id,
            kind=kind,
            subject=subject,
            justification=given.justification,
            account_ids=tuple(sorted(set(given.account_ids))),
            expire_time=self._time_of(given, problems),
        )
        if not problems:
            problems += self._refusals(entry, given)
        if problems:
            raise BadFileError(problems)
        return entry

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
        got = " and ".join(kind.value for kind, _ in found) or "none of them"
        problems.append(self.problem("", f"got {got}, wanted one of {_KINDS}"))
        return EntryKind.TRUSTED_OWNER, ""

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
        try:
            check_entry(as_written.to_core(), force=True)
        except PolicyError as error:
            yield self.problem(error.field, f"got {error.got}, wanted {error.wanted}")
