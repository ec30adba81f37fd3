"""Laws of who may call what: tokens, roles, and TLS on a server at work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from amiguard.v1 import finding_service_pb2, tuning_service_pb2
from amiguard.v1.finding_service_pb2_grpc import FindingServiceStub
from amiguard.v1.ingest_service_pb2_grpc import IngestServiceStub
from amiguard.v1.tuning_service_pb2_grpc import TuningServiceStub
from amiguard_service.config import ConfigError, load
from amiguard_service.engine import Engine
from amiguard_service.identity import (
    Principal,
    Role,
    Token,
    TokenFileError,
    Tokens,
    authorize,
    read_tokens,
)
from amiguard_service.refusals import RoleMissingError, TokenInvalidError
from amiguard_service.tls import Certificates, make_certificates, read_security
from tests.service.certificates import Authority
from tests.service.running import TIMEOUT, refusal, serving
from tests.service.talking import SEARCH, records

CALLS: dict[Role, Callable[[grpc.Channel, Any], Any]] = {
    Role.INGEST: lambda channel, metadata: IngestServiceStub(channel).SubmitBatch(
        _submission(), metadata=metadata, timeout=TIMEOUT
    ),
    Role.READ: lambda channel, metadata: FindingServiceStub(channel).GetFindings(
        finding_service_pb2.GetFindingsRequest(), metadata=metadata, timeout=TIMEOUT
    ),
    Role.ADMIN: lambda channel, metadata: TuningServiceStub(channel).UpdateRuleConfig(
        tuning_service_pb2.UpdateRuleConfigRequest(), metadata=metadata, timeout=TIMEOUT
    ),
}
"""A call of each service that asks for one role alone."""


def _submission() -> Any:
    from amiguard.v1.ingest_service_pb2 import SubmitBatchRequest

    return SubmitBatchRequest(source="tests", batch=records(SEARCH))


def token(name: str, *roles: Role) -> Token:
    """A token whose text is the name of its principal."""
    return Token(Principal(name, frozenset(roles)), sha256(name.encode()).digest())


TOKENS = Tokens(tuple(token(role.value, role) for role in Role))
"""For each role a token that has it alone, and is called as it is."""


def bearing(text: str) -> tuple[tuple[str, str], ...]:
    """Metadata with a bearer token."""
    return (("authorization", f"Bearer {text}"),)


def test_a_token_identifies_its_principal() -> None:
    """Whoever presents a token is its principal, whatever the case of the scheme."""
    principals = [
        TOKENS.identify((("authorization", f"{scheme} read"),)) for scheme in ("Bearer", "bearer")
    ]

    assert [Principal("read", frozenset({Role.READ}))] * 2 == principals


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", "Bearer nobody"),),
        (("authorization", "Bearer "),),
        (("authorization", "read"),),
        (("authorization", "Basic read"),),
        (("authorization", "Bearer " + "x" * 5_000),),
        (("authorization", "Bearer read"), ("authorization", "Bearer admin")),
        (("x-authorization", "Bearer read"),),
    ],
)
def test_anything_but_one_known_token_is_nobody(metadata: tuple[tuple[str, str], ...]) -> None:
    """No token, an unknown one, two at once and other kinds of credentials are refused alike."""
    with pytest.raises(TokenInvalidError):
        TOKENS.identify(metadata)


def test_no_token_is_told(tmp_path: Path) -> None:
    """Neither the text of a token nor its digest is in what is logged or shown."""
    shown = repr(TOKENS)

    assert sha256(b"read").hexdigest() not in shown
    assert str(sha256(b"read").digest()) not in shown
    del tmp_path


def test_a_service_without_a_role_is_nobodys() -> None:
    """A service that nobody was given is closed to everybody."""
    everything = Principal("root", frozenset(Role))

    with pytest.raises(RoleMissingError):
        authorize(everything, "amiguard.v1.NewService/Method")


@pytest.mark.parametrize("role", CALLS)
@pytest.mark.parametrize("presented", Role)
def test_a_role_opens_its_service_alone(engine: Engine, role: Role, presented: Role) -> None:
    """A call is served exactly where the token has the role of its service."""
    with serving(engine, authenticator=TOKENS) as running:
        code = grpc.StatusCode.OK
        try:
            CALLS[role](running.channel, bearing(presented.value))
        except grpc.RpcError as error:
            told = refusal(error)
            code = told.code
            if code is grpc.StatusCode.PERMISSION_DENIED:
                assert ("ROLE_MISSING", {"role": role.value}) == (told.reason, told.metadata)

    assert (presented is not role) == (code is grpc.StatusCode.PERMISSION_DENIED)


@pytest.mark.parametrize("role", CALLS)
def test_without_a_token_nothing_is_served(engine: Engine, role: Role) -> None:
    """A server with tokens serves nobody who has none."""
    with serving(engine, authenticator=TOKENS) as running, pytest.raises(grpc.RpcError) as caught:
        CALLS[role](running.channel, None)
    told = refusal(caught.value)

    assert (told.code, told.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")


def test_health_is_open_to_all(engine: Engine) -> None:
    """A load balancer asks for the health of a server without a token."""
    with serving(engine, authenticator=TOKENS) as running:
        health = health_pb2_grpc.HealthStub(running.channel)
        response = health.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT)

    assert response.status == health_pb2.HealthCheckResponse.SERVING


GOOD = f"""
[[tokens]]
principal = "forwarder"
sha256 = "{sha256(b"one").hexdigest()}"
roles = ["ingest"]

