"""Every file on the way in is read, or told: of folders, buckets and queues by one rule."""

from __future__ import annotations

import gzip
import json
import os
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from amiguard_client.left_out import LeftOut, Reason
from amiguard_client.log_folders import LogFolder
from tests.clients.cli.command_line import run
from tests.clients.forward.cloud import BUCKET, Cloud, s3_event
from tests.clients.forward.process import forwarding
from tests.clients.forward.scene import letters
from tests.clients.scripted_server import ScriptedServer
from tests.data.log_files import log_content
from tests.data.records import describe_images
from tests.data.shapes import encode

if TYPE_CHECKING:
    from click.testing import Result

S3 = f"s3://{BUCKET}"
STAMP = "eu-west-1_20260302T0905Z_abcdefghijklmnop.json.gz"
DIGEST = "012345678901_CloudTrail-Digest_eu-west-1_trail_eu-west-1_20260302T090500Z.json.gz"
ONE_RECORD: Final = object()
"""Stands for a log file with one record, whose id is the file's name."""

FILES: Final[dict[str, tuple[object, Reason | None]]] = {
    "a.json": (ONE_RECORD, None),
    "b/c.NDJSON.gz": (ONE_RECORD, None),
    "b/012345678901_CloudTrail_" + STAMP: (ONE_RECORD, None),
    "firehose/stream-1-2026-03-01-11-05-00-abc": (ONE_RECORD, None),
    "firehose/stream-1-2026-03-01-11-05-00-def.gz": (ONE_RECORD, None),
    "README": (b"What is in here.", Reason.OTHER_CONTENT),
    "b/report.parquet": (b"PAR1", Reason.OTHER_NAME),
    "b/c.json.bak": (ONE_RECORD, Reason.OTHER_NAME),
    "b/.hidden.json": (ONE_RECORD, Reason.OTHER_NAME),
    ".tmp/d.json": (ONE_RECORD, Reason.HIDDEN_FOLDER),
    "CloudTrail-Digest/e.json": (b"{}", Reason.OTHER_FEED),
    DIGEST: (b"{}", Reason.OTHER_FEED),
    "012345678901_CloudTrail-Insight_" + STAMP: (ONE_RECORD, Reason.OTHER_FEED),
    "012345678901_CloudTrail-NetworkActivity_" + STAMP: (ONE_RECORD, Reason.OTHER_FEED),
    "012345678901_CloudTrail-Aggregated_" + STAMP: (ONE_RECORD, Reason.OTHER_FEED),
    "AWSLogs/012345678901/Config/f.json": (ONE_RECORD, Reason.OTHER_SERVICE),
}
"""Files by their place: what is in them, and the reason of one that is not read."""
READ: Final = sorted(name for name, (_, reason) in FILES.items() if reason is None)
UNLISTED: Final = ("CloudTrail-Digest/", "AWSLogs/", ".tmp/")
"""Folders that need not be looked into."""
PASSED_OVER: Final = {Reason.OTHER_FEED, Reason.OTHER_SERVICE}


def content_of(name: str) -> bytes:
    """Returns what a file of the table holds."""
    content = FILES[name][0]
    if isinstance(content, bytes):
        return content
    text = log_content([encode(describe_images(event_id=name))])
    return gzip.compress(text) if name.endswith(".gz") else text


def fill(root: Path) -> None:
    """Writes the files of the table."""
    for name in FILES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content_of(name))


@contextmanager
def special_files(root: Path) -> Iterator[None]:
    """Puts what is no regular file among those of the table."""
    os.mkfifo(root / "b" / "pipe.json")
    (root / "link.json").symlink_to(root / "a.json")
    (root / "up").symlink_to(root, target_is_directory=True)
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(root)  # the path of a socket has to be short
        try:
            listener.bind("b/socket.json")
        finally:
            os.chdir(here)
        yield


