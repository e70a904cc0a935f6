"""The wire between a session and the memory broker."""

from __future__ import annotations

from collections.abc import Iterable

import attrs
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from .events import EventStream, Notification
from .interfaces import SessionHost


@implementer(IAddress)
@attrs.frozen
class MemoryAddress:
    """The address of a memory broker, which is in this process."""

    name: str


@implementer(ITransport)
class LoopbackTransport:
    """
    A session's transport.  It carries no bytes: the session calls the broker.

    It serves to end the connection from the broker's side.  The broker's pump then
    calls the session's C{connectionLost}, in a later turn of the reactor.
    """

    def __init__(self, session: SessionHost) -> None:
        self._session = session
        self._stream = EventStream(session.broker.pump)
        self.disconnecting = False

    def write(self, data: bytes) -> None:
        """
        Refuse bytes.

        @raise NotImplementedError: always.
        """
        raise NotImplementedError("no bytes pass between a session and memory")

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Refuse bytes, as L{write} does."""
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        """End the connection once what is on its way to the client has arrived."""
        if not self.disconnecting:
            self.disconnecting = True
            self._session.release()
            self._stream.push(Notification(self._drained, Failure(ConnectionDone())))

    def _drained(self, reason: Failure) -> None:
        self._session.drain()
        self._session.connectionLost(reason)

    def abortConnection(self) -> None:
        """End the connection at once: what is on its way to the client is lost."""
        self.disconnecting = True
        self._session.cut()
        lost = Failure(ConnectionLost("cut by the broker"))
        self._stream.push(Notification(self._session.connectionLost, lost))

    def getPeer(self) -> MemoryAddress:
        """Return the broker's address."""
        return MemoryAddress(self._session.broker.name)

    def getHost(self) -> MemoryAddress:
        """Return the client's address, which is the same."""
        return self.getPeer()
