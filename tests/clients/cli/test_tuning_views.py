"""What a server of a later release says is not taken for something else."""

from __future__ import annotations

import click
import pytest

from amiguard.v1 import tuning_service_pb2 as wire
from amiguard_client.cli.entries import entry_of
from amiguard_client.cli.rule_files import message_of, rule_of
from amiguard_client.cli.tuning_views import audit_sheet, image_sheet
from amiguard_core.events import LaunchPath
from amiguard_core.policy import CorrelateBy, Mode, RuleConfig

HOSTILE = "\x1b]0;owned\x07[bold red]\u202e"
SHOWN = r"\x1b]0;owned\x07[bold red]\u202e"


def test_every_setting_survives_the_wire() -> None:
    """A rule configuration is in its message whole."""
    for mode in Mode:
        for correlate_by in CorrelateBy:
            rule = RuleConfig(
                revision=0,
                mode=mode,
                correlate_by=correlate_by,
                launch_paths=tuple(LaunchPath),
                public_patterns=("acme-*",),
            )

            assert rule_of(message_of(rule, etag="e")) == rule


@pytest.mark.parametrize("field", ["mode", "correlate_by", "launch_paths"])
def test_setting_of_a_later_release_is_said_to_be(field: str) -> None:
    """A value this release does not know ends the command with a sentence."""
    message = message_of(RuleConfig(), etag="e")
    if field == "launch_paths":
        message.launch_paths.append("StartSomething")
    else:
        setattr(message, field, 99)

    with pytest.raises(click.ClickException, match="too old"):
        rule_of(message)


def test_subject_of_a_later_release_is_said_to_be() -> None:
    """An entry that vouches for something new is not shown as something old."""
    with pytest.raises(click.ClickException, match=r"allowlistEntries/new .* too old"):
        entry_of(wire.AllowlistEntry(name="allowlistEntries/new"))


def test_what_others_wrote_cannot_command_the_terminal() -> None:
    """Names of images and principals are shown as text."""
    image = wire.KnownImage(image_id=HOSTILE, image_name=HOSTILE)
    change = wire.TuningChange(actor=HOSTILE, method=HOSTILE, images=[HOSTILE])

    for sheet in (image_sheet([image]), audit_sheet([change])):
        shown = " ".join(cell.plain for row in sheet.rows for cell in row)
        assert SHOWN in shown
        assert "\x1b" not in shown


def test_many_images_of_a_change_are_counted() -> None:
    """Of a change of a thousand images three are named."""
    change = wire.TuningChange(images=[f"eu-west-1/ami-{number}" for number in range(1_000)])

    ((_, _, _, _, of, what),) = audit_sheet([change]).rows

    assert of.plain == "1,000 images"
    assert what.plain == "eu-west-1/ami-0, eu-west-1/ami-1, eu-west-1/ami-2 and 997 more"
