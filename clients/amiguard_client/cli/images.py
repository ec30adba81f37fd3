"""`amiguardctl images`: what is known of images, and so whose images are launched."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amiguard_client.cli.consent import DRY_RUN, YES, ask, require_consent
from amiguard_client.cli.listings import ALL, LIST_OUTPUT, PAGE_TOKEN, TUNING_PAGE_SIZE, Listing
from amiguard_client.cli.output import count_text, say, write
from amiguard_client.cli.server import tuning_calls
from amiguard_client.errors import AmiguardError

if TYPE_CHECKING:
    from amiguard.v1 import tuning_service_pb2 as wire
    from amiguard_client._tuning_calls import TuningCalls

BATCH = 1_000
"""Images of one call, as the contract has it."""

_REGION = click.option(
    "--region", required=True, metavar="REGION", help="The region, for example eu-west-1. Required."
)


@click.group("images")
def command() -> None:
    """See and change what is known of images.

    A known image has an owner or a name that you registered. A change re-scores the findings that
    launched it.
    """


@command.command("import")
@click.argument("path", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@_REGION
@click.pass_context
def import_images(ctx: click.Context, path: Path, *, region: str) -> None:
    """Register the images in the output of `aws ec2 describe-images`.

    FILE is that JSON as it is, or - for standard input. It does not say which region it is from, so
    --region does. An image that is known already gets what the file says; importing a file again
    changes nothing.
    """
    from amiguard_client.cli.image_files import image_message, read_described

    images = map(image_message, read_described(path, region=region))
    total = changed = 0
    with tuning_calls(ctx) as tuning:
        while batch := list(islice(images, BATCH)):
            try:
                changed += tuning.register_images(batch)
            except AmiguardError:
                say(f"{count_text(total, 'image')} registered before; importing again is safe")
                raise
            total += len(batch)
    click.echo(f"{count_text(total, 'image')}  {changed:,} new or changed")


@command.command("list")
@click.option("--region", default="", metavar="REGION", help="Only images of this region.")
@TUNING_PAGE_SIZE
@PAGE_TOKEN
@ALL
@LIST_OUTPUT
@click.pass_context
def list_images(
    ctx: click.Context,
    *,
    region: str,
    page_size: int | None,
    page_token: str,
    is_all: bool,
    output: str,
) -> None:
    """List known images by region and id."""
    with tuning_calls(ctx) as tuning:
        pages = tuning.image_pages(region=region, page_size=page_size or 0, page_token=page_token)
        listing = Listing(pages, field="images", is_all=is_all)
        from amiguard_client.cli.tuning_views import image_sheet

        listing.write(output, sheet_of=image_sheet)


@command.command("forget")
@click.argument("image_ids", metavar="IMAGE_ID...", nargs=-1, required=True)
@_REGION
@DRY_RUN
@YES
@click.pass_context
def forget_images(
    ctx: click.Context,
    image_ids: tuple[str, ...],
    *,
    region: str,
    is_dry_run: bool,
    is_yes: bool,
) -> None:
    """Forget what is known of images. Those that are not known are passed over.

    What is known of them is shown first, unless --yes is given.
    """
    require_consent(is_yes=is_yes, is_dry_run=is_dry_run)
    forgotten = 0
    with tuning_calls(ctx) as tuning:
        if is_dry_run or not is_yes:
            _show_known(tuning, set(image_ids), region, is_talk=not is_dry_run)
        if is_dry_run:
            return
        ask(f"Forget {count_text(len(image_ids), 'image')} of {region}?", is_yes=is_yes)
        for batch in _batches(image_ids, region):
            forgotten += tuning.forget_images(batch)
    click.echo(f"{count_text(len(image_ids), 'image')}  {forgotten:,} forgotten")


def _show_known(tuning: TuningCalls, image_ids: set[str], region: str, *, is_talk: bool) -> None:
    from amiguard_client.cli.tuning_views import image_sheet

    pages = tuning.image_pages(region=region, page_size=BATCH)
    known = [image for page in pages for image in page.images if image.image_id in image_ids]
    if known:
        write(image_sheet(known), is_talk=is_talk)
    say(f"{count_text(len(known), 'image')} of {len(image_ids):,} known.")


def _batches(image_ids: tuple[str, ...], region: str) -> Iterator[list[wire.KnownImage]]:
    from amiguard.v1 import tuning_service_pb2 as wire

    for start in range(0, len(image_ids), BATCH):
        batch = image_ids[start : start + BATCH]
        yield [wire.KnownImage(image_id=image_id, region=region) for image_id in batch]
