"""Error replies: the name of a type in a header, and a text."""

from __future__ import annotations

from typing import Final

from twisted.python.reflect import safe_str

from ..exceptions import RemoteError
from ..message import Message

ERROR_HEADER: Final = "x-rpc-error"
"""The header of an error reply; its value is the name of the error's type."""
_MAX_KIND: Final = 255
_MAX_TEXT: Final = 10_000
"""How many characters of an error are sent."""


def described(error: BaseException) -> tuple[str, str]:
    """Return the name of an error's type, and its text, as they are sent."""
    if isinstance(error, RemoteError):
        kind, text = error.kind, error.text
    else:
        kind, text = type(error).__name__, safe_str(error)
    text = text[:_MAX_TEXT].encode("utf-8", "backslashreplace").decode("utf-8")
    return kind[:_MAX_KIND], text


def error_in(reply: Message) -> RemoteError | None:
    """Return the error that a reply tells of, if it does."""
    kind = reply.headers.get(ERROR_HEADER)
    if kind is None:
        return None
    return RemoteError(str(kind), reply.body.decode("utf-8", "replace"))
