"""Which addresses are of the public internet."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from socket import inet_aton
from typing import Final
from unicodedata import normalize

_WITH_IPV4: Final = tuple(map(IPv6Network, ("64:ff9b::/96", "::/96", "::ffff:0:0:0/96")))
"""IPv4 addresses as a network without IPv4 reaches them (RFC 6052), and in two older forms (RFC
4291 section 2.5.5.1, RFC 2765), each in the last 32 bits."""
_RESERVED: Final[tuple[IPv4Network | IPv6Network, ...]] = (
    *map(IPv6Network, ("64:ff9b:1::/48", "fec0::/10", "5f00::/16")),
    IPv4Network("192.88.99.0/24"),
)
"""Networks of one's own that are no part of the internet: local translation (RFC 8215), site-local
(RFC 3879), segment routing (RFC 9602), and relays that are gone (RFC 7526)."""
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)
"""The third quarter of an address with an IPv4 address in its last (RFC 5214)."""
_DOTS: Final = str.maketrans(dict.fromkeys("\u3002\uff0e\uff61", "."))
"""What stands for a dot in a name (RFC 3490)."""


def is_public(host: str) -> bool:
    """Says whether a host may be reached over the public internet, as far as its text tells.

    A name may stand for any address: ask of each that it resolves to.
    """
    address = _read(host)
    if address is None:
        return True
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        is_isatap = int(address) >> 32 & 0xFFFF_FFFF in _ISATAP
        if is_isatap or any(address in network for network in _WITH_IPV4):
            inner = IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return inner.is_global and not inner.is_multicast
    if any(address in network for network in _RESERVED):
        return False
    return address.is_global and not address.is_multicast


def _read(host: str) -> IPv4Address | IPv6Address | None:
    """Returns the address that a host is, in any form that some program takes for one."""
    host = normalize("NFKC", host.translate(_DOTS))
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
