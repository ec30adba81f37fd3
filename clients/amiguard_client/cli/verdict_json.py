"""Verdicts for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amiguard_client.cli.verdicts import finding_name, gap_of
from amiguard_core.clients import client_of

if TYPE_CHECKING:
    from amiguard_client.cli.verdicts import LaunchVerdict, Miss, Pinned, SearchVerdict, Verdicts
    from amiguard_core.events import Launch, Origin, Search, SearchRequest


def json_of(verdicts: Verdicts) -> dict[str, Any]:
    """Returns the verdicts as a JSON object."""
    return {
        "searches": [_search_json(verdict) for verdict in verdicts.searches],
        "launches": [_launch_json(verdict) for verdict in verdicts.launches],
    }


def _search_json(verdict: SearchVerdict) -> dict[str, Any]:
    search = verdict.search
    return {
        **_origin_json(search.origin),
        "request": _request_json(search.request),
        "fingerprint": search.fingerprint,
        "unsafe": verdict.judgement.is_unsafe,
        "protections": verdict.judgement.protections,
        "reasons": verdict.judgement.reasons,
        "launches": [_pair_json(search, launch, launch.origin) for launch in verdict.launches],
        "pinned": [_pinned_json(way, way.launch.origin) for way in verdict.pinned],
        "missed": [_miss_json(miss, miss.launch.origin) for miss in verdict.misses],
    }


def _launch_json(verdict: LaunchVerdict) -> dict[str, Any]:
    launch = verdict.launch
    return {
        **_origin_json(launch.origin),
        "launch_path": launch.path,
        "image_ids": launch.image_ids,
        "instance_ids": launch.instance_ids,
        "template": launch.template
        and {"template_id": launch.template.template_id, "version": launch.template.version},
        "searches": [_pair_json(search, launch, search.origin) for search in verdict.searches],
        "pinned": [_pinned_json(way, way.search.origin) for way in verdict.pinned],
        "missed": [_miss_json(miss, miss.search.origin) for miss in verdict.misses],
    }


def _origin_json(origin: Origin) -> dict[str, Any]:
    return {
        "event_id": origin.event_id,
        "event_time": origin.event_time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "account_id": origin.account_id,
        "region": origin.region,
        "principal_arn": origin.principal_arn,
        "actor_arn": origin.actor_arn,
        "client": client_of(origin.user_agent),
    }


def _request_json(request: SearchRequest) -> dict[str, Any]:
    return {
        "filters": {item.name: item.values for item in request.filters},
        "owners": request.owners,
        "image_ids": request.image_ids,
        "executable_by": request.executable_by,
        "include_deprecated": request.include_deprecated,
        "include_disabled": request.include_disabled,
        "parameters_omitted": request.parameters_omitted,
    }


def _pair_json(search: Search, launch: Launch, other: Origin) -> dict[str, Any]:
    return {
        "event_id": other.event_id,
        "gap_seconds": gap_of(search, launch).total_seconds(),
        "finding": finding_name(search, launch),
    }


def _pinned_json(way: Pinned, other: Origin) -> dict[str, Any]:
    return {
        **_pair_json(way.search, way.pin, other),
        "pin_event_id": way.pin.origin.event_id,
        "pin_launch_path": way.pin.path,
    }


def _miss_json(miss: Miss, other: Origin) -> dict[str, Any]:
    return {
        "event_id": other.event_id,
        "gap_seconds": gap_of(miss.search, miss.launch).total_seconds(),
        "causes": [{"code": o.cause, "message": o.message} for o in miss.obstacles],
    }
