"""Stored documents: whatever is packed comes back, whatever was stored plain is read as it is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiguard_migrations.documents import pack, unpack

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
DOCUMENTS = st.dictionaries(st.text(), JSON_VALUES).map(msgspec.json.encode)

LAUNCH = (
    b'{"origin":{"event_id":"3b5f1b2c-98d1-4f6e-8a53-5c1d2e3f4a5b",'
    b'"event_time":"2026-03-01T09:00:00Z","region":"eu-west-1","account_id":"111122223333",'
    b'"principal_arn":"arn:aws:sts::111122223333:assumed-role/deployer/ci",'
    b'"actor_arn":"arn:aws:iam::111122223333:role/deployer","user_agent":"curl/8",'
    b'"source_ip_address":"203.0.113.17"},"image_ids":["ami-0a1b2c3d4e5f60718"]}'
)
LAUNCH_DEFLATED = bytes.fromhex(
    "482c1d4e15d17d96dd0ac3200c859fc8ce1863ede3f80b03a150e8c5de7e67c24605bb5caa89391fc1e38d2e"
    "8e52299aa4369f49d9ea8af2415849a26c0a571b24a2e2443a77e9db44facfbb7bf317e98430084660ef2f86"
    "ebd91109fe746d7fe1c54dcf7ec10d9da14027f54d44d6402c9d477b78acceb819cd8b86d3c06dd6f92c850f"
    "3fceb648757a258f217a039b106f10"
)
LAUNCH_PACKED = bytes.fromhex(
    "28b52ffd646d00750400240633623566316232632d393864312d346636652d386135332d3563316432653366"
    "3461356233393131313132323232333333336465706c6f7965722f63696375726c2f383230332e302e313133"
    "2e313761316232633364346535663630373138225d7d0f004f44493b5b57cd4280eb01441c206419b758723c"
    "e580c2c21320f83d1700f2e062f49b42dbda58019c77b3e1"
)


@given(DOCUMENTS)
def test_what_is_packed_comes_back(document: bytes) -> None:
    """Packing loses nothing, and what is packed never looks like JSON."""
    packed = pack(document)

    assert not packed.startswith(b"{")
    assert unpack(packed) == document


@given(DOCUMENTS)
def test_what_is_plain_is_read_as_it_is(document: bytes) -> None:
    """Rows of former revisions hold the JSON itself."""
    assert unpack(document) == document


@pytest.mark.parametrize("stored", [LAUNCH_DEFLATED, LAUNCH_PACKED], ids=["deflated", "frame"])
def test_the_stored_form_does_not_change(stored: bytes) -> None:
    """What one release packed, every later one reads."""
    assert unpack(stored) == LAUNCH


def test_threads_pack_side_by_side() -> None:
    """What packs is not shared: documents that are packed at the same time do not mix."""
    documents = [LAUNCH.replace(b"curl/8", b"curl/%d" % number) for number in range(2_000)]
    with ThreadPoolExecutor(4) as threads:
        packed = list(threads.map(pack, documents))
        unpacked = list(threads.map(unpack, packed))

    assert unpacked == documents


def test_a_record_takes_less_than_half_of_its_json() -> None:
    """That is what packing is for; a longer user agent, as most are, makes it a third."""
    assert len(pack(LAUNCH)) < len(LAUNCH) / 2


@pytest.mark.parametrize(
    ("stored", "problem"),
    [
        (b"", "cut short"),
        (b"[]", "incorrect header"),
        (LAUNCH_DEFLATED[:-9], "cut short"),
        (LAUNCH_DEFLATED[:-1] + bytes([LAUNCH_DEFLATED[-1] ^ 1]), "incorrect data check"),
        (LAUNCH_PACKED[:4], "frame header"),
        (LAUNCH_PACKED[:-9], "full frame"),
        (LAUNCH_PACKED + b"{", "unused data"),
        (LAUNCH_PACKED[:-1] + bytes([LAUNCH_PACKED[-1] ^ 1]), "checksum"),
    ],
)
def test_anything_else_is_refused(stored: bytes, problem: str) -> None:
    """Broken bytes are named as such, and never taken for a record."""
    with pytest.raises(ValueError, match=problem):
        unpack(stored)


@pytest.mark.parametrize("position", range(len(LAUNCH_PACKED)))
def test_no_broken_bit_makes_another_record(position: int) -> None:
    """Whichever bit of a stored document flips, it is refused or reads as it was."""
    for bit in range(8):
        stored = bytearray(LAUNCH_PACKED)
        stored[position] ^= 1 << bit
        with suppress(ValueError):
            assert unpack(bytes(stored)) == LAUNCH
