"""How an integration is told to reach a server: an address, and files that hold the rest."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta

    from amiguard_client.client import Client

MAX_TOKEN_LENGTH = 4096
"""What the server reads of a token: a longer file is another one, given by mistake."""

_SCHEME = re.compile(r"dns:(?://[^/]*/)?|ipv[46]:")
_PORT = re.compile(r":\d*\Z")


class OptionError(ValueError):
    """An option is wrong: the message names it, says what was got and what was expected."""


def open_client(
    server: str,
    *,
    ca: str | None = None,
    token: str | None = None,
    token_file: str | None = None,
    insecure: bool = False,
    timeout: timedelta | None = None,
) -> Client:
    """Returns a client of a server, as `connect` does, from what people write into a configuration.

    `ca` is a file of PEM certificates, `token_file` one with the bearer token alone; both are read
    now, so that a token that was changed is in the next client. `insecure` is plain text and is
    refused for a server that is not on this machine. Raises an OptionError.
    """
    # Late, because the command line asks `is_loopback` before it needs gRPC.
    from amiguard_client.channel import DEFAULT_TIMEOUT, connect

    if not server:
        raise OptionError("server: got none, expected HOST:PORT")
    if token and token_file:
        raise OptionError("token_file: got one beside token, expected one of them or none")
    if insecure and ca:
        raise OptionError("ca: got one beside insecure, expected one of them or none")
    if insecure and not is_loopback(server):
        raise OptionError(
            f"insecure: got it for {server}, expected it for a loopback address alone"
        )
    return connect(
        server,
        insecure=insecure,
        root_certificates=_read(ca, option="ca") if ca else None,
        token=_token(token_file) if token_file else token,
        timeout=timeout or DEFAULT_TIMEOUT,
    )


def is_loopback(server: str) -> bool:
    """Says whether what is sent to a server never leaves this machine."""
    if server.startswith(("unix:", "unix-abstract:")):
        return True
    return all(_is_own(host_of(address)) for address in server.split(","))


def host_of(server: str) -> str:
    """Returns the host of a server's address, without gRPC's scheme, the port and brackets."""
    address = _SCHEME.sub("", server)
    if address.count(":") > 1 and not address.startswith("["):
        return address
    return _PORT.sub("", address).strip("[]")


def _is_own(host: str) -> bool:
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _token(path: str) -> str:
    text = _read(path, option="token_file").decode("ascii", errors="replace").strip()
    if not text.isascii() or not text.isprintable() or not 0 < len(text) <= MAX_TOKEN_LENGTH:
        raise OptionError(f"token_file: got no token in {path}, expected one line of ASCII")
    return text


def _read(path: str, *, option: str) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise OptionError(f"{option}: cannot read {path}: {error.strerror}") from error
