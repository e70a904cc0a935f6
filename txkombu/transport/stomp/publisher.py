"""
Publishing: SEND frames, and the receipts that are their confirms.

Receipts come in any order.  A broker that refuses a message may say which one, or end
the connection with its error, as RabbitMQ does, or without a word.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from ..._util.waiters import Waiters
from ...exceptions import BrokerError, ConnectionErrorReply, ContentTooLarge
from ...interfaces import NotWritten, Properties
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

    receipt: str
    verdict: Deferred[None]
    __slots__ = ("_of", "destination", "exchange", "head", "receipt", "verdict")

    def __init__(
        self, of: StompPublisher, exchange: str, destination: str, head: bytes
    ) -> None:
        self._of = of
        self.exchange = exchange
        self.destination = destination
        self.head = head

    def cancelled(self, _: Deferred[None]) -> None:
        """Be withdrawn: nobody waits for the verdict any more."""
        self._of.withdraw(self)

    def settle(self, error: Exception | None) -> None:
        """Fire the verdict: the receipt has come, or an error that names it."""
        of = self._of
        del of.waiting[self]
        if error is None:
            self.verdict.callback(None)
        elif isinstance(error, BrokerError):
            self.verdict.errback(Failure(copy_error(error, self.exchange)))
        else:
            self.verdict.errback(Failure(error))
        if not of.waiting:
            of.answered()


class StompPublisher:
    """
    Writes the publishes of one channel.

    @ivar waiting: messages that await their receipts, in order.
    @ivar unconfirmed: how many were written since the last fence for which no receipt
        is awaited, or no more.
    """

    def __init__(
        self, dialect: Dialect, socket: StompProtocol, seconds: Callable[[], float]
    ) -> None:
        self._dialect = dialect
        self._socket = socket
        self._seconds = seconds
        self._destinations: dict[tuple[str, str, bool, str], tuple[str, bytes]] = {}
        self._held: dict[_Publish, tuple[bytes, bool]] = {}
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
        if not confirm:
            self._write(publish, body)
            return succeed(None)
        verdict: Deferred[None] = Deferred(publish.cancelled)
        publish.verdict = verdict
        self._write_confirmed(publish, body)
        return verdict

    def _write(self, publish: _Publish, body: bytes) -> None:
        head, publish.head = publish.head, b""
        self.unconfirmed += 1
        self._socket.write_message(b"%bcontent-length:%d\n\n" % (head, len(body)), body)

    def _write_confirmed(self, publish: _Publish, body: bytes) -> None:
        head, publish.head = publish.head, b""
        self.waiting[publish] = None
        receipt = publish.receipt = self._socket.expect(publish.settle)
        self._socket.write_message(
            b"%breceipt:%b\ncontent-length:%d\n\n"
            % (head, receipt.encode(), len(body)),
            body,
        )

    def hold(
        self,
        publish: _Publish,
        body: bytes,
        confirm: bool,
        later: Callable[[Callable[[], object]], object],
    ) -> Deferred[None]:
        """
        Send one when its turn comes; C{later} has a function called then.

        @return: fires as that of L{send}, then; cancelling it before fails it with
            L{NotWritten}.
        """
        publish.verdict = Deferred(publish.cancelled)
        self._held[publish] = body, confirm
        later(partial(self._release, publish))
        return publish.verdict

    def _release(self, publish: _Publish) -> None:
        held = self._held.pop(publish, None)
        if held is None:  # withdrawn
            return
        body, confirm = held
        if confirm:
            self._write_confirmed(publish, body)
            return
        self._write(publish, body)
        if not publish.verdict.called:  # writing may call back
            publish.verdict.callback(None)

    def withdraw(self, publish: _Publish) -> None:
        """Keep nothing of a message for whose verdict nobody waits any more."""
        if self._held.pop(publish, None) is not None:
            publish.head = b""
            publish.verdict.errback(Failure(NotWritten()))
        elif publish in self.waiting:
            del self.waiting[publish]
            self._socket.forget(publish.receipt)
            self.unconfirmed += 1
            if not self.waiting:
                self.answered()

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
            if publish.verdict.called:  # cancelled by the callback of another
                continue
            verdict = self._verdict(publish, reason, alone)
            publish.verdict.errback(Failure(verdict))
        for publish in held:
            if not publish.verdict.called:
                publish.verdict.errback(Failure(not_sent(reason)))
        self._idle.fire(None)

    def _verdict(self, publish: _Publish, reason: Exception, alone: bool) -> Exception:
        """
        Return what a message fails with that was written.

        @param reason: what ended the channel: perhaps the broker's refusal of it.
        @param alone: no other message can have been refused.
        """
        dialect = self._dialect
        if not isinstance(reason, BrokerError) or isinstance(
            reason, ConnectionErrorReply
        ):
            return outcome_unknown(reason)
        named = dialect.refuses(reason, publish.destination)
        if named or (alone and dialect.may_refuse(reason)):
            return copy_error(reason, publish.exchange)
        return outcome_unknown(reason)
