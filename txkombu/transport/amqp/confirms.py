"""
Publishes that await their confirm (RabbitMQ's "Publisher Confirms").

From confirm.select on the broker numbers every publish of the channel, and answers each
number, or all up to one, with basic.ack or basic.nack.  A mandatory message that no
queue receives comes back by basic.return, which carries no number, before its ack.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ...exceptions import Nacked, Unroutable
from ...interfaces import Returned

_Publish = tuple["Deferred[None]", str, str]
"""The Deferred of the verdict, the name of the exchange, the routing key."""

_Kind = tuple[str, str, object]
"""What a returned message is known by: exchange, routing key, message id."""


class Confirms:
    """
    The publishes of one channel that await a verdict, by number.

    A Deferred that was cancelled has failed already, and ignores one more verdict:
    Twisted promises that for a Deferred without a canceller.

    @ivar selected: whether the broker was told to confirm.
    """

    __slots__ = (
        "_alike",
        "_mandatory",
        "_number",
        "_returned",
        "_unwritten",
        "_waiting",
        "selected",
    )

    def __init__(self) -> None:
        self.selected = False
        self._unwritten = 0
        self._number = 0
        self._waiting: dict[int, _Publish] = {}
        self._mandatory: dict[int, _Kind] = {}
        # Ordered, since the first of a dict from which many were removed is far away.
        self._alike: dict[_Kind, OrderedDict[int, None]] = {}
        self._returned: dict[int, Returned] = {}

    def select(self) -> None:
        """Note that the broker is told to confirm."""
        self.selected = True

    def count(self) -> None:
        """Note a publish whose verdict nobody waits for, after L{select}."""
        self._number += 1

    def expect_confirm(self, exchange: str, routing_key: str) -> Deferred[None]:
        """
        Note a publish whose verdict somebody waits for.

        @return: fires with C{None} when the broker has confirmed the message; fails
            with L{Unroutable} or L{Nacked}.
        """
        verdict: Deferred[None] = Deferred()
        self._number += 1
        self._waiting[self._number] = verdict, exchange, routing_key
        return verdict

    def may_return(self, message_id: object) -> None:
        """Note that the last publish is mandatory."""
        _, exchange, routing_key = self._waiting[self._number]
        kind = exchange, routing_key, message_id
        self._mandatory[self._number] = kind
        self._alike.setdefault(kind, OrderedDict())[self._number] = None

    def settle(self, number: int, multiple: bool, taken: bool) -> None:
        """
        Take a confirm or nack.

        @param number: the publish's; with C{multiple}, 0 is all of them.
        @param multiple: it is about all publishes up to that number.
        @param taken: it is a confirm.
        """
        plain = taken and not (self._mandatory or self._returned)  # as nearly always
        if plain and not multiple:
            publish = self._waiting.pop(number, None)
            if publish is not None:
                publish[0].callback(None)
            return
        numbers = _up_to(number, self._waiting) if multiple else [number]
        if plain:
            for verdict, _, _ in [self._waiting.pop(each) for each in numbers]:
                verdict.callback(None)
            return
        for publish, returned in [self._pop(each) for each in numbers]:
            if publish is None:
                continue
            verdict, exchange, routing_key = publish
            if returned is not None:
                verdict.errback(Failure(Unroutable(returned)))
            elif taken:
                verdict.callback(None)
            else:
                text = (
                    f"the broker did not take a message to exchange {exchange!r} with "
                    f"routing key {routing_key!r}"
                )
                verdict.errback(Failure(Nacked(text)))

    def _pop(self, number: int) -> tuple[_Publish | None, Returned | None]:
        self._forget_mandatory(number)
        return self._waiting.pop(number, None), self._returned.pop(number, None)

    def _forget_mandatory(self, number: int) -> None:
        kind = self._mandatory.pop(number, None)
        if kind is not None:
            alike = self._alike[kind]
            del alike[number]
            if not alike:
                del self._alike[kind]

    def give_back(self, message: Returned) -> bool:
        """
        Note that a message came back.

        @return: whether its publish awaits a verdict.
        """
        message_id = message.properties.get("message_id")
        alike = self._alike.get((message.exchange, message.routing_key, message_id))
        if alike is None:
            return False
        number = next(iter(alike))
        self._returned[number] = message
        self._forget_mandatory(number)
        return True

    def note_unwritten(self) -> None:
        """Note that the last publish, or one more before it, was not written."""
        self._unwritten += 1

    def drain(self, error_of: Callable[[str, bool, bool], Exception]) -> None:
        """
        Fail all, in their order: the channel is over.

        @param error_of: returns the error of a publish, given the name of its exchange,
            whether it is the only one, and whether it was written.
        """
        waiting = list(self._waiting.items())
        for kept in (self._waiting, self._mandatory, self._alike, self._returned):
            kept.clear()
        alone, last_written = len(waiting) == 1, self._number - self._unwritten
        for number, (verdict, exchange, _) in waiting:
            written = number <= last_written
            verdict.errback(Failure(error_of(exchange, alone, written)))


def _up_to(number: int, waiting: dict[int, _Publish]) -> list[int]:
    found = []
    for each in waiting:
        if number and each > number:
            break
        found.append(each)
    return found
