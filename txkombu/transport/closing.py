"""
The end of a session's socket.

It is asked to close once everything written is out, and dropped if that takes
too long.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol

from .._util.steady_clock import steady
from .._util.waiters import Waiters
from ..exceptions import KombuError, SessionLost

CLOSE_SECONDS: Final = 5.0
"""How long to wait for the broker's word when closing, and again for the socket."""


class ClosingProtocol(Protocol):
    """Closes its socket in bounded time, once what was written is out."""

    transport: Any  # both ITCPTransport and IConsumer

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._gone = False
        self._close_call: IDelayedCall | None = None
        self._closed: Waiters[None] = Waiters()

    @abstractmethod
    def _end(self, reason: KombuError, wanted: bool = False) -> None:
        """Tell the owner, and fire everything outstanding."""

    def _leave(self) -> None:
        """
        Close the socket once everything written is out.

        A paused producer would keep it open for ever, and so would a peer that
        reads nothing.
        """
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self._limit_close()

    def _limit_close(self) -> None:
        if self._gone:  # writing may have called back
            return
        if self._close_call is not None:
            self._close_call.cancel()
        clock = steady(self._clock)
        self._close_call = clock.callLater(CLOSE_SECONDS, self._late)

    def _late(self) -> None:
        self._close_call = None
        self._end(SessionLost("this program closed the connection"), wanted=True)
        self._drop()

    def _drop(self) -> None:
        """Close the socket at once."""
        if self.transport is not None:
            self.transport.abortConnection()
        self._vanish()

    def _vanish(self) -> None:
        """The socket is gone, or will be without our help."""
        if self._gone:
            return
        self._gone = True
        call, self._close_call = self._close_call, None
        if call is not None:
            call.cancel()
        self._closed.fire(None)