def left_out(result: Result) -> dict[Reason, int]:
    """Returns how many things were told of as left out, by reason."""
    found = {}
    for line in result.stderr.splitlines():
        match = re.match(r"left out ([\d,]+) (.*), such as ", line)
        if match:
            (reason,) = [one for one in Reason if match[2] in {one.value.one, one.value.many}]
            found[reason] = int(match[1])
    return found


def told_of(names: Iterable[str]) -> dict[Reason, int]:
    """Returns how many of some files are to be told of, by reason."""
    return dict(Counter(reason for name in names if (reason := FILES[name][1]) is not None))


def submitted(server: ScriptedServer) -> list[str]:
    """Returns the ids of the records that were submitted, in their order."""
    return sorted(json.loads(r)["eventID"] for batch in server.ingest.committed for r in batch)


def command(kind: str, root: Path, *, target: str) -> list[object]:
    """Returns the arguments that read a folder."""
    if kind == "hunt":
        return ["hunt", root]
    if kind == "submit":
        return ["--server", target, "submit", root]
    return ["--server", target, "forward", "directory", root, "--once", "--settle", "0s"]


KINDS = ("hunt", "submit", "forward")


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_below_a_folder_is_read_or_told(
    server: ScriptedServer, tmp_path: Path, kind: str
) -> None:
    """What is not read is counted by its reason, with an example; nothing blocks or is lost."""
    fill(tmp_path)

    with special_files(tmp_path):
        result = run(*command(kind, tmp_path, target=server.target))

    assert result.exit_code == 0, result.stderr
    assert left_out(result) == told_of(FILES) | {Reason.LINK: 2, Reason.SPECIAL: 2}
    if kind == "hunt":
        assert f"{len(READ)} files  {len(READ)} records" in result.stderr
    else:
        assert submitted(server) == READ
    assert f"such as {tmp_path / 'b' / '.hidden.json'}: name them" in result.stderr


def test_every_object_below_a_prefix_is_read_or_told(server: ScriptedServer, cloud: Cloud) -> None:
    """A bucket goes by the rule of folders; what need not be listed is told as a folder."""
    for name in FILES:
        cloud.put(f"some/{name}", content_of(name))
    cloud.put("some/", b"")

    result = run("--server", server.target, "submit", f"{S3}/some/")

    assert result.exit_code == 0, result.stderr
    assert submitted(server) == READ
    listed = [name for name in FILES if not name.startswith(UNLISTED)]
    folders = {Reason.OTHER_FEED_FOLDER: 1, Reason.OTHER_SERVICE_FOLDER: 1, Reason.HIDDEN_FOLDER: 1}
    assert left_out(result) == told_of(listed) | folders


def test_every_object_of_a_queue_is_read_or_told_and_kept(
    server: ScriptedServer, cloud: Cloud, tmp_path: Path
) -> None:
    """What is known to be no log file is counted; of any other name the message is kept."""
    queue = cloud.make_queue()
    for name in FILES:
        cloud.put(name, content_of(name))
        cloud.send(queue, s3_event(name))

    result = run(
        "--server", server.target, "forward", "sqs", queue, "--once", "--wait", "1s",
        "--dead-letter", tmp_path,
    )  # fmt: skip

    assert result.exit_code == 5
    assert submitted(server) == READ
    others = [name for name, (_, reason) in FILES.items() if reason in PASSED_OVER]
    assert left_out(result) == told_of(others)
    kept = [json.loads(path.read_text()) for path in letters(tmp_path)]
    assert sorted(
        json.loads(letter["body"])["Records"][0]["s3"]["object"]["key"] for letter in kept
    ) == (sorted(set(FILES) - set(READ) - set(others)))
    for letter in kept:
        assert f"{letter['reason']}" in result.stderr


