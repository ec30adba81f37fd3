"""Runs the server: `python -m amiguard_service`, and the program `amiguard-server`."""

from __future__ import annotations

import os
import sys


def start() -> int:
    """Runs the command line, or says in one line what has to be installed for it."""
    # gRPC writes lines of its own among those of the log, about peers that do as they like.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from amiguard_service.main import main  # noqa: PLC0415 - the base install has no server
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("amiguard"):
            raise
        sys.stderr.write(
            f"amiguard-server: no module {error.name}: pip install 'amiguard[server]', or "
            "'amiguard[server,postgres]' for PostgreSQL\n"
        )
        return 1
    return main()


if __name__ == "__main__":
    sys.exit(start())
