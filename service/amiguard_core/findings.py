"""What the rule gives: occurrences and findings, as immutable values."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256

from msgspec import Struct

from amiguard_core.events import Launch, Search

MEDIUM_FROM = 40
HIGH_FROM = 70


class Likelihood(StrEnum):
    """How likely an outsider could exploit the search."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"

    @classmethod
    def of_score(cls, score: int) -> Likelihood:
        """Returns the band of a score from 0 to 100."""
        if score >= HIGH_FROM:
            return cls.HIGH
        return cls.MEDIUM if score >= MEDIUM_FROM else cls.LOW


class Suppression(StrEnum):
    """Why the rule itself sets an occurrence aside."""

    PACKER_PREVALIDATION = "PACKER_PREVALIDATION"


class ScoreStep(Struct, frozen=True):
    """One step of a score: its code, the score after it, and the entry that caused it, if any."""

    code: str
    score: int
    message: str
    allowlist_entry: str | None = None


class FindingKey(Struct, frozen=True, order=True):
    """What makes two occurrences one finding."""

    account_id: str
    region: str
    actor_arn: str
    fingerprint: str

    def finding_id(self) -> str:
        """Returns the id that any replica derives from the same key.

        It begins with the account, so that whoever has it knows where the finding is kept.
        """
        text = f"{self.account_id}\0{self.region}\0{self.actor_arn}\0{self.fingerprint}"
        return f"{self.account_id}-{sha256(text.encode()).hexdigest()[:24]}"


class Evidence(Struct, frozen=True):
    """One copy of a launch, and a search that it follows, by way of a pin or not."""

    search: Search
    launch: Launch
    pin: Launch | None = None


class Occurrence(Struct, frozen=True):
    """One launch that followed an unsafe search: the latest such search within the window.

    `pin` is set where the launch was made from a launch template: the call by which whoever
    searched pinned an image into it. That call then is what followed the search, and its actor the
    finding's; the launch may come any time later, and from anybody.

    Of one launch there may be several copies that say different things. Each is evidence, and none
    takes anything away: `launch` is one of them, with the images and instances of all. `evidence`
    is empty where there is no more of it than what `search`, `launch` and `pin` say.
    """

    key: FindingKey
    search: Search
    launch: Launch
    confidence: int
    suppression: Suppression | None = None
    pin: Launch | None = None
    evidence: tuple[Evidence, ...] = ()

    @property
    def all_evidence(self) -> tuple[Evidence, ...]:
        """Everything that the occurrence rests on."""
        return self.evidence or (Evidence(self.search, self.launch, self.pin),)

    @property
    def copy_count(self) -> int:
        """How many copies of the launch say different things; 1 unless some do."""
        return len({each.launch for each in self.evidence}) or 1

    @property
    def first_launch_time(self) -> datetime:
        """The earliest time that a copy of the launch gives."""
        return min(each.launch.origin.event_time for each in self.all_evidence)

    @property
    def gap(self) -> timedelta:
        """The time from the search to the use of its answer: to the pin, else to the launch."""
        used = self.pin or self.launch
        return used.origin.event_time - self.search.origin.event_time

    @property
    def recency(self) -> tuple[datetime, str]:
        """Orders the occurrences of one finding: the greatest is the latest."""
        origin = self.launch.origin
        if not self.evidence:
            return origin.event_time, origin.event_id
        times = (each.launch.origin.event_time for each in self.evidence)
        return max(times), origin.event_id


class Finding(Struct, frozen=True):
    """All occurrences of one unsafe search by one actor, latest launch first.

    `reasons` say why the search is unsafe; `steps` lead to `score`. `suppression` is set while
    every occurrence is suppressed.
    """

    key: FindingKey
    reasons: tuple[str, ...]
    steps: tuple[ScoreStep, ...]
    occurrences: tuple[Occurrence, ...]
    rule_revision: int

    @property
    def score(self) -> int:
        """The likelihood as a number, 0 to 100."""
        return self.steps[-1].score

    @property
    def likelihood(self) -> Likelihood:
        """The likelihood as a band."""
        return Likelihood.of_score(self.score)

    @property
    def latest(self) -> Occurrence:
        """The occurrence with the latest launch; what depends on one search is shown of it."""
        return self.occurrences[0]

    @property
    def confidence(self) -> int:
        """The greatest confidence of the occurrences."""
        return max(occurrence.confidence for occurrence in self.occurrences)

    @property
    def suppression(self) -> Suppression | None:
        """Why all of it is set aside; None as soon as one occurrence is not."""
        codes = {occurrence.suppression for occurrence in self.occurrences}
        return None if None in codes else self.latest.suppression

    @property
    def image_ids(self) -> tuple[str, ...]:
        """Every image launched, sorted."""
        return tuple(sorted({i for o in self.occurrences for i in o.launch.image_ids}))
