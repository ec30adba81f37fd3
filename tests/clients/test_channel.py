"""Connections: credentials, deadlines and repeats."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from amiguard.v1 import finding_pb2
from amiguard.v1.finding_service_pb2_grpc import add_FindingServiceServicer_to_server
from amiguard_client import Client, ClientCertificate, UnreachableError, connect
from tests.clients.scripted_server import Findings, ScriptedServer, status


def test_token_goes_with_every_call(server: ScriptedServer) -> None:
    """A token is sent as a bearer token, on streams and single calls alike."""
    server.findings.findings = [finding_pb2.Finding(name="findings/f")]

    with connect(server.target, insecure=True, token="secret") as client:
        client.get_finding("f")
        client.submit([], source="test")

    assert server.findings.metadata[0]["authorization"] == "Bearer secret"
    assert server.ingest.metadata[0]["authorization"] == "Bearer secret"


def test_without_a_token_nothing_is_sent(server: ScriptedServer, client: Client) -> None:
    """A client without a token claims nothing."""
    client.submit([], source="test")

    assert "authorization" not in server.ingest.metadata[0]


def test_reads_outlive_a_moment_of_absence(server: ScriptedServer, client: Client) -> None:
    """A read is repeated while the server is unavailable, a few times."""
    server.findings.findings = [finding_pb2.Finding(name="findings/f")]
    server.findings.failure = status(grpc.StatusCode.UNAVAILABLE, "restarting")
    server.findings.failures_left = 2

    finding = client.get_finding("f")

    assert finding.name == "findings/f"
    assert len(server.findings.requests) == 3


def test_call_ends_at_its_timeout() -> None:
    """A server that accepts and says nothing is given up, as unreachable, at the timeout."""
    timeout = timedelta(milliseconds=100)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        with (
            connect(target, insecure=True, timeout=timeout) as client,
            pytest.raises(UnreachableError) as raised,
        ):
            client.get_finding("f")

    assert raised.value.code == "DEADLINE_EXCEEDED"


def test_encrypted_connection_to_a_plain_server_fails(server: ScriptedServer) -> None:
    """A client encrypts unless told otherwise, and falls back to nothing."""
    with connect(server.target) as client, pytest.raises(UnreachableError):
        client.get_finding("f")

    assert server.findings.requests == []


def test_certificates_contradict_insecure() -> None:
    """Certificates for a connection that uses none are a mistake, said at once."""
    certificate = ClientCertificate(chain=b"", private_key=b"")

    with pytest.raises(ValueError, match="insecure"):
        connect("localhost:1", insecure=True, client_certificate=certificate)


def test_certificates_prove_both_sides() -> None:
    """A client that trusts the server's root, and brings a certificate, is served."""
    authority = self_signed_certificate("localhost")
    service = Findings()  # type: ignore[abstract]  # no test calls the other methods
    service.findings = [finding_pb2.Finding(name="findings/f")]
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    add_FindingServiceServicer_to_server(service, server)
    credentials = grpc.ssl_server_credentials(
        [(authority.private_key, authority.chain)],
        root_certificates=authority.chain,
        require_client_auth=True,
    )
    port = server.add_secure_port("localhost:0", credentials)
    server.start()
    target = f"localhost:{port}"

    with connect(target, root_certificates=authority.chain, client_certificate=authority) as client:
        found = client.get_finding("f")
    with (
        connect(target, root_certificates=authority.chain) as anonymous,
        pytest.raises(UnreachableError),
    ):
        anonymous.get_finding("f")
    server.stop(grace=None).wait(timeout=30)

    assert found.name == "findings/f"


def self_signed_certificate(host: str) -> ClientCertificate:
    """Returns a certificate for a host that vouches for itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    start = datetime(2020, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return ClientCertificate(
        chain=certificate.public_bytes(serialization.Encoding.PEM),
        private_key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def test_token_in_plain_text_stays_on_this_machine() -> None:
    """Anybody on the way could read it."""
    with pytest.raises(ValueError, match="expected TLS"):
        connect("amiguard.example.com:7443", insecure=True, token="secret")
