"""What people ask to be tried: requests read and checked."""

from __future__ import annotations

from typing import Final

from amiguard.v1 import tuning_service_pb2 as wire
from amiguard_service.entry_requests import ENTRY, entry_id_of, read_tried_entry
from amiguard_service.proposals import Proposal, with_entry, with_rule, without_entry
from amiguard_service.refusals import FieldInvalidError
from amiguard_service.request_fields import shown
from amiguard_service.rule_requests import RULE, read_rule_patch
from amiguard_service.tuned import ENTRY_PREFIX

DEFAULT_EXAMPLES: Final = 20
MAX_EXAMPLES: Final = 100


def read_proposal(request: wire.PreviewTuningRequest) -> tuple[str, Proposal]:
    """Returns the field that holds the change to be tried, and the change."""
    change = request.WhichOneof("change")
    if request.update_mask.paths and change not in {None, RULE}:
        got = f"{', '.join(map(shown, request.update_mask.paths))} with {change}"
        raise FieldInvalidError("update_mask", got=got, expected=f"no paths but with {RULE}")
    match change:
        case "allowlist_entry":
            return ENTRY, with_entry(read_tried_entry(request.allowlist_entry))
        case "deleted_allowlist_entry" as field:
            entry_id = entry_id_of(request.deleted_allowlist_entry, field=field)
            return field, without_entry(ENTRY_PREFIX + entry_id)
        case "rule_config":
            return RULE, with_rule(read_rule_patch(request.rule_config, request.update_mask))
        case _:
            raise FieldInvalidError(
                "change", got="nothing", expected="an entry, a deletion or a configuration"
            )


def read_max_examples(number: int) -> int:
    """Returns how many examples are wanted at most."""
    if number < 0:
        raise FieldInvalidError("max_examples", got=str(number), expected="0 or more")
    return min(number or DEFAULT_EXAMPLES, MAX_EXAMPLES)
