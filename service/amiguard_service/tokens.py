"""Page tokens: where a list goes on, sealed so that nobody but this service can write one.

A token is authenticated, not encrypted: it holds the sort values of a row the caller has seen.
Its form is `base64url(version || HMAC-SHA256 || position as MessagePack)`, without padding.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, TypeAlias

import msgspec

Position: TypeAlias = tuple[int | str | None, ...]
"""The sort values of the last row of a page. Integers are of 64 bits."""

MIN_KEY_BYTES: Final = 32
"""The size of the digest: a shorter HMAC-SHA256 key would be the weakest part (RFC 2104)."""

_CONTEXT = b"amiguard page token"
_VERSION = b"\x01"
_MAC_BYTES = 32
_POSITIONS = msgspec.msgpack.Decoder(Position)


class PageTokenMismatch(ValueError):  # noqa: N818  named as its ErrorReason
    """A page token was not issued here, for this call and these arguments.

    `call` names the call that got it. Which of these it was is not said: a forger learns nothing.
    """

    def __init__(self, call: str) -> None:
        super().__init__(
            f"got a page token of another call or other arguments, expected one that {call} "
            "returned for the same arguments"
        )
        self.call = call


@dataclass(frozen=True, slots=True)
class PageTokens:
    """Seals and opens page tokens.

    The first key seals, every key opens: put a new key in front, and drop the old one when no
    client pages with its tokens any more. Replicas that share their keys open each other's tokens.
    """

    keys: tuple[bytes, ...] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.keys:
            message = "page token keys: got none, expected at least one"
            raise ValueError(message)
        for index, key in enumerate(self.keys):
            if len(key) < MIN_KEY_BYTES:
                message = (
                    f"page token key {index}: got {len(key)} bytes, "
                    f"expected at least {MIN_KEY_BYTES}"
                )
                raise ValueError(message)

    def seal(self, call: str, arguments: bytes, position: Position) -> str:
        """Returns the token that opens to `position` for this call and these arguments alone.

        `arguments` is any canonical form of whatever has to stay the same from page to page.
        """
        payload = msgspec.msgpack.encode(position)
        mac = _authenticate(self.keys[0], call, arguments, payload)
        return _encode(_VERSION + mac + payload)

    def open(self, call: str, arguments: bytes, token: str) -> Position:
        """Returns the position sealed in `token`, or raises PageTokenMismatch."""
        sealed = _decode(token)
        head = len(_VERSION) + _MAC_BYTES
        mac, payload = sealed[len(_VERSION) : head], sealed[head:]
        if not sealed.startswith(_VERSION) or not any(
            hmac.compare_digest(mac, _authenticate(key, call, arguments, payload))
            for key in self.keys
        ):
            raise PageTokenMismatch(call)
        try:
            return _POSITIONS.decode(payload)
        except msgspec.DecodeError:
            # Ours, but from a release that sealed something else under the same version.
            raise PageTokenMismatch(call) from None


def _authenticate(key: bytes, call: str, arguments: bytes, payload: bytes) -> bytes:
    """Returns the MAC over everything a token is bound to, each part of known length."""
    name = call.encode()
    bound = (
        _CONTEXT,
        _VERSION,
        len(name).to_bytes(4),
        name,
        sha256(arguments).digest(),
        payload,
    )
    return hmac.digest(key, b"".join(bound), "sha256")


def _encode(sealed: bytes) -> str:
    return urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")


def _decode(token: str) -> bytes:
    """Returns the bytes of a token, nothing where the token is not exactly how we write them."""
    try:
        sealed = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        return b""
    # The decoder skips foreign characters and ignores the spare bits of the last one; without
    # this comparison several texts would open as one token.
    return sealed if _encode(sealed) == token else b""
