"""Names the proxy of the environment that gRPC takes to a server."""

from __future__ import annotations

import ipaddress
import os
from typing import Final

from amiguard_client.options import host_of, is_loopback

_PROXIES: Final = ("grpc_proxy", "https_proxy", "http_proxy")
"""gRPC reads these alone, in lower case: the first that is set counts, and an empty one is none."""
_EXEMPTIONS: Final = ("no_grpc_proxy", "no_proxy")


def proxy_variable(target: str) -> str | None:
    """Returns the variable that names the proxy to a target, None where it needs none."""
    if is_loopback(target):
        return None
    variable = _first_set(_PROXIES)
    if variable is None or not os.environ[variable]:
        return None
    return None if _is_exempt(host_of(target).lower()) else variable


def unreachable(target: str, why: str) -> str:
    """Returns what to say of a target that does not answer, with the way to it."""
    variable = proxy_variable(target)
    way = f" through the proxy that {variable} names" if variable else ""
    return f"{target} cannot be reached{way}: {why}"


def _is_exempt(host: str) -> bool:
    variable = _first_set(_EXEMPTIONS)
    listed = os.environ[variable].lower().split(",") if variable else []
    return any(_covers(entry, host) for entry in map(str.strip, listed) if entry)


def _covers(entry: str, host: str) -> bool:
    if host.endswith(entry):
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False


def _first_set(names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in os.environ), None)
