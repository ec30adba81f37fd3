"""CSV that is safe to open in a spreadsheet.

A spreadsheet takes a cell that begins with one of a few signs for a formula and works it out, and
whoever makes a call chooses its names. As OWASP has it, such a cell gets an apostrophe before the
sign; so does a sign after anything that some spreadsheet takes for the end of a cell.
https://owasp.org/www-community/attacks/CSV_Injection
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

_FORMULA = re.compile(r"""((?:^|[,;|\t\r\n"])[^\S\t\r\n]*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])""")
"""Where a formula may begin: the signs, the full-width too, at the start or after a separator or a
quote."""


def csv_lines(rows: Iterable[Sequence[str]]) -> str:
    """Returns rows as lines of CSV, every cell in quotes."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for row in rows:
        writer.writerow([disarmed(cell) for cell in row])
    return buffer.getvalue()


def disarmed(cell: str) -> str:
    """Returns the text of a cell in which nothing begins a formula."""
    return _FORMULA.sub(r"\1'", cell)
