"""`amiguardctl allow add|update|remove`: each change is shown at work before it is made."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from amiguard_client.cli.completers import complete_entry
from amiguard_client.cli.consent import DRY_RUN, YES, ask, require_consent
from amiguard_client.cli.durations import Duration
from amiguard_client.cli.output import JSON, TABLE, say, to_json, write, write_json
from amiguard_client.cli.previews import naming_losses, preview_options, tell_changes, tell_preview
from amiguard_client.cli.server import tuning_calls
from amiguard_client.cli.times import Time

if TYPE_CHECKING:
    from amiguard.v1 import tuning_service_pb2 as wire
    from amiguard_client._tuning_calls import TuningCalls

ENTRY = click.argument("entry", shell_complete=complete_entry)
_ACCOUNTS = click.option(
    "--in-account",
    "account_ids",
    multiple=True,
    metavar="ID",
    help="Accounts it applies in; all unless given. Give it once for each.",
)
_TTL = click.option("--ttl", type=Duration(), help="When it expires, counted from now: 90d.")
_EXPIRES = click.option("--expires", type=Time(), help="When it expires; never unless given.")
_ETAG = click.option("--etag", metavar="ETAG", help="Do it only if this is still its etag.")
_OUTPUT = click.option(
    "-o",
    "--output",
    type=click.Choice([TABLE, JSON]),
    default=TABLE,
    show_default=True,
    help="The entry after the change, with --dry-run the preview: for reading, or the API's JSON.",
)


@click.command("add")
@click.argument("entry")
@click.option("--owner", metavar="ALIAS", help="Vouch for an owner alias, such as amazon.")
@click.option("--account", metavar="ID", help="Vouch for the images of an account: 12 digits.")
@click.option("--pattern", metavar="TEXT", help="Vouch for names that only you use: acme-*.")
@click.option("--justification", required=True, metavar="TEXT", help="Why. Required.")
@_ACCOUNTS
@_TTL
@_EXPIRES
@click.option("--force", "is_forced", is_flag=True, help="Accept a pattern of well-known names.")
@preview_options
@DRY_RUN
@YES
@_OUTPUT
@click.pass_context
def add_entry(
    ctx: click.Context,
    entry: str,
    *,
    owner: str | None,
    account: str | None,
    pattern: str | None,
    justification: str,
    account_ids: tuple[str, ...],
    ttl: timedelta | None,
    expires: datetime | None,
    is_forced: bool,
    since: datetime | None,
    example_count: int,
    keeps_true_positives: bool,
    is_dry_run: bool,
    is_yes: bool,
    output: str,
) -> None:
    """Vouch for an owner, an account or a name pattern.

    ENTRY is the id it is to have: 4 to 63 of a-z, 0-9 and -. What the entry would do to findings
    is shown before it is added.
    """
    given = {
        "trusted_owner": owner,
        "trusted_account": account,
        "organization_pattern": pattern,
    }
    subjects = [(kind, text) for kind, text in given.items() if text is not None]
    if len(subjects) != 1:
        raise click.UsageError("wanted exactly one of --owner, --account and --pattern")
    _check_expiry(ttl, expires)
    require_consent(is_yes=is_yes, is_dry_run=is_dry_run)
    from amiguard.v1 import tuning_service_pb2 as wire
    from amiguard_client.cli.entries import entry_id_of, request_id_of

    message = wire.AllowlistEntry(account_ids=account_ids, justification=justification)
    setattr(message, *subjects[0])
    _set_expiry(message, ttl, expires)
    request = wire.CreateAllowlistEntryRequest(
        allowlist_entry_id=entry_id_of(entry),
        allowlist_entry=message,
        force=is_forced,
        refuse_if_loses_true_positives=keeps_true_positives,
    )
    with tuning_calls(ctx) as tuning, naming_losses():
        request.request_id = request_id_of(request, last_hash=tuning.last_hash())
        request.validate_only = True
        tuning.create_entry(request)
        request.validate_only = False
        preview = wire.PreviewTuningRequest(allowlist_entry=message)
        _try(tuning, preview, since, example_count, is_dry_run=is_dry_run, output=output)
        if is_dry_run:
            return
        ask(f"Add {entry_id_of(entry)}?", is_yes=is_yes)
        _show(tuning.create_entry(request), output)


@click.command("update")
@ENTRY
@click.option("--justification", metavar="TEXT", help="Another reason.")
@_ACCOUNTS
@click.option("--everywhere", "is_everywhere", is_flag=True, help="Apply it in all accounts.")
@_TTL
@_EXPIRES
@click.option("--never-expires", "is_endless", is_flag=True, help="Let it apply for good.")
@_ETAG
@preview_options
@DRY_RUN
@YES
@_OUTPUT
@click.pass_context
def update_entry(
    ctx: click.Context,
    entry: str,
    *,
    justification: str | None,
    account_ids: tuple[str, ...],
    is_everywhere: bool,
    ttl: timedelta | None,
    expires: datetime | None,
    is_endless: bool,
    etag: str | None,
    since: datetime | None,
    example_count: int,
    keeps_true_positives: bool,
    is_dry_run: bool,
    is_yes: bool,
    output: str,
) -> None:
    """Change the reason, the accounts or the end of an entry.

    ENTRY is its id, or its name: allowlistEntries/ID. What it vouches for never changes: add
    another entry for that. Nothing is changed if somebody else changed it first.
    """
    if account_ids and is_everywhere:
        raise click.UsageError("got --in-account and --everywhere, wanted one of them")
    if is_endless and (ttl or expires):
        raise click.UsageError("got --never-expires and an end, wanted one of them")
    _check_expiry(ttl, expires)
    paths = {
        "justification": justification is not None,
        "account_ids": bool(account_ids) or is_everywhere,
        "expire_time": is_endless or expires is not None,
        "ttl": ttl is not None,
    }
    if not any(paths.values()):
        raise click.UsageError("wanted something to change")
    require_consent(is_yes=is_yes, is_dry_run=is_dry_run)
    from amiguard.v1 import tuning_service_pb2 as wire
    from amiguard_client.cli.entries import entry_of

    with tuning_calls(ctx) as tuning, naming_losses():
        before = tuning.get_entry(entry)
        message = wire.AllowlistEntry()
        message.CopyFrom(before)
        message.etag = etag or before.etag
        if justification is not None:
            message.justification = justification
        if paths["account_ids"]:
            message.account_ids[:] = account_ids
        if is_endless:
            message.ClearField("expire_time")
        _set_expiry(message, ttl, expires)
        request = wire.UpdateAllowlistEntryRequest(
            allowlist_entry=message, refuse_if_loses_true_positives=keeps_true_positives
        )
        request.update_mask.paths.extend(path for path, is_given in paths.items() if is_given)
        request.validate_only = True
        checked = entry_of(tuning.update_entry(request))
        request.validate_only = False
        is_talk = not is_dry_run or output == JSON
        tell_changes(entry_of(before).texts(), checked.texts(), is_talk=is_talk)
        preview = wire.PreviewTuningRequest(allowlist_entry=message)
        _try(tuning, preview, since, example_count, is_dry_run=is_dry_run, output=output)
        if is_dry_run:
            return
        ask(f"Change {checked.entry_id}?", is_yes=is_yes)
        _show(tuning.update_entry(request), output)


@click.command("remove")
@ENTRY
@_ETAG
@preview_options
@DRY_RUN
@YES
@_OUTPUT
@click.pass_context
def remove_entry(
    ctx: click.Context,
    entry: str,
    *,
    etag: str | None,
    since: datetime | None,
    example_count: int,
    keeps_true_positives: bool,
    is_dry_run: bool,
    is_yes: bool,
    output: str,
) -> None:
    """Vouch for something no longer.

    ENTRY is its id, or its name: allowlistEntries/ID. What was scored with it is scored again. Its
    history stays in the audit. Nothing is removed if somebody else changed it first.
    """
    require_consent(is_yes=is_yes, is_dry_run=is_dry_run)
    from amiguard.v1 import tuning_service_pb2 as wire
    from amiguard_client.cli.entries import entry_id_of

    with tuning_calls(ctx) as tuning, naming_losses():
        before = tuning.get_entry(entry)
        request = wire.DeleteAllowlistEntryRequest(
            name=before.name,
            etag=etag or before.etag,
            validate_only=True,
            refuse_if_loses_true_positives=keeps_true_positives,
        )
        tuning.delete_entry(request)
        request.validate_only = False
        preview = wire.PreviewTuningRequest(deleted_allowlist_entry=before.name)
        _try(tuning, preview, since, example_count, is_dry_run=is_dry_run, output=output)
        if is_dry_run:
            return
        ask(f"Remove {entry_id_of(before.name)}?", is_yes=is_yes)
        tuning.delete_entry(request)
        say(f"Removed {entry_id_of(before.name)}.")
        if output == JSON:
            write_json(to_json(before))


def _check_expiry(ttl: timedelta | None, expires: datetime | None) -> None:
    if ttl is not None and expires is not None:
        raise click.UsageError("got --ttl and --expires, wanted one of them")


def _set_expiry(
    message: wire.AllowlistEntry, ttl: timedelta | None, expires: datetime | None
) -> None:
    if ttl is not None:
        message.ttl.FromTimedelta(ttl)
    if expires is not None:
        message.expire_time.FromDatetime(expires)


def _try(
    tuning: TuningCalls,
    request: wire.PreviewTuningRequest,
    since: datetime | None,
    example_count: int,
    *,
    is_dry_run: bool,
    output: str,
) -> None:
    """Shows what a change would do: as what was asked for in a dry run, else as talk."""
    if since is not None:
        request.start_time.FromDatetime(since)
    request.max_examples = example_count
    preview = tuning.preview(request)
    if is_dry_run and output == JSON:
        write_json(to_json(preview))
    else:
        tell_preview(preview, is_talk=not is_dry_run)


def _show(entry: wire.AllowlistEntry, output: str) -> None:
    if output == JSON:
        write_json(to_json(entry))
        return
    from amiguard_client.cli.tuning_views import entry_detail

    write(entry_detail(entry))
