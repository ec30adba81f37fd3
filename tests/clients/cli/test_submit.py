"""`amiguardctl submit` from files to exit code."""

from __future__ import annotations

import gzip
import json
import os
import socket
import threading
from pathlib import Path

import grpc

from tests.clients.cli.command_line import run, run_program
from tests.clients.scripted_server import Act, Fault, ScriptedServer, serve

SEARCH = b'{"eventName":"DescribeImages"}'
OTHER = b'{"eventName":"GetUser"}'


def log_file(*records: bytes) -> bytes:
    """Returns a log file as CloudTrail delivers it."""
    return gzip.compress(b'{"Records":[' + b",".join(records) + b"]}")


def write(root: Path, **files: bytes) -> list[Path]:
    """Writes log files."""
    paths = [root / f"{name}.json.gz" for name in files]
    for path, content in zip(paths, files.values(), strict=True):
        path.write_bytes(content)
    return paths


def test_summary_counts_what_was_submitted(server: ScriptedServer, tmp_path: Path) -> None:
    """Files go whole and in order; the summary says what became of them."""
    write(tmp_path, b=log_file(OTHER), a=log_file(SEARCH, OTHER))

    result = run("--server", server.target, "submit", tmp_path)

    assert result.exit_code == 0
    assert server.ingest.committed == [[SEARCH, OTHER], [OTHER]]
    assert result.stdout.split() == [
        "2",
        "files",
        "3",
        "records",
        "1",
        "relevant",
        "1",
        "duplicate",
        "0",
        "rejected",
        "1",
        "finding",
        "findings/0123456789abcdef0123456789abcdef",
    ]
    assert result.stderr == ""


def test_summary_as_json(server: ScriptedServer, tmp_path: Path) -> None:
    """`-o json` gives one JSON object and nothing else on standard output."""
    write(tmp_path, a=log_file(SEARCH, OTHER))

    result = run("--server", server.target, "submit", "-o", "json", tmp_path)

    assert json.loads(result.stdout) == {
        "file_count": 1,
        "batch_count": 1,
        "accepted_count": 2,
        "duplicate_count": 0,
        "relevant_count": 1,
        "rejected_count": 0,
        "rejections": [],
        "finding_names": ["findings/0123456789abcdef0123456789abcdef"],
        "reconnect_count": 0,
        "padding_bytes": 0,
    }


def test_rejected_records_exit_5_and_are_named(server: ScriptedServer, tmp_path: Path) -> None:
    """Records that were set aside are named on standard error, as many as asked for."""
    path = tmp_path / "a.ndjson"
    path.write_bytes(b"\n".join([SEARCH, b"1", b"2", b"3"]))

    result = run("--server", server.target, "submit", "--show-rejections", 2, path)

    assert result.exit_code == 5
    assert result.stderr.splitlines() == [
        f"rejected: {path}[1] $.eventName: got a number, wanted a string (RECORD_MALFORMED)",
        f"rejected: {path}[2] $.eventName: got a number, wanted a string (RECORD_MALFORMED)",
        "... and 1 more",
    ]


def test_lines_of_standard_input_are_submitted(server: ScriptedServer) -> None:
    """`-` reads one record a line from standard input."""
    result = run("--server", server.target, "submit", "-", stdin=SEARCH + b"\n" + OTHER + b"\n")

    assert result.exit_code == 0
    assert [record for batch in server.ingest.committed for record in batch] == [SEARCH, OTHER]


def test_log_file_on_standard_input_is_submitted(server: ScriptedServer) -> None:
    """`-` reads a whole log file from standard input just as well."""
    done = run_program("--server", server.target, "submit", "-", stdin=log_file(SEARCH, OTHER))

    assert done.returncode == 0
    assert server.ingest.committed == [[SEARCH, OTHER]]


def test_what_cannot_be_read_costs_one_line_and_no_other_file(
    server: ScriptedServer, tmp_path: Path
) -> None:
    """Missing and empty files are told in a line each; the others are submitted; the exit is 1."""
    good, empty = write(tmp_path, good=log_file(OTHER), empty=b"")
    missing, too_long = tmp_path / "missing.json", tmp_path / ("x" * 300)

    result = run("--server", server.target, "submit", missing, too_long, empty, good)

    assert result.exit_code == 1
    assert server.ingest.committed == [[OTHER]]
    assert result.stderr.splitlines() == [
        f"{missing}: no such file or folder",
        f"{too_long}: File name too long",
        f"{empty}: empty, left out",
    ]


