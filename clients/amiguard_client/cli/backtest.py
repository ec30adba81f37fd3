"""`amiguardctl rules backtest`: cases in files, judged by the rule itself, without a server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amiguard_client.cli.exits import FAILED

if TYPE_CHECKING:
    from amiguard_client.cli.backtest_cases import Given

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("backtest", short_help="Hold the rule against cases in files.")
@click.argument(
    "paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "--rule",
    "rule_path",
    type=_FILE,
    help="The rule configuration, as `rules get -o yaml` writes it; the first one unless given.",
)
@click.option(
    "--allow",
    "allow_path",
    type=_FILE,
    help="The allowlist, as `allow export` writes it; the built-in aliases unless given.",
)
@click.option(
    "--images",
    "images_path",
    type=_FILE,
    help="Known images: the JSON of `images list`, or of `aws ec2 describe-images`.",
)
@click.option("--region", metavar="REGION", help="The region of describe-images' output.")
@click.option("--junit", "junit_path", type=_FILE, help="Write JUnit XML to this file, too.")
@click.pass_context
def backtest(
    ctx: click.Context,
    paths: tuple[Path, ...],
    *,
    rule_path: Path | None,
    allow_path: Path | None,
    images_path: Path | None,
    region: str | None,
    junit_path: Path | None,
) -> None:
    """Judge the records of cases, and hold what is found against what they expect.

    PATH is a YAML file of cases, or a folder of such files. Each case has records and the findings
    that are expected of them, in part. Exits 1 when a case fails, 2 when a file is no good.
    """
    from amiguard_client.cli.backtest_cases import read_cases
    from amiguard_client.cli.backtest_report import judge, junit_of, lines_of, summary_of

    cases = read_cases(paths, _given(rule_path, allow_path, images_path, region))
    outcomes = []
    for case in cases:
        outcomes.append(judge(case))
        for line in lines_of(outcomes[-1]):
            click.echo(line)
    click.echo(summary_of(outcomes))
    if junit_path is not None:
        try:
            junit_path.write_bytes(junit_of(outcomes))
        except OSError as error:
            raise click.ClickException(f"cannot write {junit_path}: {error.strerror}") from error
    if any(outcome.complaints for outcome in outcomes):
        ctx.exit(FAILED)


def _given(
    rule_path: Path | None, allow_path: Path | None, images_path: Path | None, region: str | None
) -> Given:
    from amiguard_client.cli.backtest_cases import Given
    from amiguard_client.cli.entry_files import read_entries
    from amiguard_client.cli.image_files import read_images
    from amiguard_client.cli.rule_files import apply_settings, read_rule
    from amiguard_core.policy import BUILT_IN_ENTRIES, Policy, RuleConfig

    settings = read_rule(rule_path) if rule_path is not None else {}
    entries = BUILT_IN_ENTRIES
    if allow_path is not None:
        entries = tuple(entry.to_core() for entry in read_entries(allow_path))
    images = read_images(images_path, region=region) if images_path is not None else []
    return Given(
        policy=Policy(rule=apply_settings(RuleConfig(), settings), entries=entries),
        images={(image.image_id, image.region): image for image in images},
        now=datetime.now(UTC),
    )
