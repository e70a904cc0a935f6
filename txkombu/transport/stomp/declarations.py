"""The exchanges and bindings that one session knows, as STOMP brokers do not tell."""

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
    """What was declared in one session, and the queues that users were warned of."""

    def __init__(self, warned: set[str]) -> None:
        self.warned = warned
        self._exchanges: dict[str, Exchange] = {}
        self._bindings: dict[str, list[StompBinding]] = {}

    def declared(self, exchange: Exchange) -> None:
        """Note an exchange, so that its name is enough from now on."""
        self._exchanges[exchange.name] = exchange

    def exchange_named(self, name: str) -> Exchange | None:
        """Return the exchange of a name, if it is known."""
        return self._exchanges.get(name)

    def exchange(self, exchange: Exchange) -> Exchange:
        """Return an exchange with its type, also if only its name is given."""
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
        """Note a binding and its exchange; return whether the binding was not known."""
        self.declared(bound.exchange)
        bindings = self._bindings.setdefault(queue, [])
        if any(map(bound.is_same, bindings)):
            return False
        bindings.append(bound)
        return True

    def unbound(self, queue: str, bound: StompBinding) -> None:
        """Forget a binding."""
        bindings = self._bindings.get(queue, [])
        bindings[:] = [each for each in bindings if not each.is_same(bound)]

    def bindings(self, queue: Queue) -> list[StompBinding]:
        """Return all bindings of a queue, those that it carries included."""
        found = list(self._bindings.get(queue.name, ()))
        for each in queue.all_bindings():
            exchange = self.exchange(each.exchange)
            carried = StompBinding(exchange, each.routing_key, each.arguments)
            if not any(map(carried.is_same, found)):
                found.append(carried)
        return found

    def deleted(self, queue: str) -> None:
        """Forget the bindings of a queue."""
        self._bindings.pop(queue, None)
