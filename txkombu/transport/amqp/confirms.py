"""
Publishes that await the broker's verdict (RabbitMQ's "Publisher Confirms").

From C{confirm.select} on the broker numbers every publish of the channel, and
answers each number, or all up to one, with C{basic.ack} or C{basic.nack}.  A
mandatory message that no queue would have comes back by C{basic.return}, which
carries no number, before its ack.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ...exceptions import Nacked, Unroutable
from ...interfaces import Properties, Returned


class Publish:
    """
    One publish.

    @ivar deferred: fires with the verdict; C{None} if it has, or was cancelled.
    @ivar exchange: the name of the exchange it went to.
    @ivar returned: the message, once it came back.
    """

    __slots__ = ("_message_id", "_routing_key", "deferred", "exchange", "returned")

    def __init__(self, exchange: str, routing_key: str, properties: Properties) -> None:
        self.exchange = exchange
        self.returned: Returned | None = None
        self._routing_key = routing_key
        self._message_id = properties.get("message_id")
        self.deferred: Deferred[None] | None = Deferred(self._cancelled)

    def _cancelled(self, _: Deferred[None]) -> None:
        self.deferred = None

    def is_same(self, message: Returned) -> bool:
        """Whether a message that came back may be this one."""
        return (self.exchange, self._routing_key, self._message_id) == (
            message.exchange,
            message.routing_key,
            message.properties.get("message_id"),
        )

    def settle(self, taken: bool) -> None:
        """Fire with the broker's verdict."""
        if self.returned is not None:
            self.fail(Unroutable(self.returned))
        elif not taken:
            self.fail(
                Nacked(
                    f"the broker did not take a message to exchange {self.exchange!r} "
                    f"with routing key {self._routing_key!r}"
                )
            )
        elif self.deferred is not None:
            deferred, self.deferred = self.deferred, None
            deferred.callback(None)

    def fail(self, error: Exception) -> None:
        """Fail it, unless it was cancelled."""
        deferred, self.deferred = self.deferred, None
        if deferred is not None:
            deferred.errback(Failure(error))


class Confirms:
    """
    The publishes of one channel that await a verdict, by number.

    @ivar selected: whether the broker was told to confirm.
    """

    __slots__ = ("_mandatory", "_number", "_waiting", "selected")

    def __init__(self) -> None:
        self.selected = False
        self._number = 0
        self._waiting: dict[int, Publish] = {}
        self._mandatory: dict[int, Publish] = {}

    def count(self) -> None:
        """One was published whose verdict nobody waits for."""
        if self.selected:
            self._number += 1

    def add(self, publish: Publish, mandatory: bool) -> None:
        """One was published whose verdict somebody waits for."""
        self._number += 1
        self._waiting[self._number] = publish
        if mandatory:
            self._mandatory[self._number] = publish

    def settle(self, number: int, multiple: bool, taken: bool) -> None:
        """Settle one number, or all up to it; 0 is all of them."""
        for publish in self._pop(number, multiple):
            publish.settle(taken)

    def _pop(self, number: int, multiple: bool) -> list[Publish]:
        numbers = [number]
        if multiple:
            numbers = _up_to(number, self._waiting)
        for each in numbers:
            self._mandatory.pop(each, None)
        popped = (self._waiting.pop(each, None) for each in numbers)
        return [publish for publish in popped if publish is not None]

    def give_back(self, message: Returned) -> bool:
        """
        Note that a message came back.

        @return: whether its publish is known; if not, nobody waits for it.
        """
        for number, publish in self._mandatory.items():
            if publish.is_same(message):
                publish.returned = message
                del self._mandatory[number]
                return True
        return False

    def drain(self, error_of: Callable[[Publish, bool], Exception]) -> None:
        """
        The channel is over: fail all, in their order.

        @param error_of: gives the error of a publish, told whether it is alone.
        """
        waiting = list(self._waiting.values())
        self._waiting.clear()
        self._mandatory.clear()
        for publish in waiting:
            publish.fail(error_of(publish, len(waiting) == 1))


def _up_to(number: int, waiting: dict[int, Publish]) -> list[int]:
    found = []
    for each in waiting:
        if number and each > number:
            break
        found.append(each)
    return found
