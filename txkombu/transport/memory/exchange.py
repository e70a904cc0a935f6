"""Exchanges and their bindings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from .errors import Refused, named, quoted, shown
from .routing import Binding, Router
from .tables import term, type_name

if TYPE_CHECKING:
    from ...entity import Exchange


class MemoryExchange:
    """
    An exchange in the broker.

    @ivar router: finds the bindings that want a message.
    @ivar internal: whether only other exchanges may publish to it.
    @ivar alternate: the exchange that gets what no binding wants, or C{None}.
    @ivar bindings: those it is the source of.
    @ivar incoming: those that lead to it.
    @ivar chained: how many of them lead to another exchange.
    """

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
        self.incoming: dict[Binding, None] = {}
        self.chained = 0

    def bind(self, binding: Binding) -> None:
        """Add a binding, unless there is an equal one."""
        if binding in self.bindings:
            return
        self.router.add_binding(binding)
        self.bindings[binding] = None
        binding.destination.incoming[binding] = None
        self.chained += isinstance(binding.destination, MemoryExchange)

    def unbind(self, binding: Binding) -> None:
        """Remove a binding, if there is one."""
        if binding in self.bindings:
            del self.bindings[binding]
            binding.destination.incoming.pop(binding, None)
            self.router.discard(binding)
            self.chained -= isinstance(binding.destination, MemoryExchange)

    def check_equivalent(
        self, declared: Exchange, arguments: Mapping[str, object]
    ) -> None:
        """
        Compare it with a second declaration.

        @raise Refused: they differ.
        """
        about = named("exchange", self.name, self.vhost)
        fields = {
            "type": (declared.type, self.type),
            "durable": (declared.durable, self.durable),
            "auto_delete": (declared.auto_delete, self.auto_delete),
            "internal": (False, self.internal),
        }
        check_fields(about, self.name, fields)
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


def check_fields(
    about: str, name: str, fields: Mapping[str, tuple[object, object]]
) -> None:
    """
    Compare the fields of a second declaration with those of the first.

    @param about: what is declared, as errors name it.
    @param fields: of the second and the first, by their names.
    @raise Refused: a field differs.
    """
    for field, (wanted, current) in fields.items():
        if wanted != current:
            raise _differs(about, name, field, quoted(wanted), quoted(current))


def _differs(about: str, name: str, field: str, wanted: str, current: str) -> Refused:
    return Refused(
        406,
        f"inequivalent arg '{field}' for {about}: "
        f"received {wanted} but current is {current}",
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
    Compare the arguments of a second declaration with those of the first.

    @param about: what is declared, as errors name it.
    @raise Refused: one of the arguments C{keys} differs.
    """
    for key in keys:
        default = {"x-queue-type": "classic"} if key == "x-queue-type" else {}
        if _same_argument({**default, **wanted}, {**default, **current}, key):
            continue
        if key in wanted and key in current:
            texts = quoted(wanted[key]), quoted(current[key])
        else:
            texts = _valued(wanted, key), _valued(current, key)
        raise _differs(about, name, key, *texts)


def _same_argument(
    wanted: Mapping[str, object], current: Mapping[str, object], key: str
) -> bool:
    """Compare values and types; ints of all sizes are of one type."""
    if key not in wanted or key not in current:
        return key not in wanted and key not in current
    left, right = wanted[key], current[key]
    return type(left) is type(right) and term(left) == term(right)


def _valued(arguments: Mapping[str, object], key: str) -> str:
    if key not in arguments:
        return "none"
    value = arguments[key]
    return f"the value '{shown(value)}' of type '{type_name(value)}'"
