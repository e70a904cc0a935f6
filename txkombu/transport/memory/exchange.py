"""
Exchanges and their bindings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from .errors import Refused, named, quoted, shown
from .interfaces import Destination
from .routing import Binding, Router
from .tables import term, type_name

if TYPE_CHECKING:
    from ...entity import Exchange
    from ...interfaces import Properties


class MemoryExchange:
    """
    An exchange in the broker.

    @ivar router: finds the bindings that want a message.
    @ivar internal: only other exchanges may publish to it.
    @ivar alternate: the exchange that has what no binding wants, or None.
    @ivar bindings: those it is the source of.
    @ivar chained: whether one of them leads to another exchange.
    """

    __slots__ = (
        "alternate",
        "arguments",
        "auto_delete",
        "bindings",
        "chained",
        "durable",
        "internal",
        "name",
        "router",
        "type",
        "vhost",
    )

    def __init__(
        self,
        vhost: str,
        declared: Exchange,
        arguments: Mapping[str, object],
        router: Router,
        internal: bool = False,
    ) -> None:
        self.vhost = vhost
        self.name = declared.name
        self.type = declared.type
        self.durable = declared.durable
        self.auto_delete = declared.auto_delete
        self.arguments = arguments
        self.internal = internal
        self.router = router
        self.alternate = _alternate(vhost, declared.name, arguments)
        self.bindings: dict[Binding, None] = {}
        self.chained = 0

    def bind(self, binding: Binding) -> None:
        """Add a binding; one that is there already is no other."""
        if binding in self.bindings:
            return
        self.router.add_binding(binding)
        self.bindings[binding] = None
        self.chained += isinstance(binding.destination, MemoryExchange)

    def unbind(self, binding: Binding) -> None:
        """Remove a binding, if it is there."""
        if binding in self.bindings:
            del self.bindings[binding]
            self.router.discard(binding)
            self.chained -= isinstance(binding.destination, MemoryExchange)

    def unbind_all(self, destination: Destination) -> bool:
        """Remove the bindings to one destination; whether there were any."""
        gone = [each for each in self.bindings if each.destination is destination]
        for each in gone:
            self.unbind(each)
        return bool(gone)

    def check_equivalent(
        self, declared: Exchange, arguments: Mapping[str, object]
    ) -> None:
        """
        @raise Refused: it is declared again, and otherwise than it is.
        """
        about = named("exchange", self.name, self.vhost)
        for field, wanted, current in (
            ("type", declared.type, self.type),
            ("durable", declared.durable, self.durable),
            ("auto_delete", declared.auto_delete, self.auto_delete),
            ("internal", False, self.internal),
        ):
            check_field(about, self.name, field, wanted, current)
        keys = ("alternate-exchange",)
        check_arguments(about, self.name, keys, arguments, self.arguments)


def _alternate(vhost: str, about: str, arguments: Mapping[str, object]) -> str | None:
    key = "alternate-exchange"
    name = arguments.get(key)
    if isinstance(name, str):
        return name
    if key not in arguments:
        return None
    raise Refused(
        406,
        f"invalid type '{type_name(name)}' for arg '{key}' in "
        f"{named('exchange', about, vhost)}",
        about,
    )


def check_field(
    about: str, name: str, field: str, wanted: object, current: object
) -> None:
    """
    @raise Refused: a field of a declaration is not what it was at first.
    """
    if wanted != current:
        raise _differs(about, name, field, wanted, current)


def _differs(
    about: str, name: str, field: str, wanted: object, current: object
) -> Refused:
    return Refused(
        406,
        f"inequivalent arg '{field}' for {about}: "
        f"received {quoted(wanted)} but current is {quoted(current)}",
        name,
    )


def check_arguments(
    about: str,
    name: str,
    keys: Iterable[str],
    wanted: Mapping[str, object],
    current: Mapping[str, object],
) -> None:
    """
    @raise Refused: one of these arguments is not what it was at first.
    """
    for key in keys:
        default = {"x-queue-type": "classic"} if key == "x-queue-type" else {}
        known, asked = {**default, **current}, {**default, **wanted}
        if _same_argument(asked, known, key):
            continue
        if key in wanted and key in current:
            raise _differs(about, name, key, wanted[key], current[key])
        raise Refused(
            406,
            f"inequivalent arg '{key}' for {about}: "
            f"received {_valued(wanted, key)} but current is {_valued(current, key)}",
            name,
        )


def _same_argument(
    wanted: Mapping[str, object], current: Mapping[str, object], key: str
) -> bool:
    """Ints of all sizes are of one class; nothing else equals another type."""
    if key not in wanted or key not in current:
        return key not in wanted and key not in current
    left, right = wanted[key], current[key]
    return type(left) is type(right) and term(left) == term(right)


def _valued(arguments: Mapping[str, object], key: str) -> str:
    if key not in arguments:
        return "none"
    value = arguments[key]
    return f"the value '{shown(value)}' of type '{type_name(value)}'"


def route(
    exchanges: Mapping[str, MemoryExchange],
    first: MemoryExchange,
    key: str,
    properties: Properties,
) -> list[Destination]:
    """
    The queues a message goes to, each once, whatever the bindings between
    exchanges; cycles among them are harmless.
    """
    queues: dict[Destination, None] = {}
    seen = {first: None}
    todo = [first]
    while todo:
        exchange = todo.pop()
        found = exchange.router.match(key, properties)
        if not found and exchange.alternate is not None:
            other = exchanges.get(exchange.alternate)
            found = () if other is None else (other,)
        for destination in found:
            if not isinstance(destination, MemoryExchange):
                queues[destination] = None
            elif destination not in seen:
                seen[destination] = None
                todo.append(destination)
    return list(queues)
