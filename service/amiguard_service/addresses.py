"""Which addresses are of the public internet."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from socket import inet_aton
from typing import Final

_TRANSLATED: Final = IPv6Network("64:ff9b::/96")
"""IPv4 addresses as a network without IPv4 reaches them (RFC 6052)."""


def is_public(host: str) -> bool:
    """Says whether a host may be reached over the public internet, as far as its text tells.

    A name may stand for any address: ask of each that it resolves to.
    """
    address = _read(host)
    if address is None:
        return True
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _TRANSLATED:
            inner = IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return inner.is_global and not inner.is_multicast
    return address.is_global and not address.is_multicast


def _read(host: str) -> IPv4Address | IPv6Address | None:
    """Returns the address that a host is, in any form that some program takes for one."""
    try:
        # A link-local address may come with a zone.
        return ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        # `127.1` and `0x7f000001`, as the C library has always read them.
        return IPv4Address(inet_aton(host))
    except OSError:
        return None
