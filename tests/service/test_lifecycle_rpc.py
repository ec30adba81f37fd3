"""The calls that change findings, on a server at work."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from amiguard.v1 import finding_service_pb2 as wire
from amiguard.v1.finding_pb2 import Finding
from amiguard.v1.finding_service_pb2_grpc import FindingServiceStub
from amiguard_service.engine import Engine, read_clock
from amiguard_service.identity import (
    Principal,
    Role,
    Token,
    TokenFileError,
    Tokens,
    read_tokens,
)
from amiguard_service.ledger import RULE_ACTOR
from tests.service.running import Refused, refusal, serving
from tests.store.values import batch, launch, origin, search

UNKNOWN = "findings/111122223333-00"
PEOPLE = {
    "ann": {Role.READ, Role.RESPOND},
    "root": {Role.ADMIN},
    "eve": {Role.READ, Role.INGEST},
}


@pytest.fixture
def engine(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Engine]:
    """An engine on a migrated database without data."""
    path = shutil.copy(migrated_sqlite, tmp_path)
    opened = Engine.open(f"sqlite:///{path}")
    yield opened
    opened.close()


@pytest.fixture
def findings(engine: Engine) -> Iterator[FindingServiceStub]:
    """The calls of a server that knows the people by their names."""
    tokens = tuple(
        Token(Principal(name, frozenset(roles)), sha256(name.encode()).digest())
        for name, roles in PEOPLE.items()
    )
    with serving(engine, authenticator=Tokens(tokens)) as running:
        yield running.findings


@pytest.fixture
def found(engine: Engine) -> str:
    """The name of an open finding."""
    return occur(engine, 1)


def occur(engine: Engine, number: int, *, agent: str = "aws-cli/2.17.32") -> str:
    """Commits a search and its launch, and returns the name of their finding."""
    seconds = 10_000 * number
    records = (
        search(origin(f"s{number}", seconds, agent=agent), "acme-base"),
        launch(origin(f"l{number}", seconds + 1)),
    )
    (outcome,) = engine.commit([batch(*records)])
    (finding_id,) = outcome.finding_ids
    return f"findings/{finding_id}"


def call(method: Any, request: Any, *, by: str = "ann") -> Any:
    """Makes a call with somebody's token."""
    return method(request, metadata=[("authorization", f"Bearer {by}")], timeout=30)


def refused(method: Any, request: Any, *, by: str = "ann") -> Refused:
    """Makes a call that is refused, and returns how."""
    with pytest.raises(grpc.RpcError) as caught:
        call(method, request, by=by)
    return refusal(caught.value)


def closing(name: str, **values: Any) -> wire.CloseFindingRequest:
    """Makes a request to close a finding as a true positive."""
    given: dict[str, Any] = {
        "disposition": Finding.DISPOSITION_TRUE_POSITIVE,
        "comment": "mended",
    }
    return wire.CloseFindingRequest(name=name, **given | values)


def stamp(ahead: timedelta) -> Timestamp:
    """Makes a time from now."""
    made = Timestamp()
    made.FromDatetime(read_clock() + ahead)
    return made


def test_finding_goes_through_its_life(
    engine: Engine, findings: FindingServiceStub, found: str
) -> None:
    """Each call answers with the finding after the change, and the history has every move."""
    until = stamp(timedelta(days=30))
    acknowledged = call(
        findings.AcknowledgeFinding, wire.AcknowledgeFindingRequest(name=found, assignee="bob")
    ).finding
    accepted = closing(
        found,
        disposition=Finding.DISPOSITION_RISK_ACCEPTED,
        comment="until the new image",
        accept_until_time=until,
    )
    closed = call(findings.CloseFinding, accepted, by="root").finding
    reopened = call(
        findings.ReopenFinding, wire.ReopenFindingRequest(name=found, comment="sooner")
    ).finding
    call(findings.CloseFinding, closing(found))
    occur(engine, 2)

    assert (acknowledged.state, acknowledged.assignee) == (Finding.STATE_ACKNOWLEDGED, "bob")
    assert (closed.state, closed.disposition, closed.accept_until_time.ToMicroseconds()) == (
        *(Finding.STATE_CLOSED, Finding.DISPOSITION_RISK_ACCEPTED, until.ToMicroseconds()),
    )
    assert (reopened.state, reopened.disposition) == (Finding.STATE_OPEN, 0)
    assert not reopened.HasField("accept_until_time")
    entries = call(
        findings.ListFindingHistory, wire.ListFindingHistoryRequest(finding=found)
    ).entries
    assert [(e.actor, e.state_before, e.state_after, e.comment) for e in entries] == [
        ("amiguard", 0, Finding.STATE_OPEN, ""),
        ("ann", Finding.STATE_OPEN, Finding.STATE_ACKNOWLEDGED, ""),
        ("root", Finding.STATE_ACKNOWLEDGED, Finding.STATE_CLOSED, "until the new image"),
        ("ann", Finding.STATE_CLOSED, Finding.STATE_OPEN, "sooner"),
        ("ann", Finding.STATE_OPEN, Finding.STATE_CLOSED, "mended"),
        ("amiguard", Finding.STATE_CLOSED, Finding.STATE_OPEN, ""),
    ]
    assert [(e.disposition, e.HasField("accept_until_time")) for e in entries] == [
        *[(0, False)] * 2,
        (Finding.DISPOSITION_RISK_ACCEPTED, True),
        (0, False),
        (Finding.DISPOSITION_TRUE_POSITIVE, False),
        (0, False),
    ]
    assert all(e.change_time.seconds for e in entries)


