"""From an asset to a client of its server, and from what goes wrong to one line."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from soar_sdk.exceptions import ActionFailure, AssetMisconfiguration

from amiguard_client import AmiguardError, Client, RetryPolicy, connect
from amiguard_client.options import is_loopback
from amiguard_client.soar import SoarError

from .asset import Asset

PATIENCE: Final = RetryPolicy(give_up_after=timedelta(seconds=10))
"""How long a server may be away: a restart takes seconds, and whoever waits for an action wants to
know of more."""

_ADDRESS: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")
_CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----"


@contextmanager
def connected(asset: Asset) -> Iterator[Client]:
    """Gives a client of the asset's server.

    Raises AssetMisconfiguration for settings that cannot be meant, and ActionFailure with one line
    for whatever the server or the way there answers.
    """
    try:
        with _connect(asset) as client:
            yield client
    except AmiguardError as error:
        raise ActionFailure(line_of(error)) from error
    except SoarError as error:
        cause = error.__cause__
        line = line_of(cause) if isinstance(cause, AmiguardError) else str(error)
        raise ActionFailure(line) from error


def line_of(error: AmiguardError) -> str:
    """Returns what went wrong, on one line, with the findings a change was refused for."""
    text = str(error)
    if error.reason == "LOSES_TRUE_POSITIVES":
        text += f"; would lose {error.metadata.get('names', '')}"
    if error.summary is not None and error.summary.record_count:
        text += f"; {error.summary.record_count} records were taken in before"
    return " ".join(text.split())


def _connect(asset: Asset) -> Client:
    _check_address(asset.server)
    certificates = (asset.ca_certificate or "").strip()
    token = (asset.token or "").strip()
    if not (token.isascii() and token.isprintable()):
        raise AssetMisconfiguration("token: got other characters than printable ASCII")
    if not asset.insecure:
        if certificates and _CERTIFICATE not in certificates:
            raise AssetMisconfiguration(f"ca_certificate: got text without {_CERTIFICATE}")
        return connect(
            asset.server,
            root_certificates=certificates.encode() or None,
            token=token or None,
        )
    if not is_loopback(asset.server):
        raise AssetMisconfiguration(
            f"insecure: got server {asset.server!r}, wanted one on this machine; "
            "switch insecure off for any other"
        )
    if certificates:
        raise AssetMisconfiguration("insecure: got a ca_certificate too, wanted one or the other")
    return connect(asset.server, insecure=True, token=token or None)


def _check_address(server: str) -> None:
    # gRPC would take more: to it a name without a port is a server on port 443.
    if _ADDRESS.fullmatch(server) is None:
        raise AssetMisconfiguration(
            f"server: got {server!r}, wanted HOST:PORT, such as amiguard.example.com:7443"
        )
