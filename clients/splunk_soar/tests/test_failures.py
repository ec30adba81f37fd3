"""What goes wrong ends in one line that says what was got and what was wanted."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from amiguard_client import Disposition, connect
from amiguard_service.engine import Engine
from amiguard_service.identity import Role
from splunk_soar.tests.soar import Soar
from tests.clients.live_server import Live, live_server, people
from tests.service.certificates import Authority
from tests.service.running import serving
from tests.service.talking import SEARCH

ACTIONS = {
    "test connectivity": {},
    "on poll": {},
    "get findings": {},
    "get finding": {"finding": "f"},
    "acknowledge finding": {"finding": "f"},
    "close finding": {"finding": "f", "disposition": "TRUE_POSITIVE", "comment": "why"},
    "submit events": {"records": SEARCH.decode()},
    "allow pattern": {"pattern": "acme-*", "justification": "why"},
}


class TestServer:
    """What the server, and the way there, answers."""

    @pytest.mark.parametrize("action", ACTIONS)
    def test_server_that_is_gone_is_named(
        self, make_soar: Callable[..., Soar], action: str
    ) -> None:
        """Every action says which address cannot be reached."""
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            server = f"127.0.0.1:{unused.getsockname()[1]}"
            soar = make_soar(server=server, insecure=True)

            failure = soar.run(action, **ACTIONS[action]).failure

        assert failure.startswith(f"Action failure in {action}: {server} cannot be reached: ")

    @pytest.mark.parametrize("action", ACTIONS)
    def test_token_of_nobody_is_refused(
        self,
        make_soar: Callable[..., Soar],
        migrated_sqlite: Path,
        tmp_path: Path,
        action: str,
    ) -> None:
        """Every action says that the token is not valid, and not what it is."""
        tokens = people(alice=Role.READ)
        with live_server(migrated_sqlite, tmp_path, authenticator=tokens) as live:
            soar = make_soar(server=live.target, insecure=True, token="not-alice")

            outcome = soar.run(action, **ACTIONS[action])

        assert outcome.failure.startswith(f"Action failure in {action}: ")
        assert "got an unknown token" in outcome.failure
        assert "not-alice" not in outcome.output

    def test_role_that_is_missing_is_named(
        self, make_soar: Callable[..., Soar], migrated_sqlite: Path, tmp_path: Path
    ) -> None:
        """A token that may read may not close."""
        tokens = people(alice=Role.READ)
        with live_server(migrated_sqlite, tmp_path, authenticator=tokens) as live:
            soar = make_soar(server=live.target, insecure=True, token="alice")
            assert soar.run("test connectivity").is_success

            failure = soar.run("close finding", **ACTIONS["close finding"]).failure

        assert "respond" in failure

    def test_certificate_and_token_let_in(
        self, make_soar: Callable[..., Soar], tmp_path: Path
    ) -> None:
        """An encrypted server is reached with its authority's certificate, and not without."""
        authority = Authority("ours")
        issued = authority.issue("127.0.0.1")
        credentials = grpc.ssl_server_credentials([(issued.key, issued.certificate)])
        engine = Engine.open(f"sqlite:///{tmp_path / 'tls.db'}")
        with serving(
            engine, authenticator=people(alice=Role.READ), credentials=credentials
        ) as running:
            trusted = {"server": running.target, "token": "alice"}
            certificate = authority.certificate.decode()

            let_in = make_soar(**trusted, ca_certificate=certificate).run("get findings")
            kept_out = make_soar(**trusted).run("get findings")

        engine.close()
        assert let_in.is_success
        assert "CERTIFICATE_VERIFY_FAILED" in kept_out.failure


REFUSED = {
    "unknown finding": (
        "get finding",
        {"finding": "findings/none"},
        "findings/none does not exist",
    ),
    "unknown finding to close": (
        "close finding",
        {"finding": "none", "disposition": "TRUE_POSITIVE", "comment": "why"},
        "findings/none does not exist",
    ),
    "no finding": ("get finding", {"finding": " "}, "finding: got nothing, wanted a text"),
    "bad filter": ("get findings", {"filter": "state = OPENED"}, "got 'OPENED', expected one of"),
    "bad likelihood": (
        "get findings",
        {"min_likelihood": "huge"},
        "min_likelihood: got 'huge', wanted one of LOW, MEDIUM, HIGH",
    ),
    "bad order": ("get findings", {"order_by": "colour"}, "got 'colour'"),
    "bad count": ("get findings", {"max_findings": 0}, "max_findings: got 0, wanted 1 or more"),
    "bad disposition": (
        "close finding",
        {"finding": "f", "disposition": "DONE", "comment": "why"},
        "disposition: got 'DONE', wanted one of TRUE_POSITIVE, ",
    ),
    "no comment": (
        "close finding",
        {"finding": "f", "disposition": "TRUE_POSITIVE", "comment": ""},
        "comment: got nothing, wanted a text",
    ),
    "no end": (
        "close finding",
        {"finding": "f", "disposition": "RISK_ACCEPTED", "comment": "why"},
        "accept_until: got nothing with RISK_ACCEPTED, wanted a time with RISK_ACCEPTED",
    ),
    "an end too many": (
        "close finding",
        {
            "finding": "f",
            "disposition": "TRUE_POSITIVE",
            "comment": "why",
            "accept_until": "2027-01-01",
        },
        "accept_until: got 2027-01-01T00:00:00Z with TRUE_POSITIVE, wanted a time",
    ),
    "a time without its offset": (
        "close finding",
        {
            "finding": "f",
            "disposition": "RISK_ACCEPTED",
            "comment": "why",
            "accept_until": "2027-01-01T12:00",
        },
        "accept_until: got '2027-01-01T12:00', wanted a day or a time with its offset",
    ),
    "no records": ("submit events", {}, "records, vault_id: got neither, wanted one of them"),
    "two kinds of records": (
        "submit events",
        {"records": "{}", "vault_id": "1"},
        "records, vault_id: got both, wanted one of them",
    ),
    "nothing but nonsense": (
        "submit events",
        {"records": "nonsense"},
        "Accepted: 0, rejected: 1, findings: 0; record 0: ",
    ),
    "bad source": (
        "submit events",
        {"records": "{}", "source": "No!"},
        "open.source: got 3 characters, expected 1 to 64",
    ),
    "unknown file": (
        "submit events",
        {"vault_id": "none"},
        "vault_id: got 'none', wanted the id of a file in the vault",
    ),
    "pattern of everything": (
        "allow pattern",
        {"pattern": "*", "justification": "why"},
        "got a pattern of every name, expected a narrower one",
    ),
    "pattern of a public family": (
        "allow pattern",
        {"pattern": "ubuntu/*", "justification": "why"},
        "got a pattern that reaches the public names ubuntu/images/* of Canonical",
    ),
    "no justification": (
        "allow pattern",
        {"pattern": "acme-*", "justification": " "},
        "justification: got nothing, wanted a text",
    ),
    "an end that is over": (
        "allow pattern",
        {"pattern": "acme-*", "justification": "why", "expire_time": "2020-01-01"},
        "expire_time: got '2020-01-01', wanted a time to come",
    ),
    "bad account": (
        "allow pattern",
        {"pattern": "acme-*", "justification": "why", "account_ids": "12"},
        "got '12', expected",
    ),
}


