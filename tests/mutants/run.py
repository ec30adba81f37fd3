"""Plants faults in the core, one at a time, and says which of them no test of tests/core sees.

Run by `make mutants`; README.md beside it says what to do about those that are left.
"""

from __future__ import annotations

import argparse
import ast
import random
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from tests.mutants.mutator import mutants_of
from tests.mutants.planted import passes

ROOT: Final = Path(__file__).parents[2]
CORE: Final = "amiguard_core"
ACCEPTED: Final = Path(__file__).with_name("accepted.toml")

_FOLDERS: Final = {CORE: ROOT / "service" / CORE, "tests": ROOT / "tests"}
_SHOWN: Final = 25
"""Mutants between two lines that say how far it has come."""


class Fate(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    ACCEPTED = "accepted"
    SURVIVED = "survived"


class Name(NamedTuple):
    """What tells one mutant from all others. The module is named from the core on, with dots."""

    module: str
    function: str
    mutation: str

    def __str__(self) -> str:
        return f"{self.module} {self.function}: {self.mutation}"


def read_core() -> dict[Name, str]:
    """Returns every mutant of the core with its source."""
    return {
        Name(_module_of(path), mutant.function, mutant.mutation): mutant.source
        for path in sorted(_FOLDERS[CORE].rglob("*.py"))
        if path.stem != "__init__"  # which names what the others have
        for mutant in mutants_of(path.read_text())
    }


def _module_of(path: Path) -> str:
    return ".".join(path.relative_to(_FOLDERS[CORE]).with_suffix("").parts)


def read_accepted(text: str) -> dict[Name, str]:
    """Returns the accepted survivors with the reasons why no test can see them."""
    return {
        Name(module, each["function"], each["mutation"]): each["reason"]
        for module, survivors in tomllib.loads(text).items()
        for each in survivors
    }


@cache
def _imports(path: Path) -> frozenset[Path]:
    """Returns the files of the core and of the tests that a file imports, by itself."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            top, *rest = node.module.split(".")
            if top in _FOLDERS:
                folder = _FOLDERS[top].joinpath(*rest)
                found |= {folder.with_suffix(".py"), folder / "__init__.py"}
                found |= {folder / f"{alias.name}.py" for alias in node.names}
    return frozenset(filter(Path.is_file, found))


@cache
def _reached(path: Path) -> frozenset[Path]:
    """Returns the files that a file imports, by itself or through others."""
    reached: set[Path] = set()
    ahead = {path}
    while ahead:
        reached |= ahead
        ahead = {imported for file in ahead for imported in _imports(file)} - reached
    return frozenset(reached)


def reaching_tests(module: str) -> tuple[list[str], list[str]]:
    """Returns the tests that bear a module's name, and the others that reach it.

    Of these come first those that reach little else.
    """
    path = _FOLDERS[CORE].joinpath(*module.split(".")).with_suffix(".py")
    every = (_FOLDERS["tests"] / "core").rglob("test_*.py")
    tests = sorted((t for t in every if path in _reached(t)), key=lambda t: (len(_reached(t)), t))
    own = [test for test in tests if test.stem.startswith(f"test_{path.stem.lstrip('_')}")]
    return list(map(str, own)), [str(test) for test in tests if test not in own]


def judge(name: Name, source: str) -> Fate:
    """Returns what the tests make of a mutant."""
    phases = filter(None, reaching_tests(name.module))
    survives = all(passes(f"{CORE}.{name.module}", source, tests) for tests in phases)
    return Fate.SURVIVED if survives else Fate.KILLED


def judge_all(mutants: Mapping[Name, str], *, jobs: int) -> Iterator[tuple[Name, Fate]]:
    """Yields mutants as soon as their fates are known."""
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(judge, name, source): name for name, source in mutants.items()}
        for future in as_completed(futures):
            yield futures[future], future.result()


def check_planting() -> None:
    """Ends the program unless the tests pass on the core as it is, and see a mutant of it."""
    whole = (_FOLDERS[CORE] / "policy.py").read_text()
    tests, _ = reaching_tests("policy")
    if not passes(f"{CORE}.policy", whole, tests):
        raise SystemExit("Tests fail without any mutant: run `make test` first.")
    if passes(f"{CORE}.policy", "raise RuntimeError", tests):
        raise SystemExit("The tests do not import the mutant.")


def table(fates: Mapping[Name, Fate]) -> str:
    """Writes how many mutants of each module had which fate."""
    counts = Counter((name.module, fate) for name, fate in fates.items())
    counts.update(("all", fate) for fate in fates.values())
    modules = [*sorted({name.module for name in fates}), "all"]
    rows = [("module", *Fate), *((m, *(str(counts[m, fate]) for fate in Fate)) for m in modules)]
    return "\n".join(f"{row[0]:<20}" + "".join(f"{cell:>10}" for cell in row[1:]) for row in rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Tries a sample; returns 1 for a survivor that is not accepted, or an entry that is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=100, help="mutants to try; 0 for all")
    parser.add_argument("--seed", default="random", help="which ones; `random` for new ones")
    parser.add_argument("--only", nargs="*", default=(), metavar="MODULE")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(10**6) if given.seed == "random" else int(given.seed)

    every = read_core()
    names = sorted(name for name in every if not given.only or name.module in given.only)
    total = len(names)
    if 0 < given.sample < total:
        names = random.Random(seed).sample(names, given.sample)  # noqa: S311 - no secret
    print(f"{len(names)} of {total} mutants, seed {seed}", flush=True)
    check_planting()

    accepted = read_accepted(ACCEPTED.read_text())
    fates = {name: Fate.ACCEPTED for name in names if name in accepted}
    tried = {name: every[name] for name in names if name not in accepted}
    for name, fate in judge_all(tried, jobs=given.jobs):
        fates[name] = fate
        if fate is Fate.SURVIVED:
            print(f"survived: {name}", flush=True)
        if len(fates) % _SHOWN == 0:
            print(f"{len(fates)} of {len(names)}", flush=True)

    print(table(fates))
    stale = accepted.keys() - every.keys()
    for name in sorted(stale):
        print(f"stale in {ACCEPTED.name}: {name}")
    return 1 if stale or Fate.SURVIVED in fates.values() else 0


if __name__ == "__main__":
    sys.exit(main())
