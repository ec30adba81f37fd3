"""Which addresses are this machine's own."""

from __future__ import annotations

import pytest

from amiguard_client.options import is_loopback


@pytest.mark.parametrize(
    "target",
    [
        "localhost:50051",
        "127.0.0.1:1",
        "127.8.9.1:1",
        "[::1]:50051",
        "localhost",
        "LocalHost.:1",
        "::1",
        "[::1]",
        "[::ffff:127.0.0.1]:1",
        "dns:127.0.0.1:1",
        "dns:///localhost:1",
        "dns://10.0.0.1/localhost:1",
        "ipv4:127.0.0.1:1,127.0.0.2:1",
        "ipv6:[::1]:1",
        "unix:/run/a.sock",
    ],
)
def test_own_addresses_need_no_encryption(target: str) -> None:
    """What never leaves the machine is plain by default."""
    assert is_loopback(target)


@pytest.mark.parametrize(
    "target",
    [
        "example.com:443",
        "10.0.0.1:50051",
        "localhost.example.com:1",
        "[2001:db8::1]:1",
        "127.0.0.1.nip.io:1",
        "ipv4:127.0.0.1:1,10.0.0.1:1",
        "dns://127.0.0.1/example.com:1",
        "2001:db8::1",
        "",
    ],
)
def test_other_addresses_are_encrypted(target: str) -> None:
    """Whatever leaves the machine, or only looks as if it did not, is encrypted by default."""
    assert not is_loopback(target)
