"""
The life of a session channel on AMQP 0-9-1: its requests, and its end.

A channel is open from the moment its number is taken, since the broker works through
what is written in order, and it ends once; C{TABLE} says how.  All that is outstanding
fires when it reaches DRAINING or OVER.  While it is CLOSING, replies still count, but
deliveries do not: the broker requeues them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, TypeVar

from pamqp import commands
from pamqp.base import Frame as Method
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger

from ..._util.awaitables import call_logged
from ..._util.state_machine import next_state
from ..._util.waiters import Waiters
from ...exceptions import BrokerError, ChannelClosed, ProtocolError
from ...interfaces import ISessionChannelListener
from ..errors import closed, copy_error, ended
from .interfaces import AmqpChannelHost
from .requests import Request, Requests
from .topology import TopologyOperations, nothing
from .wire.errors import error_of, exchange_of

_T = TypeVar("_T")
_Channel = commands.Channel


class State(Enum):
    """Where a channel is."""

    OPEN = "open"
    CLOSING = "closing"
    """This program has written channel.close."""
    DRAINING = "draining"
    """Both sides closed it at once: the reply to this program's close is to come."""
    OVER = "over"


class Event(Enum):
    """What happens to a channel."""

    CLOSE = "close"
    """This program closes it."""
    CLOSED_BY_BROKER = "be closed by the broker"
    CLOSE_OK = "have its close answered"
    SESSION_ENDED = "end with its session"


OPEN: Final = State.OPEN

TABLE: Final = {
    (State.OPEN, Event.CLOSE): State.CLOSING,
    (State.OPEN, Event.CLOSED_BY_BROKER): State.OVER,
    (State.CLOSING, Event.CLOSE_OK): State.OVER,
    (State.CLOSING, Event.CLOSED_BY_BROKER): State.DRAINING,
    (State.DRAINING, Event.CLOSE_OK): State.OVER,
    (State.OPEN, Event.SESSION_ENDED): State.OVER,
    (State.CLOSING, Event.SESSION_ENDED): State.OVER,
    (State.DRAINING, Event.SESSION_ENDED): State.OVER,
}


