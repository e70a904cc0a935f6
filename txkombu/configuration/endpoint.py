"""Endpoints of servers as text: C{tcp:8080:interface=127.0.0.1}."""

from __future__ import annotations

import re
from typing import Final

from twisted.internet.endpoints import serverFromString

_PORTS: Final = range(65536)
_NO_NUMBER: Final = re.compile(r"invalid literal for int\(\) with base \d+: (.*)", re.S)
_LACKS: Final = re.compile(r"\w+\(\) missing .* arguments?: (.*)")


def checked_endpoint(text: str) -> str:
    """
    Return the text of an endpoint, if a server can be made of it.

    @param text: as for Twisted's C{serverFromString}.
    @raise ValueError: it cannot be understood.
    """
    try:
        # The reactor is needed only to listen.
        endpoint = serverFromString(None, text)
    except Exception as error:
        why = _in_words(error)
    else:
        port = getattr(endpoint, "_port", 0)
        if port in _PORTS:
            return text
        why = f"there is no port {port}"
    example = "tcp:8080:interface=127.0.0.1"
    raise ValueError(f"{text!r} is no endpoint, such as {example}: {why}")


def _in_words(error: Exception) -> str:
    """Say without Python's words what an endpoint lacks."""
    text = str(error)
    number = _NO_NUMBER.fullmatch(text)
    if number is not None:
        return f"{number.group(1)} is no number"
    lacking = _LACKS.fullmatch(text)
    if lacking is not None:
        return f"it lacks {lacking.group(1)}"
    if isinstance(error, IndexError | KeyError):
        return "there is nothing of this number or name"  # of systemd's sockets
    return re.sub(r"^_?\w+\(\)", "it", text) or type(error).__name__
