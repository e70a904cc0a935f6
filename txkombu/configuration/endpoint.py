"""Endpoints of servers as text: C{tcp:8080:interface=127.0.0.1}."""

from __future__ import annotations

import re
from typing import Final

from twisted.internet.endpoints import serverFromString

_PORTS: Final = range(65536)


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
        why = re.sub(r"^_\w+\(\)", "it", str(error)) or type(error).__name__
    else:
        port = getattr(endpoint, "_port", 0)
        if port in _PORTS:
            return text
        why = f"there is no port {port}"
    example = "tcp:8080:interface=127.0.0.1"
    raise ValueError(f"{text!r} is no endpoint, such as {example}: {why}")
