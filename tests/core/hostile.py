"""Texts that mean something to some language, for whatever must keep them mere text."""

from __future__ import annotations

import re
from typing import Final

from hypothesis import strategies as st

PIECES: Final = (
    *("'", '"', "\\", "`id`", "$(id)", "${var.x}", "$$", "$", "%{if true}", "%%", "#{id}", "#"),
    *("{{ lookup('pipe','id') }}", "{{", "}}", "{", "{%", "{#", "{$x}", "*/", "//", "-->", "<?="),
    *("\n", "\r", "\t", "\0", "\x1b[201~", "\x7f", "\x85", "\u2028", "\u202e", "\ud800", "😀", "é"),
    *("\\u0022", "\\u000a", "\\n", "!", "!unsafe", ",", ", ", " ", "]", "}", ";", "&", "|", "~"),
    *("file:///etc/hostname", "--query", "*", "?", "__proto__", "name", "a"),
)


EVERY_PIECE: Final = "".join(PIECES)


def hostile_texts() -> st.SearchStrategy[str]:
    """Draws pieces in any order, among any other text; never empty."""
    pieces = st.one_of(st.sampled_from(PIECES), st.text(max_size=3))
    return st.lists(pieces, min_size=1, max_size=6).map("".join).filter(bool)


def clean(text: str) -> str:
    """Returns a text as every language can hold it: half of a surrogate pair is no character."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)
