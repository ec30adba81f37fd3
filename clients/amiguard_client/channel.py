"""A connection to one server, and the options every call over it shares."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar

import grpc

from amiguard_client._status import error_of
from amiguard_client.options import is_loopback

if TYPE_CHECKING:
    from amiguard_client.client import Client

DEFAULT_TIMEOUT = timedelta(seconds=30)
MAX_RECEIVE_BYTES = 64 * 1024 * 1024
"""Longest answer that is read: 500 findings, each with its 20 occurrences, are about 10 MiB."""

_RETRIED_CALLS = {
    "amiguard.v1.FindingService": (
        "GetCoverage",
        "GetFinding",
        "GetFindings",
        "ListFindingHistory",
        "ListOccurrences",
    ),
    "amiguard.v1.IngestService": ("SubmitBatch",),
    "amiguard.v1.SinkService": ("ListDeadLetters", "ListSinks", "RetryDeadLetters"),
    "amiguard.v1.TuningService": (
        "CreateAllowlistEntry",
        "GetAllowlistEntry",
        "GetRuleConfig",
        "GetTuningProgress",
        "ListAllowlistEntries",
        "ListImages",
        "ListRuleConfigs",
        "ListTuningChanges",
        "PreviewTuning",
    ),
}
"""Calls that may be repeated without harm: they read, a record sent twice counts once, and so does
an entry created with a request id."""
_SERVICE_CONFIG = {
    # Every address of the target is used, so that a stream leaves a replica that drains.
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [
                {"service": service, "method": method}
                for service, methods in _RETRIED_CALLS.items()
                for method in methods
            ],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}
_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.max_receive_message_length", MAX_RECEIVE_BYTES),
    # The server's limits decide what may be sent; the client learns them and keeps them.
    ("grpc.max_send_message_length", -1),
    # A server with default settings closes connections that ping more often than every 5 minutes.
    # Submissions notice a dead peer sooner, by the acks that do not come.
    ("grpc.keepalive_time_ms", 300_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # A restart takes seconds; the default of up to 2 minutes between attempts outlasts it by far.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)

_RequestT_contra = TypeVar("_RequestT_contra", contravariant=True)
_ResponseT_co = TypeVar("_ResponseT_co", covariant=True)


class UnaryCall(Protocol[_RequestT_contra, _ResponseT_co]):
    """A unary method of a generated stub."""

    def __call__(
        self,
        request: _RequestT_contra,
        timeout: float | None = None,
        metadata: tuple[tuple[str, str], ...] | None = None,
    ) -> _ResponseT_co:
        """Calls the server."""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate chain and its private key, both PEM, that prove who the client is."""

    chain: bytes
    private_key: bytes


@dataclass(frozen=True, slots=True)
class Connection:
    """A channel with what goes along on each call. Safe to share between threads."""

    target: str
    channel: grpc.Channel
    metadata: tuple[tuple[str, str], ...]
    timeout: timedelta

    def call(
        self, method: UnaryCall[_RequestT_contra, _ResponseT_co], request: _RequestT_contra
    ) -> _ResponseT_co:
        """Returns the answer of a unary method; raises an AmiguardError where there is none."""
        try:
            return method(request, self.timeout.total_seconds(), self.metadata)
        except grpc.RpcError as failure:
            raise error_of(failure, target=self.target) from failure

    def close(self) -> None:
        """Ends every call over the connection."""
        self.channel.close()


def connect(
    target: str,
    *,
    insecure: bool = False,
    root_certificates: bytes | None = None,
    client_certificate: ClientCertificate | None = None,
    token: str | None = None,
    timeout: timedelta = DEFAULT_TIMEOUT,
) -> Client:
    """Returns a client of the server at `target`, for use in a `with` statement.

    The connection is made by the first call, so a server that is not there is noticed then. It is
    encrypted, and the server's certificate is checked against `root_certificates` (PEM; those of
    the system where None), unless `insecure`. `token` is sent with each call as a bearer token.
    Over an insecure connection anybody on the way could read it, so that is refused with a
    ValueError for a server that is not on this machine. The proxy that `grpc_proxy`,
    `https_proxy` or `http_proxy` names is used, but never to this machine itself. `timeout` bounds
    each call but a submission, which has bounds of its own.
    """
    from amiguard_client.client import Client

    if insecure and (root_certificates or client_certificate):
        raise ValueError("got certificates for an insecure connection, expected one or the other")
    if insecure and token and not is_loopback(target):
        raise ValueError(
            f"got a token and insecure for {target}, expected TLS: anybody on the way could read it"
        )
    channel = _open_channel(
        target,
        None
        if insecure
        else grpc.ssl_channel_credentials(
            root_certificates=root_certificates,
            private_key=client_certificate.private_key if client_certificate else None,
            certificate_chain=client_certificate.chain if client_certificate else None,
        ),
    )
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    return Client(Connection(target, channel, metadata, timeout))


def _open_channel(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    # Through a proxy a call would leave this machine, in plain text and with its token.
    options = (*_OPTIONS, ("grpc.enable_http_proxy", int(not is_loopback(target))))
    if credentials is None:
        return grpc.insecure_channel(target, options=options)
    return grpc.secure_channel(target, credentials, options=options)
