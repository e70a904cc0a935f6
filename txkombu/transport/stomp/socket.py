"""
One TCP connection to a broker that speaks STOMP 1.2: the Twisted protocol.

::

    state     event                           then      what happens
    LOGIN     CONNECTED                       OPEN      C{login} fires
    LOGIN     ERROR, loss, broken protocol    OVER      C{login} fails
    OPEN      disconnect()                    CLOSING   DISCONNECT is written
    OPEN      ERROR that is fatal, loss,      OVER
              broken protocol, silence
    CLOSING   RECEIPT for the DISCONNECT,     OVER
              ERROR that is fatal, loss
    CLOSING   nothing for some seconds        OVER      the socket is dropped
    any       abort()                         OVER      the socket is dropped

All that is outstanding fires on reaching OVER.  The socket may live on a while:
it is asked to close once what was written is out, and dropped after some seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from zope.interface import Interface, implementer

from ...exceptions import KombuError
from ..ending import EndingProtocol
from .frames import Frame

if TYPE_CHECKING:
    from ...url import Parameters


class ISocketOwner(Interface):
    """What a socket tells whoever opened it.  Called from the reactor."""

    def socket_lost(reason: Exception) -> None:
        """
        The socket is over, by no wish of its owner's: with the broker's error,
        if it told one, else with L{txkombu.exceptions.SessionLost}.  Called
        once, only after its login, and before anything outstanding on it fires.
        """

    def write_paused() -> None:
        """The socket's buffer is full: write no more until C{write_resumed}."""

    def write_resumed() -> None:
        """The socket has room again."""

    def turn_over() -> None:
        """All that came in one read was handed out: write what waits for that."""


@implementer(IPushProducer)
class StompSocket(EndingProtocol):
    """
    One connection to one broker.

    @ivar login: fires with the socket once it is open, or fails with why not;
        does not fire if it is aborted before.
    @ivar server: what the broker says it is, as C{"RabbitMQ/3.10.8"}; C{""} if
        it hides that.
    @ivar errors_are_fatal: whether every ERROR ends the socket; else one that
        names a receipt fails only that.
    """

    server = ""

    def __init__(
        self,
        parameters: Parameters,
        place: str,
        clock: IReactorTime,
        owner: ISocketOwner,
    ) -> None:
        """
        @param place: what is connected to, for errors.
        """
        super().__init__(clock)
        self.login: Deferred[StompSocket] = Deferred()
        self.errors_are_fatal = True

    @property
    def alive(self) -> bool:
        """Whether it is logged in, and neither lost nor closing."""
        raise NotImplementedError

    def write(self, frames: bytes) -> None:
        """Write whole frames; nothing once the socket is over."""
        raise NotImplementedError

    def write_message(self, head: bytes, body: bytes) -> None:
        """
        Write one frame.

        @param head: its command and headers, with the blank line.
        @param body: not copied if it is large; C{content-length} is in the head.
        """
        raise NotImplementedError

    def receipt(self) -> tuple[str, Deferred[None]]:
        """
        Ask for a receipt.

        @return: what to write as C{receipt} of the next frame, and a Deferred
            that fires when the broker has handled that, and fails with the
            broker's error, or with L{txkombu.exceptions.SessionLost}.
            Cancelling it stops only the waiting.
        """
        raise NotImplementedError

    def expect(self, waiter: Callable[[Exception | None], object]) -> str:
        """
        Ask for a receipt, in a cheaper way.

        @param waiter: called with C{None} when the broker has handled the frame,
            with the error if an ERROR names its receipt; B{not} when the socket
            ends: C{socket_lost} says that.
        @return: what to write as C{receipt}.
        """
        raise NotImplementedError

    def subscribe(
        self,
        id: str,
        on_message: Callable[[Frame], object],
        on_cancelled: Callable[[Exception], object],
    ) -> None:
        """
        Have the messages of a subscription handed to somebody.  Writes nothing.

        @param on_cancelled: called with L{ConsumerCancelled}, once, if the broker
            ends the subscription and the socket lives on.
        """
        raise NotImplementedError

    def unsubscribe(self, id: str) -> None:
        """Drop what still comes for a subscription.  Writes nothing."""
        raise NotImplementedError

    def pause_reading(self) -> None:
        """Read no more until C{resume_reading} was called as often."""
        raise NotImplementedError

    def resume_reading(self) -> None:
        """Undo one C{pause_reading}."""
        raise NotImplementedError

    def disconnect(self) -> Deferred[None]:
        """
        Close in order: DISCONNECT, its receipt, TCP; each wait bounded, then
        abort.  Messages that still come are dropped.

        @return: fires when the connection is gone; never fails, and fires also
            if it was lost or closed before.  C{socket_lost} is not called.
        """
        raise NotImplementedError

    def abort(self) -> None:
        """
        Drop the connection now.  Everything outstanding fires in this call;
        C{socket_lost} is not called.
        """
        raise NotImplementedError

    def _end(self, reason: KombuError, wanted: bool = False) -> None:
        raise NotImplementedError
