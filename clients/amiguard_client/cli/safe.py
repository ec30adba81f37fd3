"""Text from records made harmless for a terminal.

Whoever makes a call chooses its user agent, its filters and its names; a terminal obeys control
characters, and a reader is fooled by invisible ones. So both are shown, not sent.
"""

from __future__ import annotations


def safe(text: str) -> str:
    """Returns the text on one line, every character that does not print as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def safe_block(text: str) -> str:
    """Returns the text with its lines and indents kept and everything else as `safe` does."""
    return "\n".join(safe(line.expandtabs(4)) for line in text.split("\n"))
