"""Laws of the entries that are asked for, on a server at work."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from amiguard.v1 import tuning_service_pb2 as wire
from tests.service.operating import (
    HOUR,
    WHY,
    call,
    changes,
    create,
    creation,
    entry,
    field_refused,
    get_entry,
    refused,
    update,
    updating,
)
from tests.service.running import Running


@pytest.mark.parametrize(
    ("subject", "value"),
    [
        ("trusted_owner", "amazon"),
        ("trusted_account", "012345678901"),
        ("organization_pattern", "acme-*"),
    ],
)
def test_every_kind_can_be_vouched_for(running: Running, subject: str, value: str) -> None:
    """Owners, accounts and patterns come back as what they are; leading zeros stay."""
    given = wire.AllowlistEntry(justification=WHY, **{subject: value})  # type: ignore[arg-type]  # one of the subjects

    made = create(running, allowlist_entry=given)

    assert (made.WhichOneof("subject"), getattr(made, subject)) == (subject, value)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"allowlist_entry_id": "abc"}, "allowlist_entry_id"),
        ({"allowlist_entry_id": "Ours"}, "allowlist_entry_id"),
        ({"allowlist_entry_id": "x" * 64}, "allowlist_entry_id"),
        ({"allowlist_entry": wire.AllowlistEntry(justification=WHY)}, "allowlist_entry.subject"),
        ({"allowlist_entry": entry("*")}, "allowlist_entry.organization_pattern"),
        ({"allowlist_entry": entry("")}, "allowlist_entry.organization_pattern"),
        ({"allowlist_entry": entry("a\0b")}, "allowlist_entry.organization_pattern"),
        ({"allowlist_entry": entry("a" * 256)}, "allowlist_entry.organization_pattern"),
        ({"allowlist_entry": entry("ubuntu/*")}, "allowlist_entry.organization_pattern"),
        (
            {"allowlist_entry": wire.AllowlistEntry(trusted_owner="me", justification=WHY)},
            "allowlist_entry.trusted_owner",
        ),
        (
            {"allowlist_entry": wire.AllowlistEntry(trusted_account="12", justification=WHY)},
            "allowlist_entry.trusted_account",
        ),
        (
            {"allowlist_entry": entry(account_ids=["111122223333", "x"])},
            "allowlist_entry.account_ids[1]",
        ),
        (
            {"allowlist_entry": entry(account_ids=["x", "111122223333"])},
            "allowlist_entry.account_ids[0]",
        ),
        (
            {"allowlist_entry": entry(account_ids=["111122223333"] * 1_001)},
            "allowlist_entry.account_ids",
        ),
        ({"allowlist_entry": entry(justification="")}, "allowlist_entry.justification"),
        ({"allowlist_entry": entry(justification=" \n")}, "allowlist_entry.justification"),
        ({"allowlist_entry": entry(justification="x" * 2_001)}, "allowlist_entry.justification"),
        ({"allowlist_entry": entry(justification="a\0b")}, "allowlist_entry.justification"),
        (
            {"allowlist_entry": entry(expire_time=Timestamp(seconds=1))},
            "allowlist_entry.expire_time",
        ),
        (
            {"allowlist_entry": entry(expire_time=Timestamp(seconds=1 << 40))},
            "allowlist_entry.expire_time",
        ),
        ({"allowlist_entry": entry(ttl=Duration())}, "allowlist_entry.ttl"),
        ({"allowlist_entry": entry(ttl=Duration(seconds=-1))}, "allowlist_entry.ttl"),
        ({"allowlist_entry": entry(ttl=Duration(seconds=1 << 38))}, "allowlist_entry.ttl"),
        ({"allowlist_entry": entry(ttl=Duration(seconds=1 << 62))}, "allowlist_entry.ttl"),
        ({"allowlist_entry": entry(ttl=Duration(seconds=1, nanos=-1))}, "allowlist_entry.ttl"),
        ({"request_id": "42"}, "request_id"),
    ],
)
def test_wrong_entry_is_refused_by_its_field(
    running: Running, values: dict[str, Any], field: str
) -> None:
    """What is wrong is named as it stands in the request, and nothing is created."""
    answer = refused(running, creation(**values))

    assert answer == field_refused(field)
    assert changes(running).total_count == 0
    assert len(call(running, wire.ListAllowlistEntriesRequest()).allowlist_entries) == 4


def test_longest_reason_is_kept_whole(running: Running) -> None:
    """A justification of exactly the bound is taken and given back; so is a scope of the bound."""
    accounts = [f"{number:012}" for number in range(1_000)]

    made = create(running, allowlist_entry=entry(justification="x" * 2_000, account_ids=accounts))

    assert (made.justification, list(made.account_ids)) == ("x" * 2_000, accounts)


def test_force_vouches_for_public_names_and_not_for_every_name(running: Running) -> None:
    """A pattern that reaches into a public family needs force; one of every name has no way in."""
    made = create(running, allowlist_entry=entry("ubuntu/*"), force=True)

    assert made.organization_pattern == "ubuntu/*"
    assert refused(
        running, creation("others", allowlist_entry=entry("**"), force=True)
    ) == field_refused("allowlist_entry.organization_pattern")


@pytest.mark.parametrize("name", ["", "ours", "findings/ours", "allowlistEntries/", "a/ours\0"])
def test_name_of_no_entry_is_refused(running: Running, name: str) -> None:
    """What cannot be the name of an entry is refused as such, wherever it stands."""
    change = wire.AllowlistEntry(name=name, etag="0", justification=WHY)

    answers = [
        refused(running, request)
        for request in (
            wire.GetAllowlistEntryRequest(name=name),
            wire.DeleteAllowlistEntryRequest(name=name),
            wire.UpdateAllowlistEntryRequest(allowlist_entry=change),
        )
    ]

    assert answers == [
        field_refused("name"),
        field_refused("name"),
        field_refused("allowlist_entry.name"),
    ]


def test_update_sets_what_its_mask_names(running: Running) -> None:
    """Fields outside the mask stay; one inside that is not set is cleared."""
    create(running, allowlist_entry=entry(account_ids=["111122223333"], ttl=HOUR))

    update(running, "justification", justification="other", account_ids=["222222222222"])
    reasoned = get_entry(running)
    update(running, "account_ids", "expire_time")
    cleared = get_entry(running)

    assert (reasoned.justification, list(reasoned.account_ids)) == ("other", ["111122223333"])
    assert reasoned.HasField("expire_time")
    assert (cleared.justification, list(cleared.account_ids)) == ("other", [])
    assert not cleared.HasField("expire_time")
    assert cleared.organization_pattern == "acme-*"


def test_update_without_a_mask_sets_what_is_given(running: Running) -> None:
    """An entry that was read can be sent back with a change; what is not set stays."""
    made = create(running, allowlist_entry=entry(account_ids=["111122223333"]))

    made.justification = "other"
    made.ttl.CopyFrom(HOUR)
    changed = call(running, wire.UpdateAllowlistEntryRequest(allowlist_entry=made)).allowlist_entry

    assert changed.justification == "other"
    assert list(changed.account_ids) == ["111122223333"]
    ends_after = changed.expire_time.ToMicroseconds() - changed.update_time.ToMicroseconds()
    assert ends_after == 3_600_000_000
    assert (changed.create_time, changed.creator) == (made.create_time, made.creator)


def test_update_of_everything_clears_what_is_not_given(running: Running) -> None:
    """The mask `*` puts the entry as given in place of what it was."""
    create(running, allowlist_entry=entry(account_ids=["111122223333"], ttl=HOUR))

    changed = update(running, "*", justification="other")

    assert (changed.justification, list(changed.account_ids)) == ("other", [])
    assert not changed.HasField("expire_time")


@pytest.mark.parametrize(
    ("paths", "values", "field"),
    [
        (["organization_pattern"], {"organization_pattern": "b-*"}, "update_mask"),
        (["creator"], {}, "update_mask"),
        (["colour"], {}, "update_mask"),
        ([], {"organization_pattern": "b-*"}, "allowlist_entry.organization_pattern"),
        ([], {"trusted_account": "111122223333"}, "allowlist_entry.trusted_account"),
        (["justification"], {}, "allowlist_entry.justification"),
        ([], {"account_ids": ["x", "1" * 12]}, "allowlist_entry.account_ids[0]"),
        ([], {"expire_time": Timestamp(seconds=1)}, "allowlist_entry.expire_time"),
        (["ttl"], {"ttl": Duration()}, "allowlist_entry.ttl"),
        ([], {"etag": ""}, "allowlist_entry.etag"),
    ],
)
def test_wrong_update_is_refused_by_its_field(
    running: Running, paths: list[str], values: dict[str, Any], field: str
) -> None:
    """What cannot be changed, or to that, is named, and nothing is changed."""
    made = create(running)

    answer = refused(running, updating(running, *paths, **values))

    assert answer == field_refused(field)
    assert get_entry(running) == made
