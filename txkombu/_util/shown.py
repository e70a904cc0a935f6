"""
What others wrote, as it may stand in errors and log lines: short, and escaped.
"""

from __future__ import annotations

from typing import Final

SHOWN_MOST: Final = 200
"""How many characters of what a sender wrote are shown."""


def shown(value: object) -> str:
    """Return the C{repr} of a value, cut; that of long text is never made whole."""
    if isinstance(value, str | bytes) and len(value) > SHOWN_MOST:
        return f"{value[:SHOWN_MOST]!r}…"
    return cut(repr(value))


def shown_error(error: BaseException) -> str:
    """Return an error's type and text, cut, with control characters escaped."""
    text = cut(str(error).strip())
    kind = type(error).__name__
    return f"{kind}: {printable(text)}" if text else kind


def cut(text: str) -> str:
    """Return the beginning of a text that is too long."""
    return text if len(text) <= SHOWN_MOST else f"{text[:SHOWN_MOST]}…"


def printable(text: str) -> str:
    """Escape what a terminal would obey, or would not show."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
