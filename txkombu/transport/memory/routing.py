"""
How exchanges of each type find the bindings that want a message.

A router keeps the bindings of one exchange in the form that its type looks them up by:
direct and fanout by a dict, topic by a trie.  What a key led to is remembered until a
binding changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import Protocol

import attrs

from ...interfaces import Properties
from .errors import Refused, shown
from .interfaces import Destination
from .message import headers_of
from .tables import copy_properties, copy_table, term, type_name, typed_arguments
from .topic import TopicTrie

_REMEMBERED = 1000
"""Keys a topic exchange remembers the outcome of."""


@attrs.frozen(cache_hash=True)
class Binding:
    """
    One way out of an exchange.

    @ivar source: the name of the exchange.
    @ivar destination: a queue or an exchange of the broker; by identity.
    @ivar key: the routing key or pattern.
    @ivar arguments: what a headers exchange matches by; by default nothing.
    """

    source: str
    destination: Destination
    key: str
    arguments: Mapping[str, object] = attrs.field(factory=dict, eq=False)
    _told_apart_by: object = attrs.field(init=False, repr=False)

    @_told_apart_by.default
    def _typed_arguments(self) -> tuple[object, ...]:
        return typed_arguments(self.arguments)


RouteFunction = Callable[[Sequence[Binding], str, Properties], Iterable[Binding]]
"""A custom exchange type: of these bindings, those that want a message."""


class Router(Protocol):
    """What an exchange type is: where a message goes."""

    def add_binding(self, binding: Binding) -> None:
        """
        Take a new binding.

        @raise Refused: its arguments mean nothing to this exchange type.
        """

    def discard(self, binding: Binding) -> None:
        """Forget a binding that was added."""

    def match(self, key: str, properties: Properties) -> Sequence[Destination]:
        """Return the destinations that want a message, each once."""


def _destinations(bindings: Iterable[Binding]) -> tuple[Destination, ...]:
    return tuple(dict.fromkeys(each.destination for each in bindings))


class DirectRouter:
    """The bindings whose key is the message's."""

    def __init__(self) -> None:
        self._bindings: dict[str, dict[Binding, None]] = {}
        self._known: dict[str, tuple[Destination, ...]] = {}

    def _key(self, binding: Binding) -> str:
        return binding.key

    def add_binding(self, binding: Binding) -> None:
        key = self._key(binding)
        self._bindings.setdefault(key, {})[binding] = None
        self._known.pop(key, None)

    def discard(self, binding: Binding) -> None:
        key = self._key(binding)
        self._known.pop(key, None)
        bindings = self._bindings[key]
        del bindings[binding]
        if not bindings:
            del self._bindings[key]

    def match(self, key: str, properties: Properties) -> Sequence[Destination]:
        found = self._known.get(key)
        if found is None:
            if key not in self._bindings:
                return ()
            found = self._known[key] = _destinations(self._bindings[key])
        return found


class FanoutRouter(DirectRouter):
    """All bindings: they count as having one key."""

    def _key(self, binding: Binding) -> str:
        return ""

    def match(self, key: str, properties: Properties) -> Sequence[Destination]:
        return super().match("", properties)


class TopicRouter:
    """The bindings whose pattern matches the message's key."""

    def __init__(self) -> None:
        self._trie: TopicTrie[Binding] = TopicTrie()
        self._known: dict[str, tuple[Destination, ...]] = {}

    def add_binding(self, binding: Binding) -> None:
        self._trie.add_pattern(binding.key, binding)
        self._known.clear()

    def discard(self, binding: Binding) -> None:
        self._trie.discard(binding.key, binding)
        self._known.clear()

    def match(self, key: str, properties: Properties) -> Sequence[Destination]:
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[key] = _destinations(self._trie.match(key))
        return found


class CustomRouter:
    """The bindings that a registered function chooses."""

    def __init__(self, function: RouteFunction) -> None:
        self._function = function
        self._bindings: dict[Binding, None] = {}

    def add_binding(self, binding: Binding) -> None:
        self._bindings[binding] = None

    def discard(self, binding: Binding) -> None:
        del self._bindings[binding]

    def match(self, key: str, properties: Properties) -> Sequence[Destination]:
        bindings = [
            attrs.evolve(each, arguments=copy_table(each.arguments))
            for each in self._bindings
        ]
        return _destinations(self._function(bindings, key, copy_properties(properties)))


class HeadersRouter:
    """
    The bindings whose arguments are among the message's headers: all of them, or with
    C{x-match} C{any} at least one.

    A binding is looked at only for messages that have one of its headers: any of them
    with C{any}, else the one that the fewest bindings are looked up by.
    """

    def __init__(self) -> None:
        self._order = count()
        self._by_header: dict[Condition | None, dict[Binding, int]] = {}
        self._looked_up_by: dict[Binding, list[Condition | None]] = {}

    def add_binding(self, binding: Binding) -> None:
        mode = binding.arguments.get("x-match", "all")
        if not isinstance(mode, str):
            raise Refused(
                406,
                f"Invalid x-match field type {type_name(mode)} (value {shown(mode)}); "
                "expected longstr",
            )
        if mode not in ("all", "any", "all-with-x", "any-with-x"):
            raise Refused(
                406,
                f'Invalid x-match field value <<"{mode}">>; expected all, any, '
                "all-with-x, or any-with-x",
            )
        places = self._looked_up_by[binding] = self._places(binding)
        order = next(self._order)
        for place in places:
            self._by_header.setdefault(place, {})[binding] = order

    def _places(self, binding: Binding) -> list[Condition | None]:
        """Return what the binding is looked up by; C{None} is every message."""
        conditions = _conditions(binding.arguments)
        if _is_any(binding.arguments):
            return list(dict.fromkeys(conditions))
        rarest = min(conditions, key=self._bindings_by, default=None)
        return [rarest]

    def _bindings_by(self, condition: Condition) -> int:
        return len(self._by_header.get(condition, ()))

    def discard(self, binding: Binding) -> None:
        for place in self._looked_up_by.pop(binding):
            bindings = self._by_header[place]
            del bindings[binding]
            if not bindings:
                del self._by_header[place]

    def match(self, key: str, properties: Properties) -> Sequence[Destination]:
        present: set[Condition | None] = {None}
        for name, value in headers_of(properties).items():
            present |= {(name, None), (name, (term(value),))}
        wanted: dict[Binding, int] = {}
        for place in present:
            for binding, order in self._by_header.get(place, {}).items():
                arguments = binding.arguments
                if _is_any(arguments) or present.issuperset(_conditions(arguments)):
                    wanted[binding] = order
        return _destinations(sorted(wanted, key=wanted.__getitem__))


Condition = tuple[str, object]
"""
A header that a binding wants: its name, and C{None} for any value, else its term in a
tuple.  So 1 is 1.0 but not True.
"""


def _is_any(arguments: Mapping[str, object]) -> bool:
    return str(arguments.get("x-match", "all")).startswith("any")


def _conditions(arguments: Mapping[str, object]) -> list[Condition]:
    """Return the headers that a binding wants."""
    with_x = str(arguments.get("x-match", "all")).endswith("-with-x")
    return [
        (name, None if value is None else (term(value),))
        for name, value in arguments.items()
        if name != "x-match" and (with_x or not name.startswith("x-"))
    ]


BUILT_IN: Mapping[str, Callable[[], Router]] = {
    "direct": DirectRouter,
    "fanout": FanoutRouter,
    "topic": TopicRouter,
    "headers": HeadersRouter,
}
