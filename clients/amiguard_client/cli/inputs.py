"""What `submit` and `hunt` share: paths to read, and what of them is told."""

from __future__ import annotations

from pathlib import Path

import click

paths_argument = click.argument(
    "paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
rejections_option = click.option(
    "--show-rejections",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    metavar="COUNT",
    help="Rejected records to name on standard error; all are counted.",
)
follow_links_option = click.option(
    "--follow-links",
    "follows_links",
    is_flag=True,
    help="Follow symbolic links that are found in a folder. Without it they are left out.",
)