def test_a_message_is_read_for_its_log_files_and_kept_for_the_others(
    server: ScriptedServer, cloud: Cloud, tmp_path: Path
) -> None:
    """A message that names a log file and another object loses neither."""
    queue = cloud.make_queue()
    cloud.put("a.json", content_of("a.json"))
    cloud.send(queue, s3_event("a.json", "report.csv"))

    result = run(
        "--server", server.target, "forward", "sqs", queue, "--once", "--wait", "1s",
        "--dead-letter", tmp_path,
    )  # fmt: skip

    assert result.exit_code == 5
    assert submitted(server) == ["a.json"]
    (letter,) = letters(tmp_path)
    assert f"{S3}/report.csv: got another name" in json.loads(letter.read_text())["reason"]
    assert cloud.depth(queue) == (0, 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("names", [(), ("README",), (DIGEST, "CloudTrail-Digest/e.json")])
def test_a_folder_in_which_nothing_is_read_is_a_failure(
    server: ScriptedServer, tmp_path: Path, kind: str, names: tuple[str, ...]
) -> None:
    """A folder without a log file is told in a line, after what was left out of it; exit 1."""
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content_of(name))

    result = run(*command(kind, tmp_path, target=server.target))

    assert result.exit_code == 1
    assert f"{tmp_path}: no log file in this folder" in result.stderr
    assert left_out(result) == told_of(names)


def test_a_folder_whose_files_were_forwarded_before_is_no_failure(
    server: ScriptedServer, tmp_path: Path
) -> None:
    """A look that finds nothing new ends well; the state file is none of the files."""
    args = command("forward", tmp_path, target=server.target)
    (tmp_path / "a.json").write_bytes(content_of("a.json"))
    state = ["--state", tmp_path / "state"]

    results = [run(*args, *state) for _ in range(3)]

    assert [result.exit_code for result in results] == [0, 0, 0]
    assert [left_out(result) for result in results] == [{}, {}, {}]
    assert submitted(server) == ["a.json"]


@pytest.mark.parametrize(
    ("key", "options"),
    [
        (None, []),
        ("some/README", []),
        ("some/report.csv", []),
        ("some/" + DIGEST, []),
        ("some/012345678901_CloudTrail_" + STAMP, ["--account", "999999999999"]),
        ("some/012345678901_CloudTrail_" + STAMP, ["--region", "us-east-1"]),
        ("some/a.json", ["--since", "2100-01-01"]),
    ],
)
def test_a_prefix_below_which_nothing_is_read_is_a_failure(
    server: ScriptedServer, cloud: Cloud, key: str | None, options: list[str]
) -> None:
    """A prefix without a log file that is meant is told in a line; exit 1."""
    if key is not None:
        cloud.put(key, b"What is in here.")

    result = run("--server", server.target, "submit", f"{S3}/some/", *options)

    assert result.exit_code == 1
    assert server.ingest.committed == []
    assert f"{S3}/some/: no log file" in result.stderr
    assert ("of the times, accounts and regions" in result.stderr) == bool(options)


@pytest.mark.parametrize("kind", ["hunt", "explain", "submit", "s3"])
def test_a_digest_that_is_named_is_refused(
    server: ScriptedServer, cloud: Cloud, tmp_path: Path, kind: str
) -> None:
    """A file of another feed that is named itself is refused in one line that says what it is."""
    path: object = tmp_path / DIGEST
    (tmp_path / DIGEST).write_bytes(b"{}")
    args: list[object] = [kind]
    if kind == "s3":
        args, path = ["submit"], f"{S3}/{cloud.put(DIGEST, b'{}')}"

    result = run("--server", server.target, *args, path)

    assert result.exit_code == 5
    assert server.ingest.committed == []
    assert f"rejected: {path}: got a CloudTrail-Digest file, which holds no" in result.stderr


def test_what_is_named_is_opened_whatever_it_is(
    server: ScriptedServer, cloud: Cloud, tmp_path: Path
) -> None:
    """Names and links are no reason where a file, or an object by its whole key, is named."""
    content = content_of("a.json")
    (tmp_path / "it.bak").write_bytes(content)
    (tmp_path / "link").symlink_to(tmp_path / "it.bak")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.json").write_bytes(content)
    (tmp_path / "to-folder").symlink_to(tmp_path / "folder", target_is_directory=True)
    cloud.put("b/it.bak", content)
    places = [tmp_path / "it.bak", tmp_path / "link", tmp_path / "to-folder", f"{S3}/b/it.bak"]

    for place in places:
        result = run("--server", server.target, "submit", place)
        assert (result.exit_code, result.stderr) == (0, "")

    assert submitted(server) == ["a.json"] * len(places)


