"""The real server as a process, with TLS and tokens, behind an address that outlasts it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

from amiguard_client import Client, Records, connect
from amiguard_service.engine import Engine
from tests.data import agents, identities
from tests.data.records import NINE_O_CLOCK, describe_images, run_instances
from tests.robustness.proxy import Network, Proxy
from tests.robustness.waiting import wait_until
from tests.service.certificates import Authority
from tests.service.test_watch import cut_log

COMMAND = Path(sys.executable).parent / "amiguard-server"
ACCOUNT = "111122223333"
START_SECONDS = 60
STOP_SECONDS = 30
ROLES = {"triage": ("read", "respond"), "admin": ("read", "respond", "admin", "ingest")}
"""The tokens are the names of those who hold them."""


@dataclass
class Service:
    """A server that may go and come back."""

    folder: Path
    proxy: Proxy
    address: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def ca(self) -> Path:
        """The file of the authority that vouches for it."""
        return self.folder / "ca.pem"

    @property
    def database(self) -> str:
        """The URL of its database."""
        return f"sqlite:///{self.folder / 'amiguard.db'}"

    def token_file(self, name: str) -> Path:
        """The file of a token."""
        return self.folder / f"{name}.token"

    def start(self) -> None:
        """Starts it; returns once it serves."""
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        words = [
            str(COMMAND),
            "serve",
            "--listen=127.0.0.1:0",
            f"--database={self.database}",
            f"--tls-certificate={self.folder / 'server.pem'}",
            f"--tls-key={self.folder / 'server.key'}",
            f"--tokens={self.folder / 'tokens.toml'}",
            f"--ready-file={ready}",
            "--grace-seconds=1",
        ]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log)
        process = self.process
        wait_until(
            lambda: (ready.exists() and ready.read_text() != "") or process.poll() is not None,
            "the server serves",
            seconds=START_SECONDS,
        )
        assert process.poll() is None, (self.folder / "server.log").read_text()
        self.proxy.aim(int(ready.read_text().rpartition(":")[2]))

    def stop(self) -> None:
        """Takes it away, with every connection to it."""
        self.proxy.aim(None)
        self.proxy.cut()
        if self.process is not None:
            self.process.terminate()
            self.process.wait(STOP_SECONDS)
            self.process = None

    def forget_changes(self) -> None:
        """Cuts the log of changes as retention does; the server must not be running."""
        engine = Engine.open(self.database)
        try:
            cut_log(engine, engine.last_cursor())
        finally:
            engine.close()

    def connect(self, name: str = "admin") -> Client:
        """Returns a client with somebody's token."""
        return connect(self.address, root_certificates=self.ca.read_bytes(), token=name)

    def find(self, user: str, *names: str, minute: int = 0, agent: str = agents.BOTO3) -> str:
        """Submits a search of a user by names and the launch after it; returns their finding."""
        records = pair(user, *names, minute=minute, agent=agent)
        with self.connect() as client:
            summary = client.submit([Records(records, name=user)], source="test")
        (name,) = summary.finding_names
        return name


def pair(user: str, *names: str, minute: int, agent: str) -> Sequence[bytes]:
    """Returns the records of a search by names and of a launch half a minute after it."""
    at = NINE_O_CLOCK + timedelta(minutes=minute)
    identity = identities.iam_user(ACCOUNT, user)
    search = describe_images(
        filters={"name": list(names)},
        at=at,
        event_id=f"{user}-search-{minute}",
        identity=identity,
        user_agent=agent,
    )
    launch = run_instances(
        at=at + timedelta(seconds=30),
        event_id=f"{user}-launch-{minute}",
        identity=identity,
        user_agent=agent,
    )
    return [json.dumps(record).encode() for record in (search, launch)]


@contextmanager
def serving(folder: Path) -> Iterator[Service]:
    """Serves an empty database until the end of the block."""
    authority = Authority("test")
    identity = authority.issue("127.0.0.1")
    (folder / "ca.pem").write_bytes(authority.certificate)
    (folder / "server.pem").write_bytes(identity.certificate)
    (folder / "server.key").write_bytes(identity.key)
    (folder / "server.key").chmod(0o600)
    tables = []
    for name, roles in ROLES.items():
        (folder / f"{name}.token").write_text(f"{name}\n")
        digest = sha256(name.encode()).hexdigest()
        tables.append(
            f'[[tokens]]\nprincipal = "{name}"\nsha256 = "{digest}"\nroles = {json.dumps(roles)}\n'
        )
    (folder / "tokens.toml").write_text("\n".join(tables))
    with Network.open() as network:
        proxy = network.add_proxy()
        service = Service(folder, proxy, proxy.add_door())
        service.start()
        try:
            yield service
        finally:
            service.stop()
