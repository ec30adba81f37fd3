"""`amiguardctl submit s3://...`: log files out of a bucket."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from amiguard_client import Client
from tests.clients.cli.command_line import run
from tests.clients.forward.cloud import BUCKET, Cloud
from tests.clients.forward.scene import log_file
from tests.clients.live_server import Live
from tests.clients.scripted_server import Act, Fault, ScriptedServer
from tests.data.log_files import LogFile, deliver
from tests.data.records import NINE_O_CLOCK, describe_images
from tests.data.scenario import scenario
from tests.data.shapes import encode
from tests.robustness.operators import Tuned
from tests.robustness.oracle import ServerView, find_differences

ACCOUNTS = ("012345678901", "123456789012")
REGIONS = ("eu-west-1", "us-east-1")
DAYS = tuple(timedelta(days=days) for days in (-61, -1, 0, 1))
S3 = f"s3://{BUCKET}"


def record_of(file: LogFile) -> str:
    """Returns the id of the only record of a file."""
    return f"{file.account} {file.region} {file.delivered_at:%Y-%m-%d}"


@pytest.fixture
def files(cloud: Cloud) -> list[LogFile]:
    """A trail of an organization and one of an account, with what else is put beside them."""
    made = []
    for account in ACCOUNTS:
        for region in REGIONS:
            for day in DAYS:
                file = LogFile(account, region, NINE_O_CLOCK + day, "a" * 16, ())
                record = describe_images(event_id=record_of(file))
                made.append(LogFile(account, region, file.delivered_at, file.token, (record,)))
    for file in made:
        key = file.key(organization="o-exampleorgid" if file.account == ACCOUNTS[0] else None)
        cloud.put(f"logs/{key}", file.content())
        if file.region == REGIONS[0] and file.delivered_at == NINE_O_CLOCK:
            for folder in ("CloudTrail-Digest", "Config"):
                cloud.put(f"logs/{key}".replace("CloudTrail", folder), b"{}")
    cloud.gate.calls.clear()
    return made


def submitted(server: ScriptedServer) -> list[str]:
    """Returns the ids of the records that were submitted, in their order."""
    return sorted(json.loads(r)["eventID"] for batch in server.ingest.committed for r in batch)


@pytest.mark.parametrize("prefix", ["", "/", "/logs", "/logs/AWSLogs/"])
def test_every_log_file_below_a_prefix_is_submitted(
    server: ScriptedServer, files: list[LogFile], prefix: str
) -> None:
    """Of a bucket or a part of it the log files are taken, and nothing that stands beside them."""
    result = run("--server", server.target, "submit", S3 + prefix)

    assert result.exit_code == 0, result.output
    assert submitted(server) == sorted(map(record_of, files))
    assert result.stdout.split()[:4] == [str(len(files)), "files", str(len(files)), "records"]
    places = [
        f"{S3}/logs/AWSLogs/{place}" for place in ("o-exampleorgid/012345678901", ACCOUNTS[1])
    ]
    for kind, folder in (("CloudTrail feeds", "CloudTrail-Digest"), ("AWS services", "Config")):
        (line,) = [line for line in result.stderr.splitlines() if kind in line]
        assert line.startswith(f"left out 2 folders of other {kind}, such as ")
        assert line.endswith(tuple(f"{place}/{folder}/" for place in places))
    assert len(result.stderr.splitlines()) == 2


@pytest.mark.parametrize(
    ("options", "days"),
    [
        (["--since", "2026-03-02"], DAYS[2:]),
        (["--until", "2026-03-02"], DAYS[:2]),
        (["--since", "2026-03-01", "--until", "2026-03-03"], DAYS[1:3]),
        (["--since", "2026-03-02T09:00:59Z", "--until", "2026-03-02T09:01:00Z"], DAYS[2:3]),
        (["--since", "2026-03-02T09:01:00Z"], DAYS[3:]),
        (["--until", "2026-03-02T09:00:00Z"], DAYS[:2]),
        (["--since", "2030-01-01"], ()),
    ],
)
def test_times_choose_log_files_by_their_delivery(
    server: ScriptedServer, files: list[LogFile], options: list[str], days: tuple[timedelta, ...]
) -> None:
    """`--since` takes in its minute, `--until` leaves it out."""
    run("--server", server.target, "submit", S3, *options)

    times = {NINE_O_CLOCK + day for day in days}
    assert submitted(server) == sorted(record_of(f) for f in files if f.delivered_at in times)


def test_only_the_prefixes_that_are_needed_are_listed(
    server: ScriptedServer, cloud: Cloud, files: list[LogFile]
) -> None:
    """Other accounts, regions, services, months and days are not looked into."""
    chosen = files[2]
    since = f"{chosen.delivered_at:%Y-%m-%d}"
    until = f"{chosen.delivered_at + timedelta(days=1):%Y-%m-%d}"

    run("--server", server.target, "submit", f"{S3}/logs/", "--account", chosen.account,
        "--region", chosen.region, "--since", since, "--until", until)  # fmt: skip

    assert submitted(server) == [record_of(chosen)]
    organization = f"logs/AWSLogs/o-exampleorgid/{chosen.account}/"
    region = f"{organization}CloudTrail/{chosen.region}/"
    assert sorted(
        call.parameters["prefix"] for call in cloud.gate.calls if call.parameters
    ) == sorted(
        ["logs/", "logs/AWSLogs/", "logs/AWSLogs/o-exampleorgid/", organization]
        + [f"{organization}CloudTrail/", region]
        + [f"{region}{part}" for part in ("2026/", "2026/03/", "2026/03/02/")]
    )


def test_a_later_run_goes_on_where_an_earlier_one_broke_off(
    server: ScriptedServer, files: list[LogFile], tmp_path: Path
) -> None:
    """The state file knows what was acknowledged; the rest is submitted, and nothing twice."""
    # A stream that ends with OK keeps the acks on their way, which one that breaks may lose.
    server.ingest.script = [
        Act(Fault.REFUSE if n else Fault.END_EARLY, acks_before=5) for n in range(9)
    ]
    state = tmp_path / "state"

    broken = run("--server", server.target, "submit", S3, "--state", state, "--give-up-after", "0s")
    first = submitted(server)
    server.ingest.script = []
    rest = run("--server", server.target, "submit", S3, "--state", state)
    again = run("--server", server.target, "submit", S3, "--state", state)

    assert (broken.exit_code, rest.exit_code, again.exit_code) == (3, 0, 0)
    assert len(first) == 5
    assert submitted(server) == sorted(map(record_of, files))
    assert rest.stderr.splitlines()[0] == "left out 5 files acknowledged before"
    assert again.stderr.splitlines()[0] == f"left out {len(files)} files acknowledged before"


def test_findings_are_those_of_the_rule(cloud: Cloud, live: Live, live_client: Client) -> None:
    """What comes out of a bucket makes the findings that the rule makes of the records."""
    records = scenario(5, searches=40, launches=40, noise=40)
    for file in deliver(records, seed=5, repeated=20):
        cloud.put(file.key(), file.content())

    result = run("--server", live.target, "submit", S3)

    assert result.exit_code == 0
    assert find_differences(ServerView(live_client), map(encode, records), Tuned()) == []


def test_what_cannot_be_fetched_costs_one_line_and_no_other_object(
    server: ScriptedServer, cloud: Cloud
) -> None:
    """An object that may not be read is told in a line; the others are submitted; exit 1."""
    for name in "abc":
        cloud.put(
            f"{name}.json.gz", log_file(b'{"eventName":"GetUser","eventID":"%s"}' % name.encode())
        )
    cloud.put("empty.json", b"")
    cloud.gate.act = lambda call: 403 if call.action.endswith("/b.json.gz") else None

    result = run("--server", server.target, "submit", S3)

    assert result.exit_code == 1
    assert submitted(server) == ["a", "c"]
    assert sorted(line.split(": ")[0] for line in result.stderr.splitlines()) == [
        f"{S3}/b.json.gz",
        f"{S3}/empty.json",
    ]


def test_s3_that_is_away_for_a_moment_is_waited_for(server: ScriptedServer, cloud: Cloud) -> None:
    """Listing and fetching are tried again."""
    cloud.put("a.json", b'{"eventName":"GetUser","eventID":"a"}')
    failures = iter([503, 503, None, 500, 500, None])
    cloud.gate.act = lambda _call: next(failures, None)

    result = run("--server", server.target, "submit", S3)

    assert result.exit_code == 0, result.output
    assert submitted(server) == ["a"]


@pytest.mark.parametrize(
    ("args", "exit_code", "message"),
    [
        (["s3://"], 1, "got 's3://', wanted s3://BUCKET/PREFIX"),
        (["s3://Not_A_Bucket/x"], 1, "wanted s3://BUCKET/PREFIX"),
        (["s3://no-such-bucket"], 1, "NoSuchBucket"),
        ([S3, "some/path"], 2, "got both s3:// and other paths"),
        (["some/path", "--since", "2026-03-02"], 2, "got an option for s3://"),
        ([S3, "--state", "/dev/null/state"], 1, "/dev/null/state: "),
    ],
)
@pytest.mark.usefixtures("cloud")
def test_a_mistake_is_one_clear_line(
    server: ScriptedServer, args: list[str], exit_code: int, message: str
) -> None:
    """What cannot be meant is told in one line."""
    result = run("--server", server.target, "submit", *args)

    assert result.exit_code == exit_code
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.stderr


def test_a_missing_boto3_is_said_with_what_mends_it(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra the command says how to install it."""
    monkeypatch.setitem(sys.modules, "boto3", None)

    result = run("--server", server.target, "submit", S3)

    assert result.exit_code == 1
    assert result.stderr == "Error: boto3 is not installed: pip install 'amiguard[aws]'\n"
