"""`amiguardctl images`: known images, from what the AWS CLI prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from amiguard_client import ServerFaultError
from amiguard_client._tuning_calls import TuningCalls
from tests.clients.cli.command_line import run, run_program
from tests.clients.cli.terminal import asking
from tests.clients.live_server import Live

REGION = ("--region", "eu-west-1")


def described(*images: dict[str, Any]) -> str:
    """Returns what `aws ec2 describe-images` prints, with more than we read."""
    more = {"Architecture": "x86_64", "BlockDeviceMappings": [{"Ebs": {"Encrypted": False}}]}
    return json.dumps({"Images": [more | image for image in images]}, indent=4)


STRANGER = {"ImageId": "ami-1", "OwnerId": "000000000009", "Name": "acme-base-1"}
AMAZON = {"ImageId": "ami-2", "OwnerId": "137112412989", "ImageOwnerAlias": "amazon", "Name": "al"}


def images(live: Live, *args: object, stdin: str | None = None) -> Result:
    """Runs a verb of `images` on the server."""
    content = None if stdin is None else stdin.encode()
    return run("--server", live.target, "images", *args, stdin=content)


def known(live: Live) -> Any:
    """Returns the images that are known."""
    return json.loads(images(live, "list", "--all", "-o", "json").stdout)["images"]


def test_output_of_the_aws_cli_is_taken_as_it_is(live: Live, tmp_path: Path) -> None:
    """Id, owner, alias and name are registered; the rest is passed over."""
    path = tmp_path / "images.json"
    path.write_text(described(STRANGER, AMAZON, {"ImageId": "ami-3", "OwnerId": None}))

    result = images(live, "import", path, *REGION)

    assert (result.exit_code, result.stdout) == (0, "3 images  3 new or changed\n")
    assert known(live) == [
        {
            "image_id": "ami-1",
            "region": "eu-west-1",
            "owner_account_id": "000000000009",
            "image_name": "acme-base-1",
        },
        {
            "image_id": "ami-2",
            "region": "eu-west-1",
            "owner_account_id": "137112412989",
            "owner_alias": "amazon",
            "image_name": "al",
        },
        {"image_id": "ami-3", "region": "eu-west-1"},
    ]


def test_a_byte_order_mark_is_passed_over(live: Live) -> None:
    """What a shell on Windows wrote with a byte order mark is read as without it."""
    result = images(live, "import", "-", *REGION, stdin="\ufeff" + described(STRANGER))

    assert (result.exit_code, result.stdout) == (0, "1 image  1 new or changed\n")


def test_importing_again_changes_nothing(live: Live) -> None:
    """Only what is news counts as such."""
    images(live, "import", "-", *REGION, stdin=described(STRANGER))

    again = images(live, "import", "-", *REGION, stdin=described(STRANGER, AMAZON))

    assert again.stdout == "2 images  1 new or changed\n"


def test_findings_that_launched_an_image_are_scored_with_it(live: Live) -> None:
    """A stranger's image under a searched name makes the finding as likely as can be."""
    finding = live.occur(1, "acme-base-*", images=("ami-1",))

    images(live, "import", "-", *REGION, stdin=described(STRANGER))
    with_image = run("--server", live.target, "findings", "get", finding, "-o", "json")
    images(live, "forget", "ami-1", *REGION, "--yes")
    without = run("--server", live.target, "findings", "get", finding, "-o", "json")

    assert json.loads(with_image.stdout)["likelihood_score"] == 100
    assert json.loads(without.stdout)["likelihood_score"] == 50


