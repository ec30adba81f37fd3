"""Laws of the log files that are written for the tests, the demo and the bench."""

import gzip
import json
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest

from amiguard_core.clients import client_of
from amiguard_core.pipeline import evaluate
from amiguard_core.policy import Policy
from tests.data import records
from tests.data.bench import bench_records, write_bench_files
from tests.data.delivery import main
from tests.data.demo import DemoFacts, write_demo
from tests.data.log_files import deliver, event_time, write_log_files
from tests.data.records import describe_images
from tests.data.scenario import scenario
from tests.data.shapes import Record, encode
from tests.data.stories import ExpectedFinding


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoFacts:
    """Writes the demo's tree once."""
    return write_demo(tmp_path_factory.mktemp("demo"))


def test_log_files_hold_every_record_after_its_time() -> None:
    """Each record is in a file of its account that appeared within the longest lag."""
    made = scenario(5, noise=500)

    files = deliver(made, seed=1)
    delivered = [(file, record) for file in files for record in file.records]
    assert sorted(encode(record) for _, record in delivered) == sorted(map(encode, made))
    for file, record in delivered:
        assert file.account == record["recipientAccountId"]
        assert file.region == record["awsRegion"]
        lag = file.delivered_at - event_time(record)
        assert timedelta(0) <= lag <= timedelta(minutes=10)


def test_log_files_are_out_of_order() -> None:
    """Records lie in files unsorted, and in later files than records of later times."""
    files = deliver(scenario(5, accounts=1, noise=2_000), seed=1)

    by_region = [[f for f in files if f.region == region] for region in {f.region for f in files}]
    times = [[event_time(record) for record in file.records] for file in files]
    assert any(file_times != sorted(file_times) for file_times in times)
    assert any(
        max(map(event_time, earlier.records)) > min(map(event_time, later.records))
        for region_files in by_region
        for earlier, later in pairwise(region_files)
    )


def test_repeated_record_is_never_twice_in_one_file() -> None:
    """A record that is delivered twice stands in two files."""
    made = scenario(5, accounts=1, noise=300)

    files = deliver(made, seed=1, repeated=40)
    for file in files:
        assert len({record["eventID"] for record in file.records}) == len(file.records)
    assert sum(len(file.records) for file in files) == len(made) + 40


def test_log_file_stands_where_s3_has_it(tmp_path: Path) -> None:
    """A file's key names its account, region, day and time of delivery."""
    (file,) = deliver([describe_images()], seed=1, lags={})
    (path,) = write_log_files(tmp_path, [file], organization="o-1")

    folder = "AWSLogs/o-1/111122223333/CloudTrail/us-east-1/2026/03/02"
    name = f"111122223333_CloudTrail_us-east-1_20260302T0905Z_{file.token}.json.gz"
    assert path.relative_to(tmp_path).as_posix() == f"{folder}/{name}"
    assert json.loads(gzip.decompress(path.read_bytes())) == {"Records": [describe_images()]}


def test_demo_is_the_same_every_time(demo: DemoFacts, tmp_path: Path) -> None:
    """Two demos have the same files with the same bytes."""
    write_demo(tmp_path)

    assert content_of(tmp_path) == content_of(demo.directory)


def test_demo_holds_what_its_facts_say(demo: DemoFacts) -> None:
    """Files, records, searches and launches are as many as the facts say."""
    held = list(records_of(demo.directory))

    different = {record["eventID"]: record for record in held}
    called = Counter(
        record["eventName"]
        for record in different.values()
        if record["eventSource"] == records.EC2 and "errorCode" not in record
    )
    everything = [path for path in demo.directory.rglob("*") if path.is_file()]
    assert len(different) == demo.record_count
    assert len(held) - len(different) == demo.repeated_count
    assert called["DescribeImages"] == demo.search_count
    assert called["RunInstances"] == demo.launch_count
    assert len(everything) == demo.log_file_count + demo.skipped_file_count


def test_rule_finds_in_the_demo_what_its_facts_say(demo: DemoFacts) -> None:
    """With the default policy the demo's records give exactly the findings of its facts."""
    found = evaluate(map(encode, records_of(demo.directory)), Policy())

    assert {
        ExpectedFinding(
            account_id=finding.key.account_id,
            region=finding.key.region,
            actor_arn=finding.key.actor_arn,
            name_patterns=finding.latest.search.request.values_of("name"),
            client=client_of(finding.latest.search.origin.user_agent),
            likelihood=finding.likelihood,
            likelihood_score=finding.score,
            occurrence_count=len(finding.occurrences),
            suppression=finding.suppression,
        )
        for finding in found
    } == set(demo.findings)
    assert len(found) == len(demo.findings)


def test_demo_is_small(demo: DemoFacts) -> None:
    """The demo's tree takes no more than 4 MB."""
    size = sum(path.stat().st_size for path in demo.directory.rglob("*") if path.is_file())

    assert size < 4_000_000


