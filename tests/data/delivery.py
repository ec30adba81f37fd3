"""Trails as files: the demo's tree and the bench's, and the command that writes them.

`python -m tests.data.delivery demo DIRECTORY` writes the demo and prints what is in it, as JSON.
"""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.data.bench import bench_records, write_bench_files
from tests.data.demo import DemoFacts, write_demo
from tests.data.log_files import LogFile, deliver, write_log_files, write_side_folders
from tests.data.stories import ExpectedFinding

__all__ = [
    "DemoFacts",
    "ExpectedFinding",
    "LogFile",
    "bench_records",
    "deliver",
    "main",
    "write_bench_files",
    "write_demo",
    "write_log_files",
    "write_side_folders",
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the tree asked for on the command line and returns the exit code."""
    parser = ArgumentParser(prog="python -m tests.data.delivery", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="write the demo's trail")
    bench = commands.add_parser("bench", help="write many log files, most of it noise")
    bench.add_argument("--files", type=int, default=100)
    bench.add_argument("--records-per-file", type=int, default=500)
    bench.add_argument("--relevant-share", type=float, default=0.01)
    bench.add_argument("--seed", type=int, default=1)
    for command in (demo, bench):
        command.add_argument("directory", type=Path)
    chosen = parser.parse_args(arguments)
    if chosen.command == "demo":
        sys.stdout.write(json.dumps(asdict(write_demo(chosen.directory)), default=str, indent=2))
    else:
        paths = write_bench_files(
            chosen.directory,
            files=chosen.files,
            records_per_file=chosen.records_per_file,
            relevant_share=chosen.relevant_share,
            seed=chosen.seed,
        )
        sys.stdout.write(json.dumps({"log_file_count": len(paths)}))
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
