"""The base install, from the wheel and nothing else, works on every protobuf it allows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.live_server import Live

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
EXAMPLE = ROOT / "clients/examples/python/findings.py"

# The oldest that the stubs are made for, and the last release line of each major version since.
PROTOBUFS = ("5.29", "6.33", "7.36")
NEEDED = {"amiguard", "grpcio", "grpcio-status", "protobuf"}
BROUGHT_ALONG = {"googleapis-common-protos", "typing-extensions"}

# Whatever of the package a host of the base install may use; it prints what the test looks at.
PROGRAM = """
import json, sys
from importlib.metadata import version
from importlib.resources import files

from google.protobuf.descriptor_pb2 import FileDescriptorSet

import amiguard_client
from amiguard_client.ocsf import detection_finding

for name in amiguard_client.__all__:
    getattr(amiguard_client, name)

contract = files("amiguard.v1")
descriptors = FileDescriptorSet.FromString((contract / "descriptor_set.binpb").read_bytes())
with amiguard_client.connect(sys.argv[1], insecure=True) as client:
    record = json.dumps({"eventSource": "s3.amazonaws.com", "eventName": "PutObject"}).encode()
    summary = client.submit([record], source="base-install")
    changes = next(client.watch_findings())
    found = list(client.list_findings())
json.dump(
    {
        "protobuf": version("protobuf"),
        "described": [file.name for file in descriptors.file],
        "imported": [name for file in descriptors.file for name in file.dependency],
        "shipped": [entry.name for entry in contract.iterdir()],
        "accepted": summary.accepted_count,
        "cursor": changes.cursor,
        "findings": [finding.name for finding in found],
        "events": [detection_finding(finding) for finding in found],
    },
    sys.stdout,
)
"""


def run(*command: str | Path, timeout: float = 100) -> str:
    """Returns what a command prints."""
    done = subprocess.run(
        command, check=False, cwd="/", capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, as a release builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    constraints = ROOT / "requirements-build.lock"
    run(UV, "build", "--wheel", "--build-constraint", constraints, "--out-dir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.parametrize("protobuf", PROTOBUFS)
def test_base_install_works_on(protobuf: str, wheel: Path, live: Live, tmp_path: Path) -> None:
    """Client, stubs, contract and OCSF work with what the base install brings, and no more."""
    name = live.occur(1, "ubuntu/images/*")
    python = tmp_path / "venv/bin/python"
    run(UV, "venv", "--python", sys.executable, tmp_path / "venv")
    run(UV, "pip", "install", "--python", python, wheel, f"protobuf=={protobuf}.*")
    installed = json.loads(run(UV, "pip", "list", "--python", python, "--format", "json"))

    told = json.loads(run(python, "-c", PROGRAM, live.target))
    server = subprocess.run(
        [python.with_name("amiguard-server"), "serve"], check=False, capture_output=True, text=True
    )
    listed = run("env", f"AMIGUARD_SERVER={live.target}", python, EXAMPLE)

    assert NEEDED <= {package["name"] for package in installed} <= NEEDED | BROUGHT_ALONG
    assert told["protobuf"].startswith(f"{protobuf}.")
    assert told["accepted"] == 1
    assert told["cursor"]
    assert told["findings"] == [name]
    assert [event["finding_info"]["uid"] for event in told["events"]] == [name]
    assert (server.returncode, server.stdout, server.stderr.count("\n")) == (1, "", 1)
    assert "pip install 'amiguard[server]'" in server.stderr
    assert listed == f"{name} 85 ubuntu/images/*\n"
    assert set(told["imported"]) <= set(told["described"])
    contract = {path.name for path in (ROOT / "proto/amiguard/v1").glob("*.proto")}
    assert contract <= set(told["shipped"])
    assert {f"amiguard/v1/{file}" for file in contract} <= set(told["described"])
