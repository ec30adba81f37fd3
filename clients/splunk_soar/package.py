"""Builds what the app is made of: its lock, its environment, its package.

Run by the Python of the project's environment: `package.py lock` and `package.py build OUTPUT.tgz`.

The SDK's own `soarapps package build` does the packaging. It bundles the wheels whose URL and hash
stand in a `uv.lock`. Here these are what `requirements.lock` pins and the wheel of amiguard, built
from the project, all served on a loopback port; so the SDK is given a copy of the app, because a
`uv.lock` with that port in it is of no use afterwards.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Final

APP: Final = Path(__file__).resolve().parent
PROJECT: Final = APP.parents[1]
LOCK: Final = APP / "requirements.lock"
BUILD: Final = PROJECT / "build" / "splunk_soar"

_PARTS: Final = ("README.md", "logo.svg", "logo_dark.svg", "pyproject.toml", "src")
"""What of this directory belongs to the app."""
_VERSION: Final = "3.13"
"""What Splunk SOAR runs apps with, and the SDK asks for."""
_UV: Final = Path(sys.executable).parent / "uv"
_MACHINES: Final = ("x86_64", "aarch64")
_GLIBCS: Final = ("_2_28", "_2_17", "2014")
"""The kinds of Linux that the SDK looks for wheels of."""


class PythonMissingError(Exception):
    """There is no Python of the version that the SDK asks for."""


def find_python() -> Path:
    """Returns a Python 3.13 that runs.

    It is looked for on the PATH, where a shim of pyenv may stand that does not run, among the
    versions that pyenv and uv keep, and beside the Python that runs this.
    """
    folders = [Path(folder) for folder in os.get_exec_path()]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    folders += sorted(pyenv.glob(f"{_VERSION}.*/bin"))
    folders += sorted(Path(sys.base_prefix).parent.glob(f"{_VERSION}.*/bin"))
    folders += sorted(Path(_output(_UV, "python", "dir")).glob(f"cpython-{_VERSION}.*/bin"))
    tried = [folder / f"python{_VERSION}" for folder in folders]
    tried = [python for python in tried if python.is_file()]
    for python in tried:
        asked = subprocess.run([python, "--version"], capture_output=True, check=False, text=True)  # noqa: S603 - a file found by its name
        if asked.stdout.startswith(f"Python {_VERSION}."):
            return python
    raise PythonMissingError(
        f"wanted a Python {_VERSION} that runs, on the PATH or among the versions of pyenv or uv; "
        f"got {', '.join(map(str, tried)) or 'none'}"
    )


def build_wheel(folder: Path) -> Path:
    """Builds the wheel of amiguard from the project into a folder."""
    constraint = PROJECT / "requirements-build.lock"
    _run(
        *(_UV, "build", "--quiet", "--wheel", "--out-dir", folder),
        *("--build-constraint", constraint, PROJECT),
    )
    (wheel,) = folder.glob("amiguard-*.whl")
    return wheel


def make_environment(wheel: Path) -> Path:
    """Returns the Python of an environment that has what is locked, and the wheel.

    What is locked is installed once and kept, by the content of the lock.
    """
    python = find_python()
    key = sha256(LOCK.read_bytes() + bytes(python)).hexdigest()[:12]
    environment = BUILD / f"python-{key}"
    made = environment / "bin" / "python"
    install = (_UV, "pip", "install", "--quiet", "--python", made)
    is_complete = environment / ".complete"
    if not is_complete.exists():
        _run(_UV, "venv", "--quiet", "--clear", "--python", python, environment)
        _run(*install, "--require-hashes", "-r", LOCK)
        is_complete.touch()
    _run(*install, "--no-deps", "--reinstall", wheel)
    return made


@contextmanager
def staged(wheel: Path, folder: Path) -> Iterator[Path]:
    """Gives a copy of the app, in a folder, that the SDK can package until the end of the block."""
    app = folder / APP.name
    app.mkdir()
    for part in (APP / name for name in _PARTS):
        if part.is_dir():
            shutil.copytree(part, app / part.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(part, app / part.name)
    shutil.copy(PROJECT / "LICENSE", app)
    with _serving([wheel, *_fetch().iterdir()]) as address:
        _run(
            *(_UV, "lock", "--quiet", "--python", find_python(), "--project", app),
            *("--no-index", "--find-links", address),
        )
        yield app


def write_package(output: Path) -> None:
    """Builds the package that is installed on Splunk SOAR."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        wheel = build_wheel(folder)
        python = make_environment(wheel)
        made = folder / "app.tgz"
        with staged(wheel, folder) as app:
            package(app, python, made)
        # A build that fails leaves a part of a package, which nobody is to take for one.
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made, output)


