"""Laws of the options that integrations take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from amiguard_client.options import MAX_TOKEN_LENGTH, OptionError, open_client
from tests.clients.scripted_server import ScriptedServer
from tests.service.certificates import Authority


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"server": ""}, "server: got none, expected HOST:PORT"),
        ({"token": "a", "token_file": "b"}, "token_file: got one beside token"),
        ({"insecure": True, "ca": "c"}, "ca: got one beside insecure"),
        (
            {"server": "amiguard.example.com:7443", "insecure": True},
            "insecure: got it for amiguard.example.com:7443, expected it for a loopback address",
        ),
        ({"ca": "/no/such/file"}, "ca: cannot read /no/such/file: No such file"),
        ({"token_file": "/no/such/file"}, "token_file: cannot read /no/such/file: No such file"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], message: str) -> None:
    """An option that cannot be is refused with its name, what was got and what was expected."""
    with pytest.raises(OptionError) as caught:
        open_client(**{"server": "127.0.0.1:1", **options})

    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"two\nlines\n", b"\xff\xfe", b"x" * (MAX_TOKEN_LENGTH + 1)]
)
def test_a_file_that_holds_no_token_is_refused(content: bytes, tmp_path: Path) -> None:
    """A file that is empty, long or not one line of ASCII was given by mistake; it is not shown."""
    path = tmp_path / "token"
    path.write_bytes(content)

    with pytest.raises(OptionError) as caught:
        open_client("127.0.0.1:1", token_file=str(path), insecure=True)

    assert str(caught.value) == f"token_file: got no token in {path}, expected one line of ASCII"


def test_a_token_is_sent_as_its_file_has_it_now(server: ScriptedServer, tmp_path: Path) -> None:
    """Each client reads the token anew, without the end of its line."""
    path = tmp_path / "token"
    sent = []
    for token in ("first", "second"):
        path.write_text(f"{token}\n")
        with open_client(server.target, token_file=str(path), insecure=True) as client:
            sent.append(client.connection.metadata)

    assert sent == [(("authorization", f"Bearer {t}"),) for t in ("first", "second")]


def test_certificates_are_read(tmp_path: Path) -> None:
    """A file of certificates makes a client of an encrypted connection."""
    path = tmp_path / "ca.pem"
    path.write_bytes(Authority("test").certificate)

    with open_client("127.0.0.1:1", ca=str(path)) as client:
        assert client.connection.metadata == ()
