"""
How exchanges of each type find the bindings that want a message.

A router keeps the bindings of one exchange in the form that its type looks them up by:
direct and fanout by a dict, topic by a trie.  What a key led to is remembered until a
binding changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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
    @ivar arguments: what a headers exchange matches by.
    """

    source: str
    destination: Destination
    key: str
    arguments: Mapping[str, object] = attrs.field(
        factory=dict, hash=False, eq=typed_arguments
    )


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
    """

    def __init__(self) -> None:
        self._bindings: dict[Binding, None] = {}

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
        self._bindings[binding] = None

    def discard(self, binding: Binding) -> None:
        del self._bindings[binding]

    def match(self, key: str, properties: Properties) -> Sequence[Destination]:
        headers = headers_of(properties)
        return _destinations(
            each for each in self._bindings if _wanted(each.arguments, headers)
        )


def _wanted(arguments: Mapping[str, object], headers: Mapping[str, object]) -> bool:
    """Compare headers; C{None} wants any value, and 1 is 1.0 but not True."""
    mode = str(arguments.get("x-match", "all"))
    with_x = mode.endswith("-with-x")
    same = [
        name in headers and (value is None or term(headers[name]) == term(value))
        for name, value in arguments.items()
        if name != "x-match" and (with_x or not name.startswith("x-"))
    ]
    return any(same) if mode.startswith("any") else all(same)


BUILT_IN: Mapping[str, Callable[[], Router]] = {
    "direct": DirectRouter,
    "fanout": FanoutRouter,
    "topic": TopicRouter,
    "headers": HeadersRouter,
}