@pytest.mark.parametrize(
    "way", ["hunt <(cat {0})", "hunt /dev/fd/3 3< {0}", "hunt /dev/stdin < {0}",
            "cat {0} | {1} hunt /dev/stdin", "explain <(cat {0})"]
)  # fmt: skip
def test_ways_of_a_shell_to_name_an_open_file_are_opened(tmp_path: Path, way: str) -> None:
    """Process substitution and open descriptors are links and pipes, and are named."""
    path = tmp_path / "a.json"
    path.write_bytes(content_of("a.json"))
    program = f"{sys.executable} -m amiguard_client.cli"
    text = way.format(path, program)

    done = subprocess.run(
        ["/bin/bash", "-c", text if "|" in text else f"{program} {text}"],
        capture_output=True,
        check=False,
        timeout=60,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert "1 record  1 search" in done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_links_are_followed_where_it_is_asked_for(
    server: ScriptedServer, tmp_path: Path, kind: str
) -> None:
    """With `--follow-links` links to files and folders are read, and loops of them end."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for name in ("root/b", "outside/deep"):
        (tmp_path / name).mkdir(parents=True)
    for path in (root / "a.json", outside / "deep" / "b.json", outside / "c.json"):
        path.write_bytes(log_content([encode(describe_images(event_id=path.name))]))
    (root / "c.json").symlink_to(outside / "c.json")
    for number in range(3):
        (root / "b" / f"up-{number}").symlink_to(root, target_is_directory=True)
        (root / f"out-{number}").symlink_to(outside / "deep", target_is_directory=True)
    (root / "self.json").symlink_to(root / "self.json")
    (root / "gone.json").symlink_to(root / "nowhere")

    result = run(*command(kind, root, target=server.target), "--follow-links")

    assert result.exit_code == 0, result.stderr
    assert "left out 2 links that lead nowhere" in result.stderr
    if kind == "hunt":
        assert "3 files  3 records" in result.stderr
    else:
        assert submitted(server) == ["a.json", "b.json", "c.json"]


@pytest.mark.parametrize("replaced", ["b/a.json", "b"])
def test_a_link_that_comes_after_the_listing_is_not_followed(tmp_path: Path, replaced: str) -> None:
    """Neither a file nor a folder can be put in place of another between listing and opening."""
    (tmp_path / "root" / "b").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "root" / "b" / "a.json").write_bytes(b"inside")
    (tmp_path / "outside" / "a.json").write_bytes(b"outside")
    tree = LogFolder(tmp_path / "root", LeftOut(), pytest.fail)
    (found,) = tree.walk()

    path = tmp_path / "root" / replaced
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "outside" / replaced.removeprefix("b").lstrip("/"))

    assert found.path.read_bytes() == b"outside"
    with pytest.raises(OSError, match="Became a link since it was listed"):
        found.open()


def test_a_pipe_that_comes_after_the_listing_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe in place of a file is refused at once, though nobody writes to it."""
    (tmp_path / "a.json").write_bytes(b"{}")
    (found,) = LogFolder(tmp_path, LeftOut(), pytest.fail).walk()

    (tmp_path / "a.json").unlink()
    os.mkfifo(tmp_path / "a.json")

    with pytest.raises(OSError, match="no regular file"):
        found.open()


def test_a_tree_may_be_deeper_than_python_recurses(tmp_path: Path) -> None:
    """Folders within folders are walked however many there are."""
    folders = [tmp_path / "/".join("d" * depth) for depth in range(1, sys.getrecursionlimit() + 99)]
    try:
        for folder in folders:
            folder.mkdir()
        (folders[-1] / "a.json").write_bytes(b"{}")
        (found,) = LogFolder(tmp_path, LeftOut(), pytest.fail).walk()

        with found.open() as stream:
            assert stream.read() == b"{}"
    finally:
        (folders[-1] / "a.json").unlink()
        for folder in reversed(folders):
            folder.rmdir()


def test_what_a_forwarder_without_an_end_leaves_out_is_told_at_once(
    server: ScriptedServer, tmp_path: Path
) -> None:
    """A forwarder that goes on tells of each reason when it first meets it."""
    trail = tmp_path / "trail"
    trail.mkdir()
    (trail / "report.parquet").write_bytes(b"PAR1")
    options = ("--settle", "0s", "--poll", "0.05s")

    with forwarding(
        "directory", trail, *options, target=server.target, log=tmp_path / "log"
    ) as process:
        process.wait_for_word("leaves out files that are not named as log files, such as ")
        (trail / "README").write_bytes(b"What is in here.")
        said = process.wait_for_word("leaves out files without an extension that begin neither ")
        assert process.stop() == 0

    assert said.count("leaves out files that are not named") == 1
    assert str(trail / "report.parquet") in said


def test_accounts_and_regions_are_read_from_names_outside_of_the_layout(
    server: ScriptedServer, cloud: Cloud
) -> None:
    """Below any folder the name tells whose a file is; one that does not tell it is taken."""
    for account in ("012345678901", "123456789012"):
        for region in ("eu-west-1", "us-east-1"):
            name = f"{account}_CloudTrail_{region}_20260302T0905Z_abcdefghijklmnop.json"
            cloud.put(
                f"downloads/{name}",
                log_content([encode(describe_images(event_id=f"{account} {region}"))]),
            )
    cloud.put("downloads/a.json", content_of("a.json"))
    chosen = ["--account", "012345678901", "--region", "us-east-1"]

    result = run("--server", server.target, "submit", f"{S3}/", *chosen)

    assert result.exit_code == 0
    assert submitted(server) == ["012345678901 us-east-1", "a.json"]
    assert result.stderr == (
        f"took 1 file whose name does not say account and region, such as {S3}/downloads/a.json\n"
    )


@pytest.mark.parametrize(
    ("lines", "exit_code"),
    [(b'{"eventName":"GetUser"}\n', 0), (b'{"eventName":"GetUser"}\n1\n', 5)],
)
def test_lines_that_are_rejected_show_in_the_exit_code(
    server: ScriptedServer, tmp_path: Path, lines: bytes, exit_code: int
) -> None:
    """A pipe that ends is like `--once`: 5 when something was rejected."""
    path = tmp_path / "lines"
    path.write_bytes(lines)

    with (
        path.open("rb") as stream,
        forwarding("stdin", target=server.target, log=tmp_path / "log", stdin=stream) as process,
    ):
        code = process.popen.wait(60)

    assert code == exit_code, (tmp_path / "log").read_text()


def test_a_stop_ends_a_pipe_well_whatever_was_rejected_before(
    server: ScriptedServer, tmp_path: Path
) -> None:
    """A forwarder that is stopped ends with 0: the exit code is of the stop, not of its days."""
    with forwarding(
        "stdin", target=server.target, log=tmp_path / "log", stdin=subprocess.PIPE
    ) as process:
        assert process.popen.stdin is not None
        process.popen.stdin.write(b'1\n{"eventName":"GetUser","eventID":"a"}\n')
        process.popen.stdin.flush()
        process.wait_for_word("record 0: ")
        code = process.stop()
        process.popen.stdin.close()

    assert code == 0, (tmp_path / "log").read_text()
    assert "1 rejected" in (tmp_path / "log").read_text()


def test_each_reason_has_words_of_its_own() -> None:
    """A reason is told of one thing and of several, always with an example."""
    left = LeftOut()
    for reason in Reason:
        left.add(reason, "first")
    for reason in Reason:
        left.add(reason, "second")

    lines = left.lines()

    assert len(set(lines)) == len(Reason)
    assert all(re.match(r"left out 2 .*, such as first", line) for line in lines)
