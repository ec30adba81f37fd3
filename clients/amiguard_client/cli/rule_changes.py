"""`amiguardctl rules set|rollback`: a new revision, shown at work before it is put in force."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from amiguard_client.cli.completers import complete_revision
from amiguard_client.cli.consent import DRY_RUN, YES, ask, require_consent
from amiguard_client.cli.durations import Duration
from amiguard_client.cli.output import JSON, TABLE, say, to_json, write, write_json
from amiguard_client.cli.policy import LAUNCH_PATHS
from amiguard_client.cli.previews import naming_losses, preview_options, tell_changes, tell_preview
from amiguard_client.cli.server import tuning_calls

if TYPE_CHECKING:
    from amiguard.v1 import tuning_service_pb2 as wire
    from amiguard_client._tuning_calls import TuningCalls
    from amiguard_core.policy import RuleConfig

_ETAG = click.option(
    "--etag", metavar="ETAG", help="Do it only if this is still the etag of the one in force."
)
_OUTPUT = click.option(
    "-o",
    "--output",
    type=click.Choice([TABLE, JSON]),
    default=TABLE,
    show_default=True,
    help="The revision put in force, with --dry-run the preview: for reading, or the API's JSON.",
)


@click.command("set")
@click.option(
    "-f",
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Take settings from a file as `rules get -o yaml` writes it; - is standard input.",
)
@click.option("--window", type=Duration(), help="How long after a search a launch counts.")
@click.option("--lateness", type=Duration(), help="How late a record may arrive.")
@click.option(
    "--mode",
    type=click.Choice(("documented", "strict"), case_sensitive=False),
    help="Which searches are unsafe: by the published rule, or in truth.",
)
@click.option(
    "--correlate-by",
    type=click.Choice(("principal", "role"), case_sensitive=False),
    help="What ties a launch to a search: the exact principal, or the role behind it.",
)
@click.option(
    "--launch-path",
    "launch_paths",
    multiple=True,
    metavar="API",
    type=click.Choice(LAUNCH_PATHS, case_sensitive=False),
    help="APIs that count as launches, in place of those that do. Give it once for each: "
    f"{', '.join(LAUNCH_PATHS)}.",
)
@click.option(
    "--public-pattern",
    "public_patterns",
    multiple=True,
    metavar="TEXT",
    help="Well-known names besides those built in, in place of those there are.",
)
@click.option("--no-public-patterns", "is_bare", is_flag=True, help="Leave those built in alone.")
@_ETAG
@preview_options
@DRY_RUN
@YES
@_OUTPUT
@click.pass_context
def set_rule(
    ctx: click.Context,
    *,
    path: Path | None,
    window: timedelta | None,
    lateness: timedelta | None,
    mode: str | None,
    correlate_by: str | None,
    launch_paths: tuple[str, ...],
    public_patterns: tuple[str, ...],
    is_bare: bool,
    etag: str | None,
    since: datetime | None,
    example_count: int,
    keeps_true_positives: bool,
    is_dry_run: bool,
    is_yes: bool,
    output: str,
) -> None:
    """Change settings of the rule: what is not named stays as it is.

    The effect on findings is shown first. Nothing is changed if somebody else changed the rule in
    between.
    """
    if public_patterns and is_bare:
        raise click.UsageError("got --public-pattern and --no-public-patterns, wanted one of them")
    given = {
        "correlation_window": window,
        "max_lateness": lateness,
        "mode": mode and mode.upper(),
        "correlate_by": correlate_by and correlate_by.upper(),
        "launch_paths": launch_paths or None,
        "public_patterns": () if is_bare else public_patterns or None,
    }
    named = {name: value for name, value in given.items() if value is not None}
    if path is None and not named:
        raise click.UsageError("wanted something to change")
    require_consent(is_yes=is_yes, is_dry_run=is_dry_run)
    settings = _settings_of(path, named)
    with tuning_calls(ctx) as tuning, naming_losses():
        from amiguard_client.cli.rule_files import apply_settings, rule_of

        before = tuning.get_rule()
        _Attempt(
            tuning,
            before,
            apply_settings(rule_of(before), settings),
            etag=etag,
            since=since,
            example_count=example_count,
            keeps_true_positives=keeps_true_positives,
        ).run(is_dry_run=is_dry_run, is_yes=is_yes, output=output)


@click.command("rollback", short_help="Put an older revision in force again.")
@click.argument("revision", type=click.IntRange(min=1), shell_complete=complete_revision)
@_ETAG
@preview_options
@DRY_RUN
@YES
@_OUTPUT
@click.pass_context
def roll_back(
    ctx: click.Context,
    revision: int,
    *,
    etag: str | None,
    since: datetime | None,
    example_count: int,
    keeps_true_positives: bool,
    is_dry_run: bool,
    is_yes: bool,
    output: str,
) -> None:
    """Put the settings of an older REVISION in force again, as a new one.

    The effect on findings is shown first. Nothing is changed if somebody else changed the rule in
    between.
    """
    require_consent(is_yes=is_yes, is_dry_run=is_dry_run)
    with tuning_calls(ctx) as tuning, naming_losses():
        from amiguard_client.cli.rule_files import rule_of

        _Attempt(
            tuning,
            tuning.get_rule(),
            rule_of(tuning.get_rule(revision)),
            etag=etag,
            since=since,
            example_count=example_count,
            keeps_true_positives=keeps_true_positives,
        ).run(is_dry_run=is_dry_run, is_yes=is_yes, output=output)


class _Attempt:
    """A change of the rule configuration: checked, shown, agreed to and made."""

    def __init__(
        self,
        tuning: TuningCalls,
        before: wire.RuleConfig,
        wanted: RuleConfig,
        *,
        etag: str | None,
        since: datetime | None,
        example_count: int,
        keeps_true_positives: bool,
    ) -> None:
        from amiguard.v1 import tuning_service_pb2 as wire
        from amiguard_client.cli.rule_files import changed_settings, message_of, rule_of

        self._tuning = tuning
        self._before, self._wanted = rule_of(before), wanted
        self._changed = changed_settings(self._before, wanted)
        self._request = wire.UpdateRuleConfigRequest(
            rule_config=message_of(wanted, etag=etag or before.etag),
            refuse_if_loses_true_positives=keeps_true_positives,
        )
        self._request.update_mask.paths.extend(self._changed)
        self._preview = wire.PreviewTuningRequest(
            rule_config=self._request.rule_config,
            update_mask=self._request.update_mask,
            max_examples=example_count,
        )
        if since is not None:
            self._preview.start_time.FromDatetime(since)

    def run(self, *, is_dry_run: bool, is_yes: bool, output: str) -> None:
        """Makes the change, or says that there is none."""
        if not self._changed:
            say(f"Nothing to change: revision {self._before.revision} is the same.")
            return
        self._request.validate_only = True
        self._tuning.update_rule(self._request)
        self._request.validate_only = False
        self._show(is_dry_run=is_dry_run, output=output)
        if is_dry_run:
            return
        ask("Put this in force?", is_yes=is_yes)
        after = self._tuning.update_rule(self._request)
        if output == JSON:
            write_json(to_json(after))
            return
        from amiguard_client.cli.tuning_views import rule_detail

        write(rule_detail(after))

    def _show(self, *, is_dry_run: bool, output: str) -> None:
        from amiguard_client.cli.rule_files import texts_of

        is_talk = not is_dry_run or output == JSON
        tell_changes(texts_of(self._before), texts_of(self._wanted), is_talk=is_talk)
        preview = self._tuning.preview(self._preview)
        if is_dry_run and output == JSON:
            write_json(to_json(preview))
        else:
            tell_preview(preview, is_talk=is_talk)


def _settings_of(path: Path | None, named: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings of the file and the options, whose word is the last."""
    from amiguard_client.cli.rule_files import read_rule
    from amiguard_core.events import LaunchPath
    from amiguard_core.policy import CorrelateBy, Mode

    settings = read_rule(path) if path is not None else {}
    for name, value in named.items():
        match name:
            case "mode":
                settings[name] = Mode(value)
            case "correlate_by":
                settings[name] = CorrelateBy(value)
            case "launch_paths":
                settings[name] = tuple(map(LaunchPath, dict.fromkeys(value)))
            case _:
                settings[name] = value
    return settings
