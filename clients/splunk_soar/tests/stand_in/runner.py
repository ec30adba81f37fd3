"""Runs the app, and polls, as often as asked, each time in a process of its own.

A process is forked from one that has loaded the app and done nothing yet: loading takes seconds.
Each line of the input is `{"arguments": [...], "output": PATH}`; to each the exit code is answered.
Arguments that begin with `poll` are those of `poll.py`, others are those of the app's command line.
"""

import json
import os
import sys
import traceback

import poll
from src.app import app


def main() -> None:
    """Answers until the input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(_run(request["arguments"], request["output"]))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _run(arguments: list[str], output: str) -> int:
    """Runs in this process, with all that is printed in a file; returns the exit code."""
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, sys.stdout.fileno())
    os.dup2(file, sys.stderr.fileno())
    sys.argv = ["app.py", *arguments]
    try:
        if arguments[0] == "poll":
            poll.main(*arguments[1:])
        else:
            app.cli()
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else 1
    except BaseException:  # noqa: BLE001 - the process ends with it, as Python would
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    main()
