"""Checks that what users read is plain English; `make lint` runs it.

Pages, the help of every command and the texts of errors use the field's words, not the old ones
below. In README.md no sentence has more than 30 words.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from amiguard_client.cli.main import main as command_line
from amiguard_client.cli.man import contexts_of

ROOT = Path(__file__).parents[1]
MAX_WORDS = 30
WORDS = {
    "amiss": "wrong",
    "anew": "again",
    "be it": "whether, or",
    "go over": "re-evaluate",
    "goes over": "re-evaluates",
    "gone over": "re-evaluated",
    "meanwhile": "in the meantime, during",
    "mend": "fix",
    "mended": "fixed, corrected",
    "mends": "fixes",
    "no other than": "only",
    "of no account": "ignored",
    "set aside": "rejected (records), suppressed (findings)",
    "sets aside": "rejects (records), suppresses (findings)",
    "take up": "enqueue, acknowledge",
    "what came in": "coverage",
    "whoever": "the user, the operator, whoever it is by name",
}
"""Old words, and what to write instead."""
_OLD = re.compile(r"\b(" + "|".join(re.escape(word) for word in WORDS) + r")\b", re.IGNORECASE)
_ERRORS = {"abort", "fail", "say", "info"}


def pages() -> Iterator[tuple[str, str]]:
    """Yields each page and its prose, without examples."""
    paths = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "tests/README.md"]
    for path in sorted(paths):
        text = path.read_text(encoding="utf-8")
        yield str(path.relative_to(ROOT)), re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def helps() -> Iterator[tuple[str, str]]:
    """Yields each command and its help."""
    for context in contexts_of(click.Context(command_line, info_name="amiguardctl")):
        yield f"{context.command_path} --help", context.get_help()


def errors() -> Iterator[tuple[str, str]]:
    """Yields the texts that are raised, or said on standard error, and where they stand."""
    for folder in ("clients/amiguard_client", "service"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if _is_told(node):
                    texts = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant)]
                    told = " ".join(text for text in texts if isinstance(text, str))
                    yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", told


def _is_told(node: ast.AST) -> bool:
    if isinstance(node, ast.Raise):
        return True
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") in _ERRORS


def long_sentences(page: str) -> list[str]:
    """Returns the sentences of a page that have too many words."""
    blocks = re.split(r"\n\s*\n|\n(?=[-#|]|\d+\. )|(?<=[.!?:])\s+", page)
    return [block for block in blocks if _word_count(block) > MAX_WORDS]


def _word_count(text: str) -> int:
    return 0 if text.lstrip().startswith("|") else len(text.split())


def complaints() -> Iterator[str]:
    """Yields a line for each fault."""
    for where, text in (*pages(), *helps(), *errors()):
        for found in _OLD.finditer(" ".join(text.split())):
            yield f'{where}: "{found[0]}": write {WORDS[found[0].lower()]}'
    readme = re.sub(
        r"```.*?```", "", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL
    )
    for sentence in long_sentences(readme):
        yield f"README.md: over {MAX_WORDS} words: {' '.join(sentence.split()[:8])} ..."


def main() -> int:
    """Prints the faults; returns 1 where there are any."""
    found = list(complaints())
    for line in found:
        sys.stderr.write(f"{line}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