def test_caller_takes_up_what_it_names_nobody_for(findings: FindingServiceStub, found: str) -> None:
    """Without an assignee the principal of the token is the one."""
    taken = call(findings.AcknowledgeFinding, wire.AcknowledgeFindingRequest(name=found)).finding

    assert taken.assignee == "ann"


def test_history_is_paged(findings: FindingServiceStub, found: str) -> None:
    """Pages join to the whole history; a token is good for its own finding alone."""
    call(findings.CloseFinding, closing(found))
    call(findings.ReopenFinding, wire.ReopenFindingRequest(name=found, comment="again"))
    request = wire.ListFindingHistoryRequest(finding=found)
    whole = call(findings.ListFindingHistory, request)

    seen = []
    request.page_size = 1
    while True:
        page = call(findings.ListFindingHistory, request)
        seen += page.entries
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token

    assert seen == list(whole.entries)
    assert len(seen) == 3
    request.finding = UNKNOWN
    assert refused(findings.ListFindingHistory, request) == Refused(
        grpc.StatusCode.INVALID_ARGUMENT,
        "PAGE_TOKEN_MISMATCH",
        {"method": "ListFindingHistory"},
    )


@pytest.mark.parametrize(
    ("paths", "assignee", "labels"),
    [
        (["assignee"], "eve", {"team": "a"}),
        (["labels"], "bob", {"ticket": "7"}),
        (["assignee", "labels"], "eve", {"ticket": "7"}),
        (["*"], "eve", {"ticket": "7"}),
        ([], "eve", {"ticket": "7"}),
    ],
)
def test_mask_says_what_is_set(
    findings: FindingServiceStub,
    found: str,
    paths: list[str],
    assignee: str,
    labels: dict[str, str],
) -> None:
    """What the mask leaves out stays; without a mask what is set is taken."""
    before = Finding(name=found, assignee="bob", labels={"team": "a"})
    call(findings.UpdateFinding, wire.UpdateFindingRequest(finding=before))
    given = Finding(name=found, assignee="eve", labels={"ticket": "7"})

    after = call(
        findings.UpdateFinding,
        wire.UpdateFindingRequest(finding=given, update_mask=FieldMask(paths=paths)),
    ).finding

    assert (after.assignee, dict(after.labels)) == (assignee, labels)


def test_mask_clears_what_is_not_set(findings: FindingServiceStub, found: str) -> None:
    """A field that the mask names and the finding lacks is emptied, without a mask it stays."""
    given = Finding(name=found, assignee="bob", labels={"team": "a"})
    call(findings.UpdateFinding, wire.UpdateFindingRequest(finding=given))
    nothing = wire.UpdateFindingRequest(finding=Finding(name=found))

    same = call(findings.UpdateFinding, nothing).finding
    nothing.update_mask.paths.append("labels")
    cleared = call(findings.UpdateFinding, nothing).finding

    assert (same.assignee, dict(same.labels)) == ("bob", {"team": "a"})
    assert (cleared.assignee, dict(cleared.labels)) == ("bob", {})


