"""Bodies of the answers of web servers."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure


class _Body(Protocol):
    """Collect a body; unlike Twisted's C{readBody}, without a look at the transport."""

    def __init__(self) -> None:
        self.whole: Deferred[bytes] = Deferred()
        self._parts: list[bytes] = []

    def dataReceived(self, data: bytes) -> None:
        self._parts.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.whole.callback(b"".join(self._parts))


def body_of(response: Any) -> Deferred[bytes]:
    """Return a Deferred of the body of a response."""
    body = _Body()
    response.deliverBody(body)
    return body.whole
