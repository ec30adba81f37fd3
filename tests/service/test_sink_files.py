"""Laws of the file of sinks."""

from __future__ import annotations

from base64 import b64encode
from datetime import timedelta
from pathlib import Path

import pytest

from amiguard_service.delivery import RetryLimits
from amiguard_service.filters import FINDING_FIELDS, Comparison, Operator, parse_filter, terms
from amiguard_service.sink_files import MAX_SINKS, SinkFileError, read_sinks
from amiguard_service.sinks import Payload, SinkKind

SECRET = b"s" * 32
TEXT = f"whsec_{b64encode(SECRET).decode()}"
ENVIRONMENT = {"HOOK_SECRET": TEXT, "PAGER_URL": "json://pager.example.com/t0ken", "EMPTY": " "}
WEBHOOK = """
[[sinks]]
name = "siem"
kind = "webhook"
url = "https://siem.example.com/in?key=t0ken"
secret_env = "HOOK_SECRET"
"""
PAGER = """
[[sinks]]
name = "pager"
kind = "apprise"
url_env = "PAGER_URL"
"""
# On Python 3.11 and 3.12 apprise imports a module that 3.13 has no more.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


def file_of(folder: Path, text: str) -> Path:
    """Writes a file of sinks."""
    path = folder / "sinks.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(folder: Path, text: str) -> str:
    """Returns why a file cannot be used."""
    with pytest.raises(SinkFileError) as caught:
        read_sinks(file_of(folder, text), ENVIRONMENT)
    return str(caught.value)


def test_sink_has_what_its_table_says(tmp_path: Path) -> None:
    """Every key is in force, and what is not there has its default."""
    more = """
    filter = 'region = eu-west-1'
    minimum_likelihood = "HIGH"
    payload = "finding"
    timeout_seconds = 3
    max_attempts = 7
    max_age = "12h"
    private_network = true
    """
    plain, full = (
        read_sinks(file_of(tmp_path, text), ENVIRONMENT)[0] for text in (WEBHOOK, WEBHOOK + more)
    )

    assert (plain.sink_id, plain.kind, plain.payload) == ("siem", SinkKind.WEBHOOK, Payload.FINDING)
    assert plain.secrets == (SECRET,)
    assert (plain.limits, plain.timeout) == (RetryLimits(), timedelta(seconds=10))
    assert not plain.private_network
    assert full.limits == RetryLimits(7, timedelta(hours=12))
    assert (full.timeout, full.private_network) == (timedelta(seconds=3), True)
    assert (full.filter, full.minimum_likelihood) == ("region = eu-west-1", "HIGH")


def test_condition_is_filter_and_likelihood_and_hides_the_suppressed(tmp_path: Path) -> None:
    """Both are asked for; what the rule set aside only where the filter speaks of the state."""
    text = WEBHOOK + 'filter = "region = eu-west-1"\nminimum_likelihood = "MEDIUM"'
    (sink,) = read_sinks(file_of(tmp_path, text), ENVIRONMENT)
    state = WEBHOOK + 'filter = "state = SUPPRESSED"'
    (other,) = read_sinks(file_of(tmp_path, state), ENVIRONMENT)

    names = [term.field.name for term in terms(sink.condition)]
    score = next(t for t in terms(sink.condition) if t.field.name == "likelihood_score")
    assert names == ["region", "state", "likelihood_score"]
    assert isinstance(score, Comparison)
    assert (score.operator, score.value) == (Operator.GREATER_OR_EQUAL, 40)
    assert other.condition == parse_filter("state = SUPPRESSED", FINDING_FIELDS)


def test_secrets_come_from_files_too(tmp_path: Path) -> None:
    """A file beside that of the sinks, with one secret a line while two are in use."""
    (tmp_path / "secret").write_text(f"{TEXT}\n{TEXT}\n", encoding="utf-8")
    (tmp_path / "url").write_text("https://siem.example.com/\n", encoding="utf-8")
    text = WEBHOOK.replace('secret_env = "HOOK_SECRET"', 'secret_file = "secret"')
    text = text.replace('url = "https://siem.example.com/in?key=t0ken"', 'url_file = "url"')

    (sink,) = read_sinks(file_of(tmp_path, text), {})

    assert sink.secrets == (SECRET, SECRET)
    assert sink.url == "https://siem.example.com/"