CHANGES: dict[str, Callable[[FindingServiceStub, str, str], tuple[Any, Any]]] = {
    "acknowledge": lambda findings, name, etag: (
        findings.AcknowledgeFinding,
        wire.AcknowledgeFindingRequest(name=name, etag=etag),
    ),
    "close": lambda findings, name, etag: (findings.CloseFinding, closing(name, etag=etag)),
    "reopen": lambda findings, name, etag: (
        findings.ReopenFinding,
        wire.ReopenFindingRequest(name=name, comment="again", etag=etag),
    ),
    "update": lambda findings, name, etag: (
        findings.UpdateFinding,
        wire.UpdateFindingRequest(finding=Finding(name=name, assignee="bob", etag=etag)),
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_stale_etag_is_refused(
    findings: FindingServiceStub,
    found: str,
    change: Callable[[FindingServiceStub, str, str], tuple[Any, Any]],
) -> None:
    """Every change can be made to depend on the etag; the error gives the current one."""
    current = call(findings.GetFinding, wire.GetFindingRequest(name=found)).finding.etag

    assert refused(*change(findings, found, "stale")) == Refused(
        grpc.StatusCode.ABORTED, "ETAG_MISMATCH", {"name": found, "current_etag": current}
    )


@pytest.mark.parametrize("change", ["acknowledge", "close", "update"])
def test_current_etag_is_taken(findings: FindingServiceStub, found: str, change: str) -> None:
    """With the current etag the change is made, and the answer has the next."""
    current = call(findings.GetFinding, wire.GetFindingRequest(name=found)).finding.etag

    after = call(*CHANGES[change](findings, found, current)).finding

    assert after.etag != current
    assert after == call(findings.GetFinding, wire.GetFindingRequest(name=found)).finding


@pytest.mark.parametrize(("first", "second"), [("", "reopen"), ("close", "acknowledge")])
def test_wrong_state_is_refused_with_the_state(
    findings: FindingServiceStub, found: str, first: str, second: str
) -> None:
    """A move that does not start from the finding's state is told which it is."""
    if first:
        call(*CHANGES[first](findings, found, ""))

    assert refused(*CHANGES[second](findings, found, "")) == Refused(
        grpc.StatusCode.FAILED_PRECONDITION,
        "STATE_TRANSITION",
        {"name": found, "state": "CLOSED" if first else "OPEN"},
    )


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_unknown_finding_is_not_found(
    findings: FindingServiceStub,
    change: Callable[[FindingServiceStub, str, str], tuple[Any, Any]],
) -> None:
    """A change of what is not there is refused by its name; so is its history."""
    not_found = Refused(grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND", {"name": UNKNOWN})

    assert refused(*change(findings, UNKNOWN, "")) == not_found
    history = wire.ListFindingHistoryRequest(finding=UNKNOWN)
    assert refused(findings.ListFindingHistory, history) == not_found


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changes_need_the_role_respond_or_admin(
    findings: FindingServiceStub,
    found: str,
    change: Callable[[FindingServiceStub, str, str], tuple[Any, Any]],
) -> None:
    """Who may only read or send records changes nothing."""
    assert refused(*change(findings, found, ""), by="eve") == Refused(
        grpc.StatusCode.PERMISSION_DENIED, "ROLE_MISSING", {"role": "respond"}
    )


def test_no_token_is_the_rule_s(tmp_path: Path) -> None:
    """Nobody can put a move into the history that looks like one of the rule's."""
    path = tmp_path / "tokens.toml"
    digest = sha256(b"secret").hexdigest()
    path.write_text(
        f'[[tokens]]\nprincipal = "{RULE_ACTOR}"\nsha256 = "{digest}"\nroles = ["admin"]'
    )

    with pytest.raises(TokenFileError, match="name"):
        read_tokens(path)


def test_reads_need_the_role_read(findings: FindingServiceStub, found: str) -> None:
    """Who may change findings may not thereby read them."""
    role_missing = Refused(grpc.StatusCode.PERMISSION_DENIED, "ROLE_MISSING", {"role": "read"})

    for method, request in (
        (findings.GetFinding, wire.GetFindingRequest(name=found)),
        (findings.ListFindingHistory, wire.ListFindingHistoryRequest(finding=found)),
    ):
        assert refused(method, request, by="root") == role_missing


ACCEPTED = {"disposition": Finding.DISPOSITION_RISK_ACCEPTED}


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "findings/"}, "name"),
        ({"name": "findings/\x00"}, "name"),
        ({"disposition": 0}, "disposition"),
        ({"disposition": 99}, "disposition"),
        ({"comment": ""}, "comment"),
        ({"comment": " \n"}, "comment"),
        ({"comment": "x" * 2_001}, "comment"),
        ({"comment": "\x00"}, "comment"),
        ({"comment": "\x1b[2J"}, "comment"),
        (ACCEPTED, "accept_until_time"),
        (ACCEPTED | {"accept_until_time": stamp(timedelta(days=-1))}, "accept_until_time"),
        (ACCEPTED | {"accept_until_time": stamp(timedelta(days=402))}, "accept_until_time"),
        (ACCEPTED | {"accept_until_time": Timestamp(seconds=10**15)}, "accept_until_time"),
        (ACCEPTED | {"accept_until_time": Timestamp(nanos=-1)}, "accept_until_time"),
        ({"accept_until_time": stamp(timedelta(days=1))}, "accept_until_time"),
    ],
)
def test_malformed_closing_is_refused_by_field(
    findings: FindingServiceStub, found: str, values: dict[str, Any], field: str
) -> None:
    """What is missing or malformed is named, and nothing is changed."""
    request = closing(values.pop("name", found), **values)

    assert refused(findings.CloseFinding, request) == Refused(
        grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", {}, (field,)
    )
    finding = call(findings.GetFinding, wire.GetFindingRequest(name=found)).finding
    assert finding.state == Finding.STATE_OPEN


