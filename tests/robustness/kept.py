"""Failed rounds in folders of their own, and how they are checked again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from structlog.testing import capture_logs

from amiguard.v1.finding_pb2 import Finding, Occurrence
from amiguard_client.channel import Connection
from amiguard_client.client import Client
from amiguard_service.engine import Engine
from amiguard_service.store.errors import StoreError
from tests.robustness.history import What, read_lines, records_of
from tests.robustness.operators import Tuned
from tests.robustness.oracle import ServerView, Shown, find_differences, find_missing
from tests.service.running import serving

HISTORY = "history.jsonl"
STORED = "stored.jsonl"
PROBLEMS = "problems.txt"
_CALL_SECONDS = 30


@dataclass(frozen=True)
class KeptView(Shown):
    """What was stored when a round had failed."""

    kept: Mapping[str, Finding]
    of_findings: Mapping[str, list[Occurrence]]

    def findings(self) -> Mapping[str, Finding]:
        """Returns every finding by name."""
        return self.kept

    def occurrences(self, name: str) -> list[Occurrence]:
        """Returns every occurrence of a finding; none where there is no such finding."""
        return list(self.of_findings.get(name, ()))

    @classmethod
    def read(cls, file: Path) -> KeptView:
        """Reads what `write_stored` wrote."""
        kept: dict[str, Finding] = {}
        of_findings: dict[str, list[Occurrence]] = {}
        for line in read_lines(file):
            finding = ParseDict(line["finding"], Finding())
            kept[finding.name] = finding
            of_findings[finding.name] = [ParseDict(o, Occurrence()) for o in line["occurrences"]]
        return cls(kept, of_findings)


def write_stored(url: str, file: Path) -> None:
    """Writes every finding of a database with its occurrences, one a line; none of a lost one."""
    lines: list[dict[str, Any]] = []
    with (
        suppress(StoreError),
        capture_logs(),
        closing(Engine.open(url)) as engine,
        serving(engine) as running,
    ):
        view = ServerView(
            Client(Connection("kept", running.channel, (), timedelta(seconds=_CALL_SECONDS)))
        )
        lines += [
            {
                "finding": MessageToDict(finding),
                "occurrences": [MessageToDict(one) for one in view.occurrences(name)],
            }
            for name, finding in view.findings().items()
        ]
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


def copy_files(files: Iterable[Path], folder: Path) -> None:
    """Copies those of the files that are there."""
    for file in files:
        with suppress(FileNotFoundError):
            shutil.copy(file, folder)


def check(folder: Path) -> list[str]:
    """Returns where what was stored after a round is not what its history asks for.

    What was acknowledged must be there. Of what is there everything must have been sent; and where
    all was acknowledged in the end, it is exactly what the rule says.
    """
    lines = list(read_lines(folder / HISTORY))
    view = KeptView.read(folder / STORED)
    sent, acked = records_of(lines)
    tuned = _tuned_of(lines)
    if len(acked) == len(sent):
        return find_differences(view, sent, tuned)
    missing = find_missing(view, acked, tuned)
    return missing + [d for d in find_differences(view, sent, tuned) if d.startswith("invented")]


def _tuned_of(lines: list[dict[str, Any]]) -> Tuned:
    described = [line for line in lines if line["what"] == What.IN_FORCE]
    return Tuned.from_description(described[-1]) if described else Tuned()
