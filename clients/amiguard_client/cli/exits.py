"""Exit codes. 0 is done; 2, wrong usage, is click's."""

from __future__ import annotations

from typing import Final

FAILED: Final = 1
BAD_FILE: Final = 2
UNREACHABLE: Final = 3
SOME_REJECTED: Final = 5
