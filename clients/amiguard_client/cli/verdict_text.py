"""Verdicts for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amiguard_client.cli.verdicts import finding_name, gap_of, seconds
from amiguard_core.clients import client_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amiguard_client.cli.verdicts import LaunchVerdict, Miss, SearchVerdict, Verdicts
    from amiguard_core.events import Launch, Origin, SearchRequest

_SAFE_BECAUSE = {
    "NOT_BY_NAME": "it does not search by name",
    "OWNER_GIVEN": "an owner is given",
    "OWNER_FILTER": "a filter names the owner",
    "IMAGE_ID_GIVEN": "image ids are given",
    "IMAGE_ID_FILTER": "a filter names image ids",
    "EXECUTABLE_BY_SELF": "only images shared with the account itself are asked for",
    "BOUNDED_FILTER": "a filter bounds the answer to images this account or AWS marked",
}
_UNSAFE_BECAUSE = {
    "NO_OWNER": "it searches by name and no owner is given",
    "UNTRUSTED_OWNER": "an owner is given that is not trusted",
    "PARAMETERS_OMITTED": "CloudTrail left the parameters out, which were over 100 KB",
}


def text_of(verdicts: Verdicts) -> Iterator[str]:
    """Yields the lines that tell of all searches, then of all launches."""
    for verdict in verdicts.searches:
        yield from _search_lines(verdict)
        yield ""
    for launch_verdict in verdicts.launches:
        yield from _launch_lines(launch_verdict)
        yield ""


def _search_lines(verdict: SearchVerdict) -> Iterator[str]:
    search, judgement = verdict.search, verdict.judgement
    yield f"SEARCH  {_when(search.origin)}  {search.origin.event_id}"
    yield from _origin_lines(search.origin)
    for asked in _request_phrases(search.request):
        yield f"  asks for   {asked}"
    for protection in judgement.protections:
        yield f"  safe       {protection}: {_SAFE_BECAUSE[protection]}"
    for reason in judgement.reasons:
        yield f"  unsafe     {reason}: {_UNSAFE_BECAUSE[reason]}"
    for launch in verdict.launches:
        gap = seconds(gap_of(search, launch))
        yield f"  followed   by {launch.path} {launch.origin.event_id}, {gap} later"
    for way in verdict.pinned:
        launched = f"{way.launch.path} {way.launch.origin.event_id}"
        made = f"{_template(way.pin)}, made by {way.pin.origin.event_id}"
        yield f"  launched   {launched} from {made}"
    for miss in verdict.misses:
        yield f"  missed     {miss.launch.path} {miss.launch.origin.event_id}: {_causes(miss)}"
    if judgement.is_unsafe and not verdict.launches and not verdict.misses:
        yield "  followed   by nothing: there is no launch in this input"


def _launch_lines(verdict: LaunchVerdict) -> Iterator[str]:
    launch = verdict.launch
    yield f"LAUNCH  {_when(launch.origin)}  {launch.origin.event_id}"
    yield from _origin_lines(launch.origin)
    yield f"  by         {launch.path}"
    if launch.image_ids:
        yield f"  images     {', '.join(launch.image_ids)}"
    if launch.template:
        yield f"  {'makes' if launch.is_pin else 'from':<11}{_template(launch)}"
    for search in verdict.searches:
        gap = seconds(gap_of(search, launch))
        name = finding_name(search, launch)
        yield f"  follows    search {search.origin.event_id} by {gap}: {name}"
    for way in verdict.pinned:
        gap = seconds(gap_of(way.search, way.pin))
        name = finding_name(way.search, way.pin)
        made = f"made by {way.pin.origin.event_id}, {gap} after search {way.search.origin.event_id}"
        yield f"  follows    what pinned its image: {_template(way.pin)}, {made}: {name}"
    for miss in verdict.misses:
        yield f"  missed     search {miss.search.origin.event_id}: {_causes(miss)}"
    if not verdict.searches and not verdict.pinned and not verdict.misses:
        yield "  follows    no search: there is no unsafe one in this input"


def _template(launch: Launch) -> str:
    template = launch.template
    return f"{template.template_id} version {template.version}" if template else ""


def _origin_lines(origin: Origin) -> Iterator[str]:
    yield f"  in         account {origin.account_id or 'unknown'}, {origin.region}"
    yield f"  principal  {origin.principal_arn or 'none recorded'}"
    if origin.actor_arn and origin.actor_arn != origin.principal_arn:
        yield f"  role       {origin.actor_arn}"
    yield f"  client     {client_of(origin.user_agent)}"


def _request_phrases(request: SearchRequest) -> Iterator[str]:
    for item in request.filters:
        yield f"filter {item.name} = {', '.join(item.values)}"
    if request.owners:
        yield f"owners {', '.join(request.owners)}"
    if request.image_ids:
        yield f"image ids {', '.join(request.image_ids)}"
    if request.executable_by:
        yield f"images executable by {', '.join(request.executable_by)}"
    if request.parameters_omitted:
        yield "what was not recorded"


def _when(origin: Origin) -> str:
    return origin.event_time.strftime("%Y-%m-%d %H:%M:%S UTC")


def _causes(miss: Miss) -> str:
    return "; ".join(obstacle.message for obstacle in miss.obstacles)
