"""The demo: CloudTrail files in, findings out, with the two commands a user would type."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.data.delivery import write_demo

BIN = Path(sys.executable).parent
START_SECONDS = 60
STOP_SECONDS = 30


class DemoError(Exception):
    """A step of the demo did not do what it should; the message says which."""


def main() -> int:
    """Runs the demo; returns an exit code."""
    with TemporaryDirectory(prefix="amiguard-demo-") as directory:
        try:
            show(Path(directory))
        except DemoError as error:
            print(f"demo: {error}", file=sys.stderr)
            return 1
    return 0


def show(directory: Path) -> None:
    """Serves, submits, lists, shows one finding in detail, and stops."""
    trail = directory / "trail"
    facts = write_demo(trail)
    say(
        f"A trail of two accounts: {facts.record_count:,} CloudTrail records in "
        f"{facts.log_file_count} delivery files, as S3 holds them."
    )
    with serving(directory) as address:
        control = Control(address, directory)
        say("Submit the whole folder: files come late, out of order and some of them twice.")
        control.run("submit", str(trail), shown="submit trail/")
        say("What was found, most likely first:")
        control.run("findings", "list", "--order-by", "likelihood_score desc")
        found = json.loads(control.read("findings", "list", "--all", "-o", "json"))["findings"]
        expected = [finding for finding in facts.findings if finding.suppression is None]
        if len(found) != len(expected):
            raise DemoError(f"got {len(found)} findings, wanted {len(expected)}")
        worst = max(found, key=lambda finding: (finding["likelihood_score"], finding["confidence"]))
        say("One of them in full: what was asked, what was launched, and how to mend it.")
        control.run("findings", "get", worst["name"])
    say("The server has stopped. To go on with your own trail:")
    print(
        "  make run                                  # serve on 127.0.0.1:7443, in one terminal\n"
        "  .venv/bin/amiguardctl submit PATH         # log files or folders, in another\n"
        "  .venv/bin/amiguardctl findings list\n"
        "  .venv/bin/amiguardctl hunt PATH           # the same without a server"
    )


@contextmanager
def serving(directory: Path) -> Iterator[str]:
    """Gives the address of a server on a new SQLite database; stops it cleanly."""
    ready, log = directory / "ready", directory / "server.log"
    command = [
        str(BIN / "amiguard-server"),
        "serve",
        "--listen=127.0.0.1:0",
        f"--database=sqlite:///{directory / 'amiguard.db'}",
        "--insecure",
        f"--ready-file={ready}",
    ]
    say("Start a server on SQLite:")
    print("  $ amiguard-server serve --listen 127.0.0.1:0 --database sqlite:///... --insecure")
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            yield wait_for(ready, server, log)
        finally:
            server.send_signal(signal.SIGTERM)
            code = server.wait(STOP_SECONDS)
    if code != 0:
        raise DemoError(f"the server ended with {code}:\n{log.read_text()}")


def wait_for(ready: Path, server: subprocess.Popen[bytes], log: Path) -> str:
    """Returns the address that the server writes once it serves."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if ready.exists() and (address := ready.read_text().strip()):
            return address
        if server.poll() is not None:
            break
        time.sleep(0.05)
    raise DemoError(f"the server did not start:\n{log.read_text()}")


class Control:
    """Runs amiguardctl as a user would."""

    def __init__(self, address: str, directory: Path) -> None:
        self._command = [str(BIN / "amiguardctl"), "--server", address]
        self._environment = {**os.environ, "HOME": str(directory)}

    def run(self, *arguments: str, shown: str | None = None) -> None:
        """Shows a command and what it prints."""
        print(f"  $ amiguardctl {shown or shlex.join(arguments)}", flush=True)
        done = subprocess.run([*self._command, *arguments], check=False, env=self._environment)
        self._check(done.returncode, arguments)

    def read(self, *arguments: str) -> str:
        """Returns what a command prints."""
        done = subprocess.run(
            [*self._command, *arguments],
            check=False,
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._check(done.returncode, arguments)
        return done.stdout

    def _check(self, code: int, arguments: tuple[str, ...]) -> None:
        if code != 0:
            raise DemoError(f"`amiguardctl {shlex.join(arguments)}` ended with {code}")


def say(text: str) -> None:
    """Prints a line of the story."""
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
