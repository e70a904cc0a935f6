"""
Publishing: SEND frames, and the receipts that are their confirms.

Receipts come in any order.  A broker that refuses a message may say which, or
end the socket with its error (RabbitMQ does), or without a word.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from ..._util.waiters import Waiters
from ...exceptions import BrokerError, ContentTooLarge
from ...interfaces import Properties
from ..errors import copy_error, not_sent, outcome_unknown
from .wire.frames import encode_header

if TYPE_CHECKING:
    from ...entity import Exchange
    from .dialect import Dialect
    from .protocol import StompProtocol

CACHE_SIZE: Final = 500
"""How many destinations are kept."""

_Destination = tuple[str, bytes]
"""A destination, and the head of a frame as far as it."""


class _Publish:
    """
    One message that awaits its turn, or its receipt.

    @ivar head: the frame's, as far as the properties.
    """

    __slots__ = ("_of", "destination", "exchange", "head", "verdict")

    def __init__(
        self, of: StompPublisher, exchange: str, destination: str, head: bytes
    ) -> None:
        self._of = of
        self.exchange = exchange
        self.destination = destination
        self.head = head
        self.verdict: Deferred[None] = Deferred()

    def settle(self, error: Exception | None) -> None:
        """Its receipt came, or an error that names it."""
        waiting = self._of.waiting
        del waiting[self]
        if error is None:
            self.verdict.callback(None)
        else:
            self.verdict.errback(Failure(_naming(error, self.exchange)))
        if not waiting:
            self._of.answered()


class StompPublisher:
    """
    Writes the publishes of one channel.

    A Deferred that was cancelled has failed by then and takes one more verdict
    without a word.

    @ivar waiting: those that await their receipts, in order.
    @ivar unconfirmed: how many were written without one, as far as the broker is
        not known to have seen them.
    """

    __slots__ = (
        "_destinations",
        "_dialect",
        "_held",
        "_idle",
        "_seconds",
        "_socket",
        "unconfirmed",
        "waiting",
    )

    def __init__(
        self, dialect: Dialect, socket: StompProtocol, seconds: Callable[[], float]
    ) -> None:
        """
        @param seconds: tells the time, in seconds since the epoch.
        """
        self._dialect = dialect
        self._socket = socket
        self._seconds = seconds
        self._destinations: dict[tuple[str, str, bool, str], _Destination] = {}
        self._held: dict[_Publish, None] = {}
        self.unconfirmed = 0
        self._idle: Waiters[None] = Waiters()
        self.waiting: dict[_Publish, None] = {}

    def prepare(
        self,
        body: bytes,
        properties: Properties,
        exchange: Exchange,
        routing_key: str,
    ) -> _Publish:
        """
        @return: a message to be sent or held.
        @raise TypeError: a property is not known, or cannot be expressed.
        @raise ValueError: something is too long or out of range.
        @raise ContentTooLarge: the broker takes no such body.
        @raise NotSupported: the broker does not take it.
        """
        maximum = self._dialect.max_body
        if len(body) > maximum:
            text = f"a body may have {maximum} bytes, not {len(body)}"
            raise ContentTooLarge(text, about=exchange.name)
        ready = exchange.passive or exchange.no_declare
        key = (exchange.name, exchange.type, ready, routing_key)
        known = self._destinations.get(key)
        if known is None:
            known = self._destination(exchange, routing_key)
            if len(self._destinations) >= CACHE_SIZE:
                self._destinations.clear()
            self._destinations[key] = known
        destination, head = known
        head += self._dialect.properties(properties, self._seconds())
        return _Publish(self, exchange.name, destination, head)

    def _destination(self, exchange: Exchange, routing_key: str) -> _Destination:
        destination = self._dialect.destination(exchange, routing_key)
        head = b"SEND\n" + encode_header("destination", destination)
        return destination, head + self._dialect.publish_headers(exchange, routing_key)

    def send(self, publish: _Publish, body: bytes, confirm: bool) -> Deferred[None]:
        """Write one, now."""
        head = publish.head
        publish.head = b""
        if not confirm:
            self.unconfirmed += 1
            self._socket.write_message(
                b"%bcontent-length:%d\n\n" % (head, len(body)), body
            )
            return succeed(None)
        self.waiting[publish] = None
        receipt = self._socket.expect(publish.settle)
        self._socket.write_message(
            b"%breceipt:%b\ncontent-length:%d\n\n"
            % (head, receipt.encode(), len(body)),
            body,
        )
        return publish.verdict

    def hold(
        self,
        publish: _Publish,
        body: bytes,
        confirm: bool,
        later: Callable[[Callable[[], object]], object],
    ) -> Deferred[None]:
        """
        Send one when its turn comes.

        @param later: has something called then.
        """

        def cancelled(_: Deferred[None]) -> None:
            self._held.pop(publish, None)
            publish.verdict = Deferred()  # for nobody
            publish.verdict.addErrback(lambda _: None)

        self._held[publish] = None
        publish.verdict = Deferred(cancelled)
        if not confirm:
            publish.verdict.addErrback(lambda _: None)

        def release() -> None:
            if publish in self._held:
                del self._held[publish]
                self.send(publish, body, confirm)

        later(release)
        return publish.verdict if confirm else succeed(None)

    @property
    def is_unanswered(self) -> bool:
        """Whether the broker may not have seen all that was written."""
        return bool(self.unconfirmed or self.waiting)

    def fenced(self, unconfirmed: int) -> None:
        """The broker has seen so many more that it does not confirm."""
        self.unconfirmed -= unconfirmed

    def answered(self) -> None:
        """Nothing awaits its receipt now."""
        if self._idle:
            self._idle.fire(None)

    def when_answered(self) -> Deferred[None]:
        """@return: fires when nothing awaits its receipt; never fails."""
        return self._idle.wait() if self.waiting else succeed(None)

    def drain(self, reason: Exception) -> None:
        """
        The channel is over: fail all, in their order.

        @param reason: why.
        """
        waiting, held = list(self.waiting), list(self._held)
        self.waiting.clear()
        self._held.clear()
        alone = len(waiting) == 1 and not self.unconfirmed
        for publish in waiting:
            publish.verdict.errback(Failure(self._error_of(publish, reason, alone)))
        for publish in held:
            publish.verdict.errback(Failure(not_sent(reason)))
        self._idle.fire(None)

    def _error_of(self, publish: _Publish, reason: Exception, alone: bool) -> Exception:
        if isinstance(reason, BrokerError) and (
            alone or self._dialect.refuses(reason, publish.destination)
        ):
            return copy_error(reason, publish.exchange)
        return outcome_unknown(reason)


def _naming(error: Exception, exchange: str) -> Exception:
    """The same error, saying which exchange it is about."""
    return copy_error(error, exchange) if isinstance(error, BrokerError) else error
