"""Laws of page tokens."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from amiguard_service.tokens import MIN_KEY_BYTES, PageTokenMismatch, PageTokens, Position

CALL = "amiguard.v1.FindingService/GetFindings"
ARGUMENTS = b"state = OPEN\0update_time desc"
POSITION: Position = (1_740_747_600_000_000, "findings/0f", None)
TOKENS = PageTokens((b"k" * MIN_KEY_BYTES,))

keys = st.binary(min_size=MIN_KEY_BYTES, max_size=64)
positions = st.lists(st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(), max_size=6).map(
    tuple
)


@settings(deadline=None)
@given(key=keys, call=st.text(), arguments=st.binary(), position=positions)
def test_sealed_position_opens_as_it_was(
    key: bytes, call: str, arguments: bytes, position: Position
) -> None:
    """A token opens, for the same call and arguments, to the position that was sealed."""
    tokens = PageTokens((key,))
    token = tokens.seal(call, arguments, position)

    opened = tokens.open(call, arguments, token)

    assert [(type(value), value) for value in opened] == [
        (type(value), value) for value in position
    ]


@settings(deadline=None)
@given(position=positions)
def test_token_needs_no_escaping(position: Position) -> None:
    """A token holds letters, digits, `-` and `_` alone, so that it fits a URL as it is."""
    token = TOKENS.seal(CALL, ARGUMENTS, position)

    assert token.isascii()
    assert token.replace("-", "").replace("_", "").isalnum()


def test_form_of_token_is_the_same_in_every_release() -> None:
    """Replicas of two releases that serve at once open each other's tokens."""
    token = "ASBWQZeX_tns6PbY8pNqsSLXHzKLGOSTqVYnLWe15nRmk88ABi8zYld0AKtmaW5kaW5ncy8wZsA"

    assert token == TOKENS.seal(CALL, ARGUMENTS, POSITION)
    assert TOKENS.open(CALL, ARGUMENTS, token) == POSITION


@settings(deadline=None, max_examples=10)
@given(position=positions)
def test_any_flipped_bit_of_text_is_refused(position: Position) -> None:
    """No two texts open as one token: a change of one bit of the text is always refused."""
    token = TOKENS.seal(CALL, ARGUMENTS, position)
    flipped = [
        token[:index] + chr(ord(character) ^ 1 << bit) + token[index + 1 :]
        for index, character in enumerate(token)
        for bit in range(8)
    ]

    opened = [text for text in flipped if opens(TOKENS, text)]

    assert opened == []


@settings(deadline=None, max_examples=10)
@given(position=positions)
def test_any_flipped_bit_of_content_is_refused(position: Position) -> None:
    """Version, code and position are all authenticated, to the last bit."""
    sealed = urlsafe_b64decode(padded(TOKENS.seal(CALL, ARGUMENTS, position)))
    flipped = [
        (int.from_bytes(sealed) ^ 1 << bit).to_bytes(len(sealed)) for bit in range(8 * len(sealed))
    ]

    opened = [content for content in flipped if opens(TOKENS, unpadded(content))]

    assert opened == []


@settings(deadline=None, max_examples=20)
@given(position=positions)
def test_truncated_or_extended_token_is_refused(position: Position) -> None:
    """A token opens whole or not at all."""
    token = TOKENS.seal(CALL, ARGUMENTS, position)
    others = [token[:length] for length in range(len(token))]
    others += [token[start:] for start in range(1, len(token))]
    others += [token + end for end in ("A", "=", "==", "AAAA", "\n", " ", token)]

    opened = [text for text in others if opens(TOKENS, text)]

    assert opened == []


@settings(deadline=None)
@given(content=st.binary())
def test_content_without_our_code_is_refused(content: bytes) -> None:
    """Well-formed text that nobody sealed is a mismatch and never another error."""
    assert not opens(TOKENS, unpadded(content))
    assert not opens(TOKENS, unpadded(b"\x01" + content))


@settings(deadline=None)
@given(token=st.text())
def test_any_text_is_refused(token: str) -> None:
    """Garbage is a mismatch and never another error."""
    with pytest.raises(PageTokenMismatch):
        TOKENS.open(CALL, ARGUMENTS, token)


@settings(deadline=None)
@given(call=st.text(), arguments=st.binary())
def test_token_of_other_request_is_refused(call: str, arguments: bytes) -> None:
    """A token opens only for the call and the arguments it was sealed for."""
    assume((call, arguments) != (CALL, ARGUMENTS))
    token = TOKENS.seal(CALL, ARGUMENTS, POSITION)

    with pytest.raises(PageTokenMismatch) as caught:
        TOKENS.open(call, arguments, token)

    assert caught.value.call == call


def test_bytes_do_not_move_between_call_and_arguments() -> None:
    """A call and arguments that read the same when joined are two different requests."""
    token = TOKENS.seal("List", b"Allfindings", POSITION)

    with pytest.raises(PageTokenMismatch):
        TOKENS.open("ListAll", b"findings", token)


@settings(deadline=None)
@given(old=keys, new=keys)
def test_rotation_keeps_tokens_of_old_key_open(old: bytes, new: bytes) -> None:
    """The first key seals, every key opens, and a dropped key opens nothing."""
    assume(old != new)
    before = PageTokens((old,)).seal(CALL, ARGUMENTS, POSITION)
    both = PageTokens((new, old))
    after = both.seal(CALL, ARGUMENTS, POSITION)

    assert both.open(CALL, ARGUMENTS, before) == POSITION
    assert both.open(CALL, ARGUMENTS, after) == POSITION
    assert after == PageTokens((new,)).seal(CALL, ARGUMENTS, POSITION)
    assert not opens(PageTokens((new,)), before)


def test_release_that_sealed_other_values_is_refused() -> None:
    """A position of values that are none of ours is a mismatch, although its code is right."""
    token = TOKENS.seal(CALL, ARGUMENTS, (True,))

    with pytest.raises(PageTokenMismatch):
        TOKENS.open(CALL, ARGUMENTS, token)


def test_short_key_is_refused() -> None:
    """A key below the size of the digest stops the start, and the error does not hold the key."""
    short = b"s" * (MIN_KEY_BYTES - 1)

    with pytest.raises(ValueError, match="page token key 1: got 31 bytes, expected at least 32"):
        PageTokens((b"k" * MIN_KEY_BYTES, short))


def test_no_key_is_refused() -> None:
    """Without a key there is nothing to seal with."""
    with pytest.raises(ValueError, match="got none, expected at least one"):
        PageTokens(())


def test_keys_stay_out_of_representation() -> None:
    """What may end up in a log line does not hold a key."""
    assert repr(TOKENS) == "PageTokens()"


def opens(tokens: PageTokens, token: str) -> bool:
    """Whether the token opens for the request of this module."""
    try:
        tokens.open(CALL, ARGUMENTS, token)
    except PageTokenMismatch:
        return False
    return True


def padded(token: str) -> str:
    """The token as the standard library's decoder wants it."""
    return token + "=" * (-len(token) % 4)


def unpadded(content: bytes) -> str:
    """The content as a token writes it."""
    return urlsafe_b64encode(content).rstrip(b"=").decode()
