"""Texts of others in errors and log lines: shortened, and escaped."""

from __future__ import annotations

from typing import Final

from ..exceptions import printable as printable

SHOWN_MOST: Final = 200
"""How many characters of a sender's text are shown."""


def shown(value: object) -> str:
    """Return the beginning of the C{repr} of a value, made of no more than it takes."""
    if not isinstance(value, str | bytes):
        return cut(repr(value))
    return repr(value) if len(value) <= SHOWN_MOST else f"{value[:SHOWN_MOST]!r}…"


def shown_error(error: BaseException) -> str:
    """Return an error's type and the beginning of its text, in printable characters."""
    text = cut(str(error).strip())
    kind = type(error).__name__
    return f"{kind}: {printable(text)}" if text else kind


def cut(text: str) -> str:
    """Return a text, or its beginning and C{…} if it is too long."""
    return text if len(text) <= SHOWN_MOST else f"{text[:SHOWN_MOST]}…"
