"""Tests run against a module that has another source, in a process of their own."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from multiprocessing import get_context
from types import ModuleType

import pytest
from hypothesis import settings

# It sets hypothesis up. The fixtures that it names need the whole server, which these tests do not.
import tests.conftest  # noqa: F401 - as above

_MAX_CPU_SECONDS = 240
"""A loop without an end is a fault that tests see. All of them take 75 seconds of a processor, on
however busy a machine."""
_MAX_BYTES = 4 * 1024**3
"""A module that gathers without an end is not to take the machine with it."""
_RAN = 64
"""Added to what pytest ends with: a process that never came to the tests says nothing of them."""
_OPTIONS = (
    *("-qx", "--noconftest", "-p", "no:cacheprovider", "--timeout=0"),
    # Hypothesis is there before pytest looks for it.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)

# A fault that only the hundredth example shows is seen by luck, and costs five times the time.
settings.register_profile("brief", settings.get_profile("fixed"), max_examples=20)
settings.load_profile("brief")

# Each process is a fork of one that has imported what takes long, and nothing of ours but this.
_PROCESSES = get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__, "hypothesis.strategies", "msgspec"])


def passes(module: str, source: str, tests: Sequence[str]) -> bool:
    """Says whether tests pass where a module has this source; the module's file stays as it is."""
    process = _PROCESSES.Process(target=_run, args=(module, source, tests))
    process.start()
    process.join()
    assert process.exitcode is not None
    # A signal: the bounds of time and memory.
    if 0 <= process.exitcode < _RAN:
        raise RuntimeError(f"the tests did not begin: exit {process.exitcode}")
    return process.exitcode == _RAN + pytest.ExitCode.OK


def _run(module: str, source: str, tests: Sequence[str]) -> None:
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - a device
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
        os.dup2(nowhere.fileno(), sys.stderr.fileno())
    resource.setrlimit(resource.RLIMIT_CPU, (_MAX_CPU_SECONDS, _MAX_CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_BYTES, _MAX_BYTES))
    sys.meta_path.insert(0, _Planted(module, source))
    sys.exit(_RAN + pytest.main([*_OPTIONS, *tests]))


class _Planted(MetaPathFinder, Loader):
    """Imports one module from a text."""

    def __init__(self, module: str, source: str) -> None:
        self._module = module
        self._source = source

    def find_spec(self, name: str, _path: object, _target: object = None) -> ModuleSpec | None:
        """Finds the module, and leaves all others to who comes after."""
        return ModuleSpec(name, self) if name == self._module else None

    def exec_module(self, module: ModuleType) -> None:
        """Makes the module what the text says."""
        exec(compile(self._source, f"<mutant of {self._module}>", "exec"), module.__dict__)  # noqa: S102 - the text is a mutant of ours