class TestParameters:
    """What people and playbooks give."""

    @pytest.mark.parametrize(("action", "params", "line"), REFUSED.values(), ids=REFUSED)
    def test_bad_parameter_is_refused(
        self, soar: Soar, action: str, params: dict[str, object], line: str
    ) -> None:
        """The action fails with the parameter's name, what it was and what was wanted."""
        failure = soar.run(action, **params).failure

        assert failure.startswith(f"Action failure in {action}: ")
        assert line in failure

    def test_closed_finding_is_not_taken_up(self, soar: Soar, live: Live) -> None:
        """A finding in another state is left as it is, and the state is said."""
        name = live.occur(1)
        assert soar.run("close finding", **ACTIONS["close finding"] | {"finding": name}).is_success

        failure = soar.run("acknowledge finding", finding=name).failure

        assert failure.endswith(f"{name} is CLOSED, expected OPEN")

    def test_entry_of_another_pattern_is_left(self, soar: Soar) -> None:
        """An id that something else has already is refused."""
        wanted = {"justification": "why", "apply": True, "entry_id": "names"}
        assert soar.run("allow pattern", pattern="acme-*", **wanted).is_success

        failure = soar.run("allow pattern", pattern="other-*", **wanted).failure

        assert failure.endswith("allowlistEntries/names exists already")

    def test_pattern_that_hides_a_true_positive_is_refused(self, soar: Soar, live: Live) -> None:
        """Unless that is asked for; the findings that would be lost are named."""
        name = live.occur(1, "acme-*")
        with connect(live.target, insecure=True) as client:
            client.close_finding(name, Disposition.TRUE_POSITIVE, comment="it was one")
        wanted = {"pattern": "acme-*", "justification": "why", "apply": True}

        failure = soar.run("allow pattern", **wanted).failure
        made = soar.run("allow pattern", allow_losing_true_positives=True, **wanted)

        assert failure.endswith(f"; would lose {name}")
        assert made.is_success


MISCONFIGURED = {
    "no port": ({"server": "amiguard.example.com"}, "server: got 'amiguard.example.com', wanted"),
    "a URL": ({"server": "https://a.example:443"}, "server: got 'https://a.example:443', wanted"),
    "plain text elsewhere": (
        {"server": "192.0.2.1:7443", "insecure": True},
        "insecure: got server '192.0.2.1:7443', wanted one on this machine",
    ),
    "plain text with a certificate": (
        {
            "server": "127.0.0.1:7443",
            "insecure": True,
            "ca_certificate": "-----BEGIN CERTIFICATE-----",
        },
        "insecure: got a ca_certificate too, wanted one or the other",
    ),
    "no certificate": (
        {"server": "127.0.0.1:7443", "ca_certificate": "/etc/ssl/ca.pem"},
        "ca_certificate: got text without -----BEGIN CERTIFICATE-----",
    ),
    "a token of two lines": (
        {"server": "127.0.0.1:7443", "token": "one\ntwo"},
        "token: got other characters than printable ASCII",
    ),
    "another likelihood": (
        {"server": "127.0.0.1:7443", "insecure": True, "min_likelihood": "all"},
        "min_likelihood: got 'all', wanted one of LOW, MEDIUM, HIGH",
    ),
    "no findings": (
        {"server": "127.0.0.1:7443", "insecure": True, "max_findings": 0},
        "max_findings: got 0, wanted 1 or more",
    ),
}


class TestAsset:
    """What whoever configures an asset gives."""

    @pytest.mark.parametrize(("asset", "line"), MISCONFIGURED.values(), ids=MISCONFIGURED)
    def test_setting_that_cannot_be_meant_is_refused(
        self, make_soar: Callable[..., Soar], asset: dict[str, object], line: str
    ) -> None:
        """No call is made; the setting is named, with what it was and what was wanted."""
        assert line in make_soar(**asset).run("on poll").failure

    def test_filter_is_tried_by_the_connectivity_test(
        self, make_soar: Callable[..., Soar], live: Live
    ) -> None:
        """A filter that no poll could use is found before one does."""
        soar = make_soar(server=live.target, insecure=True, filter="state = OPENED")

        assert "got 'OPENED', expected one of" in soar.run("test connectivity").failure