def test_demo_delivers_a_launch_before_its_search(demo: DemoFacts) -> None:
    """One launch stands in a file that appeared before that of the search it followed."""
    (late,) = [f for f in demo.findings if f.actor_arn.endswith("role/scaler")]

    place = {
        record["eventName"]: path.name
        for path in sorted(log_files_of(demo.directory))
        for record in read(path)
        if "/scaler/" in record["userIdentity"].get("arn", "")
    }
    assert late.occurrence_count == 1
    assert place["RunInstances"] < place["DescribeImages"]


def test_demo_repeats_its_calls_beside_the_log_files(demo: DemoFacts) -> None:
    """A reader that takes the folders beside the log files for records finds more launches."""
    beside = [
        record
        for path in demo.directory.rglob("*_CloudTrail-*.json.gz")
        for record in json.loads(gzip.decompress(path.read_bytes())).get("Records", ())
    ]

    kinds = Counter((record["eventName"], record["eventType"]) for record in beside)
    assert kinds["RunInstances", "AwsCloudTrailInsight"] == 2
    assert kinds["RunInstances", "AwsVpceEvent"] >= demo.launch_count
    ids = {record["eventID"] for record in records_of(demo.directory)}
    assert ids.isdisjoint(record["eventID"] for record in beside)


def test_demo_digest_vouches_for_every_log_file(demo: DemoFacts) -> None:
    """The digests name each log file with the SHA-256 of its content."""
    digests = [
        json.loads(gzip.decompress(path.read_bytes()))
        for path in demo.directory.rglob("*_CloudTrail-Digest_*.json.gz")
    ]

    vouched = {
        each["s3Object"]: each["hashValue"] for digest in digests for each in digest["logFiles"]
    }
    assert vouched == {
        path.relative_to(demo.directory).as_posix(): sha256(
            gzip.decompress(path.read_bytes())
        ).hexdigest()
        for path in log_files_of(demo.directory)
    }


def test_demo_command_prints_the_facts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], demo: DemoFacts
) -> None:
    """`python -m tests.data.delivery demo DIRECTORY` writes the demo and says what is in it."""
    code = main(["demo", str(tmp_path)])

    printed = json.loads(capsys.readouterr().out)
    assert code == 0
    assert printed["directory"] == str(tmp_path)
    assert printed["record_count"] == demo.record_count
    assert len(printed["findings"]) == len(demo.findings)


@pytest.mark.parametrize("share", [0.0, 0.01, 1.0])
def test_bench_records_hold_exactly_the_share(share: float) -> None:
    """Of the records exactly the share are searches and launches in turn, all with own ids."""
    made = [json.loads(each) for each in bench_records(1_000, relevant_share=share, seed=1)]

    names = Counter(each["eventName"] for each in made if each["eventSource"] == records.EC2)
    assert names["DescribeImages"] == names["RunInstances"] == 500 * share
    assert len({each["eventID"] for each in made}) == 1_000


def test_bench_launch_follows_a_search_of_its_own() -> None:
    """Every launch of the bench comes 30 seconds after a search of the same principal."""
    made = [json.loads(each) for each in bench_records(400, relevant_share=0.1, seed=1)]
    relevant = [each for each in made if each["eventName"] in {"DescribeImages", "RunInstances"}]
    relevant = [each for each in relevant if each["eventSource"] == records.EC2]

    pairs = list(zip(relevant[::2], relevant[1::2], strict=True))
    assert len(pairs) == 20
    for search, launch in pairs:
        assert search["userIdentity"] == launch["userIdentity"]
        assert event_time(launch) - event_time(search) == timedelta(seconds=30)


def test_bench_files_hold_the_records(tmp_path: Path) -> None:
    """The files have the records asked for, and are the same for the same seed."""
    first, second = tmp_path / "first", tmp_path / "second"
    sizes = {"files": 3, "records_per_file": 50}

    paths = write_bench_files(first, **sizes, relevant_share=0.1, seed=1)
    write_bench_files(second, **sizes, relevant_share=0.1, seed=1)
    assert [len(list(read(path))) for path in paths] == [50, 50, 50]
    assert content_of(first) == content_of(second)


def log_files_of(directory: Path) -> Iterable[Path]:
    """Returns the paths of the log files below the directory."""
    return directory.rglob("*_CloudTrail_*.json.gz")


def read(path: Path) -> Iterable[Record]:
    """Returns the records of a log file."""
    held: list[Record] = json.loads(gzip.decompress(path.read_bytes()))["Records"]
    return held


def records_of(directory: Path) -> Iterable[Record]:
    """Returns the records of every log file below the directory."""
    return (record for path in log_files_of(directory) for record in read(path))


def content_of(directory: Path) -> dict[str, bytes]:
    """Returns the bytes of every file below the directory."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }
