"""The files of TLS and of bearer tokens, checked before anybody is served with them."""

from __future__ import annotations

import ssl
from pathlib import Path

import grpc

from amiguard_service.config import Effective, check_security
from amiguard_service.identity import Authenticator, Everybody, TokenFileError, read_tokens
from amiguard_service.server import Listener


def make_listener(effective: Effective) -> Listener:
    """Returns where and to whom to listen.

    Raises ConfigError for settings that are not safe and for a file that cannot be used.
    """
    check_security(effective)
    settings = effective.settings
    if settings.insecure:
        return Listener(settings.listen, Everybody())
    return Listener(
        settings.listen, _make_authenticator(effective), credentials=_make_credentials(effective)
    )


def _make_authenticator(effective: Effective) -> Authenticator:
    path = effective.settings.tokens
    assert path is not None  # noqa: S101 - `check_security` lets no other settings pass
    try:
        return read_tokens(path)
    except OSError as error:
        raise effective.error("tokens", expected=f"a readable file ({error.strerror})") from None
    except TokenFileError as error:
        raise effective.error("tokens", expected=f"a token file ({error})") from None


def _make_credentials(effective: Effective) -> grpc.ServerCredentials:
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
    return grpc.ssl_server_credentials(
        [(key, certificate)],
        root_certificates=authorities,
        require_client_auth=authorities is not None,
    )


def _read(effective: Effective, name: str, path: Path | None) -> bytes:
    assert path is not None  # noqa: S101 - `check_security` lets no other settings pass
    try:
        return path.read_bytes()
    except OSError as error:
        raise effective.error(name, expected=f"a readable file ({error.strerror})") from None
