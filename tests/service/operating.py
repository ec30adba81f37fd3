"""An operator's end of TuningService: requests made briefly, and what they are answered."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode

from amiguard.v1 import tuning_service_pb2 as wire
from amiguard_service.engine import Engine, read_clock
from tests.service.running import TIMEOUT, Refused, Running, refusal
from tests.store.values import batch, launch, origin, search

OURS = "allowlistEntries/ours"
WHY = "Only the platform team builds these."
HOUR = Duration(seconds=3_600)


def call(running: Running, request: Any, *, by: str | None = None) -> Any:
    """Makes the call that a request is for, with somebody's token if need be."""
    method = getattr(running.tuning, type(request).__name__.removesuffix("Request"))
    metadata = [] if by is None else [("authorization", f"Bearer {by}")]
    return method(request, timeout=TIMEOUT, metadata=metadata)


def refused(running: Running, request: Any, *, by: str | None = None) -> Refused:
    """Makes a call that is refused, and returns how."""
    with pytest.raises(grpc.RpcError) as caught:
        call(running, request, by=by)
    return refusal(caught.value)


def entry(pattern: str = "acme-*", **values: Any) -> wire.AllowlistEntry:
    """Makes an entry that vouches for a pattern."""
    given = {"organization_pattern": pattern, "justification": WHY}
    return wire.AllowlistEntry(**given | values)


def creation(entry_id: str = "ours", **values: Any) -> wire.CreateAllowlistEntryRequest:
    """Makes a request to create an entry."""
    given: dict[str, Any] = {"allowlist_entry_id": entry_id, "allowlist_entry": entry()}
    return wire.CreateAllowlistEntryRequest(**given | values)


def create(running: Running, entry_id: str = "ours", **values: Any) -> wire.AllowlistEntry:
    """Creates an entry."""
    made: wire.AllowlistEntry = call(running, creation(entry_id, **values)).allowlist_entry
    return made


def get_entry(running: Running, entry_id: str = "ours") -> wire.AllowlistEntry:
    """Returns an entry."""
    request = wire.GetAllowlistEntryRequest(name=f"allowlistEntries/{entry_id}")
    found: wire.AllowlistEntry = call(running, request).allowlist_entry
    return found


def get_rule(running: Running, revision: int = 0) -> wire.RuleConfig:
    """Returns a rule configuration."""
    found: wire.RuleConfig = call(running, wire.GetRuleConfigRequest(revision=revision)).rule_config
    return found


def update_rule(running: Running, *, paths: tuple[str, ...] = (), **values: Any) -> wire.RuleConfig:
    """Puts other settings in force."""
    config = wire.RuleConfig(etag=get_rule(running).etag, **values)
    request = wire.UpdateRuleConfigRequest(rule_config=config)
    request.update_mask.paths.extend(paths)
    made: wire.RuleConfig = call(running, request).rule_config
    return made


def changes(running: Running) -> wire.ListTuningChangesResponse:
    """Returns the audit."""
    response: wire.ListTuningChangesResponse = call(running, wire.ListTuningChangesRequest())
    return response


def stamp(ahead: timedelta) -> Timestamp:
    """Makes a time from now."""
    made = Timestamp()
    made.FromDatetime(read_clock() + ahead)
    return made


def updating(running: Running, *paths: str, **values: Any) -> wire.UpdateAllowlistEntryRequest:
    """Makes a request to change the entry `ours`."""
    given = {"name": OURS, "etag": get_entry(running).etag}
    return wire.UpdateAllowlistEntryRequest(
        allowlist_entry=wire.AllowlistEntry(**given | values), update_mask=FieldMask(paths=paths)
    )


def update(running: Running, *paths: str, **values: Any) -> wire.AllowlistEntry:
    """Changes the entry `ours`."""
    made: wire.AllowlistEntry = call(running, updating(running, *paths, **values)).allowlist_entry
    return made


def field_refused(field: str) -> Refused:
    """Returns how a field is refused."""
    return Refused(StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", {}, (field,))


def occur(
    engine: Engine, number: int = 1, *, name: str = "acme-base-*", image: str = "ami-1"
) -> str:
    """Commits a search and its launch, and returns the id of their finding."""
    seconds = 10_000 * number
    records = (
        search(origin(f"s{number}", seconds), name),
        launch(origin(f"l{number}", seconds + 1), image),
    )
    (outcome,) = engine.commit([batch(*records)])
    (finding_id,) = outcome.finding_ids
    return finding_id


def score(engine: Engine, finding_id: str) -> int:
    """Returns the likelihood of a finding."""
    found = engine.get_finding(finding_id)
    assert found is not None
    return found.score
