"""The server as rounds start it: the command, with what a round needs put around it.

Nothing of this is in the product. The set-up changes constants and listens to SQLAlchemy, and then
runs the command `amiguard-server` with the arguments it was given.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, dataclass, field
from datetime import timedelta

import msgspec

from amiguard_service import main as command
from amiguard_service import sweeper
from tests.robustness import planted_faults
from tests.robustness.pauses import Pauses

_VARIABLE = "ROBUSTNESS_SET_UP"


@dataclass(frozen=True, slots=True)
class SetUp:
    """How a server of a round differs from one in production."""

    sweep_seconds: float = 0.4
    """Between two steps of retention, of which a round would otherwise see none."""
    pauses: Pauses = field(default_factory=Pauses)
    planted: str = ""
    """The name of a fault that is planted to see whether the harness notices."""

    def to_environment(self) -> dict[str, str]:
        """Returns what tells a server of it."""
        return {_VARIABLE: msgspec.json.encode(asdict(self)).decode()}

    @classmethod
    def from_environment(cls) -> SetUp:
        """Returns the set-up that this process was given."""
        return msgspec.json.decode(os.environ[_VARIABLE], type=cls)

    def install(self) -> None:
        """Puts it around the server that this process becomes."""
        sweeper.SWEEP_INTERVAL = timedelta(seconds=self.sweep_seconds)  # type: ignore[misc]  # the point
        self.pauses.install()
        if self.planted:
            planted_faults.plant(self.planted)


if __name__ == "__main__":
    SetUp.from_environment().install()
    sys.exit(command.main())
