"""What is handed to Splunk SOAR: the manifest, the package, and the types it is written with."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from splunk_soar.package import APP, PythonMissingError, find_python, package, staged

ACTIONS = [
    "acknowledge finding",
    "allow pattern",
    "close finding",
    "get finding",
    "get findings",
    "on poll",
    "submit events",
    "test connectivity",
]


@pytest.fixture(scope="module")
def app(wheel: Path, python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the app that the SDK can package, packaged."""
    folder = tmp_path_factory.mktemp("app")
    with staged(wheel, folder) as copy:
        create = [str(python.with_name("soarapps")), "manifests", "create", "manifest.json", "."]
        subprocess.run(create, cwd=copy, check=True)
        package(copy, python, folder / "app.tgz")
    return copy


def test_sdk_accepts_the_manifest(app: Path) -> None:
    """It has every action, with its parameters and outputs, and hides what is secret."""
    manifest = json.loads((app / "manifest.json").read_text(encoding="utf-8"))

    assert sorted(action["action"] for action in manifest["actions"]) == ACTIONS
    assert manifest["name"] == "amiguard connector"
    assert manifest["python_version"] == "3.13"
    types = {name: field["data_type"] for name, field in manifest["configuration"].items()}
    assert types == {
        "server": "string",
        "token": "password",
        "ca_certificate": "file",
        "insecure": "boolean",
        "min_likelihood": "string",
        "filter": "string",
        "max_findings": "numeric",
    }
    required = {name for name, field in manifest["configuration"].items() if field["required"]}
    assert required == {"server"}


def test_findings_lead_to_the_actions_that_take_one(app: Path) -> None:
    """What returns a finding's name and what takes one call it the same."""
    manifest = json.loads((app / "manifest.json").read_text(encoding="utf-8"))
    actions = {action["action"]: action for action in manifest["actions"]}

    for name in ("get finding", "acknowledge finding", "close finding"):
        assert actions[name]["parameters"]["finding"]["contains"] == ["amiguard finding"]
    outputs = {field["data_path"]: field for field in actions["get findings"]["output"]}
    assert outputs["action_result.data.*.name"]["contains"] == ["amiguard finding"]


def test_package_carries_all_that_it_needs(app: Path, wheel: Path) -> None:
    """The platform needs nothing but the package: wheels as locked, and amiguard's own."""
    with tarfile.open(app.parent / "app.tgz") as packed:
        names = set(packed.getnames())

    top = "amiguard connector"
    assert {f"{top}/{name}" for name in ("manifest.json", "logo.svg", "LICENSE")} <= names
    assert {f"{top}/src/{path.name}" for path in (APP / "src").glob("*.py")} <= names
    wheels = {Path(name).name for name in names if name.endswith(".whl")}
    assert wheel.name in wheels
    assert len([name for name in wheels if name.startswith("grpcio-")]) == 2


def test_types_hold(python: Path) -> None:
    """The app is strictly typed against the SDK and the client library."""
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--python-executable", python],
        cwd=APP,
        check=False,
        capture_output=True,
        text=True,
    )

    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout


def test_missing_python_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a Python for the SDK it is said which is wanted, and what was tried."""
    shim = tmp_path / "python3.13"
    shim.write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "uv"))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path / "only" / "this"))

    with pytest.raises(PythonMissingError, match=rf"wanted a Python 3\.13 .* got {shim}$"):
        find_python()
