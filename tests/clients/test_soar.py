"""Steps of a playbook: plain data in and out, one kind of error, and safe to run again."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amiguard_client import Client, Finding, soar
from amiguard_service.identity import Role
from tests.clients.live_server import Live, live_server, people
from tests.data.records import NINE_O_CLOCK, describe_images, run_instances
from tests.data.shapes import Record

SEARCH = describe_images(at=NINE_O_CLOCK, filters={"name": ["acme-base-*"]})
LAUNCH = run_instances(at=NINE_O_CLOCK)
UNTYPED: Any = soar
"""The same, for calls that a type checker would not let pass."""


@pytest.fixture
def server(live: Live) -> soar.Settings:
    """The settings of a server at work."""
    return {"server": live.target, "insecure": True}


def failure(step: Callable[[], object]) -> soar.SoarError:
    """Returns how a step fails: in one line."""
    with pytest.raises(soar.SoarError) as caught:
        step()
    assert str(caught.value).strip()
    assert len(str(caught.value).splitlines()) == 1
    assert json.loads(json.dumps(caught.value.as_dict()))["message"] == str(caught.value)
    return caught.value


def test_every_step_takes_a_connection() -> None:
    """What a SOAR offers as steps is all there is, and each can be reached by settings alone."""
    steps = [getattr(soar, name) for name in soar.__all__ if name[0].islower()]

    assert len(steps) == 11
    for step in steps:
        first, *_ = inspect.signature(step).parameters
        assert (first, bool(step.__doc__)) == ("connection", True)


def test_a_finding_is_plain_data(live: Live, server: soar.Settings) -> None:
    """A finding survives JSON, and its values read as in filters."""
    name = live.occur(1, "ubuntu/images/*", images=("ami-1",))

    finding = soar.get_finding(server, name)

    assert json.loads(json.dumps(finding)) == finding
    assert type(finding["state"]) is str
    assert (finding["state"], finding["likelihood"], finding["likelihood_score"]) == (
        "OPEN",
        "HIGH",
        85,
    )
    assert finding["first_launch_time"] == "2026-03-01T14:46:41Z"
    assert (finding["disposition"], finding["labels"]) == (None, {})
    (occurrence,) = finding["recent_occurrences"]
    assert (occurrence["gap_seconds"], occurrence["image_ids"]) == (1.0, ["ami-1"])


def test_findings_are_listed_up_to_a_limit(live: Live, server: soar.Settings) -> None:
    """A filter selects, an order sorts and a limit cuts."""
    low, high = live.occur(1), live.occur(2, "ubuntu/images/*")

    listed = soar.get_findings(server, order_by="likelihood_score desc")

    assert [finding["name"] for finding in listed] == [high, low]
    assert soar.get_findings(server, "likelihood = HIGH") == listed[:1]
    assert soar.get_findings(server, order_by="likelihood_score desc", limit=1) == listed[:1]


def test_a_client_serves_for_many_steps(live: Live, live_client: Client) -> None:
    """Steps on a client leave it open, and do the same."""
    name = live.occur(1)

    by_client = [soar.get_finding(live_client, name) for _ in range(2)]

    assert by_client == [soar.get_finding({"server": live.target, "insecure": True}, name)] * 2


def test_a_finding_is_handled(live: Live, server: soar.Settings) -> None:
    """Each step moves the finding and answers with it as it is then."""
    name = live.occur(1)

    taken = soar.acknowledge(server, name, assignee="ann")
    handed = soar.assign(server, name, "bob")
    labelled = soar.label(server, name, {"team": "blue", "ticket": "7"})
    relabelled = soar.label(server, name, {"ticket": None, "sev": "2"})
    closed = soar.close(server, name, "TRUE_POSITIVE", comment="mended", etag=relabelled["etag"])
    reopened = soar.reopen(server, name, comment="not yet")

    assert (taken["state"], taken["assignee"]) == ("ACKNOWLEDGED", "ann")
    assert handed["assignee"] == "bob"
    assert labelled["labels"] == {"team": "blue", "ticket": "7"}
    assert relabelled["labels"] == {"team": "blue", "sev": "2"}
    assert (closed["state"], closed["disposition"]) == ("CLOSED", "TRUE_POSITIVE")
    assert (reopened["state"], reopened["disposition"]) == ("OPEN", None)
    assert soar.get_finding(server, name) == reopened


class Overtaken(Client):
    """A client whose finding somebody else labels just after it was read for the first time."""

    is_overtaken = False

    def get_finding(self, name: str) -> Finding:
        """Returns the finding, and lets somebody else be faster."""
        finding = super().get_finding(name)
        if not self.is_overtaken:
            self.is_overtaken = True
            self.update_finding(name, labels={"theirs": "1"})
        return finding


def test_labels_of_others_stay(live: Live, live_client: Client) -> None:
    """Labels that somebody sets at the same time are not lost, unless an etag says not to merge."""
    first, second = live.occur(1), live.occur(2)

    merged = soar.label(Overtaken(live_client.connection), first, {"ours": "1"})
    etag = soar.get_finding(live_client, second)["etag"]
    error = failure(
        lambda: soar.label(Overtaken(live_client.connection), second, {"ours": "1"}, etag=etag)
    )

    assert merged["labels"] == {"ours": "1", "theirs": "1"}
    assert error.reason == "ETAG_MISMATCH"


def test_a_risk_is_accepted_until_a_time(live: Live, server: soar.Settings) -> None:
    """The end of an acceptance is a text; without an offset it is UTC."""
    name, end = live.occur(1), "2026-12-31T18:00:00"
    soar.close(server, name, "RISK_ACCEPTED", comment="known", accept_until_time=end)

    again = soar.close(server, name, "RISK_ACCEPTED", comment="known", accept_until_time=f"{end}Z")

    assert again["accept_until_time"] == "2026-12-31T18:00:00Z"


@pytest.mark.parametrize(
    "step",
    [
        lambda server, name: soar.acknowledge(server, name, assignee="ann"),
        lambda server, name: soar.close(server, name, "FALSE_POSITIVE", comment="safe"),
        lambda server, name: soar.assign(server, name, "ann"),
        lambda server, name: soar.label(server, name, {"team": "blue"}),
        lambda server, name: soar.reopen(server, name, comment="not closed at all"),
        lambda server, _: soar.allow_pattern(server, "ours", "acme-*", justification="ours"),
    ],
    ids=["acknowledge", "close", "assign", "label", "reopen", "allow"],
)
def test_a_step_may_be_run_again(
    live: Live, server: soar.Settings, step: Callable[[soar.Settings, str], dict[str, Any]]
) -> None:
    """What an earlier run has done is not done again, and is no failure."""
    name = live.occur(1)

    assert step(server, name) == step(server, name)


@pytest.mark.parametrize(
    "step",
    [
        lambda server, name: soar.acknowledge(server, name, assignee="bob"),
        lambda server, name: soar.close(server, name, "FALSE_POSITIVE", comment="safe"),
    ],
    ids=["acknowledge", "close"],
)
def test_what_others_decided_is_no_repetition(
    live: Live, server: soar.Settings, step: Callable[[soar.Settings, str], dict[str, Any]]
) -> None:
    """A finding that somebody closed otherwise is not as the step would leave it."""
    name = live.occur(1)
    soar.close(server, name, "TRUE_POSITIVE", comment="mended")

    error = failure(lambda: step(server, name))

    assert (error.reason, error.is_retryable) == ("STATE_TRANSITION", False)


def test_polls_give_what_is_new(live: Live, server: soar.Settings) -> None:
    """A poll starts where the last one ended, without one at the present or at a time."""
    first = live.occur(1)
    present = soar.poll(server)
    second = live.occur(2)

    since_ever = soar.poll(server, start_time="2000-01-01T00:00:00Z")
    new = soar.poll(server, present["cursor"])

    assert present["findings"] == []
    assert [finding["name"] for finding in since_ever["findings"]] == [first, second]
    assert [finding["name"] for finding in new["findings"]] == [second]
    assert soar.poll(server, new["cursor"])["findings"] == []


@pytest.mark.parametrize(
    "events",
    [
        [SEARCH, LAUNCH],
        [json.dumps(SEARCH), LAUNCH],
        {"Records": [SEARCH, LAUNCH]},
        json.dumps({"Records": [SEARCH, LAUNCH]}),
        [{"Records": [SEARCH]}, LAUNCH],
    ],
    ids=["objects", "text", "file", "file-text", "mixed"],
)
def test_events_are_submitted(server: soar.Settings, events: Any) -> None:
    """Records come in every form that a playbook has them in."""
    told = soar.submit_events(server, events)

    assert (told["accepted_count"], told["relevant_count"], told["rejected_count"]) == (2, 2, 0)
    (name,) = told["finding_names"]
    assert soar.get_finding(server, name)["search"]["name_patterns"] == ["acme-base-*"]
    assert soar.submit_events(server, events)["duplicate_count"] == 2


def test_a_bad_record_is_told_by_its_index(server: soar.Settings) -> None:
    """A record that cannot be read is counted and named, and the others are taken."""
    bad: Record = {**SEARCH, "eventTime": 7}

    told = soar.submit_events(server, [LAUNCH, bad, "no json"])

    assert (told["accepted_count"], told["rejected_count"]) == (1, 2)
    assert [(r["index"], r["path"]) for r in told["rejections"]] == [(1, "$.eventTime"), (2, "$")]


def test_an_allowance_is_shown_before_it_is_made(live: Live, server: soar.Settings) -> None:
    """A proposal says what the pattern would do, and only allowing it does so."""
    name = live.occur(1, "acme-base-*")

    proposal = soar.propose_allow(server, "acme-*", start_time="2000-01-01T00:00:00Z")
    before = soar.get_finding(server, name)
    entry = soar.allow_pattern(
        server, "ours", "acme-*", justification="our factory's", ttl_seconds=3600
    )

    assert (proposal["evaluated_count"], proposal["rescored_count"]) == (1, 1)
    (example,) = proposal["examples"]
    assert example["before"]["likelihood_score"] == before["likelihood_score"] == 50
    assert example["after"]["likelihood_score"] == 10
    assert (entry["name"], entry["organization_pattern"]) == ("allowlistEntries/ours", "acme-*")
    assert entry["expire_time"] is not None
    assert json.loads(json.dumps([proposal, entry])) == [proposal, entry]


def test_true_positives_are_not_hidden_unless_told(live: Live, server: soar.Settings) -> None:
    """A pattern that would hide what was found to be true is refused by default."""
    name = live.occur(1, "acme-base-*")
    soar.close(server, name, "TRUE_POSITIVE", comment="mended")

    error = failure(lambda: soar.allow_pattern(server, "ours", "acme-*", justification="ours"))
    entry = soar.allow_pattern(
        server, "ours", "acme-*", justification="ours", refuse_if_loses_true_positives=False
    )

    assert error.reason == "LOSES_TRUE_POSITIVES"
    assert entry["name"] == "allowlistEntries/ours"


def test_another_entry_of_the_id_is_no_repetition(server: soar.Settings) -> None:
    """An id that stands for another pattern is not taken for a repetition."""
    soar.allow_pattern(server, "ours", "acme-*", justification="ours")

    error = failure(lambda: soar.allow_pattern(server, "ours", "corp-*", justification="ours"))

    assert error.reason == "RESOURCE_EXISTS"


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda s: soar.get_findings(s, "state ="), "got the end"),
        (lambda s: soar.get_findings(s, limit=0), "limit: got 0, expected 1 or more"),
        (lambda s: soar.get_finding(s, "findings/x"), "does not exist"),
        (lambda s: UNTYPED.get_finding(s, None), "name: got NoneType, expected text"),
        (lambda s: UNTYPED.assign(s, "x", ["ann"]), "assignee: got list, expected text"),
        (lambda s: UNTYPED.acknowledge(s, "x", assignee=7), "assignee: got int, expected text"),
        (lambda s: UNTYPED.acknowledge(s, "x", assignee=0), "assignee: got int, expected text"),
        (lambda s: soar.close(s, "x", "WRONG", comment="c"), "got 'WRONG', expected one of TRUE_"),
        (
            lambda s: soar.close(s, "x", "RISK_ACCEPTED", comment="c", accept_until_time="soon"),
            "accept_until_time: got 'soon', expected a time such as",
        ),
        (lambda s: soar.poll(s, "x"), "cursor"),
        (lambda s: soar.poll(s, start_time="7"), "start_time: got '7'"),
        (lambda s: UNTYPED.submit_events(s, [7]), "events[0]: got int"),
        (lambda s: UNTYPED.submit_events(s, 7), "events: got int, expected objects or texts"),
        (lambda s: UNTYPED.get_findings(s, limit="3"), "limit: got str, expected a whole number"),
        (lambda s: UNTYPED.label(s, "x", ["k"]), "labels: got list, expected an object"),
        (lambda s: UNTYPED.label(s, "x", {"k": 7}), "labels.k: got int, expected text"),
        (lambda s: soar.submit_events(s, [], source="A B"), "source"),
        (lambda s: soar.propose_allow(s, "*"), "organization_pattern"),
        (lambda s: soar.allow_pattern(s, "ours", "acme-*", justification=""), "justification"),
        (lambda s: soar.label(s, "x", {"": "v"}), "does not exist"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    server: soar.Settings, step: Callable[[soar.Settings], object], message: str
) -> None:
    """Bad input is a SoarError that says what was got, and is not worth a retry."""
    error = failure(lambda: step(server))

    assert message in str(error)
    assert not error.is_retryable


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "connection.server: got nothing, expected HOST:PORT"),
        ({"server": ""}, "connection.server: got nothing, expected HOST:PORT"),
        ({"server": 7}, "connection.server: got int, expected str"),
        ({"server": "h:1", "insecure": "true"}, "connection.insecure: got str, expected bool"),
        ({"server": "h:1", "timeout_seconds": True}, "connection.timeout_seconds: got bool"),
        ({"server": "h:1", "tokne": "t"}, "got 'tokne', expected only server, token"),
        ({"server": "h:1", "token": "ü"}, "connection.token: got other characters"),
        ({"server": "h:1", "ca": "/etc/ca.pem"}, "connection.ca: got another text, expected PEM"),
        ({"server": "h:1", "cert": "-----BEGIN "}, "got one of cert and key"),
        ({"server": "h:1", "ca": "-----BEGIN ", "insecure": True}, "got certificates for an"),
        ("h:1", "connection: got str, expected settings"),
    ],
)
def test_settings_are_checked(settings: Any, message: str) -> None:
    """A setting that is wrong or not known is named before anything is called."""
    assert message in str(failure(lambda: soar.get_findings(settings)))


def test_an_absent_server_is_worth_a_retry() -> None:
    """Who runs the playbook is told that the step may succeed later."""
    gone = {"server": "127.0.0.1:1", "insecure": True, "timeout_seconds": 5}

    error = failure(lambda: soar.get_finding(gone, "findings/x"))

    assert (error.code, error.is_retryable) == ("UNAVAILABLE", True)


def test_a_token_says_who_may(migrated_sqlite: Path, tmp_path: Path) -> None:
    """A token goes along on each call; what it may not do fails in a line that does not hold it."""
    with live_server(migrated_sqlite, tmp_path, authenticator=people(reader=Role.READ)) as live:
        name = live.occur(1)
        reader = {"server": live.target, "insecure": True, "token": "reader"}
        stranger = {**reader, "token": "never-heard-of"}

        assert soar.get_finding(reader, name)["name"] == name
        assert soar.get_finding({**reader, "token": "reader\n"}, name)["name"] == name
        denied = failure(lambda: soar.acknowledge(reader, name))
        unknown = failure(lambda: soar.get_finding(stranger, name))

    assert (denied.code, unknown.code) == ("PERMISSION_DENIED", "UNAUTHENTICATED")
    assert "never-heard-of" not in str(unknown)
    assert denied.request_id
