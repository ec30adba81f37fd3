"""Allow pattern: vouch for image names, after seeing what that does."""

from datetime import UTC, datetime
from hashlib import sha256

from soar_sdk.abstract import SOARClient
from soar_sdk.action_results import ActionOutput, OutputField
from soar_sdk.exceptions import ActionFailure
from soar_sdk.params import Param, Params

from amiguard_client import AllowlistEntry, Client, ConflictError, TuningPreview
from amiguard_client import soar as soar_steps

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
    entry = _Entry(params)
    with connected(asset) as client:
        # First what would refuse it: a preview of a pattern that cannot be allowed says nothing.
        entry.check(client)
        preview = client.tuning.preview_entry(
            organization_pattern=entry.pattern, account_ids=entry.account_ids
        )
        made = entry.make(client) if params.apply else None
    counts = (
        f"of {preview.evaluated_count} findings of the last 7 days {preview.rescored_count} get "
        f"another score, {preview.removed_count} go, {preview.added_count} come"
    )
    if params.apply:
        soar.set_message(f"{entry.name} is in force: {counts}")
    else:
        soar.set_message(
            f"Tried, and nothing changed: {counts}; run it with apply to make the entry"
        )
    return _output_of(preview, entry, made=made)


class _Entry:
    """The entry that the parameters ask for."""

    def __init__(self, params: AllowPatternParams) -> None:
        self.pattern = required("pattern", params.pattern)
        self.justification = required("justification", params.justification)
        self.account_ids = list_of(params.account_ids)
        self.expire_time = time_of("expire_time", params.expire_time)
        if self.expire_time is not None and self.expire_time <= datetime.now(UTC):
            raise ActionFailure(f"expire_time: got {params.expire_time!r}, wanted a time to come")
        digest = sha256(self.pattern.encode()).hexdigest()
        self._entry_id = text_of(params.entry_id) or f"soar-{digest[:12]}"
        self._force = params.force
        self._keeps_true_positives = not params.allow_losing_true_positives

    @property
    def name(self) -> str:
        """The name it is to have."""
        return f"allowlistEntries/{self._entry_id}"

    def check(self, client: Client) -> None:
        """Raises what the server would refuse it with."""
        try:
            client.tuning.create_entry(
                self._entry_id,
                justification=self.justification,
                organization_pattern=self.pattern,
                account_ids=self.account_ids,
                expire_time=self.expire_time,
                validate_only=True,
                force=self._force,
                refuse_if_loses_true_positives=self._keeps_true_positives,
            )
        except ConflictError as error:
            # It may well be this one, made by an earlier run; `make` tells.
            if error.reason != "RESOURCE_EXISTS":
                raise

    def make(self, client: Client) -> AllowlistEntry:
        """Returns it, made now or, for the same pattern and accounts, by an earlier run."""
        soar_steps.allow_pattern(
            client,
            self._entry_id,
            self.pattern,
            justification=self.justification,
            account_ids=self.account_ids,
            expire_time=time_text(self.expire_time),
            force=self._force,
            refuse_if_loses_true_positives=self._keeps_true_positives,
        )
        return client.tuning.get_entry(self._entry_id)


def _output_of(
    preview: TuningPreview, entry: _Entry, *, made: AllowlistEntry | None
) -> AllowPatternOutput:
    shown = made or entry
    return AllowPatternOutput(
        pattern=entry.pattern,
        is_applied=made is not None,
        entry_name=entry.name,
        justification=shown.justification,
        account_ids=list(shown.account_ids),
        expire_time=time_text(shown.expire_time),
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