def test_file_that_cannot_be_opened_costs_one_line(server: ScriptedServer, tmp_path: Path) -> None:
    """What is there and is no readable file, such as a socket, is told in a line."""
    (good,) = write(tmp_path, good=log_file(OTHER))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))

        result = run("--server", server.target, "submit", tmp_path / "s", good)

    assert result.exit_code == 1
    assert server.ingest.committed == [[OTHER]]
    assert [line.partition(": ")[0] for line in result.stderr.splitlines()] == [str(tmp_path / "s")]


def test_nothing_to_submit_asks_no_server(tmp_path: Path) -> None:
    """Without a single file no server is called, which might take minutes to give up."""
    result = run("--server", "127.0.0.1:1", "submit", tmp_path / "missing.json")

    assert result.exit_code == 1
    assert result.stderr == f"{tmp_path / 'missing.json'}: no such file or folder\n"


def test_pipe_is_submitted_like_a_file(server: ScriptedServer, tmp_path: Path) -> None:
    """A named pipe, as a shell makes for the output of a command, is read to its end."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(log_file(SEARCH, OTHER),))
    writer.start()

    result = run("--server", server.target, "submit", pipe)

    writer.join(timeout=30)
    assert result.exit_code == 0
    assert server.ingest.committed == [[SEARCH, OTHER]]


def test_file_that_vanishes_costs_one_line(server: ScriptedServer, tmp_path: Path) -> None:
    """A link that leads nowhere is told like a file that is not there."""
    good, _ = write(tmp_path, good=log_file(OTHER), gone=b"x")
    (tmp_path / "gone.json.gz").unlink()
    (tmp_path / "gone.json.gz").symlink_to(tmp_path / "nowhere")

    result = run("--server", server.target, "submit", good, tmp_path / "gone.json.gz")

    assert result.exit_code == 1
    assert server.ingest.committed == [[OTHER]]


def test_other_feeds_are_left_out_and_counted(server: ScriptedServer, tmp_path: Path) -> None:
    """Digests in a tree are not submitted, and said not to be."""
    digests = tmp_path / "CloudTrail-Digest"
    digests.mkdir()
    write(digests, a=log_file(OTHER))
    write(tmp_path, a=log_file(OTHER))

    result = run("--server", server.target, "submit", tmp_path)

    assert result.exit_code == 0
    assert len(server.ingest.committed) == 1
    assert "left out 1 file of other CloudTrail feeds" in result.stderr


def test_unreachable_server_exits_3(tmp_path: Path) -> None:
    """A server that stays away ends the command with 3, saying what is not acknowledged."""
    with serve() as stopped:
        target = stopped.target
    paths = write(tmp_path, a=log_file(OTHER))

    result = run("--server", target, "submit", "--give-up-after", "0s", *paths)

    assert result.exit_code == 3
    assert target in result.stderr


def test_refusal_midway_reports_what_was_done(server: ScriptedServer, tmp_path: Path) -> None:
    """A submission that is refused midway still says what was acknowledged before."""
    server.ingest.script = [Act(Fault.BREAK, 1, grpc.StatusCode.PERMISSION_DENIED)]
    write(tmp_path, a=log_file(OTHER), b=log_file(OTHER))

    result = run("--server", server.target, "submit", tmp_path)

    assert result.exit_code == 1
    assert result.stdout.startswith("1 file  1 record")
    assert "1 batch is not acknowledged" in result.stderr


def test_large_file_is_submitted_in_batches(server: ScriptedServer, tmp_path: Path) -> None:
    """A file over the server's limits goes in several batches and counts as one file."""
    server.ingest.limits.max_records_per_batch = 2
    paths = write(tmp_path, a=log_file(*[OTHER] * 5))

    result = run("--server", server.target, "submit", *paths)

    assert [len(batch) for batch in server.ingest.committed] == [2, 2, 1]
    assert result.stdout.startswith("1 file  5 records")


def test_names_cannot_command_the_terminal(server: ScriptedServer, tmp_path: Path) -> None:
    """A file name reaches the terminal as text, whatever is in it."""
    path = tmp_path / "a\x1b[2J.ndjson"
    path.write_bytes(b"1\n")

    result = run("--server", server.target, "submit", path)

    assert "\x1b" not in result.stderr
    assert r"a\x1b[2J.ndjson[0]" in result.stderr