def test_nothing_secret_is_shown(tmp_path: Path) -> None:
    """Neither path nor query of a URL, nor any of one for apprise, nor a secret to sign with."""
    webhook, pager = read_sinks(file_of(tmp_path, WEBHOOK + PAGER), ENVIRONMENT)

    assert webhook.shown_url == "https://siem.example.com"
    assert pager.shown_url == "json://***"
    for text in (repr(webhook), repr(pager)):
        assert "t0ken" not in text
        assert str(SECRET) not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nonsense", "expected [[sinks]]"),
        ("", "expected tables [[sinks]] and nothing else"),
        ("sinks = []", "got 0 tables"),
        ("sinks = 1", "expected tables [[sinks]] and nothing else"),
        ("x = 1\n" + WEBHOOK, "expected tables [[sinks]] and nothing else"),
        (WEBHOOK * 2, "sinks[1].name: got 'siem' again, expected another name"),
        (PAGER * (MAX_SINKS + 1), f"expected 1 to {MAX_SINKS}"),
        (WEBHOOK.replace('"siem"', '"Siem"'), "sinks[0].name: got 'Siem', expected 1 to 63"),
        (WEBHOOK.replace('"siem"', "1"), "sinks[0].name: expected text"),
        (WEBHOOK.replace('"webhook"', '"http"'), "got 'http', expected one of webhook, apprise"),
        (WEBHOOK + "colour = 1", "sinks[0].colour: expected one of filter, kind,"),
        (PAGER + 'payload = "finding"', "sinks[0].payload: expected one of filter,"),
        (WEBHOOK + 'filter = "colour = 1"', "expected a filter of findings"),
        (WEBHOOK + 'minimum_likelihood = "high"', "expected one of LOW, MEDIUM, HIGH"),
        (WEBHOOK + "timeout_seconds = 0", "expected a whole number from 1 to 60"),
        (WEBHOOK + "timeout_seconds = true", "expected a whole number from 1 to 60"),
        (WEBHOOK + 'max_age = "1 day"', "expected a whole number and m, h or d"),
        (WEBHOOK + "private_network = 1", "got 1, expected true or false"),
        (WEBHOOK + 'tls_ca = "nowhere.pem"', "expected PEM certificates (No such file"),
        (WEBHOOK.replace("secret_env", "secret_file"), "expected a readable file (No such file"),
        (WEBHOOK.replace("HOOK_SECRET", "NOT_SET"), "expected the name of a variable that is set"),
        (WEBHOOK.replace("HOOK_SECRET", "EMPTY"), "expected the name of a variable that is set"),
        (WEBHOOK.replace("HOOK_SECRET", "PAGER_URL"), "sinks[0].secret: expected whsec_ and 24"),
        (WEBHOOK.replace('secret_env = "HOOK_SECRET"', ""), "sinks[0]: got none, expected one of"),
        (WEBHOOK + 'url_env = "PAGER_URL"', "got url_env and url, expected one of"),
        (WEBHOOK.replace("https:", "http:"), "got http://, expected https://, or private_network"),
        (WEBHOOK.replace("https:", "ftp:"), "sinks[0].url: expected https://HOST/PATH"),
        (WEBHOOK.replace("siem.example.com", "u:p@x.example"), "without user or #"),
        (WEBHOOK.replace("siem.example.com", "x:99999"), "sinks[0].url: expected https://"),
        (WEBHOOK.replace("siem.example.com", "[::1"), "sinks[0].url: expected https://"),
        (WEBHOOK.replace("siem.example.com", "169.254.169.254"), "expected a public address"),
        (WEBHOOK.replace("siem.example.com", "[::ffff:10.0.0.1]"), "expected a public address"),
        (PAGER.replace("PAGER_URL", "HOOK_SECRET"), "sinks[0].url: expected a URL that apprise"),
    ],
)
def test_wrong_file_is_refused_with_the_place(tmp_path: Path, text: str, expected: str) -> None:
    """One line says which key of which table is wrong and what was expected; never a secret."""
    message = refused(tmp_path, text)

    assert expected in message
    assert "\n" not in message
    assert "t0ken" not in message
    assert TEXT not in message
