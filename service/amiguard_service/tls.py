"""The files of TLS and of bearer tokens, checked before anybody is served with them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from amiguard_service.config import Effective, check_security
from amiguard_service.identity import Authenticator, Everybody, TokenFileError, read_tokens


class Certificates:
    """The certificate that connections begin with; another one can take its place at any time.

    `credentials` are for a server. Connections that stand keep what they began with.
    """

    def __init__(self, configuration: grpc.ServerCertificateConfiguration, *, asks: bool) -> None:
        """Takes what connections begin with; `asks` has each client show a certificate too."""
        self._next: grpc.ServerCertificateConfiguration | None = None
        self.credentials = grpc.dynamic_ssl_server_credentials(
            configuration,
            self._take_next,  # type: ignore[arg-type]  # None where nothing has changed
            require_client_authentication=asks,
        )

    def replace(self, configuration: grpc.ServerCertificateConfiguration) -> None:
        """Has connections begin with another one from now on."""
        self._next = configuration

    def _take_next(self) -> grpc.ServerCertificateConfiguration | None:
        """Returns what has changed since the last connection; gRPC asks before each."""
        taken, self._next = self._next, None
        return taken


@dataclass(frozen=True, slots=True)
class Security:
    """Who may come in, as the files said when they were read."""

    authenticator: Authenticator
    configuration: grpc.ServerCertificateConfiguration | None


def read_security(effective: Effective) -> Security:
    """Reads the files of TLS and tokens.

    Raises ConfigError for settings that are not safe and for a file that cannot be used.
    """
    check_security(effective)
    if effective.settings.insecure:
        return Security(Everybody(), None)
    return Security(_make_authenticator(effective), _make_configuration(effective))


def make_certificates(effective: Effective, security: Security) -> Certificates | None:
    """Returns what connections begin with, None on a server without TLS."""
    if security.configuration is None:
        return None
    asks = effective.settings.tls_client_ca is not None
    return Certificates(security.configuration, asks=asks)


def _make_authenticator(effective: Effective) -> Authenticator:
    path = effective.settings.tokens
    assert path is not None  # noqa: S101 - `check_security` lets no other settings pass
    try:
        return read_tokens(path)
    except OSError as error:
        raise effective.error("tokens", expected=f"a readable file ({error.strerror})") from None
    except TokenFileError as error:
        raise effective.error("tokens", expected=f"a token file ({error})") from None


def _make_configuration(effective: Effective) -> grpc.ServerCertificateConfiguration:
    settings = effective.settings
    certificate = _read(effective, "tls_certificate", settings.tls_certificate)
    key = _read(effective, "tls_key", settings.tls_key)
    authorities = None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # gRPC would take a broken pair and then refuse each connection.
        context.load_cert_chain(settings.tls_certificate or "", settings.tls_key, password=str)
    except (ssl.SSLError, ValueError):
        raise effective.error(
            "tls_certificate", expected="a PEM certificate chain that tls_key belongs to"
        ) from None
    if settings.tls_client_ca is not None:
        authorities = _read(effective, "tls_client_ca", settings.tls_client_ca)
        try:
            context.load_verify_locations(settings.tls_client_ca)
        except ssl.SSLError:
            raise effective.error("tls_client_ca", expected="PEM certificates") from None
    return grpc.ssl_server_certificate_configuration(
        [(key, certificate)], root_certificates=authorities
    )


def _read(effective: Effective, name: str, path: Path | None) -> bytes:
    assert path is not None  # noqa: S101 - `check_security` lets no other settings pass
    try:
        return path.read_bytes()
    except OSError as error:
        raise effective.error(name, expected=f"a readable file ({error.strerror})") from None
