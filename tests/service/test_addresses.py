"""Laws of what is the public internet."""

from __future__ import annotations

import pytest

from amiguard_service.addresses import is_public


@pytest.mark.parametrize(
    "host", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "example.com"]
)
def test_public(host: str) -> None:
    """Addresses of the internet are, and names may be."""
    assert is_public(host)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "0.0.0.0",  # noqa: S104 - what is refused
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "2002:7f00:1::",
        "64:ff9b::a9fe:a9fe",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "\uff11\uff12\uff17.0.0.1",
        "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460",
        "127\u30020\uff0e0\uff611",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b:1::7f00:1",
        "fec0::1",
        "5f00::1",
        "::5efe:7f00:1",
        "2001:db8::5efe:10.0.0.1",
        "192.88.99.1",
    ],
)
def test_not_public(host: str) -> None:
    """Neither this machine, nor its network, nor what stands for one of them in another form."""
    assert not is_public(host)
