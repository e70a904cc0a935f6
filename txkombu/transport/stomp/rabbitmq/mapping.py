"""
Exchanges, keys and queues as destinations of RabbitMQ's STOMP plugin.

STOMP declares no exchanges.  So one of ours is I{mapped}: its messages go
through an exchange that every RabbitMQ has, with a key that begins with the name
of ours::

    direct    amq.direct    txkombu.<exchange>.<routing key>
    topic     amq.topic     txkombu.<exchange>.<routing key>, or without the
                            last part if the key is empty, which has no words
    fanout    amq.topic     as topic; bound with txkombu.<exchange>.#

The name has all but letters, digits, C{-} and C{_} of ASCII written as C{~} and
the number of a byte, so that it is one word and can be told from the key again.

An exchange that the broker has is I{native}: C{amq.*}, and one that is passive
or not to be declared.  Its messages are those of AMQP's producers and consumers.
"""

from __future__ import annotations

from re import compile as pattern
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote

from ...._util.validation import SHORT_STRING_BYTES, check_short_string

if TYPE_CHECKING:
    from ....entity import Exchange

PREFIX: Final = "txkombu."
"""What the keys of mapped exchanges begin with."""

_THROUGH: Final = {"direct": "amq.direct", "topic": "amq.topic", "fanout": "amq.topic"}
_SHARED: Final = frozenset(_THROUGH.values())

_SLASH: Final = "%2F"
"""How the plugin writes a slash in a name; it has no way to write this text."""

_TO_QUEUE: Final = "/amq/queue/"
_DEFAULT_EXCHANGE: Final = "amq.default"
"""What refusals call it."""

_EXCHANGE_NAMED: Final = pattern(r"(?s)exchange '(.*)' in vhost ")
_TOPIC_REFUSED: Final = pattern(
    r"(?s)access to topic '(.*)' in exchange '(.*)' in vhost "
)
_NO_WORD: Final = pattern(rb"[^A-Za-z0-9_-]")
_ENCODED: Final = pattern(rb"~([0-9A-F]{2})")
_WORD: Final = pattern(r"(?:[A-Za-z0-9_-]|~[0-9A-F]{2})+")


class Route(NamedTuple):
    """
    An exchange of the broker, and a key.
    """

    exchange: str
    key: str


def is_native(exchange: Exchange) -> bool:
    """Whether the broker has it, or its default exchange, under its own name."""
    return exchange.is_predeclared or exchange.passive or exchange.no_declare


def is_mappable(exchange: Exchange) -> bool:
    """Whether it is of a type that can be mapped."""
    return exchange.type in _THROUGH


def encode_word(name: str) -> str:
    """A name as one word of a routing key."""
    found = _NO_WORD.sub(lambda found: b"~%02X" % found[0][0], name.encode())
    return found.decode("ascii")


def decode_word(word: str) -> str | None:
    """The name that a word stands for; C{None} if it stands for none."""
    if _WORD.fullmatch(word) is None:
        return None
    name = _ENCODED.sub(lambda found: bytes([int(found[1], 16)]), word.encode("ascii"))
    try:
        return name.decode()
    except UnicodeDecodeError:
        return None


# --- from ours to the broker's ------------------------------------------------


def route(exchange: Exchange, routing_key: str) -> Route:
    """
    Where a message goes.

    @param exchange: any but the default one.
    @raise ValueError: it cannot be expressed.
    """
    if not is_native(exchange):
        if not is_mappable(exchange):
            raise ValueError(f"an exchange of type {exchange.type} cannot be mapped")
        key = _mapped_key(exchange, routing_key)
        return Route(_THROUGH[exchange.type], _short(key, exchange))
    if exchange.name in _SHARED and routing_key.startswith(PREFIX):
        raise ValueError(
            f"the routing key {routing_key!r} cannot be used with {exchange.name}: "
            f"keys there that begin with {PREFIX!r} are those of other exchanges"
        )
    return Route(exchange.name, _short(routing_key, exchange))


def binding_route(exchange: Exchange, routing_key: str) -> Route:
    """
    What a queue is bound to, as L{route}.
    """
    if exchange.type == "fanout" and not is_native(exchange):
        routing_key = "#"
    return route(exchange, routing_key)


def _mapped_key(exchange: Exchange, routing_key: str) -> str:
    key = PREFIX + encode_word(exchange.name)
    if routing_key or exchange.type == "direct":
        return f"{key}.{routing_key}"
    return key


def _short(key: str, exchange: Exchange) -> str:
    """@raise ValueError: it is longer than AMQP's keys are."""
    size = len(key.encode())
    if size > SHORT_STRING_BYTES:
        raise ValueError(
            f"the exchange {exchange.name!r} and the routing key take {size} bytes "
            f"as one routing key of RabbitMQ, at most {SHORT_STRING_BYTES} are "
            f"possible: {key[:60]!r}…"
        )
    return key


def destination_of(route: Route) -> str:
    """
    The destination that stands for a route.

    @raise ValueError: a name has what the plugin cannot take.
    """
    check_line_ends("an exchange", route.exchange)
    destination = f"/exchange/{_part(route.exchange)}"
    return f"{destination}/{_part(route.key)}" if route.key else destination


def queue_destination(name: str, declaring: bool = False) -> str:
    """
    The destination that stands for a queue.

    @param declaring: what is done with it declares the queue, too.
    @raise ValueError: the name is empty, or has what the plugin cannot take.
    """
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
    """
    Whether a refusal in the broker's words is about a destination.
    """
    topic = _TOPIC_REFUSED.search(text)
    if topic is not None:
        return destination == destination_of(Route(topic[2], topic[1]))
    named = _EXCHANGE_NAMED.search(text)
    if named is None:
        return False
    if named[1] == _DEFAULT_EXCHANGE:
        return destination.startswith(_TO_QUEUE)
    whole = destination_of(Route(named[1], ""))
    return destination == whole or destination.startswith(f"{whole}/")


# --- from the broker's to ours ------------------------------------------------


def origin_of(destination: str) -> Route:
    """
    The exchange and routing key of a publish, from the destination that its
    MESSAGE has; those an AMQP producer used, if it was one.
    """
    kind, _, rest = destination[1:].partition("/")
    if kind == "queue":
        return Route("", unquote(rest))
    if kind == "topic":
        return _unmapped("amq.topic", unquote(rest))
    if kind == "exchange":
        exchange, _, key = rest.partition("/")
        return _unmapped(unquote(exchange), unquote(key))
    return Route("", unquote(destination))


def _unmapped(exchange: str, key: str) -> Route:
    if exchange in _SHARED and key.startswith(PREFIX):
        word, _, own_key = key[len(PREFIX) :].partition(".")
        name = decode_word(word)
        if name is not None:
            return Route(name, own_key)
    return Route(exchange, key)