@pytest.mark.parametrize(
    ("given", "paths", "field"),
    [
        (Finding(), [], "finding.name"),
        (Finding(state=Finding.STATE_CLOSED), ["state"], "update_mask"),
        (Finding(), ["assignee", "etag"], "update_mask"),
        (Finding(), ["labels.team"], "update_mask"),
        (Finding(assignee="x" * 257), [], "finding.assignee"),
        (Finding(assignee="b\nob"), [], "finding.assignee"),
        (Finding(labels={str(n): "" for n in range(33)}), [], "finding.labels"),
        (Finding(labels={"": "a"}), [], "finding.labels"),
        (Finding(labels={"k" * 65: "a"}), [], "finding.labels"),
        (Finding(labels={"k": "v" * 257}), [], "finding.labels"),
        (Finding(labels={"k": "\x00"}), [], "finding.labels"),
        (Finding(labels={"k\x7f": "v"}), [], "finding.labels"),
    ],
)
def test_malformed_update_is_refused_by_field(
    findings: FindingServiceStub, found: str, given: Finding, paths: list[str], field: str
) -> None:
    """What cannot be set is named, and nothing is changed."""
    request = wire.UpdateFindingRequest(finding=given, update_mask=FieldMask(paths=paths))
    request.finding.name = "" if field == "finding.name" else found
    before = call(findings.GetFinding, wire.GetFindingRequest(name=found))

    assert refused(findings.UpdateFinding, request) == Refused(
        grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", {}, (field,)
    )
    assert call(findings.GetFinding, wire.GetFindingRequest(name=found)) == before


def test_longest_values_are_taken(findings: FindingServiceStub, found: str) -> None:
    """What is just within the limits is kept as it is, whatever its script."""
    labels = {f"{n:02}" + "ö" * 62: "漢" * 256 for n in range(32)}
    given = Finding(name=found, assignee="ö" * 256, labels=labels)
    comment = "a\tline\r\n" + "x" * 1_992

    updated = call(findings.UpdateFinding, wire.UpdateFindingRequest(finding=given)).finding
    call(findings.CloseFinding, closing(found, comment=comment))

    assert (updated.assignee, dict(updated.labels)) == ("ö" * 256, labels)
    history = call(findings.ListFindingHistory, wire.ListFindingHistoryRequest(finding=found))
    assert history.entries[-1].comment == comment


def test_other_malformed_requests_are_refused_by_field(
    findings: FindingServiceStub, found: str
) -> None:
    """The calls that take a comment or an assignee look at it alike."""
    for method, request, field in (
        (findings.ReopenFinding, wire.ReopenFindingRequest(name=found), "comment"),
        (
            findings.AcknowledgeFinding,
            wire.AcknowledgeFindingRequest(name=found, assignee="x" * 257),
            "assignee",
        ),
        (
            findings.ListFindingHistory,
            wire.ListFindingHistoryRequest(finding=found, page_size=-1),
            "page_size",
        ),
    ):
        assert refused(method, request) == Refused(
            grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", {}, (field,)
        )
