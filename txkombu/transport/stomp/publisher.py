"""
Publishing: SEND frames, and the receipts that are their confirms.

Receipts come in any order.  A broker that refuses a message may say which one, or end
the connection with its error, as RabbitMQ does, or without a word.
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
"""How many destinations are cached."""


class _Publish:
    """One message that awaits its turn, or its receipt."""

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
        """Fire the verdict: the receipt has come, or an error that names it."""
        del self._of.waiting[self]
        if error is None:
            self.verdict.callback(None)
        elif isinstance(error, BrokerError):
            self.verdict.errback(Failure(copy_error(error, self.exchange)))
        else:
            self.verdict.errback(Failure(error))
        if not self._of.waiting:
            self._of.answered()


class StompPublisher:
    """
    Writes the publishes of one channel.

    @ivar waiting: messages that await their receipts, in order.
    @ivar unconfirmed: how many were written without a receipt since the last fence.
    """

    def __init__(
        self, dialect: Dialect, socket: StompProtocol, seconds: Callable[[], float]
    ) -> None:
        self._dialect = dialect
        self._socket = socket
        self._seconds = seconds
        self._destinations: dict[tuple[str, str, bool, str], tuple[str, bytes]] = {}
        self._held: dict[_Publish, None] = {}
        self._idle: Waiters[None] = Waiters()
        self.unconfirmed = 0
        self.waiting: dict[_Publish, None] = {}

    def prepare(
        self, body: bytes, properties: Properties, exchange: Exchange, routing_key: str
    ) -> _Publish:
        """Make a message, to be sent or held; raise for what cannot be expressed."""
        maximum = self._dialect.max_body
        if len(body) > maximum:
            text = f"a body may have {maximum} bytes, not {len(body)}"
            raise ContentTooLarge(text, about=exchange.name)
        ready = exchange.passive or exchange.no_declare
        key = (exchange.name, exchange.type, ready, routing_key)
        known = self._destinations.get(key)
        if known is None:
            if len(self._destinations) >= CACHE_SIZE:
                self._destinations.clear()
            destination = self._dialect.destination(exchange, routing_key)
            head = b"SEND\n" + encode_header("destination", destination)
            head += self._dialect.publish_headers(exchange, routing_key)
            known = self._destinations[key] = destination, head
        destination, head = known
        head += self._dialect.properties(properties, self._seconds())
        return _Publish(self, exchange.name, destination, head)

    def send(self, publish: _Publish, body: bytes, confirm: bool) -> Deferred[None]:
        """Write one, now."""
        head, publish.head = publish.head, b""
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
        """Send one when its turn comes; C{later} has a function called then."""

        def cancelled(_: Deferred[None]) -> None:
            self._held.pop(publish, None)
            publish.verdict = Deferred()  # for nobody
            publish.verdict.addErrback(lambda _: None)

        def release() -> None:
            if publish in self._held:
                del self._held[publish]
                self.send(publish, body, confirm)

        self._held[publish] = None
        publish.verdict = Deferred(cancelled)
        if not confirm:
            publish.verdict.addErrback(lambda _: None)
        later(release)
        return publish.verdict if confirm else succeed(None)

    def fenced(self, unconfirmed: int) -> None:
        """Note that the broker has handled so many more without a receipt."""
        self.unconfirmed -= unconfirmed

    def answered(self) -> None:
        """Note that no message awaits its receipt."""
        if self._idle:
            self._idle.fire(None)

    def when_answered(self) -> Deferred[None]:
        """Wait until no message awaits its receipt; never fails."""
        return self._idle.wait() if self.waiting else succeed(None)

    def drain(self, reason: Exception) -> None:
        """Fail all messages, in their order: the channel is over."""
        waiting, held = list(self.waiting), list(self._held)
        self.waiting.clear()
        self._held.clear()
        alone = len(waiting) == 1 and not self.unconfirmed
        for publish in waiting:
            error: Exception = outcome_unknown(reason)
            if isinstance(reason, BrokerError) and (
                alone or self._dialect.refuses(reason, publish.destination)
            ):
                error = copy_error(reason, publish.exchange)
            publish.verdict.errback(Failure(error))
        for publish in held:
            publish.verdict.errback(Failure(not_sent(reason)))
        self._idle.fire(None)
