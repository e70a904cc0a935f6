"""
A broker's end of a STOMP connection, driven by a test.

It reads what the library writes with stompest's parser, which shares no code with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReactorTime, ITCPTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import alsoProvides

from tests.contract.harness import Journal, Probe
from txkombu.transport.stomp.protocol import StompProtocol
from txkombu.transport.stomp.wire.stompest_core import StompParser
from txkombu.url import Parameters

SERVER = "Scripted/9"


def frame(command: str, body: bytes = b"", /, **headers: str) -> bytes:
    """
    Return a frame as brokers write it: with an LF behind it, C{content-length} if it
    has a body, C{-} for C{_} in names, and values that need no escapes.
    """
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if body:
        given["content-length"] = str(len(body))
    lines = "".join(f"{name}:{value}\n" for name, value in given.items())
    return f"{command}\n{lines}\n".encode() + body + b"\0\n"


def receipt(number: str) -> bytes:
    """Return a RECEIPT frame."""
    return frame("RECEIPT", receipt_id=number)


def message(subscription: str, body: bytes = b"", /, **headers: str) -> bytes:
    """Return a MESSAGE frame."""
    given = {"subscription": subscription, "message_id": "m", "destination": "/queue/q"}
    return frame("MESSAGE", body, **given, **headers)


class Wire(StringTransport):
    """
    A transport that records how it is used.

    @ivar writes: the written pieces, one by one.
    @ivar no_delay: whether small writes are sent at once.
    """

    aborted = no_delay = False

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        alsoProvides(self, ITCPTransport)

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        super().write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        for each in data:
            self.write(each)

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled

    def abortConnection(self) -> None:
        self.aborted = True
        self.disconnected = True


class Owner:
    """
    Records what a socket tells its owner.

    @ivar then: called with the name of each call.
    """

    def __init__(self) -> None:
        self.journal = Journal()
        self.then: Callable[[str], object] = lambda _: None

    def _note(self, name: str, what: object = None) -> None:
        self.journal.note(name, what)
        self.then(name)

    def socket_lost(self, reason: Exception) -> None:
        self._note("socket_lost", reason)

    def write_paused(self) -> None:
        self._note("write_paused")

    def write_resumed(self) -> None:
        self._note("write_resumed")

    @property
    def names(self) -> list[str]:
        """Return the names of the recorded calls."""
        return [name for name, _ in self.journal.entries]


class Peer:
    """
    Talks to one socket, as its broker.

    @ivar socket: the socket under test.
    @ivar wire: its transport.
    @ivar clock: its clock.
    @ivar owner: its owner.
    """

    def __init__(
        self, parameters: Parameters | None = None, clock: IReactorTime | None = None
    ) -> None:
        self.clock: Any = clock or Clock()
        self.owner = Owner()
        self.wire = Wire()
        self.socket = StompProtocol(
            parameters or Parameters("stomp", heartbeat=0),
            "the peer",
            self.clock,
            self.owner,
        )
        self.login = Probe(self.socket.login)
        self._parser = StompParser("1.2")

    def connect(self) -> Any:
        """Connect, and return the frame that logs in."""
        self.socket.makeConnection(self.wire)
        (login,) = self.frames()
        return login

    def log_in(self, **headers: str) -> None:
        """Do a whole login."""
        self.connect()
        told = {"version": "1.2", "heart_beat": "0,0", "server": SERVER, **headers}
        self.send(frame("CONNECTED", **told))
        assert self.login.outcome is self.socket
        self.owner.journal.entries.clear()
        self.wire.writes.clear()

    def send(self, *frames: bytes) -> None:
        """Send frames in one piece."""
        self.socket.dataReceived(b"".join(frames))

    def frames(self) -> list[Any]:
        """Return the frames that were written since the last call."""
        self._parser.add(self.wire.value())
        self.wire.clear()
        found = []
        while self._parser.canRead():
            each = self._parser.get()
            if each:
                found.append(each)
        return found

    def lose(self, clean: bool = False) -> None:
        """Drop the connection."""
        reason = ConnectionDone() if clean else ConnectionLost()
        self.socket.connectionLost(Failure(reason))
