"""Which server, and how to reach it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amiguard_client.cli.server_options import DEFAULT_SERVER
from amiguard_client.options import is_loopback

if TYPE_CHECKING:
    from amiguard_client._finding_calls import FindingCalls
    from amiguard_client._sink_calls import SinkCalls
    from amiguard_client._tuning_calls import TuningCalls
    from amiguard_client.client import Client


DEFAULT_TIMEOUT = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server as named on the command line, in the environment and by a context."""

    target: str
    is_insecure: bool | None
    root_certificates: Path | None
    certificate: Path | None
    private_key: Path | None
    token: str | None
    timeout: timedelta

    def connect(self) -> Client:
        """Returns a client of the server, or ends the command with a usage error."""
        from amiguard_client.channel import ClientCertificate, connect

        files = (self.root_certificates, self.certificate, self.private_key)
        is_insecure = self.is_insecure
        if is_insecure is None:
            # Whoever listens at a free port of this machine would be sent the token.
            is_insecure = is_loopback(self.target) and not any(files) and not self.token
        if is_insecure and any(files):
            raise click.UsageError("got certificates with --insecure, wanted one or the other")
        if is_insecure and self.token and not is_loopback(self.target):
            raise click.UsageError(
                f"got --insecure and a token for {self.target}, wanted TLS: anybody on the way "
                "could read the token"
            )
        if (self.certificate is None) != (self.private_key is None):
            raise click.UsageError("got one of --cert and --key, wanted both or none")
        certificate = None
        if self.certificate is not None and self.private_key is not None:
            certificate = ClientCertificate(
                chain=_read(self.certificate), private_key=_read(self.private_key)
            )
        return connect(
            self.target,
            insecure=is_insecure,
            root_certificates=_read(self.root_certificates) if self.root_certificates else None,
            client_certificate=certificate,
            token=_sendable(self.token),
            timeout=self.timeout,
        )


def server_of(ctx: click.Context) -> Server:
    """Returns the server that the command line, the environment and the context name.

    What is given on the command line or in the environment wins, one by one, over the context that
    is named there. The context in use counts only where no server is named: its token goes to no
    other server.
    """
    given = dict(ctx.find_root().params)
    name = given.pop("context")
    given.pop("target")
    timeout: timedelta = given.pop("timeout") or DEFAULT_TIMEOUT
    target: str | None = ctx.find_root().params["target"]
    if name is not None or target is None:
        from amiguard_client.cli.contexts import load_config

        context = load_config().get(name)
        if context is not None:
            target = target or context.server
            given = context.fill_in(given)
    return Server(target=target or DEFAULT_SERVER, timeout=timeout, **given)


@contextmanager
def finding_calls(ctx: click.Context) -> Iterator[FindingCalls]:
    """Gives the FindingService of the server until the end of the block."""
    from amiguard_client._finding_calls import FindingCalls

    with server_of(ctx).connect() as client:
        yield FindingCalls(client.connection)


@contextmanager
def tuning_calls(ctx: click.Context) -> Iterator[TuningCalls]:
    """Gives the TuningService of the server until the end of the block."""
    from amiguard_client._tuning_calls import TuningCalls

    with server_of(ctx).connect() as client:
        yield TuningCalls(client.connection)


@contextmanager
def sink_calls(ctx: click.Context) -> Iterator[SinkCalls]:
    """Gives the SinkService of the server until the end of the block."""
    from amiguard_client._sink_calls import SinkCalls

    with server_of(ctx).connect() as client:
        yield SinkCalls(client.connection)


def _sendable(token: str | None) -> str | None:
    """Returns a token that can stand in a header, or ends the command with a usage error."""
    if token is None:
        return None
    # Secrets that are mounted or exported often end with the line that they were written with.
    stripped = token.strip()
    if not stripped.isascii() or any(c.isspace() or not c.isprintable() for c in stripped):
        raise click.UsageError("got a token with characters that no token has")
    return stripped


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise click.UsageError(f"cannot read {path}: {error.strerror}") from error
