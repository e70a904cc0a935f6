"""
What transports can do: the one table for the tests and the docs.

A test names with L{needs} what its broker must be able to do.  L{fitting} leaves out
tests that a broker cannot run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, TypeVar

import attrs

from txkombu.interfaces import Capability

_Test = TypeVar("_Test", bound=Callable[..., Any])


class Nature(Enum):
    """
    What AMQP brokers do and others need not, finer than a L{Capability}; the texts are
    for the table in the docs.
    """

    MISSING_QUEUE = "refusing to consume from a missing queue"
    MISSING_EXCHANGE = "refusing to publish or bind to a missing exchange"
    QUEUE_CHECKED = "refusing a queue that exists with other properties"
    EXCHANGE_CHECKED = "refusing an exchange that exists with another type"
    AUTO_DELETE = "auto-delete queues that are not exclusive"
    SHARED_EXCLUSIVE = "several consumers, get and purge of an exclusive queue"
    REJECT_PUBLISH = "full queues that refuse messages"
    ANY_BINDING = "a # that is not last, and bindings that overlap"
    LONG_NAMES = "names of up to 255 bytes of any UTF-8"
    TYPED_HEADERS = "headers other than text, from txkombu to txkombu"
    OWN_PROPERTIES = "only the properties that were published"
    REQUEUE_IN_PLACE = "requeueing to the place a message had"
    DEATH_HISTORY = "the history of dead letters (x-death)"
    CHANNEL_ERRORS = "mistakes that end a channel"
    SESSION_ERRORS = "mistakes that end a session"


Ability = Capability | Nature


@attrs.frozen
class Abilities:
    """
    What one transport cannot do with one kind of broker.

    @ivar title: the heading of its column in the docs.
    @ivar scheme: the scheme of its URLs.
    @ivar lacks: what it cannot do, with the reasons.
    """

    title: str
    scheme: str
    lacks: Mapping[Ability, str] = attrs.field(factory=dict)

    def can(self, *wanted: Ability) -> bool:
        """Return whether it can do all of that."""
        return self.lacks.keys().isdisjoint(wanted)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The capabilities that its sessions report."""
        return frozenset(each for each in Capability if each not in self.lacks)


def needs(*abilities: Ability) -> Callable[[_Test], _Test]:
    """Mark what the broker of a test must be able to do."""

    def mark(test: _Test) -> _Test:
        test.__dict__["needs"] = abilities
        return test

    return mark


def fitting(groups: Iterable[type], abilities: Abilities) -> list[type]:
    """
    Leave out the tests that a broker cannot run.

    @return: the groups that have tests left, under their own names.
    """
    return [
        group if kept == set(vars(group)) else _reduced(group, kept)
        for group in groups
        for kept in [_kept(group, abilities)]
        if any(name.startswith("test_") for name in kept)
    ]


def _kept(group: type, abilities: Abilities) -> set[str]:
    return {
        name
        for name, member in vars(group).items()
        if abilities.can(*getattr(member, "needs", ()))
    }


def _reduced(group: type, kept: set[str]) -> type:
    """
    Return a class without some of a group's tests, as trial also finds inherited ones.
    """
    own = {name: what for name, what in vars(group).items() if name in kept}
    for slot in ("__dict__", "__weakref__"):
        own.pop(slot, None)
    return type(group.__name__, group.__bases__, own)


_C, _N = Capability, Nature

MEMORY = Abilities("``memory``", "memory")
AMQP = Abilities("``amqp``", "amqp")
TXAMQP = Abilities("``txamqp``", "txamqp")
PIKA = Abilities("``pika``", "pika")

_NO_EXCHANGES = (
    "STOMP declares no exchanges: those of direct, fanout and topic are words of a "
    "destination"
)
_NO_UNBIND = "STOMP has no frame that removes a binding"
_NO_COUNTS = "STOMP does not tell them"
_NO_RETURNS = "STOMP has no returns: what nothing is bound for is dropped"
_NO_CONDITIONS = "STOMP has no frame that asks"
_NO_SHARED_LIMIT = "each consumer has a subscription with a limit of its own"
_NOT_LINKED = "a subscription has a socket of its own, and operations have theirs"

_STOMP: dict[Ability, str] = {
    _C.CUSTOM_EXCHANGE_TYPES: _NO_EXCHANGES,
    _C.HEADERS_EXCHANGE: _NO_EXCHANGES,
    _C.EXCHANGE_DELETE: _NO_EXCHANGES,
    _C.EXCHANGE_BIND: _NO_EXCHANGES,
    _C.QUEUE_COUNTS: _NO_COUNTS,
    _C.QUEUE_UNBIND: _NO_UNBIND,
    _C.QUEUE_DELETE_CONDITIONAL: _NO_CONDITIONS,
    _C.MANDATORY: _NO_RETURNS,
    _C.CONSUMER_EXCLUSIVE: "STOMP has no subscription that keeps others out",
    _C.CONSUMER_ARGUMENTS: "a broker ignores what it does not know of a subscription",
    _C.CHANNEL_PREFETCH: _NO_SHARED_LIMIT,
    _C.DIRECT_REPLY_TO: "replies to STOMP go to a queue",
    _N.EXCHANGE_CHECKED: _NO_EXCHANGES,
    _N.AUTO_DELETE: "queues go with the socket that declared them, or stay",
    _N.SHARED_EXCLUSIVE: "an exclusive queue goes with the socket of its consumer",
    _N.REJECT_PUBLISH: "the broker says nothing and closes the socket",
    _N.LONG_NAMES: (
        "the name of an exchange becomes part of a key or of a topic's name"
    ),
    _N.DEATH_HISTORY: "it is a list, and what a broker puts into STOMP is text",
    _N.SESSION_ERRORS: _NOT_LINKED,
}

STOMP_RABBITMQ = Abilities(
    "``stomp``, RabbitMQ",
    "stomp",
    {**_STOMP, _N.OWN_PROPERTIES: "headers and delivery mode always have a value"},
)

_OF_ITSELF = "ActiveMQ makes a queue of every name that is used"
_POLICY = "only ActiveMQ's own configuration sets them"

STOMP_ACTIVEMQ = Abilities(
    "``stomp``, ActiveMQ",
    "stomp",
    {
        **_STOMP,
        _C.EXCHANGE_PASSIVE: _NO_EXCHANGES,
        _C.QUEUE_PASSIVE: _OF_ITSELF,
        _C.QUEUE_DELETE: "STOMP on ActiveMQ has no frame that deletes",
        _C.QUEUE_ARGUMENTS: _POLICY,
        _C.EXCLUSIVE_QUEUE: _OF_ITSELF,
        _C.SERVER_NAMED_QUEUE: _OF_ITSELF,
        _N.MISSING_QUEUE: _OF_ITSELF,
        _N.MISSING_EXCHANGE: _OF_ITSELF,
        _N.QUEUE_CHECKED: _OF_ITSELF,
        _N.ANY_BINDING: "each binding is a queue of ActiveMQ, and # only its last word",
        _N.OWN_PROPERTIES: "ActiveMQ gives every message an id, a time, a priority",
        _N.REQUEUE_IN_PLACE: "a copy goes to the end of the queue, in a transaction",
        _N.CHANNEL_ERRORS: "a mistake fails only the frame that has it",
    },
)

TABLE = (MEMORY, AMQP, TXAMQP, PIKA, STOMP_RABBITMQ, STOMP_ACTIVEMQ)
"""
The columns of the table in the docs, in order.
"""
