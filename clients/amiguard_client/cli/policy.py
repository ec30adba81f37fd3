"""The rule's settings as options of the commands that judge by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from amiguard_client.cli.durations import Duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from amiguard_core.policy import Policy

_Command = TypeVar("_Command", bound="Callable[..., Any]")

_RUN_INSTANCES = "RunInstances"
LAUNCH_PATHS = (
    _RUN_INSTANCES,
    "CreateLaunchTemplate",
    "CreateLaunchTemplateVersion",
    "RequestSpotInstances",
    "RequestSpotFleet",
    "CreateFleet",
    "CreateLaunchConfiguration",
)


def policy_options(function: _Command) -> _Command:
    """Adds the options that `policy_of` takes."""
    for option in (
        click.option(
            "--launch-path",
            "launch_paths",
            multiple=True,
            default=(_RUN_INSTANCES,),
            show_default=True,
            metavar="API",
            type=click.Choice(LAUNCH_PATHS, case_sensitive=False),
            help=f"APIs that count as launches. Give it once for each: {', '.join(LAUNCH_PATHS)}.",
        ),
        click.option(
            "--window",
            type=Duration(),
            default="15m",
            show_default=True,
            help="How long after a search a launch still counts: 1s to 24h.",
        ),
        click.option(
            "--correlate-by",
            type=click.Choice(("principal", "role"), case_sensitive=False),
            default="principal",
            show_default=True,
            help="What ties a launch to a search: the exact principal, or the role behind it.",
        ),
        click.option(
            "--mode",
            type=click.Choice(("documented", "strict"), case_sensitive=False),
            default="documented",
            show_default=True,
            help="Which searches are unsafe: by the published rule, or in truth.",
        ),
    ):
        function = option(function)
    return function


def policy_of(
    *, mode: str, correlate_by: str, window: timedelta, launch_paths: Sequence[str]
) -> Policy:
    """Returns the policy that the options stand for, or ends the command with a usage error."""
    from amiguard_core.errors import PolicyError
    from amiguard_core.events import LaunchPath
    from amiguard_core.policy import CorrelateBy, Mode, Policy, RuleConfig

    rule = RuleConfig(
        mode=Mode(mode.upper()),
        correlate_by=CorrelateBy(correlate_by.upper()),
        window=window,
        launch_paths=tuple(LaunchPath(path) for path in launch_paths),
    )
    try:
        rule.check()
    except PolicyError as error:
        option = {"correlation_window": "--window"}.get(error.field, error.field)
        raise click.UsageError(f"{option}: got {error.got}, wanted {error.wanted}") from error
    return Policy(rule=rule)