def test_many_images_go_in_batches(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """No call has more images than the contract allows."""
    sizes: list[int] = []
    register = TuningCalls.register_images

    def counted(self: TuningCalls, batch: list[Any]) -> int:
        sizes.append(len(batch))
        return register(self, batch)

    monkeypatch.setattr(TuningCalls, "register_images", counted)
    text = described(*({"ImageId": f"ami-{number}"} for number in range(2_001)))

    result = images(live, "import", "-", *REGION, stdin=text)

    assert result.stdout == "2,001 images  2,001 new or changed\n"
    assert sizes == [1_000, 1_000, 1]


def test_import_that_breaks_off_says_how_far_it_came(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was registered before a failure is said; importing again is the remedy."""
    register = TuningCalls.register_images

    def broken(self: TuningCalls, batch: list[Any]) -> int:
        if len(batch) < 1_000:
            raise ServerFaultError("broken", code="INTERNAL")
        return register(self, batch)

    monkeypatch.setattr(TuningCalls, "register_images", broken)
    text = described(*({"ImageId": f"ami-{number}"} for number in range(1_001)))

    result = images(live, "import", "-", *REGION, stdin=text)

    assert result.exit_code == 1
    assert "1,000 images registered before; importing again is safe" in result.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "wanted the JSON that `aws ec2 describe-images` prints"),
        ("[]", "Expected `object`, got `array`"),
        ("{}", "missing required field `Images`"),
        ('{"Images": [{"Name": "x"}]}', "$.Images[0]: Object missing required field `ImageId`"),
        ('{"Images": [{"ImageId": 1}]}', "$.Images[0].ImageId: Expected `str`, got `int`"),
        ('{"Images": [', "wanted the JSON"),
    ],
)
def test_file_of_another_kind_exits_2(tmp_path: Path, text: str, expected: str) -> None:
    """What is no output of describe-images is refused, with file and path."""
    path = tmp_path / "images.json"
    path.write_text(text)

    result = run("--server", "127.0.0.1:1", "images", "import", path, *REGION)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"{path}: ")
    assert expected in result.stderr


def test_region_that_is_none_is_refused_by_field(live: Live) -> None:
    """The server names the field of what it does not take."""
    result = images(live, "import", "-", "--region", "Ireland", stdin=described(STRANGER))

    assert result.exit_code == 1
    assert "images[0].region" in result.stderr


def test_list_is_of_one_region_and_paged(live: Live) -> None:
    """Images are listed by region and id."""
    for region in ("us-east-1", "eu-west-1"):
        images(live, "import", "-", "--region", region, stdin=described(STRANGER, AMAZON))

    table = images(live, "list", "--region", "us-east-1", "--page-size", 1)
    every = known(live)

    assert table.stdout.splitlines()[2].split() == [
        *("us-east-1", "ami-1", "000000000009", "-", "acme-base-1"),
    ]
    assert table.stderr.startswith("There is more: ")
    assert [image["region"] for image in every] == ["eu-west-1"] * 2 + ["us-east-1"] * 2


def test_what_is_not_known_is_passed_over(live: Live) -> None:
    """Forgetting counts what was known."""
    images(live, "import", "-", *REGION, stdin=described(STRANGER))

    result = images(live, "forget", "ami-1", "ami-7", *REGION, "--yes")

    assert result.stdout == "2 images  1 forgotten\n"
    assert known(live) == []


def test_forgetting_asks(live: Live) -> None:
    """It is done for a yes alone, and without a terminal for --yes alone."""
    images(live, "import", "-", *REGION, stdin=described(STRANGER))

    silent = run_program("--server", live.target, "images", "forget", "ami-1", *REGION)
    with asking("--server", live.target, "images", "forget", "ami-1", *REGION) as asked:
        asked.wait_for("Forget 1 image of eu-west-1? [y/N]")
        code, _, _ = asked.answer("n")

    assert (silent.returncode, code) == (2, 1)
    assert len(known(live)) == 1


def test_what_would_be_forgotten_is_shown(live: Live) -> None:
    """A dry run shows what is known of the images, and forgets nothing; so does the question."""
    images(live, "import", "-", *REGION, stdin=described(STRANGER))

    tried = images(live, "forget", "ami-1", "ami-7", *REGION, "--dry-run")
    with asking("--server", live.target, "images", "forget", "ami-1", *REGION) as asked:
        asked.wait_for("000000000009")
        asked.answer("n")

    assert "000000000009" in tried.stdout
    assert tried.stderr == "1 image of 2 known.\n"
    assert len(known(live)) == 1


@pytest.mark.parametrize("verb", [("import", "x"), ("forget", "ami-1")])
def test_region_is_required(verb: tuple[str, ...]) -> None:
    """An image id means nothing without its region."""
    assert run("images", *verb).exit_code == 2
