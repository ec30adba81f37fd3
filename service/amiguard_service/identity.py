"""Who is calling, and what they may call."""

from __future__ import annotations

import hmac
import re
import tomllib
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol

from amiguard_service.ledger import RULE_ACTOR
from amiguard_service.refusals import RoleMissingError, TokenInvalidError

MAX_TOKEN_LENGTH: Final = 4_096
"""Longest bearer token that is hashed: long enough for any, short enough to cost nothing."""

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PRINCIPAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}", re.ASCII)


class Role(StrEnum):
    """What a token may be used for. No role implies another."""

    INGEST = "ingest"
    READ = "read"
    RESPOND = "respond"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever makes a call, by the name the operator gave it."""

    name: str
    roles: frozenset[Role]


ANONYMOUS: Final = Principal("anonymous", frozenset(Role))
"""Everybody, on a server that asks for no credentials."""

SERVICE_ROLES: Final[Mapping[str, Role]] = MappingProxyType(
    {
        "amiguard.v1.FindingService": Role.READ,
        "amiguard.v1.IngestService": Role.INGEST,
        "amiguard.v1.SinkService": Role.ADMIN,
        "amiguard.v1.TuningService": Role.ADMIN,
    }
)
"""The role that each service asks for."""

RESPONDERS: Final = (Role.RESPOND, Role.ADMIN)
TUNING_READERS: Final = (Role.READ, Role.ADMIN)
METHOD_ROLES: Final[Mapping[str, tuple[Role, ...]]] = MappingProxyType(
    {
        f"amiguard.v1.FindingService/{method}": RESPONDERS
        for method in ("AcknowledgeFinding", "CloseFinding", "ReopenFinding", "UpdateFinding")
    }
    | {
        f"amiguard.v1.SinkService/{method}": TUNING_READERS
        for method in ("ListDeadLetters", "ListSinks")
    }
    | {
        f"amiguard.v1.TuningService/{method}": TUNING_READERS
        for method in (
            "GetAllowlistEntry",
            "GetRuleConfig",
            "GetTuningProgress",
            "ListAllowlistEntries",
            "ListImages",
            "ListRuleConfigs",
            "ListTuningChanges",
            "PreviewTuning",
        )
    }
)
"""Methods that ask for other roles than their service: one of these, the first before all."""

OPEN_SERVICES: Final = frozenset(
    {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
)
"""Services that tell nothing of what is stored: load balancers and tools ask them unasked."""

_CALLER: ContextVar[Principal] = ContextVar("caller")


def caller() -> Principal:
    """Returns who makes the call that is being served."""
    return _CALLER.get()


def set_caller(principal: Principal) -> None:
    """Says who makes the call that is being served."""
    _CALLER.set(principal)


class Authenticator(Protocol):
    """Knows callers by what they present."""

    def identify(self, metadata: Iterable[tuple[str, str | bytes]]) -> Principal:
        """Returns whose call this is; raises TokenInvalidError for nobody's."""


class Everybody:
    """Takes every call for an anonymous one: for a server that only its own machine can reach."""

    def identify(self, metadata: Iterable[tuple[str, str | bytes]]) -> Principal:
        """Returns ANONYMOUS."""
        del metadata
        return ANONYMOUS


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token, of which only the SHA-256 is known here."""

    principal: Principal
    digest: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Knows callers by their bearer tokens."""

    tokens: tuple[Token, ...]

    def identify(self, metadata: Iterable[tuple[str, str | bytes]]) -> Principal:
        """Returns whose token came with the call, in a time that does not depend on the token."""
        given = [value for key, value in metadata if key == "authorization"]
        if len(given) != 1:
            raise TokenInvalidError(got="no token" if not given else "several tokens")
        text = given[0].decode("latin-1") if isinstance(given[0], bytes) else given[0]
        scheme, _, secret = text.partition(" ")
        if scheme.lower() != "bearer" or not 0 < len(secret) <= MAX_TOKEN_LENGTH:
            raise TokenInvalidError(got="another kind of credentials")
        digest = sha256(secret.strip().encode()).digest()
        found = None
        for token in self.tokens:
            if hmac.compare_digest(token.digest, digest):
                found = token.principal
        if found is None:
            raise TokenInvalidError(got="an unknown token")
        return found


def authorize(principal: Principal, method: str) -> None:
    """Raises RoleMissingError unless the principal may call a method, `/package.Service/Method`."""
    name = method.strip("/")
    service = name.partition("/")[0]
    if service in OPEN_SERVICES:
        return
    role = SERVICE_ROLES.get(service)
    # A service that nobody gave a role to is nobody's to call.
    roles = METHOD_ROLES.get(name, () if role is None else (role,))
    if principal.roles.isdisjoint(roles):
        raise RoleMissingError(roles[0].value if roles else "none")


class TokenFileError(ValueError):
    """A token file cannot be used; the text says where and why, and never holds a digest."""


def read_tokens(path: Path) -> Tokens:
    """Reads a token file: TOML with a table `[[tokens]]` for each, of principal, sha256, roles.

    A principal may have several tokens, so that one can be replaced while the other still works.
    Raises TokenFileError, or OSError where there is no such file.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TokenFileError(f"got text that is no TOML ({error}), expected [[tokens]]") from None
    tables = document.pop("tokens", None)
    if document or not isinstance(tables, list) or not tables:
        raise TokenFileError("expected one or more tables [[tokens]] and nothing else")
    tokens = tuple(_read_token(table, f"tokens[{index}]") for index, table in enumerate(tables))
    if len({token.digest for token in tokens}) < len(tokens):
        raise TokenFileError("got one sha256 twice, expected a token for each table")
    return Tokens(tokens)


def _read_token(table: Any, place: str) -> Token:
    if not isinstance(table, dict) or table.keys() != {"principal", "sha256", "roles"}:
        raise TokenFileError(f"{place}: expected the keys principal, sha256 and roles")
    principal, digest, roles = table["principal"], table["sha256"], table["roles"]
    if not isinstance(principal, str) or not _PRINCIPAL.fullmatch(principal):
        raise TokenFileError(
            f"{place}.principal: expected 1 to 128 letters, digits and any of . _ @ -"
        )
    if principal == RULE_ACTOR:
        raise TokenFileError(f"{place}.principal: expected another name than that of the rule")
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
        raise TokenFileError(f"{place}.sha256: expected 64 lower-case hexadecimal digits")
    if not isinstance(roles, list) or not roles or not set(map(str, roles)) <= set(Role):
        raise TokenFileError(f"{place}.roles: expected a list of {', '.join(Role)}")
    known = frozenset(Role(role) for role in roles)
    return Token(Principal(principal, known), bytes.fromhex(digest))
