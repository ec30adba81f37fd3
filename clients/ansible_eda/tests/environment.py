"""An environment with the products that the collection plugs into, and the collection in it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parents[3]
COLLECTION = Path(__file__).parents[1]
LOCK = Path(__file__).parent / "requirements.lock"
UV = Path(sys.executable).parent / "uv"
JAVA_PACKAGE = "openjdk-17-jre-headless"
OLDEST_JAVA = 17


@dataclass(frozen=True)
class Environment:
    """Ansible with the collection: where the programs are, and what they have to be told."""

    bin: Path
    collections: Path

    def variables(self, home: Path) -> dict[str, str]:
        """Returns the environment of a program, which keeps to a folder."""
        inherited = {name: os.environ[name] for name in ("JAVA_HOME",) if name in os.environ}
        return inherited | {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "HOME": str(home),
            "TMPDIR": str(home),
            "ANSIBLE_HOME": str(home / ".ansible"),
            "ANSIBLE_COLLECTIONS_PATH": str(self.collections),
            "ANSIBLE_NOCOLOR": "1",
            "LC_ALL": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
        }


def make_environment(folder: Path) -> Environment:
    """Makes an environment with what the lock names, once, and the amiguard of this tree."""
    digest = sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:12]
    place = ROOT / "build" / f"ansible-eda-{digest}"
    python = place / "bin" / "python"
    done = place / ".done"
    if not done.exists():
        shutil.rmtree(place, ignore_errors=True)
        run([UV, "venv", "--quiet", "--python", sys.executable, place])
        run([UV, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", LOCK])
        done.touch()
    constraint = ("--build-constraint", ROOT / "requirements-build.lock")
    run([UV, "build", "--quiet", "--wheel", *constraint, "--out-dir", folder / "dist", ROOT])
    (wheel,) = (folder / "dist").glob("*.whl")
    reinstall = ("--no-deps", "--reinstall-package", "amiguard")
    run([UV, "pip", "install", "--quiet", "--python", python, *reinstall, wheel])
    return Environment(place / "bin", install_collection(place / "bin", folder))


def install_collection(programs: Path, folder: Path) -> Path:
    """Builds and installs the collection as its users do; returns where to."""
    galaxy, collections = programs / "ansible-galaxy", folder / "collections"
    run([galaxy, "collection", "build", "--output-path", folder, COLLECTION], home=folder)
    (archive,) = folder.glob("amiguard-eda-*.tar.gz")
    run([galaxy, "collection", "install", "--offline", "-p", collections, archive], home=folder)
    return collections


def find_java() -> str:
    """Returns the version of the Java there is; raises AssertionError where it does not serve."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None)
    wanted = f"ansible-rulebook needs Java {OLDEST_JAVA}: apt-get install {JAVA_PACKAGE}"
    assert java is not None, wanted
    said = subprocess.run([java, "-version"], check=False, capture_output=True, text=True).stderr
    found = re.search(r'version "((\d+)[^"]*)"', said)
    assert found is not None, f"{wanted}; {java} said {said!r}"
    assert int(found[2]) >= OLDEST_JAVA, f"{wanted}; {java} is {found[1]}"
    return found[1]


def run(words: Sequence[str | Path], *, home: Path | None = None) -> None:
    """Runs a program that has to succeed; what it said is in the error where it does not."""
    environment = {**os.environ, **({"HOME": str(home)} if home else {})}
    done = subprocess.run(
        list(map(str, words)),
        check=False,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}"
