"""
Exchanges, keys and queues as destinations of RabbitMQ's STOMP plugin.

STOMP declares no exchanges.  So an exchange is I{mapped}: its messages go through one
that every RabbitMQ has, with a key that begins with the name of the mapped one::

    direct    amq.direct    txkombu.<exchange>.<routing key>
    topic     amq.topic     txkombu.<exchange>.<routing key>, or without the
                            last part if the key is empty, which has no words
    fanout    amq.topic     as topic; bound with txkombu.<exchange>.#

The name is encoded as one word: all but the letters and digits of ASCII, C{-} and
C{_} is written as C{~} and the number of a byte.

An exchange that the broker has is I{native}: C{amq.*}, and one that is passive or not
to be declared.  Its messages are those of AMQP's producers and consumers.
"""

from __future__ import annotations

from functools import lru_cache
from re import compile as pattern
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote

from ...._util.validation import SHORT_STRING_BYTES, check_short_string

if TYPE_CHECKING:
    from ....entity import Exchange

PREFIX: Final = "txkombu."
"""How the keys of mapped exchanges begin."""

_THROUGH: Final = {"direct": "amq.direct", "topic": "amq.topic", "fanout": "amq.topic"}
_SHARED: Final = frozenset(_THROUGH.values())
MAPPABLE: Final = frozenset(_THROUGH)
"""The types of exchanges that can be mapped."""

_SLASH: Final = "%2F"
"""How the plugin writes a slash in a name; it has no way to write this text."""

_TO_QUEUE: Final = "/amq/queue/"
_EXCHANGE_NAMED: Final = pattern(r"(?s)exchange '(.*)' in vhost ")
_TOPIC_REFUSED: Final = pattern(
    r"(?s)access to topic '(.*)' in exchange '(.*)' in vhost "
)
_NO_WORD: Final = pattern(rb"[^A-Za-z0-9_-]")
_ENCODED: Final = pattern(rb"~([0-9A-F]{2})")
_WORD: Final = pattern(r"(?:[A-Za-z0-9_-]|~[0-9A-F]{2})+")


class Route(NamedTuple):
    """An exchange of the broker, and a key."""

    exchange: str
    key: str


def is_native(exchange: Exchange) -> bool:
    """Tell whether the broker has it, or its default exchange, under its own name."""
    return exchange.is_predeclared or exchange.passive or exchange.no_declare


def encode_word(name: str) -> str:
    """Return a name as one word of a routing key."""
    found = _NO_WORD.sub(lambda found: b"~%02X" % found[0][0], name.encode())
    return found.decode("ascii")


def decode_word(word: str) -> str | None:
    """Undo L{encode_word}; return C{None} for what it does not make."""
    if _WORD.fullmatch(word) is None:
        return None
    name = _ENCODED.sub(lambda found: bytes([int(found[1], 16)]), word.encode("ascii"))
    try:
        return name.decode()
    except UnicodeDecodeError:
        return None


def route(exchange: Exchange, routing_key: str, binds: bool = False) -> Route:
    """Return where a message for any but the default exchange goes, or a binding."""
    name, key = exchange.name, routing_key
    if not is_native(exchange):
        if exchange.type not in MAPPABLE:
            raise ValueError(f"an exchange of type {exchange.type} cannot be mapped")
        if binds and exchange.type == "fanout":
            routing_key = "#"
        key = PREFIX + encode_word(name)
        if routing_key or exchange.type == "direct":
            key += f".{routing_key}"
        name = _THROUGH[exchange.type]
    elif name in _SHARED and key.startswith(PREFIX):
        raise ValueError(
            f"the routing key {key!r} cannot be used with {name}: "
            f"keys there that begin with {PREFIX!r} are those of other exchanges"
        )
    size = len(key.encode())
    if size > SHORT_STRING_BYTES:
        raise ValueError(
            f"the exchange {exchange.name!r} and the routing key take {size} bytes "
            f"as one routing key of RabbitMQ, at most {SHORT_STRING_BYTES} are "
            f"possible: {key[:60]!r}…"
        )
    return Route(name, key)


def destination_of(route: Route) -> str:
    """Return the destination for a route; raise ValueError if there can be none."""
    check_line_ends("an exchange", route.exchange)
    destination = f"/exchange/{_part(route.exchange)}"
    return f"{destination}/{_part(route.key)}" if route.key else destination


@lru_cache(maxsize=1000)
def queue_destination(name: str, declaring: bool = False) -> str:
    """Return the destination for a queue, which the plugin is perhaps to declare."""
    if not name:
        raise ValueError("STOMP needs the name of a queue, and this one is empty")
    check_short_string("queue name", name)
    check_line_ends("a queue", name)
    return ("/queue/" if declaring else _TO_QUEUE) + _part(name)


def check_line_ends(what: str, name: str) -> None:
    """@raise ValueError: RabbitMQ would take it for another name."""
    if "\r" in name or "\n" in name:
        raise ValueError(
            f"{what} cannot be called {name!r}: RabbitMQ takes line ends out of names"
        )


def _part(name: str) -> str:
    if _SLASH in name:
        raise ValueError(
            f"{name!r} cannot be expressed: RabbitMQ's STOMP plugin takes the "
            f"{_SLASH} in it for a slash"
        )
    if "\0" in name:
        raise ValueError(f"{name!r} cannot be expressed: its zero byte ends a frame")
    return name.replace("/", _SLASH)


def refused_by(text: str, destination: str) -> bool:
    """Tell whether a refusal in the broker's words is about a destination."""
    topic = _TOPIC_REFUSED.search(text)
    if topic is not None:
        return destination == destination_of(Route(topic[2], topic[1]))
    named = _EXCHANGE_NAMED.search(text)
    if named is None:
        return False
    if named[1] == "amq.default":
        return destination.startswith(_TO_QUEUE)
    whole = destination_of(Route(named[1], ""))
    return destination == whole or destination.startswith(f"{whole}/")


def origin_of(destination: str) -> Route:
    """Return the exchange and key of a publish, by the destination of its MESSAGE."""
    kind, _, rest = destination[1:].partition("/")
    exchange, key = "amq.topic", unquote(rest)
    if kind == "exchange":
        exchange, _, key = rest.partition("/")
        exchange, key = unquote(exchange), unquote(key)
    elif kind != "topic":
        return Route("", key if kind == "queue" else unquote(destination))
    if exchange in _SHARED and key.startswith(PREFIX):
        word, _, own_key = key[len(PREFIX) :].partition(".")
        name = decode_word(word)
        if name is not None:
            return Route(name, own_key)
    return Route(exchange, key)
