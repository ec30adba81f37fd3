"""`amiguardctl audit`: who did what, and whether the record of it is whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Table, delete, update

from amiguard_client.tuning import AuditBrokenError, verify_audit
from amiguard_client.tuning_values import TuningChange
from amiguard_service.store.tuning_schema import tuning_changes
from amiguard_service.tuned import seal
from tests.clients.cli.command_line import run, run_program
from tests.clients.live_server import Live

COUNT = 5
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOTHING: dict[str, Any] = {
    "entry_before": None,
    "entry_after": None,
    "rule_config_before": None,
    "rule_config_after": None,
    "images": (),
}


@pytest.fixture
def changed(live: Live) -> Live:
    """A server on which five changes were made."""
    for command in (
        ("allow", "add", "ours", "--pattern", "acme-*", "--justification", "ours alone"),
        ("allow", "update", "ours", "--justification", 'still \u00e9 "ours" \\ \u2028'),
        ("rules", "set", "--window", "10m"),
        ("allow", "remove", "ours"),
    ):
        result = run("--server", live.target, *command, "--yes")
        assert result.exit_code == 0, result.stderr
    described = b'{"Images": [{"ImageId": "ami-1"}]}'
    run("--server", live.target, "images", "import", "-", "--region", "eu-west-1", stdin=described)
    return live


def audit(live: Live, *args: object) -> Result:
    """Runs a verb of `audit` on the server."""
    return run("--server", live.target, "audit", *args)


def tamper(live: Live, change: Callable[[Table], object]) -> None:
    """Does something to the stored changes behind the server's back."""

    def work(connection: Connection) -> None:
        connection.execute(change(tuning_changes))  # type: ignore[call-overload]

    live.engine._database.write(work)


def test_every_change_is_listed_with_who_and_what(changed: Live) -> None:
    """Oldest first: the number, the principal, the method and what became of it."""
    rows = audit(changed, "list").stdout.splitlines()[2:]

    assert [row.split()[4] for row in rows] == [
        "CreateAllowlistEntry",
        "UpdateAllowlistEntry",
        "UpdateRuleConfig",
        "DeleteAllowlistEntry",
        "RegisterImages",
    ]
    assert all(row.split()[3] == "anonymous" for row in rows)
    assert "organization_pattern acme-*: ours alone" in rows[0]
    assert "justification ours alone -> still" in rows[1]
    assert "correlation_window 15m -> 10m" in rows[2]
    assert "1 image" in rows[4]
    assert "eu-west-1/ami-1" in rows[4]


def test_list_begins_at_a_time_and_is_paged(changed: Live) -> None:
    """--since leaves out what came before; JSON is that of the contract."""
    page = json.loads(audit(changed, "list", "--page-size", 2, "-o", "json").stdout)
    later = audit(changed, "list", "--since", "2100-01-01")

    assert [change["number"] for change in page["changes"]] == ["1", "2"]
    assert page["next_page_token"]
    assert (later.stdout, later.stderr) == ("", "Nothing to show.\n")


def test_untouched_chain_is_whole(changed: Live) -> None:
    """What the server sealed is worked out again to the same hashes."""
    said = json.loads(audit(changed, "verify", "-o", "json").stdout)
    text = audit(changed, "verify", "--known-hash", said["last_hash"])

    assert (said["is_whole"], said["count"]) == (True, COUNT)
    assert text.exit_code == 0
    assert text.stdout == f"5 changes, whole; last hash {said['last_hash']}\n"


def test_server_without_changes_is_whole(live: Live) -> None:
    """No changes make a chain of none."""
    assert audit(live, "verify").stdout == "0 changes, whole; last hash -\n"