class BaseChannel(TopologyOperations):
    """
    Opens, asks, is answered, closes and ends; abstract.

    @ivar number: its number on the wire.
    """

    _log = Logger()

    def __init__(
        self, session: AmqpChannelHost, number: int, listener: ISessionChannelListener
    ) -> None:
        """@param listener: is told when the channel is lost."""
        self.number = number
        self._session = session
        self._put = session.write
        self._listener = listener
        self._state = State.OPEN
        self._announced = self._stopped = False
        self._reason: Exception = ChannelClosed("this program closed it")
        self._requests = Requests()
        self._closed: Waiters[None] = Waiters()

    @property
    def is_open(self) -> bool:
        """Whether it takes operations."""
        return self._state is OPEN

    def _step(self, event: Event) -> None:
        self._state = next_state("a channel", TABLE, self._state, event)

    # --- what a subclass provides --------------------------------------------

    @abstractmethod
    def flush(self) -> None:
        """Write coalesced settlements now."""

    @abstractmethod
    def _stop(self) -> None:
        """Take no more operations and deliveries; called once."""

    @abstractmethod
    def _fail_outstanding(self, reason: Exception) -> None:
        """Fire what is outstanding beside requests: the channel is over."""

    @abstractmethod
    def _take_event(self, method: Any) -> bool:
        """
        Take a method that answers no request.

        @return: whether it was one.
        """

    # --- requests ------------------------------------------------------------

    def open(self) -> Deferred[None]:
        """
        Open it, once.

        @return: fires when the broker has opened it; cancelling closes it.
        """

        def opened(_: object) -> None:
            self._announced = True

        request = Request(_Channel.Open, "", opened, retract=self.close)
        return self._send(request, self.pack(_Channel.Open))

    def request(
        self,
        kind: type[Method],
        about: str,
        read: Callable[[Any], _T],
        **arguments: object,
    ) -> Deferred[_T]:
        packet = self.pack(kind, **arguments)
        return self._send(Request(kind, about, read), packet)

    def _send(self, request: Request[_T], packet: bytes) -> Deferred[_T]:
        if self._state is not OPEN:
            return fail(closed(self._reason))
        replied = self._requests.add_request(request)
        self._put(packet)
        return replied

    def expect_reply(
        self,
        kind: type[Method],
        tag: str = "",
        read: Callable[[object], None] = nothing,
    ) -> None:
        """
        Expect the reply to a method for which nobody waits.

        @param tag: of the consumer that the reply names.
        @param read: called with the reply.
        """
        request = Request(kind, tag, read)
        self._requests.add_request(request, tag).addErrback(nothing)

    def pack(self, kind: type[Method], **arguments: object) -> bytes:
        """See L{AmqpSession.pack}."""
        return self._session.pack(self.number, kind, **arguments)

    def write_method(self, kind: type[Method], **arguments: object) -> None:
        """Write a method; see L{pack}."""
        self._put(self.pack(kind, **arguments))

    def write_packets(self, packets: list[bytes]) -> None:
        """Write what was packed, in one go."""
        self._put(b"".join(packets))

    # --- what comes ----------------------------------------------------------

    def take_method(self, method: Method) -> None:
        """
        Take a method that no content follows.

        @raise ProtocolError: it was not due.
        """
        if self._state is State.DRAINING:
            if isinstance(method, _Channel.CloseOk):
                self._step(Event.CLOSE_OK)
                self._session.release(self.number)
        elif self._take_event(method):
            return
        elif isinstance(method, _Channel.Close):
            self._closed_by_broker(method)
        elif isinstance(method, _Channel.CloseOk):
            if self._state is not State.CLOSING:
                raise ProtocolError("channel.close-ok answers no channel.close")
            self._session.release(self.number)
            self._end(Event.CLOSE_OK, self._reason, wanted=True)
            self.fire(self._reason, None)
        elif isinstance(method, _Channel.Flow):
            self.write_method(_Channel.FlowOk, active=method.active)
        else:
            self._requests.answer(method, method)

    def _closed_by_broker(self, method: Any) -> None:
        request = self._requests.refused_by(error_of(method))
        error = error_of(method, request.about if request else exchange_of(method))
        self.write_method(_Channel.CloseOk)
        if self._state is State.OVER:  # writing has called back
            return
        if self._state is OPEN:
            self._session.release(self.number)
        self._end(Event.CLOSED_BY_BROKER, error, wanted=False)
        self.fire(error, error)

    # --- the end -------------------------------------------------------------

    def close(self) -> Deferred[None]:
        if self._state in (State.DRAINING, State.OVER):
            return succeed(None)
        closed = self._closed.wait()
        self.flush()
        if self.is_open:
            self.shut()
            if self._state is State.CLOSING:  # unless a callback has ended it
                self.write_method(_Channel.Close, reply_code=200, reply_text="closed")
        return closed

    def shut(self) -> None:
        """Take no more operations and deliveries; await the last replies."""
        if self._state is OPEN:
            self._step(Event.CLOSE)
            self._stop_once()

    def _stop_once(self) -> None:
        stopped, self._stopped = self._stopped, True
        if not stopped:
            self._stop()

    def refused_by(self, error: BrokerError) -> Request[Any] | None:
        """Return the request that an error of the whole connection may be about."""
        return self._requests.refused_by(error)

    def end_with_session(self, reason: Exception, wanted: bool) -> bool:
        """
        Take nothing more, and tell the owner.

        @param reason: why the session ended.
        @param wanted: this program ended it.
        @return: whether L{fire} has to follow; else everything has fired before.
        """
        if self._state is State.OVER:
            return False
        fired = self._state is State.DRAINING
        self._end(Event.SESSION_ENDED, reason, wanted)
        return not fired

    def _end(self, event: Event, reason: Exception, wanted: bool) -> None:
        """Leave for OVER or DRAINING, and tell the owner."""
        before = self._state
        self._step(event)
        if before is State.DRAINING:
            return
        self._reason = reason
        if self._announced and before is OPEN and not wanted:
            call_logged("channel_lost", self._listener.channel_lost, reason)

    def fire(self, reason: Exception, refusal: BrokerError | None) -> None:
        """
        Fire everything outstanding.

        @param reason: why the channel ended.
        @param refusal: the broker's error, if it is about something of this channel.
        """
        self._stop_once()
        refused = self._requests.refused_by(refusal) if refusal else None
        for request in self._requests.drain():
            if refusal is not None and request is refused:
                request.fail(
                    refusal if refusal.about else copy_error(refusal, request.about)
                )
            else:
                request.fail(ended(reason))
        self._fail_outstanding(reason)
        self._closed.fire(None)