def package(app: Path, python: Path, output: Path) -> None:
    """Lets the SDK package a copy of the app."""
    with TemporaryDirectory() as no_authorities:
        # The SDK loads the authorities of TLS anew for every wheel, all at once, and where that
        # takes 10 seconds it gives up. Everything is on this machine: there is nobody to verify.
        environment = {**os.environ, "SSL_CERT_DIR": no_authorities}
        environment.pop("SSL_CERT_FILE", None)
        soarapps = str(python.with_name("soarapps"))
        command = [soarapps, "package", "build", str(app), "-o", str(output)]
        subprocess.run(command, check=True, env=environment)  # noqa: S603 - paths of ours


def write_lock() -> None:
    """Writes `requirements.lock` anew, with the newest releases."""
    with TemporaryDirectory() as name:
        wheel = build_wheel(Path(name))
        _run(
            *(_UV, "pip", "compile", "--quiet", "--upgrade", "--universal", "--generate-hashes"),
            *("--python-version", _VERSION, "--no-emit-index-url", "--no-emit-find-links"),
            *("--find-links", wheel.parent, "--no-emit-package", "amiguard"),
            *("--custom-compile-command", "make lock", "--output-file", LOCK),
            APP / "pyproject.toml",
        )


def _fetch() -> Path:
    """Returns a folder with the files of what is locked, for each kind of machine.

    They are fetched once and kept, by the content of the lock.
    """
    folder = BUILD / f"wheels-{sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    is_complete = folder.with_suffix(".complete")
    if not is_complete.exists():
        for machine in _MACHINES:
            platforms = [f"--platform=manylinux{glibc}_{machine}" for glibc in _GLIBCS]
            _run(
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                *("--require-hashes", "-r", LOCK, "--dest", folder),
                *("--python-version", _VERSION, "--implementation", "cp", *platforms),
            )
        is_complete.touch()
    return folder


@contextmanager
def _serving(files: Sequence[Path]) -> Iterator[str]:
    """Serves files to this machine; gives the address of a page that lists them."""
    links = "".join(
        f'<a href="{file.name}#sha256={sha256(file.read_bytes()).hexdigest()}">{file.name}</a>'
        for file in files
    )
    with TemporaryDirectory() as folder:
        for file in files:
            Path(folder, file.name).symlink_to(file)
        Path(folder, "index.html").write_text(links, encoding="utf-8")
        handler = partial(_QuietHandler, directory=folder)
        with _Files(("127.0.0.1", 0), handler) as server:
            thread = Thread(target=server.serve_forever)
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_port}/"
            finally:
                server.shutdown()
                thread.join()


class _Files(ThreadingHTTPServer):
    """Serves files to whoever asks for all of them at once, as the SDK does."""

    request_queue_size = 256


class _QuietHandler(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_: object) -> None:
        """Leaves the output to the SDK."""


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True)  # noqa: S603 - every argument is from this file


def _output(*command: str | Path) -> str:
    asked = subprocess.run(command, capture_output=True, check=True, text=True)  # noqa: S603 - as above
    return asked.stdout.strip()


def main() -> None:
    """Does what the command line asks for."""
    parser = argparse.ArgumentParser(description="Builds the Splunk SOAR app.")
    commands = parser.add_subparsers(required=True)
    lock = commands.add_parser("lock", help="write requirements.lock anew")
    lock.set_defaults(do=lambda _: write_lock())
    build = commands.add_parser("build", help="build the package for Splunk SOAR")
    build.add_argument("output", type=Path, help="the .tgz to write")
    build.set_defaults(do=lambda arguments: write_package(arguments.output))
    arguments = parser.parse_args()
    try:
        arguments.do(arguments)
    except PythonMissingError as error:
        parser.exit(1, f"{error}\n")
    except subprocess.CalledProcessError as error:
        # The command has said why.
        parser.exit(1, f"{Path(error.cmd[0]).name} failed with {error.returncode}\n")


if __name__ == "__main__":
    main()
