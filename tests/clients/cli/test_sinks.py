"""`amiguardctl sinks`: where findings go, what failed, and trying it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import Result

from amiguard_service.delivery import RetryLimits
from amiguard_service.sinks import Sink, SinkKind
from tests.clients.cli.command_line import run
from tests.clients.live_server import Live, live_server
from tests.service.receiving import Answer, Receiver, receiving
from tests.service.waiting import until_in_thread


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Somebody's system."""
    with receiving() as started:
        yield started


@pytest.fixture
def delivering(migrated_sqlite: Path, tmp_path: Path, receiver: Receiver) -> Iterator[Live]:
    """A server that delivers to it, and gives up at the first failure."""
    sink = Sink(
        "siem",
        SinkKind.WEBHOOK,
        receiver.url,
        "https://siem.example.com",
        secrets=(b"s" * 32,),
        limits=RetryLimits(max_attempts=1),
        private_network=True,
    )
    with live_server(migrated_sqlite, tmp_path, sinks=[sink]) as running:
        yield running


def sinks(live: Live, *args: object) -> Result:
    """Runs a verb of `sinks` on the server."""
    return run("--server", live.target, "sinks", *args)


def kill(live: Live, receiver: Receiver, number: int = 1) -> str:
    """Makes a dead letter; returns the name of its finding."""
    receiver.answer = Answer(422, body=b"no\x1b[31m")
    name = live.occur(number)
    until_in_thread(
        lambda: [one.dead_letter_count for one in live.engine.sinks.progress()] == [number]
    )
    return name


def test_list_says_how_deliveries_fare(delivering: Live, receiver: Receiver) -> None:
    """State, counts, the last delivery, where it goes, and what failed last."""
    delivering.occur(5)
    until_in_thread(lambda: delivering.engine.sinks.progress()[0].delivered_count)
    kill(delivering, receiver)

    header, _, row = sinks(delivering, "list").stdout.splitlines()

    assert header.split()[:6] == ["SINK", "STATE", "WAITING", "LAG", "DEAD", "DELIVERED"]
    assert row.split()[:6] == ["siem", "DELIVERING", "0", "-", "1", "1"]
    assert "https://siem.example.com" in row
    assert row.endswith("HTTP 422: no [31m")


@pytest.mark.parametrize("field", ["sinks", "dead_letters"])
def test_forms_of_a_list_say_the_same(delivering: Live, receiver: Receiver, field: str) -> None:
    """YAML is the object of JSON, NDJSON its items, and CSV and wide have a row for each."""
    kill(delivering, receiver)
    command = ("list",) if field == "sinks" else ("dead", "siem")

    forms = {
        form: sinks(delivering, *command, "-o", form).stdout
        for form in ("json", "ndjson", "yaml", "csv", "wide")
    }

    (item,) = json.loads(forms["json"])[field]
    assert yaml.safe_load(forms["yaml"])[field][0].keys() == item.keys()
    assert json.loads(forms["ndjson"]).keys() == item.keys()
    assert [len(forms[form].splitlines()) for form in ("csv", "wide")] == [2, 2]


def test_list_has_the_json_of_the_api(delivering: Live) -> None:
    """With the field names of the contract."""
    document = json.loads(sinks(delivering, "list", "-o", "json").stdout)

    (sink,) = document["sinks"]
    assert (sink["name"], sink["kind"]) == ("sinks/siem", "KIND_WEBHOOK")
    assert sink["state"] == "STATE_DELIVERING"


def test_server_without_sinks_has_nothing_to_show(live: Live) -> None:
    """An empty list says so, and is no failure."""
    result = sinks(live, "list")

    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "Nothing to show.\n"


def test_dead_letters_are_listed_and_retried(delivering: Live, receiver: Receiver) -> None:
    """By name or bare id; a retry says how many are due."""
    name = kill(delivering, receiver)
    receiver.take()
    row = sinks(delivering, "dead", "siem").stdout.splitlines()[-1]
    receiver.answer = Answer()

    one = sinks(delivering, "retry", "siem", name.removeprefix("findings/"))
    received = receiver.take()
    none = sinks(delivering, "retry", "sinks/siem", "-o", "json")

    assert row.split()[0] == name
    assert row.endswith("HTTP 422: no [31m")
    assert (one.exit_code, one.stdout) == (0, "1 dead letter due now\n")
    assert received.event["subject"] == name
    assert json.loads(none.stdout) == {"retried_count": "0"}


@pytest.mark.parametrize(
    ("status", "said", "code"), [(204, "delivered in", 0), (500, "not delivered in", 1)]
)
def test_test_says_what_came_back(
    delivering: Live, receiver: Receiver, status: int, said: str, code: int
) -> None:
    """In a sentence and in the exit code."""
    receiver.answer = Answer(status)

    result = sinks(delivering, "test", "siem")
    told = json.loads(sinks(delivering, "test", "siem", "-o", "json").stdout)

    assert result.exit_code == code
    assert result.stdout.startswith(said)
    assert result.stdout.endswith(f"ms: HTTP {status}\n")
    assert told["answer"] == f"HTTP {status}"
    assert told.get("delivered", False) is (status == 204)


@pytest.mark.parametrize("verb", ["dead", "retry", "test"])
def test_unknown_sink_is_an_error(delivering: Live, verb: str) -> None:
    """One line with its name."""
    result = sinks(delivering, verb, "nobody")

    assert result.exit_code == 1
    assert result.stderr == "Error: sinks/nobody does not exist. Reason: RESOURCE_NOT_FOUND.\n"
