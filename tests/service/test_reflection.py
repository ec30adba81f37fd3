"""A tool that was never given the contract learns it from the server and can call everything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from google.protobuf import json_format

from amiguard.v1 import finding_service_pb2 as wire
from amiguard_service.identity import SERVICE_ROLES
from tests.service.running import TIMEOUT, Running
from tests.service.talking import PAIR, records, submit

BUF = Path(sys.executable).with_name("buf")


def curl(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs `buf curl` where there is no contract."""
    return subprocess.run(
        [BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge", *arguments],
        check=False,
        cwd=folder,
        env={**os.environ, "BUF_CACHE_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


def test_services_are_listed(running: Running, tmp_path: Path) -> None:
    """Every service of the contract is found."""
    done = curl("--list-services", f"http://{running.target}", folder=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert set(SERVICE_ROLES) <= set(done.stdout.split())


def test_findings_are_read_over_reflection(running: Running, tmp_path: Path) -> None:
    """What is read without the contract is what the stubs read."""
    submit(running.channel, records(*PAIR))
    url = f"http://{running.target}/amiguard.v1.FindingService/GetFindings"
    asked = {"filter": "likelihood = HIGH", "pageSize": 1}

    done = curl("--data", json.dumps(asked), url, folder=tmp_path)

    request = json_format.ParseDict(asked, wire.GetFindingsRequest())
    expected = running.findings.GetFindings(request, timeout=TIMEOUT)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(expected.findings) == 1
    assert json_format.Parse(done.stdout, wire.GetFindingsResponse()) == expected


def test_a_refusal_is_told_over_reflection(running: Running, tmp_path: Path) -> None:
    """What is wrong with a request is told as it is to everybody."""
    url = f"http://{running.target}/amiguard.v1.FindingService/GetFindings"

    done = curl("--data", '{"filter": "x ="}', url, folder=tmp_path)

    assert done.returncode != 0
    told = json.loads(done.stderr)
    assert told["code"] == "invalid_argument"
    assert told["message"].startswith("offset 0: got 'x'")