[[tokens]]
principal = "soar@example.com"
sha256 = "{sha256(b"two").hexdigest()}"
roles = ["read", "respond"]
"""


def test_a_token_file_is_read(tmp_path: Path) -> None:
    """A token file gives each digest its principal and roles."""
    path = tmp_path / "tokens.toml"
    path.write_text(GOOD, encoding="utf-8")

    tokens = read_tokens(path)

    assert Principal("forwarder", frozenset({Role.INGEST})) == tokens.identify(bearing("one"))
    assert tokens.identify(bearing("two")).name == "soar@example.com"


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("[[tokens]]", "[[token]]", "tokens"),
        ('principal = "forwarder"', "", "tokens[0]"),
        ('principal = "forwarder"', 'principal = "forwarder"\nextra = 1', "tokens[0]"),
        ('"forwarder"', '""', "tokens[0].principal"),
        ('"forwarder"', "7", "tokens[0].principal"),
        (sha256(b"one").hexdigest(), "one", "tokens[0].sha256"),
        (sha256(b"one").hexdigest(), sha256(b"one").hexdigest().upper(), "tokens[0].sha256"),
        (sha256(b"two").hexdigest(), sha256(b"one").hexdigest(), "twice"),
        ('["ingest"]', "[]", "tokens[0].roles"),
        ('["ingest"]', '["root"]', "tokens[0].roles"),
        ('["ingest"]', '"ingest"', "tokens[0].roles"),
        ("[[tokens]]", "[tokens", "TOML"),
    ],
)
def test_a_wrong_token_file_says_where(tmp_path: Path, old: str, new: str, place: str) -> None:
    """What is wrong in a token file is named by its place, and no digest is told."""
    path = tmp_path / "tokens.toml"
    path.write_text(GOOD.replace(old, new), encoding="utf-8")

    with pytest.raises(TokenFileError) as caught:
        read_tokens(path)

    assert place in str(caught.value)
    assert sha256(b"one").hexdigest() not in str(caught.value)


@dataclass(frozen=True)
class Files:
    """The files of a secured server, and the authority behind its certificates."""

    settings: dict[str, str]
    authority: Authority


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A certificate of this machine, its key, the authority's certificate, and tokens."""
    authority = Authority("tests")
    identity = authority.issue("127.0.0.1")
    contents = {
        "tls_certificate": identity.certificate,
        "tls_key": identity.key,
        "tls_client_ca": authority.certificate,
        "tokens": GOOD.encode(),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return Files({name: str(tmp_path / name) for name in contents}, authority)


@contextmanager
def secured(engine: Engine, settings: dict[str, str]) -> Iterator[str]:
    """Serves with TLS and gives the address."""
    with secured_with(engine, settings) as (target, _):
        yield target


@contextmanager
def secured_with(engine: Engine, settings: dict[str, str]) -> Iterator[tuple[str, Certificates]]:
    """Serves with TLS and gives the address, and what connections begin with."""
    effective = load({"listen": "127.0.0.1:0", **settings}, {})
    security = read_security(effective)
    certificates = make_certificates(effective, security)
    assert certificates is not None
    with serving(
        engine, authenticator=security.authenticator, credentials=certificates.credentials
    ) as running:
        yield running.target, certificates


def test_tls_carries_calls_with_a_token(engine: Engine, files: Files) -> None:
    """A client that trusts the authority and has a token is served."""
    settings = {k: v for k, v in files.settings.items() if k != "tls_client_ca"}
    trust = grpc.ssl_channel_credentials(files.authority.certificate)

    with secured(engine, settings) as target, grpc.secure_channel(target, trust) as channel:
        response = CALLS[Role.READ](channel, bearing("two"))

    assert list(response.findings) == []


def test_another_certificate_takes_the_place_of_one(engine: Engine, files: Files) -> None:
    """New connections begin with it; those that stand go on, and so does their call."""
    settings = {k: v for k, v in files.settings.items() if k != "tls_client_ca"}
    before = grpc.ssl_channel_credentials(files.authority.certificate)
    other = Authority("others")
    issued = other.issue("127.0.0.1")
    options = [("grpc.use_local_subchannel_pool", 1)]

    with (
        secured_with(engine, settings) as (target, certificates),
        grpc.secure_channel(target, before) as standing,
    ):
        CALLS[Role.READ](standing, bearing("two"))
        Path(settings["tls_certificate"]).write_bytes(issued.certificate)
        Path(settings["tls_key"]).write_bytes(issued.key)
        fresh = read_security(load({"listen": "127.0.0.1:0", **settings}, {})).configuration
        assert fresh is not None
        certificates.replace(fresh)

        trust = grpc.ssl_channel_credentials(other.certificate)
        with grpc.secure_channel(target, trust, options) as channel:
            CALLS[Role.READ](channel, bearing("two"))
        CALLS[Role.READ](standing, bearing("two"))
        with (
            grpc.secure_channel(target, before, options) as old,
            pytest.raises(grpc.RpcError, match="UNAVAILABLE"),
        ):
            CALLS[Role.READ](old, bearing("two"))


def test_plain_text_is_not_served(engine: Engine, files: Files) -> None:
    """A server with TLS answers nobody in plain text."""
    settings = {k: v for k, v in files.settings.items() if k != "tls_client_ca"}

    with (
        secured(engine, settings) as target,
        grpc.insecure_channel(target) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        CALLS[Role.READ](channel, bearing("two"))

    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


def test_a_client_authority_asks_for_a_certificate(engine: Engine, files: Files) -> None:
    """With a client authority only clients with a certificate of it are served."""
    mine = files.authority.issue("client")
    foreign = Authority("others").issue("client")
    root = files.authority.certificate
    own = grpc.ssl_channel_credentials(root, mine.key, mine.certificate)
    others = [
        grpc.ssl_channel_credentials(root, foreign.key, foreign.certificate),
        grpc.ssl_channel_credentials(root),
    ]

    with secured(engine, files.settings) as target:
        with grpc.secure_channel(target, own) as channel:
            response = CALLS[Role.READ](channel, bearing("two"))
        for credentials in others:
            with (
                grpc.secure_channel(target, credentials) as channel,
                pytest.raises(grpc.RpcError, match="UNAVAILABLE"),
            ):
                CALLS[Role.READ](channel, bearing("two"))

    assert list(response.findings) == []


@pytest.mark.parametrize("name", ["tls_certificate", "tls_key", "tls_client_ca", "tokens"])
@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_a_wrong_file_stops_the_start(files: Files, name: str, content: bytes | None) -> None:
    """A file that is missing or cannot be used stops the start with its setting and path."""
    path = Path(files.settings[name])
    path.unlink()
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigError) as caught:
        read_security(load(files.settings, {}))

    named = {name, "tls_certificate"} if name == "tls_key" else {name}
    assert caught.value.name in named
    assert files.settings[caught.value.name] in str(caught.value)


def test_a_key_of_another_certificate_stops_the_start(files: Files) -> None:
    """A certificate and a key that do not belong together are noticed before anybody connects."""
    Path(files.settings["tls_key"]).write_bytes(files.authority.issue("other").key)

    with pytest.raises(ConfigError) as caught:
        read_security(load(files.settings, {}))

    assert "tls_key belongs to" in str(caught.value)
