"""Allow pattern: vouch for image names, after seeing what that does."""

from datetime import UTC, datetime
from hashlib import sha256

from soar_sdk.abstract import SOARClient
from soar_sdk.action_results import ActionOutput, OutputField
from soar_sdk.exceptions import ActionFailure
from soar_sdk.params import Param, Params

from amiguard_client import AllowlistEntry, Client, TuningPreview

from .asset import Asset
from .connection import connected
from .inputs import list_of, required, text_of, time_of
from .outputs import FINDING, time_text


class DifferenceOutput(ActionOutput):
    """One finding that would be another; no score where there would be, or is, none."""

    name: str = OutputField(cef_types=[FINDING])
    score_before: int | None
    score_after: int | None


class AllowPatternOutput(ActionOutput):
    """What the entry would do, and the entry once it is made."""

    pattern: str = OutputField(example_values=["acme-base-*"], column_name="Pattern")
    is_applied: bool = OutputField(column_name="Applied")
    entry_name: str = OutputField(
        example_values=["allowlistEntries/soar-0f3a9c51b2d4"], column_name="Entry"
    )
    justification: str
    account_ids: list[str]
    expire_time: str | None
    evaluated_count: int = OutputField(example_values=[40], column_name="Judged again")
    rescored_count: int = OutputField(example_values=[3], column_name="Other score")
    removed_count: int = OutputField(example_values=[0], column_name="Gone")
    added_count: int = OutputField(example_values=[0], column_name="New")
    examples: list[DifferenceOutput]
    evidence_start_time: str | None


class AllowPatternParams(Params):
    """What to vouch for, and why."""

    pattern: str = Param(
        description="AMI names that only this organization uses, such as: acme-base-*",
        primary=True,
        required=True,
    )
    justification: str = Param(description="Why, for the audit", required=True)
    apply: bool = Param(
        description="Make the entry; otherwise it is only tried on what is stored",
        default=False,
        required=False,
    )
    entry_id: str | None = Param(
        description="Id of the entry: 4 to 63 of a-z, 0-9 and -; made of the pattern if empty",
        required=False,
    )
    account_ids: str | None = Param(
        description="Accounts it applies in, separated by commas; all if empty",
        allow_list=True,
        required=False,
    )
    expire_time: str | None = Param(
        description="When it ends, as a day or an RFC 3339 time; never if empty", required=False
    )
    force: bool = Param(
        description="Accept a pattern that reaches into a well-known public family",
        default=False,
        required=False,
    )
    allow_losing_true_positives: bool = Param(
        description="Make it even where a finding closed as TRUE_POSITIVE would vanish or fall to "
        "LOW",
        default=False,
        required=False,
    )


def allow_pattern(
    params: AllowPatternParams, soar: SOARClient[ActionOutput], asset: Asset
) -> AllowPatternOutput:
    """Says what vouching for a name pattern would do to findings and, told to apply it, does it.

    The server refuses, in a trial too, what it would refuse to make.
    """
    pattern = required("pattern", params.pattern)
    with connected(asset) as client:
        # First what would refuse it: a preview of a pattern that cannot be allowed says nothing.
        entry = _create(client, params, validate_only=True)
        preview = client.tuning.preview_entry(
            organization_pattern=pattern, account_ids=list_of(params.account_ids)
        )
        if params.apply:
            entry = _create(client, params, validate_only=False)
    soar.set_message(_message_of(preview, entry, is_applied=params.apply))
    return _output_of(preview, entry, pattern=pattern, is_applied=params.apply)


def _create(client: Client, params: AllowPatternParams, *, validate_only: bool) -> AllowlistEntry:
    expire_time = time_of("expire_time", params.expire_time)
    if expire_time is not None and expire_time <= datetime.now(UTC):
        raise ActionFailure(f"expire_time: got {params.expire_time!r}, wanted a time to come")
    pattern = required("pattern", params.pattern)
    return client.tuning.create_entry(
        text_of(params.entry_id) or f"soar-{sha256(pattern.encode()).hexdigest()[:12]}",
        justification=required("justification", params.justification),
        organization_pattern=pattern,
        account_ids=list_of(params.account_ids),
        expire_time=expire_time,
        validate_only=validate_only,
        force=params.force,
        refuse_if_loses_true_positives=not params.allow_losing_true_positives,
    )


def _message_of(preview: TuningPreview, entry: AllowlistEntry, *, is_applied: bool) -> str:
    counts = (
        f"of {preview.evaluated_count} findings of the last 7 days {preview.rescored_count} get "
        f"another score, {preview.removed_count} go, {preview.added_count} come"
    )
    if is_applied:
        return f"{entry.name} is in force: {counts}"
    return f"Tried, and nothing changed: {counts}; run it with apply to make the entry"


def _output_of(
    preview: TuningPreview, entry: AllowlistEntry, *, pattern: str, is_applied: bool
) -> AllowPatternOutput:
    return AllowPatternOutput(
        pattern=pattern,
        is_applied=is_applied,
        entry_name=entry.name,
        justification=entry.justification,
        account_ids=list(entry.account_ids),
        expire_time=time_text(entry.expire_time),
        evaluated_count=preview.evaluated_count,
        rescored_count=preview.rescored_count,
        removed_count=preview.removed_count,
        added_count=preview.added_count,
        examples=[
            DifferenceOutput(
                name=finding.name,
                score_before=example.before.likelihood_score if example.before else None,
                score_after=example.after.likelihood_score if example.after else None,
            )
            for example in preview.examples
            if (finding := example.before or example.after)
        ],
        evidence_start_time=time_text(preview.evidence_start_time),
    )
