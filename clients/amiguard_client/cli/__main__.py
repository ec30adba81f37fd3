"""Runs the command line: `python -m amiguard_client.cli`, and the program `amiguardctl`."""

from __future__ import annotations

import os
import sys


def start() -> None:
    """Runs the command line, or says in one line what has to be installed for it."""
    # gRPC would write lines of its own before ours, about every attempt to connect.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from amiguard_client.cli.main import main
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("amiguard"):
            raise
        sys.exit(f"Error: no module {error.name}: pip install 'amiguard[cli]'")
    main(prog_name="amiguardctl")


if __name__ == "__main__":
    start()
