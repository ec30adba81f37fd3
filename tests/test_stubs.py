"""Laws of the generated code: it is there, it says what the contract says, git ignores it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.resources import files
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "proto" / "amiguard" / "v1"
BUF = Path(sys.executable).with_name("buf")
CONTRACT = sorted(path.stem for path in PACKAGE.glob("*.proto"))
SERVICES = {
    "finding_service": "FindingService",
    "ingest_service": "IngestService",
    "sink_service": "SinkService",
    "tuning_service": "TuningService",
}


def run(*command: str | Path, cache: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run a command at the root of the tree; buf keeps its cache where it is told to."""
    env = os.environ | ({"BUF_CACHE_DIR": str(cache)} if cache else {})
    return subprocess.run(command, cwd=ROOT, env=env, check=False, capture_output=True)


def own_files(descriptors: FileDescriptorSet) -> dict[str, FileDescriptorProto]:
    """The contract's own files by name, without what differs between two compilers of one text."""
    own = {file.name: file for file in descriptors.file if file.name.startswith("amiguard/")}
    for file in own.values():
        file.ClearField("source_code_info")
        for message in file.message_type:
            drop_json_names(message)
    return own


def drop_json_names(message: DescriptorProto) -> None:
    """Remove the names that a compiler may leave for its reader to derive."""
    for field in message.field:
        field.ClearField("json_name")
    for nested in message.nested_type:
        drop_json_names(nested)


def shipped_descriptors() -> FileDescriptorSet:
    """The descriptor set in the package."""
    resource = files("amiguard.v1") / "descriptor_set.binpb"
    return FileDescriptorSet.FromString(resource.read_bytes())


@pytest.mark.parametrize("name", CONTRACT)
def test_every_contract_file_has_a_module(name: str) -> None:
    """Each `.proto` file is importable under its own path."""
    module = import_module(f"amiguard.v1.{name}_pb2")

    assert module.DESCRIPTOR.name == f"amiguard/v1/{name}.proto"


@pytest.mark.parametrize(("module", "service"), SERVICES.items())
def test_every_service_has_a_stub_and_a_servicer(module: str, service: str) -> None:
    """Each service can be called and be served."""
    stubs = import_module(f"amiguard.v1.{module}_pb2_grpc")

    expected = {f"{service}Stub", f"{service}Servicer", f"add_{service}Servicer_to_server"}

    assert expected <= set(vars(stubs))


def test_every_module_has_types() -> None:
    """No generated module is opaque to a type checker."""
    modules = {path.stem for path in PACKAGE.glob("*_pb2*.py")}
    stubs = {path.stem for path in PACKAGE.glob("*_pb2*.pyi")}

    assert stubs == modules


def test_descriptor_set_lists_the_services() -> None:
    """The package says which services it speaks, without a `.proto` file being compiled."""
    services = {
        f"{file.package}.{service.name}"
        for file in shipped_descriptors().file
        for service in file.service
    }

    assert services == {f"amiguard.v1.{service}" for service in SERVICES.values()}


def test_descriptor_set_is_complete() -> None:
    """Every file the descriptor set refers to is in it."""
    descriptors = shipped_descriptors()

    imported = {name for file in descriptors.file for name in file.dependency}

    assert imported <= {file.name for file in descriptors.file}


def test_stubs_are_of_the_present_contract(tmp_path: Path) -> None:
    """The modules and the descriptor set are what the `.proto` files say now."""
    built = tmp_path / "contract.binpb"
    build = run(BUF, "build", "--as-file-descriptor-set", "-o", built, cache=tmp_path)
    contract = own_files(FileDescriptorSet.FromString(built.read_bytes()))
    imported = FileDescriptorSet()
    for name in CONTRACT:
        import_module(f"amiguard.v1.{name}_pb2").DESCRIPTOR.CopyToProto(imported.file.add())

    assert build.returncode == 0
    assert own_files(shipped_descriptors()) == contract
    assert own_files(imported) == contract


def test_contract_passes_buf_lint(tmp_path: Path) -> None:
    """The contract follows buf's standard rules and comments everything."""
    lint = run(BUF, "lint", cache=tmp_path)

    assert (lint.returncode, lint.stdout + lint.stderr) == (0, b"")


def test_contract_is_formatted(tmp_path: Path) -> None:
    """The contract is laid out as buf would."""
    diff = run(BUF, "format", "--diff", "--exit-code", cache=tmp_path)

    assert (diff.returncode, diff.stdout + diff.stderr) == (0, b"")


def test_git_does_not_hold_generated_files() -> None:
    """What the build makes is ignored by git, so that it cannot go stale there."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    generated = sorted(
        str(path.relative_to(ROOT))
        for pattern in ("*_pb2*.py", "*_pb2*.pyi", "*.binpb")
        for path in PACKAGE.glob(pattern)
    )
    tracked = run("git", "ls-files", "--", *generated).stdout.decode().split()
    ignored = run("git", "check-ignore", "--", *generated).stdout.decode().split()

    assert tracked == []
    assert ignored == generated


def test_floors_equal_the_generator() -> None:
    """The oldest runtime the package allows is the one its stubs were generated for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pinned = dict(line.split("==") for line in project["build-system"]["requires"] if "==" in line)
    floors = dict(line.split(">=") for line in project["project"]["dependencies"])
    gencode = re.search(
        r"^# Protobuf Python Version: (\S+)$",
        (PACKAGE / "finding_pb2.py").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    generator = import_module("amiguard.v1.finding_service_pb2_grpc").GRPC_GENERATED_VERSION

    assert generator == pinned["grpcio-tools"]
    assert gencode is not None
    assert floors == {
        "grpcio": generator,
        "grpcio-status": generator,
        "protobuf": gencode.group(1),
    }
