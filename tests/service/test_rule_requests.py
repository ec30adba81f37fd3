"""Laws of the settings that are asked for, on a server at work."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from grpc import StatusCode

from amiguard.v1 import tuning_service_pb2 as wire
from tests.service.operating import (
    HOUR,
    call,
    field_refused,
    get_rule,
    refused,
    update_rule,
)
from tests.service.running import Refused, Running


def test_settings_begin_as_documented(running: Running) -> None:
    """The first revision is in force from the start, and listed."""
    first = get_rule(running)

    assert (first.revision, first.creator) == (1, "amiguard")
    assert first.correlation_window == Duration(seconds=900)
    assert first.max_lateness == Duration(seconds=86_400)
    assert first.mode == wire.RuleConfig.MODE_DOCUMENTED
    assert first.correlate_by == wire.RuleConfig.CORRELATE_BY_PRINCIPAL
    assert list(first.launch_paths) == ["RunInstances"]
    assert list(call(running, wire.ListRuleConfigsRequest()).rule_configs) == [first]


def test_every_setting_can_be_another(running: Running) -> None:
    """Each setting is put in force; a rollback is a further revision like an old one."""
    first = get_rule(running)
    given: dict[str, Any] = {
        "correlation_window": HOUR,
        "max_lateness": Duration(),
        "public_patterns": ["acme-public-*"],
        "mode": wire.RuleConfig.MODE_STRICT,
        "correlate_by": wire.RuleConfig.CORRELATE_BY_ROLE,
        "launch_paths": ["CreateFleet", "RunInstances", "CreateFleet"],
    }

    changed = update_rule(running, **given)
    first.etag = changed.etag
    back = call(
        running,
        wire.UpdateRuleConfigRequest(rule_config=first, update_mask=FieldMask(paths=["*"])),
    ).rule_config

    assert {name: getattr(changed, name) for name in given} == given | {
        "launch_paths": ["CreateFleet", "RunInstances"]
    }
    assert (changed.revision, back.revision) == (2, 3)
    assert {name: getattr(back, name) for name in given} == {
        name: getattr(first, name) for name in given
    }
    assert [r.revision for r in call(running, wire.ListRuleConfigsRequest()).rule_configs] == [
        *(3, 2, 1)
    ]
    assert get_rule(running, 2) == changed


def test_masked_setting_that_is_not_given_is_as_at_first(running: Running) -> None:
    """A path without a value sets what the rule begins with; RunInstances alone where empty."""
    changed = update_rule(
        running, correlation_window=HOUR, launch_paths=["CreateFleet"], public_patterns=["a-*"]
    )

    cleared = update_rule(running, paths=("correlation_window", "launch_paths"))

    assert list(changed.launch_paths) == ["CreateFleet"]
    assert list(cleared.launch_paths) == ["RunInstances"]
    assert cleared.correlation_window == Duration(seconds=900)
    assert list(cleared.public_patterns) == ["a-*"]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"correlation_window": Duration(nanos=1)}, "rule_config.correlation_window"),
        ({"correlation_window": Duration(seconds=86_401)}, "rule_config.correlation_window"),
        ({"correlation_window": Duration(seconds=1 << 62)}, "rule_config.correlation_window"),
        ({"max_lateness": Duration(seconds=-1)}, "rule_config.max_lateness"),
        ({"max_lateness": Duration(seconds=35 * 86_400 + 1)}, "rule_config.max_lateness"),
        ({"public_patterns": ["a-*", ""]}, "rule_config.public_patterns[1]"),
        ({"public_patterns": ["*"]}, "rule_config.public_patterns[0]"),
        ({"public_patterns": ["a-*"] * 201}, "rule_config.public_patterns"),
        ({"launch_paths": ["RunInstances", "runInstances"]}, "rule_config.launch_paths[1]"),
        ({"mode": 9}, "rule_config.mode"),
        ({"correlate_by": 9}, "rule_config.correlate_by"),
        ({"etag": ""}, "rule_config.etag"),
    ],
)
def test_wrong_setting_is_refused_by_its_field(
    running: Running, values: dict[str, Any], field: str
) -> None:
    """A setting out of range is named, and none is changed."""
    before = get_rule(running)
    config = wire.RuleConfig(**{"etag": before.etag} | values)

    answer = refused(running, wire.UpdateRuleConfigRequest(rule_config=config))

    assert answer == field_refused(field)
    assert get_rule(running) == before


def test_settings_are_changed_at_their_etag(running: Running) -> None:
    """A revision on top of one that the caller has not seen is refused, as is an unknown path."""
    first = get_rule(running)
    second = update_rule(running, correlation_window=HOUR)
    late = wire.RuleConfig(etag=first.etag, correlation_window=Duration(seconds=60))
    mask = FieldMask(paths=["revision"])

    assert refused(running, wire.UpdateRuleConfigRequest(rule_config=late)) == Refused(
        StatusCode.ABORTED,
        "ETAG_MISMATCH",
        {"name": "ruleConfig", "current_etag": second.etag},
    )
    assert refused(
        running, wire.UpdateRuleConfigRequest(rule_config=second, update_mask=mask)
    ) == field_refused("update_mask")
    assert get_rule(running) == second


def test_revision_that_never_was_is_not_found(running: Running) -> None:
    """Old revisions stay; others are not found."""
    assert refused(running, wire.GetRuleConfigRequest(revision=7)) == Refused(
        StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND", {"name": "ruleConfigs/7"}
    )
    assert refused(running, wire.GetRuleConfigRequest(revision=-1)) == field_refused("revision")
