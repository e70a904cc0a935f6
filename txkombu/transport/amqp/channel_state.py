"""
The life of a session channel on AMQP 0-9-1, without what it is good for.

It is open from the moment its number is taken, since the broker works through
what is written in order, and ends once::

    state     event                      then      what happens
    OPEN      close()                    CLOSING   channel.close is written
    OPEN      channel.close from broker  OVER      close-ok is written
    CLOSING   close-ok                   OVER
    CLOSING   channel.close from broker  DRAINING  the two crossed: our close-ok
                                                   is written, the broker's comes
    DRAINING  close-ok                   OVER      the number is free again
    any       the session ends           OVER

All that is outstanding fires on leaving OPEN and CLOSING for DRAINING or OVER.
While CLOSING replies still count, deliveries do not: the broker has them back.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any, Final, TypeVar

from pamqp import commands
from pamqp.base import Frame as Method
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..._util.failures import without_frames
from ..._util.waiters import Waiters
from ...exceptions import BrokerError, ChannelClosed, DecodeError, ProtocolError
from ...interfaces import Delivery, ISessionChannelListener, Properties, Returned
from ..errors import closed, copy_error, ended
from .interfaces import AmqpChannelHost
from .requests import Request, Requests
from .topology import TopologyOperations, nothing
from .wire.adapter_codec import decode_properties
from .wire.errors import error_of, exchange_of

_T = TypeVar("_T")
_Basic = commands.Basic
_Channel = commands.Channel


class _ChannelState(Enum):
    OPEN = "open"
    CLOSING = "closing"
    DRAINING = "draining"
    OVER = "over"


OPEN: Final = _ChannelState.OPEN


class ChannelState(TopologyOperations):
    """
    Opens, asks, answers, closes and ends.

    @ivar number: its number on the wire.
    """

    _log = Logger()

    def __init__(
        self, session: AmqpChannelHost, number: int, listener: ISessionChannelListener
    ) -> None:
        self.number = number
        self._session = session
        self._put = session.write
        self._listener = listener
        self._state = _ChannelState.OPEN
        self._announced = self._stopped = False
        self._reason: Exception = ChannelClosed("this program closed it")
        self._requests = Requests()
        self._closed: Waiters[None] = Waiters()

    @property
    def _open(self) -> bool:
        return self._state is OPEN

    @abstractmethod
    def flush(self) -> None:
        """Write coalesced settlements now."""

    @abstractmethod
    def _stop(self) -> None:
        """It takes no more operations and deliveries; called once."""

    @abstractmethod
    def _end(self, reason: Exception) -> None:
        """It is over, and no request is outstanding: fire the rest."""

    @abstractmethod
    def _take_event(self, method: Any) -> bool:
        """
        Take a method that answers no request.

        @return: whether it was one.
        """

    @abstractmethod
    def _deliver(self, delivery: Delivery) -> None:
        """Take what was delivered to a consumer."""

    @abstractmethod
    def _give_back(self, message: Returned) -> None:
        """Take a message that came back."""

    # --- requests ------------------------------------------------------------

    def open(self) -> Deferred[None]:
        """
        Open it, once.  Cancelling closes it.
        """
        request = Request(_Channel.Open, "", self._opened, retract=self.close)
        return self._send(request, self._pack(_Channel.Open))

    def _opened(self, _: object) -> None:
        self._announced = True

    def request(
        self,
        kind: type[Method],
        about: str,
        read: Callable[[Any], _T],
        **arguments: object,
    ) -> Deferred[_T]:
        packet = self._pack(kind, **arguments)
        return self._send(Request(kind, about, read), packet)

    def _pack(self, kind: type[Method], **arguments: object) -> bytes:
        """See L{WireProtocol.pack}."""
        return self._session.pack(self.number, kind, **arguments)

    def _send(self, request: Request[_T], packet: bytes) -> Deferred[_T]:
        """Send a request."""
        if not self._open:
            return fail(closed(self._reason))
        deferred = request.deferred
        assert deferred is not None
        self._requests.add_request(request)
        self._put(packet)
        return deferred

    def _write(self, kind: type[Method], **arguments: object) -> None:
        self._put(self._pack(kind, **arguments))

    def _quietly(
        self,
        kind: type[Method],
        tag: str = "",
        read: Callable[[object], None] = nothing,
    ) -> None:
        """
        Expect the reply to a method for which nobody waits.

        @param tag: of the consumer that it will name.
        @param read: called with it.
        """
        request = Request(kind, tag, read)
        assert request.deferred is not None
        request.deferred.addErrback(nothing)
        self._requests.add_request(request, tag)

    # --- what comes ----------------------------------------------------------

    def take_method(self, method: Method) -> None:
        """
        Take a method that no content follows.

        @raise ProtocolError: it was not due.
        """
        if self._state is _ChannelState.DRAINING:
            if isinstance(method, _Channel.CloseOk):
                self._state = _ChannelState.OVER
                self._session.release(self.number)
        elif self._take_event(method):
            return
        elif isinstance(method, _Channel.Close):
            self._closed_by_broker(method)
        elif isinstance(method, _Channel.CloseOk):
            self._closed_by_us()
        elif isinstance(method, _Channel.Flow):
            self._write(_Channel.FlowOk, active=method.active)
        else:
            self._requests.answer(method, method)

    def take_content(self, method: Any, listed: bytes, body: bytes) -> None:
        """
        Take a method with the content that followed it.

        @param method: basic.deliver, basic.get-ok or basic.return.
        @param listed: the properties as in a header, from their flags on.
        @raise ProtocolError: it was not due.
        """
        properties = partial(decode_properties, listed)
        if isinstance(method, _Basic.Return):
            self.take_returned(method, body, properties)
            return
        delivery = Delivery(
            method.delivery_tag,
            getattr(method, "consumer_tag", ""),
            method.redelivered,
            method.exchange,
            method.routing_key,
            body,
            properties,
        )
        if isinstance(method, _Basic.GetOk):
            self.take_got(method, delivery)
        else:
            self.take_delivery(delivery)

    def take_delivery(self, delivery: Delivery) -> None:
        """Take what was delivered to a consumer."""
        if self._state is OPEN:
            self._deliver(delivery)

    def take_got(self, method: Method, delivery: Delivery) -> None:
        """
        Take what was asked for.

        @raise ProtocolError: nothing was.
        """
        if self._state is not _ChannelState.DRAINING:
            self._requests.answer(method, delivery)

    def take_returned(
        self, method: Any, body: bytes, properties: Callable[[], Properties]
    ) -> None:
        """
        Take what came back.

        @raise ProtocolError: its properties cannot be understood.
        """
        if self._state is _ChannelState.DRAINING:
            return
        try:
            known = properties()
        except DecodeError as error:
            raise ProtocolError(str(error)) from error
        self._give_back(
            Returned(
                method.reply_code,
                method.reply_text,
                method.exchange,
                method.routing_key,
                body,
                known,
            )
        )

    def _tell(self, callback: Callable[[_T], object], what: _T) -> None:
        """Call someone else's code, whose errors are not ours."""
        try:
            callback(what)
        except Exception:
            self._log.failure(
                "{callback} failed", without_frames(Failure()), callback=callback
            )

    # --- the end -------------------------------------------------------------

    def close(self) -> Deferred[None]:
        if self._state in (_ChannelState.DRAINING, _ChannelState.OVER):
            return succeed(None)
        closed = self._closed.wait()
        self.flush()
        if self._open:
            self.shut()
            self._say_goodbye()
        return closed

    def _say_goodbye(self) -> None:
        if self._state is _ChannelState.CLOSING:  # unless a callback has ended it
            self._write(_Channel.Close, reply_code=200, reply_text="closed")

    def shut(self) -> None:
        """Take no more operations and deliveries; await the last replies."""
        if self._state is _ChannelState.OPEN:
            self._state = _ChannelState.CLOSING
            self._stop_once()

    def _stop_once(self) -> None:
        stopped, self._stopped = self._stopped, True
        if not stopped:
            self._stop()

    def _closed_by_us(self) -> None:
        if self._state is not _ChannelState.CLOSING:
            raise ProtocolError("channel.close-ok answers no channel.close")
        self._session.release(self.number)
        self.end(self._reason, wanted=True)

    def _closed_by_broker(self, method: Any) -> None:
        request = self._requests.refused_by(error_of(method))
        error = error_of(method, request.about if request else exchange_of(method))
        self._write(_Channel.CloseOk)
        if self._state is _ChannelState.OPEN:
            self._session.release(self.number)
            self.end(error, refusal=error)
        else:
            self.end(error, refusal=error, then=_ChannelState.DRAINING)

    def refused_by(self, error: BrokerError) -> Request[Any] | None:
        """The request that an error of the whole connection may be about."""
        return self._requests.refused_by(error)

    def end(
        self,
        reason: Exception,
        *,
        refusal: BrokerError | None = None,
        wanted: bool = False,
        then: _ChannelState = _ChannelState.OVER,
    ) -> None:
        """
        It is over: tell the owner, and fire everything outstanding.

        @param reason: why.
        @param refusal: the broker's error, if it is about something here.
        @param wanted: it was ended by this program.
        """
        if self.die(reason, wanted, then):
            self.fire(reason, refusal)

    def die(
        self, reason: Exception, wanted: bool, then: _ChannelState = _ChannelState.OVER
    ) -> bool:
        """
        Take nothing more, and tell the owner.

        @return: whether L{fire} has to follow; it ended before otherwise.
        """
        if self._state in (_ChannelState.DRAINING, _ChannelState.OVER):
            self._state = then
            return False
        before, self._state, self._reason = self._state, then, reason
        if self._announced and before is _ChannelState.OPEN and not wanted:
            self._tell(self._listener.channel_lost, reason)
        return True

    def fire(self, reason: Exception, refusal: BrokerError | None) -> None:
        """Fire everything outstanding."""
        self._stop_once()
        refused = self._requests.refused_by(refusal) if refusal else None
        for request in self._requests.drain():
            if refusal is not None and request is refused:
                request.fail(
                    refusal if refusal.about else copy_error(refusal, request.about)
                )
            else:
                request.fail(ended(reason))
        self._end(reason)
        self._closed.fire(None)
