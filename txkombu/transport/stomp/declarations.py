"""
What one session knows of exchanges and bindings, as STOMP brokers do not tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .dialect import StompBinding

if TYPE_CHECKING:
    from ...entity import Exchange, Queue

_PREDECLARED: Final = {
    "amq.direct": "direct",
    "amq.fanout": "fanout",
    "amq.topic": "topic",
    "amq.headers": "headers",
    "amq.match": "headers",
}


class Declarations:
    """
    What was declared in one session.

    @ivar warned: the queues that their owner was warned of.
    """

    def __init__(self, warned: set[str]) -> None:
        """
        @param warned: shared with the sessions before and after.
        """
        self.warned = warned
        self._exchanges: dict[str, Exchange] = {}
        self._bindings: dict[str, list[StompBinding]] = {}

    def declared(self, exchange: Exchange) -> None:
        """An exchange was described, so that its name is enough from now on."""
        self._exchanges[exchange.name] = exchange

    def exchange_named(self, name: str) -> Exchange | None:
        """The exchange of that name, if it is known."""
        return self._exchanges.get(name)

    def exchange(self, exchange: Exchange) -> Exchange:
        """
        The exchange with its type, if only its name was given.

        @raise ValueError: the type is not known.
        """
        if not exchange.by_name or not exchange.name:
            return exchange
        known = self._exchanges.get(exchange.name)
        if known is not None:
            return known
        kind = _PREDECLARED.get(exchange.name)
        if kind is None:
            raise ValueError(
                f"the type of exchange {exchange.name!r} has to be known on STOMP: "
                "give an Exchange instead of its name, or declare one before"
            )
        return type(exchange)(exchange.name, kind)

    def bound(self, queue: str, bound: StompBinding) -> bool:
        """
        A queue is bound.

        @return: whether that is news.
        """
        bindings = self._bindings.setdefault(queue, [])
        if any(_same(bound, each) for each in bindings):
            return False
        bindings.append(bound)
        return True

    def refused(self, queue: str, bound: StompBinding) -> None:
        """A queue is not bound after all."""
        bindings = self._bindings.get(queue, [])
        bindings[:] = [each for each in bindings if not _same(bound, each)]

    def bindings(self, queue: Queue) -> list[StompBinding]:
        """
        All bindings of a queue, those that it carries among them.

        @raise ValueError: an exchange's type is not known.
        """
        found = list(self._bindings.get(queue.name, ()))
        for each in queue.all_bindings():
            exchange = self.exchange(each.exchange)
            carried = StompBinding(exchange, each.routing_key, each.arguments)
            if not any(_same(carried, other) for other in found):
                found.append(carried)
        return found

    def deleted(self, queue: str) -> None:
        """A queue is gone, and its bindings with it."""
        self._bindings.pop(queue, None)


def _same(one: StompBinding, other: StompBinding) -> bool:
    return (one.exchange.name, one.routing_key, dict(one.arguments)) == (
        other.exchange.name,
        other.routing_key,
        dict(other.arguments),
    )
