"""Runs the command line: `python -m amiguard_client.cli`."""

from __future__ import annotations

from amiguard_client.cli.main import main

if __name__ == "__main__":
    main(prog_name="amiguardctl")
