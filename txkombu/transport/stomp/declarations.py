"""The exchanges and bindings that one session knows, as STOMP brokers do not tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .bindings import BindingInProgress, BindingSet, KnownBindings
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
        self._bindings: dict[str, BindingSet] = {}
        self._carried: tuple[Queue | None, BindingSet] = None, BindingSet()

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

    def bound(
        self, queue: str, bound: StompBinding, is_noted: bool = True
    ) -> BindingInProgress:
        """
        Note the exchange of a binding that is to be made, and the binding itself.

        @param is_noted: whether anybody asks for the bindings of the queue.
        """
        self.declared(bound.exchange)
        if not is_noted:
            return BindingInProgress(lambda: None)
        self._bindings.setdefault(queue, BindingSet()).claim(bound)
        return BindingInProgress(lambda: self.unbound(queue, bound))

    def unbound(self, queue: str, bound: StompBinding) -> None:
        """Forget a binding that was not made, unless it was noted before."""
        bindings = self._bindings.get(queue)
        if bindings is not None:
            bindings.release(bound)
            if not bindings:
                del self._bindings[queue]

    def bindings(self, queue: Queue) -> KnownBindings:
        """Return all bindings of a queue, those that it carries included."""
        noted = self._bindings.get(queue.name)
        if noted is None:
            noted = BindingSet()
        return KnownBindings(noted, self._carried_by(queue))

    def _carried_by(self, queue: Queue) -> BindingSet:
        """Return what a queue carries; made once while that queue is bound."""
        known, found = self._carried
        if known is not queue:
            carried = queue.all_bindings()
            found = BindingSet(
                StompBinding(
                    self.exchange(each.exchange), each.routing_key, each.arguments
                )
                for each in carried
            )
            # What a mere name stands for may change.
            if not any(each.exchange.by_name for each in carried):
                self._carried = queue, found
        return found

    def deleted(self, queue: str) -> None:
        """Forget the bindings of a queue."""
        self._bindings.pop(queue, None)
