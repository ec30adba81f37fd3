"""The demo's trail: a morning of two accounts, and what the rule says of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from tests.data.draws import Draws
from tests.data.log_files import deliver, write_log_files, write_side_folders
from tests.data.noise import Scene, noise
from tests.data.records import NINE_O_CLOCK
from tests.data.shapes import Record
from tests.data.stories import PRODUCTION, REGIONS, SANDBOX, STORIES, ExpectedFinding

ORGANIZATION: Final = "o-exampleorgid"

_SEED: Final = 20260302
_NOISE_RECORDS: Final = 4_000
_MINUTES: Final = 180
_REPEATED: Final = 60


@dataclass(frozen=True, slots=True)
class DemoFacts:
    """What a reader of the demo's tree must come to."""

    directory: Path
    # Files that hold records, and files beside them that must not be read as such.
    log_file_count: int
    skipped_file_count: int
    # Different records, and how many of them stand in a second file as well.
    record_count: int
    repeated_count: int
    search_count: int
    launch_count: int
    findings: tuple[ExpectedFinding, ...]


def write_demo(directory: Path) -> DemoFacts:
    """Writes the demo's tree below the directory and returns what is in it."""
    draws = Draws(_SEED)
    stories = [story(draws) for story in STORIES]
    told = [record for story in stories for record in story.records]
    records = told + [noise(draws, _scene(draws)) for _ in range(_NOISE_RECORDS)]
    lags = {event_id: lag for story in stories for event_id, lag in story.lags.items()}
    files = deliver(records, seed=_SEED, lags=lags, repeated=_REPEATED)
    skipped = 0
    for account, organization in ((SANDBOX, None), (PRODUCTION, ORGANIZATION)):
        own = [file for file in files if file.account == account]
        write_log_files(directory, own, organization=organization)
        skipped += len(write_side_folders(directory, own, organization=organization))
    return DemoFacts(
        directory=directory,
        log_file_count=len(files),
        skipped_file_count=skipped,
        record_count=len(records),
        repeated_count=sum(len(file.records) for file in files) - len(records),
        search_count=_count(told, "DescribeImages"),
        launch_count=_count(told, "RunInstances"),
        findings=tuple(story.finding for story in stories if story.finding),
    )


def _count(records: Sequence[Record], name: str) -> int:
    return sum(r["eventName"] == name and "errorCode" not in r for r in records)


def _scene(draws: Draws) -> Scene:
    after = timedelta(seconds=draws.randrange(60 * _MINUTES))
    return Scene(draws.choice((SANDBOX, PRODUCTION)), draws.choice(REGIONS), NINE_O_CLOCK + after)
