"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, content: bytes, *, is_synced: bool = False) -> None:
    """Puts a file in the place of what is there, for its owner's eyes alone.

    Whoever reads the path finds the former content or the new one; with `is_synced` also after the
    machine has stopped. Raises OSError, and leaves what was there, where it cannot be written.
    """
    handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=".amiguard-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if is_synced:
                file.flush()
                os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:  # an interrupt leaves nothing behind either
        Path(name).unlink(missing_ok=True)
        raise
