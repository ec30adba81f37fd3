"""Submit events: CloudTrail records from a parameter or from a file in the vault."""

import json
from collections.abc import Sequence
from pathlib import Path

from soar_sdk.abstract import SOARClient
from soar_sdk.action_results import ActionOutput, OutputField
from soar_sdk.exceptions import ActionFailure
from soar_sdk.params import Param, Params

from amiguard_client import LogFile, SubmitSummary, Submittable

from .asset import Asset
from .connection import PATIENCE, connected
from .inputs import required, text_of
from .outputs import FINDING


class RejectionOutput(ActionOutput):
    """One record that was set aside; the server keeps it."""

    index: int
    reason: str = OutputField(example_values=["RECORD_MALFORMED"])
    path: str = OutputField(example_values=["$.eventTime"])
    message: str


class SubmitOutput(ActionOutput):
    """What became of what was submitted."""

    accepted_count: int = OutputField(example_values=[2], column_name="Accepted")
    duplicate_count: int = OutputField(example_values=[0], column_name="Known before")
    relevant_count: int = OutputField(example_values=[2], column_name="Searches and launches")
    rejected_count: int = OutputField(example_values=[0], column_name="Rejected")
    rejections: list[RejectionOutput]
    finding_names: list[str] = OutputField(cef_types=[FINDING], column_name="Findings")


class SubmitEventsParams(Params):
    """Records, in one way or the other."""

    records: str | None = Param(
        description="JSON: a record, a list of records, a log file, or one record a line",
        required=False,
    )
    vault_id: str | None = Param(
        description="Vault id of a log file as CloudTrail delivers it, plain or gzip",
        primary=True,
        cef_types=["vault id", "sha1"],
        required=False,
    )
    source: str = Param(
        description="Name of the forwarder in the server's coverage: 1 to 64 of a-z, 0-9 and -",
        default="splunk-soar",
        required=False,
    )


def submit_events(
    params: SubmitEventsParams, soar: SOARClient[ActionOutput], asset: Asset
) -> SubmitOutput:
    """Submits CloudTrail records and returns once they, and the findings they cause, are durable.

    Submitting the same records again changes nothing.
    """
    records, vault_id = text_of(params.records), text_of(params.vault_id)
    if (records is None) == (vault_id is None):
        got = "neither" if records is None else "both"
        raise ActionFailure(f"records, vault_id: got {got}, wanted one of them")
    source = required("source", params.source)
    inputs = _read(records) if records is not None else _fetch(soar, str(vault_id))
    with connected(asset) as client:
        summary = client.submit(inputs, source=source, retry=PATIENCE)
    counts = (
        f"Accepted: {summary.accepted_count}, rejected: {summary.rejected_count}, "
        f"findings: {len(summary.finding_names)}"
    )
    if summary.rejections:
        first = summary.rejections[0]
        counts += f"; record {first.index}: {first.message}"
    if summary.rejected_count and not summary.accepted_count:
        raise ActionFailure(counts)
    soar.set_message(counts)
    return _output_of(summary)


def _read(text: str) -> Sequence[Submittable]:
    try:
        document = json.loads(text)
    except ValueError:
        # One record a line, or nothing that makes sense: the server says which line is wrong.
        return [LogFile(text.encode(), name="records")]
    if isinstance(document, list):
        return [json.dumps(record) for record in document]
    if isinstance(document, dict) and "Records" not in document:
        return [json.dumps(document)]
    return [LogFile(text.encode(), name="records")]


def _fetch(soar: SOARClient[ActionOutput], vault_id: str) -> Sequence[Submittable]:
    attachments = soar.vault.get_attachment(vault_id=vault_id)
    if not attachments:
        raise ActionFailure(f"vault_id: got {vault_id!r}, wanted the id of a file in the vault")
    # The vault knows a file by its content, so that every attachment with this id is the same.
    path = Path(attachments[0].path)
    if not path.is_file():
        raise ActionFailure(f"vault_id: the file of {vault_id!r} cannot be read")
    return [path]


def _output_of(summary: SubmitSummary) -> SubmitOutput:
    return SubmitOutput(
        accepted_count=summary.accepted_count,
        duplicate_count=summary.duplicate_count,
        relevant_count=summary.relevant_count,
        rejected_count=summary.rejected_count,
        rejections=[
            RejectionOutput(
                index=rejection.index,
                reason=rejection.reason,
                path=rejection.path,
                message=rejection.message,
            )
            for rejection in summary.rejections
        ],
        finding_names=list(summary.finding_names),
    )
