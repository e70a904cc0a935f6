"""
Exchanges, queues and bindings as destinations of ActiveMQ Classic.

An exchange is a I{virtual topic}: what is sent to C{/topic/VirtualTopic.x} is copied
into every queue called C{Consumer.y.VirtualTopic.x}.  So a queue has one physical queue
for each of its bindings, beside the one of its own name::

    publish   direct     /topic/VirtualTopic.<exchange>.<key>
              fanout     /topic/VirtualTopic.<exchange>
              topic      /topic/VirtualTopic.<exchange>[.<word>.<word>…]
              default    /queue/<queue>
    consume              /queue/<queue>
              a binding  /queue/Consumer.<queue>.VirtualTopic.<exchange>[.…]

In a topic pattern C{*} is C{*}, and C{#} at the end is C{>}.  Each part of these names
is percent-encoded: commas, question marks, dots and wildcards mean something to
ActiveMQ in every name, also in the destination of a SEND.  Queues of their own names
keep their dots, since other programs use these queues, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from re import Match
from re import compile as pattern
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from ...._util.validation import check_short_string
from ....exceptions import NotSupported

if TYPE_CHECKING:
    from ....entity import Exchange, Queue
    from ..dialect import StompBinding

PRODUCT: Final = "ActiveMQ"

_QUEUE: Final = "/queue/"
_TOPIC: Final = "/topic/VirtualTopic."
ANY_WORD: Final = "*"
ANY_WORDS: Final = ">"
"""That stands for no words, too."""

_ODD_IN_WORD: Final = pattern(r"[^A-Za-z0-9_-]")
# Blanks at the ends are trimmed, and so is every control character there.
_ODD_IN_QUEUE: Final = pattern(r"[%,?*>\x00-\x1f\x7f]|\A +| +\Z")
_REPLY: Final = pattern(r"/remote-temp-(?:queue|topic)/[\w:.-]+")

Words = tuple[str, ...]
"""The parts of a virtual topic, encoded; C{*} and C{>} are wildcards."""


def unsupported(operation: str, hint: str) -> NotSupported:
    """Return the error for an operation that ActiveMQ cannot do."""
    return NotSupported(operation, "stomp", f"not with {PRODUCT}; {hint}")


def _percent(found: Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode())


def encode_word(text: str) -> str:
    """Return a name or a word as one part of a destination; C{""} is C{%}."""
    return _ODD_IN_WORD.sub(_percent, text) or "%"


def encode_queue(name: str) -> str:
    """Return the name of a queue as it is after C{/queue/}."""
    return _ODD_IN_QUEUE.sub(_percent, name) or "%"


def decode(text: str) -> str:
    """Undo L{encode_word} and L{encode_queue}."""
    return "" if text == "%" else unquote(text)


def is_reply(name: str) -> bool:
    """Tell whether another client awaits its replies there, in a temporary queue."""
    return _REPLY.fullmatch(name) is not None


def queue_destination(name: str) -> str:
    """Return where a queue of that name is sent to, and consumed from."""
    return name if is_reply(name) else _QUEUE + encode_queue(name)


def queue_of(destination: str) -> str:
    """Undo L{queue_destination}; what is no queue stays as it is."""
    if destination.startswith(_QUEUE):
        return decode(destination[len(_QUEUE) :])
    return destination


def publish_destination(exchange: Exchange, routing_key: str) -> str:
    """Return where a message for an exchange is sent to."""
    check_short_string("routing key", routing_key)
    if not exchange.name:
        return queue_destination(routing_key)
    return _TOPIC + ".".join(_key_words(exchange, routing_key))


def _key_words(exchange: Exchange, routing_key: str) -> Words:
    check_type(exchange)
    first = encode_word(exchange.name)
    if exchange.type == "fanout":
        return (first,)
    if exchange.type == "direct":
        return first, encode_word(routing_key)
    return first, *map(encode_word, _split(routing_key))


def _split(key: str) -> list[str]:
    return key.split(".") if key else []


def check_type(exchange: Exchange) -> None:
    """@raise NotSupported: there are no exchanges of that type."""
    if exchange.type not in ("direct", "fanout", "topic"):
        raise unsupported(
            f"the exchange type {exchange.type!r}", "it has direct, fanout and topic"
        )


@lru_cache(maxsize=1000)
def published_to(destination: str, original: str) -> tuple[str, str]:
    """
    Return the exchange and routing key that a message was published with; the key is
    C{""} for a fanout exchange.
    """
    if not original.startswith(_TOPIC):
        return "", queue_of(destination)
    exchange, *words = original[len(_TOPIC) :].split(".")
    return decode(exchange), ".".join(map(decode, words))


def binding_words(bound: StompBinding) -> Words:
    """Return the virtual topics of a binding."""
    check_short_string("routing key", bound.routing_key)
    if bound.exchange.type != "topic":
        return _key_words(bound.exchange, bound.routing_key)
    words = _split(bound.routing_key)
    if "#" in words[:-1]:
        raise unsupported(
            f"the pattern {bound.routing_key!r}",
            "'#' can only be the last word of a pattern there",
        )
    wild = {"#": ANY_WORDS, "*": ANY_WORD}
    encoded = [wild.get(word) or encode_word(word) for word in words]
    return encode_word(bound.exchange.name), *encoded


def binding_destination(queue: str, bound: StompBinding) -> str:
    """Return the physical queue that a binding fills."""
    words = ("Consumer", encode_word(queue), "VirtualTopic", *binding_words(bound))
    return _QUEUE + ".".join(words)


def source_destinations(queue: Queue, bindings: Iterable[StompBinding]) -> list[str]:
    """Return all that a consumer of a queue reads from, each once."""
    bound = (each for each in bindings if each.exchange.name)
    found = [queue_destination(queue.name)]
    found += [binding_destination(queue.name, each) for each in bound]
    return list(dict.fromkeys(found))
