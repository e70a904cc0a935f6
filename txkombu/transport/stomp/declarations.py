"""The exchanges and bindings that one session knows, as STOMP brokers do not tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
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


class BindingSet:
    """Bindings in the order they were added, none of them twice."""

    def __init__(self, bindings: Iterable[StompBinding] = ()) -> None:
        self._bindings: dict[int, StompBinding] = {}
        self._alike: dict[object, list[int]] = {}
        self._numbers = count()
        for each in bindings:
            self.add(each)

    def __iter__(self) -> Iterator[StompBinding]:
        return iter(self._bindings.values())

    def _find(self, bound: StompBinding) -> int | None:
        alike = self._alike.get(_kind_of(bound), ())
        same = (each for each in alike if self._bindings[each].is_same(bound))
        return next(same, None)

    def add(self, bound: StompBinding) -> bool:
        """Add a binding; return whether there was no such one."""
        if self._find(bound) is not None:
            return False
        number = next(self._numbers)
        self._bindings[number] = bound
        self._alike.setdefault(_kind_of(bound), []).append(number)
        return True

    def discard(self, bound: StompBinding) -> None:
        """Remove a binding, if it is here."""
        number = self._find(bound)
        if number is not None:
            del self._bindings[number]
            kind = _kind_of(bound)
            self._alike[kind].remove(number)
            if not self._alike[kind]:
                del self._alike[kind]


def _kind_of(bound: StompBinding) -> object:
    """Return what is equal for bindings that are the same, and mostly else differs."""
    arguments = frozenset(
        (name, _hash_of(value)) for name, value in bound.arguments.items()
    )
    return bound.exchange.name, bound.routing_key, arguments


def _hash_of(value: object) -> int:
    try:
        return hash(value)
    except TypeError:  # a list or table
        return 0


class Declarations:
    """What was declared in one session, and the queues that users were warned of."""

    def __init__(self, warned: set[str]) -> None:
        self.warned = warned
        self._exchanges: dict[str, Exchange] = {}
        self._bindings: dict[str, BindingSet] = {}

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
        return self._bindings.setdefault(queue, BindingSet()).add(bound)

    def unbound(self, queue: str, bound: StompBinding) -> None:
        """Forget a binding."""
        bindings = self._bindings.get(queue)
        if bindings is not None:
            bindings.discard(bound)

    def bindings(self, queue: Queue) -> list[StompBinding]:
        """Return all bindings of a queue, those that it carries included."""
        found = BindingSet(self._bindings.get(queue.name, ()))
        for each in queue.all_bindings():
            exchange = self.exchange(each.exchange)
            found.add(StompBinding(exchange, each.routing_key, each.arguments))
        return list(found)

    def deleted(self, queue: str) -> None:
        """Forget the bindings of a queue."""
        self._bindings.pop(queue, None)