@pytest.mark.parametrize(
    ("change", "number"),
    [
        (lambda t: update(t).where(t.c.change_id == 2).values(actor="mallory"), 2),
        (lambda t: update(t).where(t.c.change_id == 2).values(method="RegisterImages"), 2),
        (lambda t: update(t).where(t.c.change_id == 3).values(document=b"{}"), 3),
        (lambda t: update(t).where(t.c.change_id == 3).values(document=b"\xff"), 3),
        (lambda t: update(t).where(t.c.change_id == 1).values(change_time=NOON), 1),
        (lambda t: update(t).where(t.c.change_id == 4).values(hash="0" * 64), 4),
        (lambda t: update(t).where(t.c.change_id == 4).values(previous_hash="0" * 64), 4),
        (lambda t: delete(t).where(t.c.change_id == 1), 1),
        (lambda t: delete(t).where(t.c.change_id == 3), 3),
        (lambda t: delete(t).where(t.c.change_id == COUNT), COUNT),
        (delete, 1),
    ],
    ids=[
        *("actor", "method", "document", "unreadable", "time", "hash", "previous"),
        *("first-removed", "removed", "last-removed", "all-removed"),
    ],
)
def test_first_change_that_is_not_as_sealed_is_found(
    changed: Live, change: Callable[[Table], object], number: int
) -> None:
    """Whatever is done to the record of a change, its number is told with exit 1."""
    tamper(changed, change)

    done = run_program("--server", changed.target, "audit", "verify", "-o", "json")

    said = json.loads(done.stdout)
    assert done.returncode == 1
    assert (said["is_whole"], said["number"]) == (False, number)
    assert f"Error: change {number}: {said['problem']}\n" == done.stderr.decode()


def _renumber(table: Table, *, old: int, new: int) -> object:
    return update(table).where(table.c.change_id == old).values(change_id=new)


def test_changes_that_have_swapped_places_are_found(changed: Live) -> None:
    """The order of changes is part of what is sealed."""
    for old, new in ((2, 99), (3, 2), (99, 3)):
        tamper(changed, partial(_renumber, old=old, new=new))

    result = audit(changed, "verify")

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: change 2: ")


def test_chain_that_was_sealed_anew_lacks_the_hash_of_before(changed: Live) -> None:
    """A hash that was kept elsewhere shows that somebody rewrote the whole chain."""
    result = audit(changed, "verify", "--known-hash", "ab" * 32)

    assert result.exit_code == 1
    assert f"no change up to here has the hash {'ab' * 32}" in result.stderr


texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    texts,
    texts,
    texts,
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds have no zone; the times do
)
def test_seal_is_that_of_the_server(actor: str, method: str, document: str, time: datetime) -> None:
    """Whatever a change says, its hash is worked out as the server does."""
    change = TuningChange(
        number=1,
        actor=actor,
        method=method,
        change_time=time,
        document=document.encode(),
        previous_hash="",
        hash=seal(
            "",
            change_id=1,
            change_time=time,
            actor=actor,
            method=method,
            document=document.encode(),
        ),
        **NOTHING,
    )

    verify_audit([change], total_count=1, last_hash=change.hash)


def chain(count: int) -> list[TuningChange]:
    """Makes a chain of changes."""
    changes: list[TuningChange] = []
    for number in range(1, count + 1):
        parts: dict[str, Any] = {
            "actor": "ann",
            "method": "UpdateRuleConfig",
            "change_time": NOON + timedelta(days=number),
            "document": b"{}",
        }
        previous = changes[-1].hash if changes else ""
        sealed = seal(previous, change_id=number, **parts)
        changes.append(
            TuningChange(number=number, previous_hash=previous, hash=sealed, **parts, **NOTHING)
        )
    return changes


@given(st.data())
def test_shuffled_or_shortened_chain_is_never_whole(data: st.DataObject) -> None:
    """Any other sequence of the same changes fails at the first that is out of its place."""
    changes = chain(6)
    other = data.draw(st.lists(st.sampled_from(changes), max_size=7))
    first_wrong = next(
        (i for i, (a, b) in enumerate(zip(other, changes, strict=False)) if a is not b),
        min(len(other), len(changes)),
    )
    if other == changes:
        return

    with pytest.raises(AuditBrokenError) as raised:
        verify_audit(other, total_count=6, last_hash=changes[-1].hash)

    assert raised.value.number == first_wrong + 1
