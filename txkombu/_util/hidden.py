"""
What is said of arguments in which there may be a password: what they are, and no more.
"""

from __future__ import annotations

from re import compile as pattern

_HARMLESS = pattern(r"[\w.:-]{0,60}")
_SURROGATE = pattern("[\ud800-\udfff]")


def kind_of(value: object) -> str:
    """Name what a value is, where it may hold a password."""
    return "None" if value is None else f"a value of type {type(value).__name__}"


def shown_or_kind(value: object) -> str:
    """A text to be quoted, if no URL can be in it; else what it is."""
    harmless = isinstance(value, str) and _HARMLESS.fullmatch(value)
    return repr(value) if harmless else kind_of(value)


def check_utf8(what: str, text: str) -> str:
    """@raise ValueError: it cannot be written as UTF-8; it is not shown."""
    if not is_utf8(text):
        raise ValueError(f"the {what} cannot be written as UTF-8")
    return text


def is_utf8(text: str) -> bool:
    """Tell without an UnicodeEncodeError, which would hold all of a password."""
    return _SURROGATE.search(text) is None
