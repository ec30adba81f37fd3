"""Build hook: generates the protobuf and gRPC modules beside the `.proto` files."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_SOURCE_ROOT = "proto"
_PACKAGE = Path("amiguard/v1")
_DESCRIPTOR_SET = "descriptor_set.binpb"


class StubsBuildHook(BuildHookInterface[Any]):
    """Generates the stubs before a wheel or an editable install is put together."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Leave stubs that match the `.proto` files in the source tree, whatever stood there."""
        del version, build_data
        generate(Path(self.root) / _SOURCE_ROOT)


def generate(source_root: Path) -> None:
    """Put modules, type stubs and the descriptor set beside the `.proto` files, or raise.

    A failure leaves what stood there before.
    """
    package = source_root / _PACKAGE
    protos = sorted(package.glob("*.proto"))
    # Beside the package, so that a rename puts each file in place whole: an import in another
    # process sees the old module or the new one, never half of one.
    with TemporaryDirectory(dir=source_root, prefix=".stubs-") as directory:
        built = Path(directory)
        _run_protoc(source_root, protos, built)
        _drop_empty_services(protos, built / _PACKAGE)
        fresh = {path.name for path in (built / _PACKAGE).iterdir()}
        for name in fresh:
            (built / _PACKAGE / name).replace(package / name)
    for pattern in ("*_pb2*.py", "*_pb2*.pyi"):
        for path in package.glob(pattern):
            if path.name not in fresh:
                path.unlink()


def _run_protoc(source_root: Path, protos: list[Path], out: Path) -> None:
    (out / _PACKAGE).mkdir(parents=True)
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"--plugin=protoc-gen-mypy={_plugin('protoc-gen-mypy')}",
        f"--plugin=protoc-gen-mypy_grpc={_plugin('protoc-gen-mypy_grpc')}",
        f"--proto_path={source_root}",
        f"--proto_path={files('grpc_tools') / '_proto'}",
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out=quiet:{out}",
        f"--mypy_grpc_out=quiet:{out}",
        f"--descriptor_set_out={out / _PACKAGE / _DESCRIPTOR_SET}",
        "--include_imports",
        *map(str, protos),
    ]
    subprocess.run(command, check=True)  # noqa: S603 - every argument is from this file or this tree


def _drop_empty_services(protos: list[Path], package: Path) -> None:
    """Remove the gRPC modules of files that define messages alone."""
    for proto in protos:
        lines = proto.read_text(encoding="utf-8").splitlines()
        if not any(line.startswith("service ") for line in lines):
            for suffix in (".py", ".pyi"):
                (package / f"{proto.stem}_pb2_grpc{suffix}").unlink(missing_ok=True)


def _plugin(name: str) -> str:
    """Find a protoc plugin of the build environment, whose scripts may or may not be on PATH."""
    found = shutil.which(name) or shutil.which(name, path=sysconfig.get_path("scripts"))
    if found is None:
        message = f"{name} is not installed; build-system.requires in pyproject.toml names it"
        raise RuntimeError(message)
    return found
