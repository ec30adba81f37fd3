"""Cases of a backtest: records, the policy they are judged under, and what is to be found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct, UnsetType, field

from amiguard.v1 import finding_pb2
from amiguard_client.cli.bad_files import BadFileError, Problems
from amiguard_client.cli.entry_files import parse_entries
from amiguard_client.cli.image_files import ListedImage
from amiguard_client.cli.rule_files import apply_settings, parse_rule
from amiguard_client.cli.scan import Scan, scan_stream
from amiguard_client.cli.times import WANTED, time_of
from amiguard_client.cli.yaml_files import YamlFile, read_yaml
from amiguard_core.decode import decode_records
from amiguard_core.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from amiguard_core.pipeline import KnownImages

SUFFIXES = (".yaml", ".yml")
_OF_A_SERVER = frozenset(
    {
        *("disposition", "assignee", "labels", "accept_until_time"),
        *("create_time", "update_time", "etag"),
    }
)
"""Fields of a finding that only a server knows."""


class Case(Struct, frozen=True):
    """One case. `findings` are to be found, each in part, and no others."""

    file: str
    name: str
    scan: Scan
    policy: Policy
    images: KnownImages
    findings: tuple[dict[str, Any], ...]
    rejected_count: int


class Given(Struct, frozen=True):
    """What every case is judged under, unless it says otherwise."""

    policy: Policy
    images: KnownImages
    now: datetime


class _File(Struct, forbid_unknown_fields=True):
    cases: list[Any]


class _Expect(Struct, forbid_unknown_fields=True):
    findings: list[dict[str, Any]]
    rejected: int = 0


class _Case(Struct, forbid_unknown_fields=True):
    name: str
    records: list[dict[str, Any] | str] | str
    expect: _Expect
    policy: dict[str, Any] | UnsetType = UNSET
    images: list[ListedImage] = field(default_factory=list)
    at: str | UnsetType = UNSET


def case_files(paths: Iterable[Path]) -> list[Path]:
    """Returns the files of cases that paths stand for; raises BadFileError where one has none."""
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        found = sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES and p.is_file())
        if not found:
            raise BadFileError([f"{path}: no file of cases in this folder ({', '.join(SUFFIXES)})"])
        files += found
    return files


def read_cases(paths: Iterable[Path], given: Given) -> list[Case]:
    """Returns the cases of files; raises BadFileError with all that is wrong with any of them."""
    cases: list[Case] = []
    problems: list[str] = []
    for path in case_files(paths):
        try:
            file = read_yaml(path)
            items = file.convert("$", file.value, _File).cases
        except BadFileError as error:
            problems += error.problems
            continue
        for index, item in enumerate(items):
            try:
                cases.append(_CaseReader(file, f"$.cases[{index}]", path.parent, given).read(item))
            except BadFileError as error:
                problems += error.problems
    if problems:
        raise BadFileError(problems)
    return cases


class _CaseReader:
    """Reads one case of a file."""

    def __init__(self, file: YamlFile, path: str, folder: Path, given: Given) -> None:
        self._file = file
        self._path = path
        self._folder = folder
        self._given = given

    def read(self, item: Any) -> Case:
        """Returns the case; raises BadFileError."""
        case = self._file.convert(self._path, item, _Case)
        problems = Problems()
        for problem in self._unknown_fields(case):
            problems.add(problem)
        policy = self._given.policy
        with problems.gathering():
            policy = self._policy(case)
        problems.check()
        return Case(
            file=self._file.name,
            name=case.name,
            scan=self._scan(case, policy),
            policy=policy,
            images={
                **self._given.images,
                **{(i.image_id, i.region): i.to_core() for i in case.images},
            },
            findings=tuple(case.expect.findings),
            rejected_count=case.expect.rejected,
        )

    def _policy(self, case: _Case) -> Policy:
        """Returns the policy the case is judged under, without the entries that have expired."""
        given, now = self._given.policy, self._given.now
        if case.at is not UNSET:
            time = time_of(case.at)
            if time is None:
                problem = f"got {case.at!r}, wanted {WANTED}"
                raise BadFileError([self._file.problem(f"{self._path}.at", problem)])
            now = time
        if case.policy is UNSET:
            return given.at(now)
        path = f"{self._path}.policy"
        problems = Problems()
        settings = {name: value for name, value in case.policy.items() if name != "entries"}
        rule = given.rule
        with problems.gathering():
            rule = apply_settings(given.rule, parse_rule(self._file, path, settings))
        own = case.policy.get("entries", [])
        if not isinstance(own, list):
            problems.add(self._file.problem(f"{path}.entries", "wanted a list"))
            own = []
        entries = {entry.name: entry for entry in given.entries}
        with problems.gathering():
            for entry in parse_entries(self._file, f"{path}.entries", own):
                entries[entry.name] = entry.to_core()
        problems.check()
        return Policy(rule=rule, entries=tuple(entries.values())).at(now)

    def _scan(self, case: _Case, policy: Policy) -> Scan:
        scan = Scan()
        items = [case.records] if isinstance(case.records, str) else case.records
        for index, item in enumerate(items):
            if isinstance(item, str):
                self._scan_file(item, scan, policy)
                continue
            raw = json.dumps(item).encode()
            decoded = decode_records([raw], launch_paths=policy.rule.launch_paths)
            scan.add_decoded("records", decoded, first_index=index)
        return scan

    def _scan_file(self, name: str, scan: Scan, policy: Policy) -> None:
        path = self._folder / name
        try:
            with path.open("rb") as stream:
                launch_paths = policy.rule.launch_paths
                scan_stream(stream, scan, name=name, launch_paths=launch_paths)
        except OSError as error:
            problem = f"{path}: {error.strerror or error}"
            raise BadFileError([self._file.problem(f"{self._path}.records", problem)]) from error

    def _unknown_fields(self, case: _Case) -> Iterator[str]:
        for index, finding in enumerate(case.expect.findings):
            path = f"{self._path}.expect.findings[{index}]"
            for name in _OF_A_SERVER & finding.keys():
                yield self._file.problem(f"{path}.{name}", "only a server knows this")
            yield from self._unknown(finding, finding_pb2.Finding.DESCRIPTOR, path)

    def _unknown(self, expected: dict[str, Any], descriptor: Any, path: str) -> Iterator[str]:
        """Yields a problem for each key that a message of this kind does not have."""
        for name, value in expected.items():
            known = descriptor.fields_by_name.get(name)
            where = f"{path}.{name}"
            if known is None:
                yield self._file.problem(where, f"got a key that a {descriptor.name} has not")
                continue
            kind = known.message_type
            if kind is None or kind.full_name.startswith("google.protobuf."):
                continue
            for index, part in enumerate(value if isinstance(value, list) else [value]):
                inner = f"{where}[{index}]" if isinstance(value, list) else where
                if isinstance(part, dict):
                    yield from self._unknown(part, kind, inner)
                elif part is not None:
                    yield self._file.problem(inner, f"wanted a mapping, the keys of {kind.name}")
