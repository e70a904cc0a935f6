"""
Write docs/reference/supported.rst: which method, extension and frame each transport
has.  C{python -m tests.documentation.supported}.

pamqp names the methods of AMQP, and stompest the frames of STOMP; whether the library
uses one is read from its source.  What brokers lack is in
L{tests.contract.capabilities}; what the memory broker, and the two dialects of STOMP,
make of an argument is tried; which ones streams take is listed, and tried on RabbitMQ.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

from pamqp import commands
from pamqp.base import Frame
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from benchmarks import tables
from tests.contract.capabilities import (
    AMQP,
    MEMORY,
    STOMP_ACTIVEMQ,
    STOMP_RABBITMQ,
    Abilities,
)
from tests.documentation.entities import list_table
from tests.documentation.supported_rows import (
    ARGUMENTS,
    EXTENSIONS,
    FRAMES,
    HEADERS,
    METHODS,
    NO,
    NOTHING,
    OF_BROKERS,
    OF_STREAMS,
    YES,
    Extension,
    Method,
)
from tests.packaging.test_layout import LIBRARY
from tests.support.paths import DOCS
from txkombu import BrokerConnection, Exchange, Producer, Queue
from txkombu.exceptions import KombuError, NotSupported, PreconditionFailed
from txkombu.interfaces import IRenewableSession
from txkombu.transport.amqp.session import AmqpSession
from txkombu.transport.memory.arguments import CHECKS, read_arguments
from txkombu.transport.memory.broker import MemoryBroker
from txkombu.transport.memory.errors import Refused
from txkombu.transport.memory.session import MemorySession
from txkombu.transport.stomp.activemq.dialect import ActiveMQDialect
from txkombu.transport.stomp.dialect import Dialect
from txkombu.transport.stomp.rabbitmq.dialect import RabbitMQDialect
from txkombu.transport.stomp.session import StompSession
from txkombu.transport.stomp.wire.stompest_core import StompSpec

PAGE: Final = DOCS / "reference" / "supported.rst"
COLUMNS: Final = (AMQP, MEMORY, STOMP_RABBITMQ, STOMP_ACTIVEMQ)
"""The three transports for AMQP share a column: they can do the same."""
HEAD: Final = ("AMQP", "memory", "STOMP, RabbitMQ", "STOMP, ActiveMQ")
_AMQP_SOURCE: Final = LIBRARY / "transport" / "amqp"
_STOMP_SOURCE: Final = LIBRARY / "transport" / "stomp"


def _answer(broker: Abilities, needs: Any) -> str:
    return YES if needs is None or broker.can(needs) else NO


# --- methods of AMQP ------------------------------------------------------------


def requests() -> dict[str, list[str]]:
    """Return the methods that are no replies, each with the names of its replies."""
    kinds = cast("Mapping[int, type[Frame]]", commands.INDEX_MAPPING)
    replies = {
        each for kind in kinds.values() for each in getattr(kind, "valid_responses", [])
    }
    return {
        kind.name: [
            each.partition(".")[2] for each in getattr(kind, "valid_responses", [])
        ]
        for _, kind in sorted(kinds.items())
        if kind.name not in replies
    }


def methods_used() -> set[str]:
    """Return the methods that the source of the AMQP transport names."""
    return {
        f"{owner.lstrip('_')}.{node.attr}"
        for path in _AMQP_SOURCE.rglob("*.py")
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Attribute)
        for owner in [ast.unparse(node.value).rpartition(".")[2]]
    }


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def methods() -> str:
    """Return the table of methods."""
    used, rows = methods_used(), []
    for name, replies in requests().items():
        known = METHODS[name]
        rows.append(
            [
                _dashed([name, *replies]),
                YES if name in used else NO,
                *(_of_method(known, broker) for broker in COLUMNS[1:]),
                known.call,
            ]
        )
    head = ["method, replies", *HEAD, "in txkombu, or instead"]
    return list_table(head, [22, 8, 14, 16, 16, 24], rows)


def _of_method(method: Method, broker: Abilities) -> str:
    return NOTHING if method.only_amqp else _answer(broker, method.needs)


def _dashed(names: Sequence[str]) -> str:
    """Write the names as the specification does."""
    texts = []
    for name in names:
        owner, _, word = name.rpartition(".")
        cut = "".join(f"-{each.lower()}" if each.isupper() else each for each in word)
        texts.append(f"``{owner.lower() + '.' if owner else ''}{cut.lstrip('-')}``")
    return ", ".join(texts)


# --- extensions -----------------------------------------------------------------


def extensions() -> str:
    """Return the table of RabbitMQ's extensions."""
    rows = [[each.what, *_of_extension(each), each.how] for each in EXTENSIONS]
    head = ["extension", *HEAD, "in txkombu"]
    return list_table(head, [22, 10, 14, 15, 15, 24], rows)


def _of_extension(extension: Extension) -> Iterator[str]:
    for number, broker in enumerate(COLUMNS):
        if extension.needs is not None:
            yield _answer(broker, extension.needs)
            continue
        said = extension.answers[number]
        _, _, name = said.partition("probe:")
        yield said if not name else PROBES[name](broker)


def _dialect(broker: Abilities) -> Dialect:
    kind = RabbitMQDialect if broker is STOMP_RABBITMQ else ActiveMQDialect
    return kind("", "guest")


def _tried(attempt: Callable[[], object]) -> str:
    """Return how an attempt ends: it is done, or not supported."""
    try:
        attempt()
    except NotSupported:
        return NO
    return YES


def _secret(broker: Abilities) -> str:
    sessions: Mapping[str, type] = {
        "amqp": AmqpSession,
        "memory": MemorySession,
        "stomp": StompSession,
    }
    can = IRenewableSession.implementedBy(sessions[broker.scheme])
    return YES if can else "with the next login"


def _alternate(broker: Abilities) -> str:
    exchange = Exchange("some", arguments={"alternate-exchange": "other"})
    if broker.scheme == "stomp":
        return _tried(lambda: _dialect(broker).check_exchange(exchange))
    other = Exchange("other", "fanout")
    return _arrives(broker, [exchange, Queue("found", other)], exchange, "found")


def _copies(broker: Abilities) -> str:
    headers = {"CC": ["found"]}
    if broker is STOMP_ACTIVEMQ:
        return "without effect"
    if broker.scheme == "stomp":
        return _tried(lambda: _dialect(broker).properties({"headers": headers}, 0))
    queues = [Queue("found")]
    return _arrives(broker, queues, Exchange(""), "found", headers=headers)


def _user(broker: Abilities) -> str:
    claimed = {"user_id": "another"}
    if broker is AMQP:
        return YES
    try:
        if broker is MEMORY:
            _publish_in_memory([], Exchange("amq.fanout"), claimed)
        else:
            _dialect(broker).properties(claimed, 0)
    except (PreconditionFailed, ValueError):
        return YES
    return "not checked"


def _quorum(broker: Abilities) -> str:
    if broker is MEMORY:
        return f"{YES}, of one node"
    return _of_queue(broker, Queue("q", queue_type="quorum"))


def _stream(broker: Abilities) -> str:
    return _of_queue(broker, Queue("q", queue_type="stream"))


def _of_queue(broker: Abilities, queue: Queue) -> str:
    if broker is AMQP:
        return YES
    if broker is MEMORY:
        return _tried(lambda: _publish_in_memory([queue], Exchange("amq.fanout"), {}))
    return _tried(lambda: _dialect(broker).check_queue(queue))


def _arrives(
    broker: Abilities,
    declared: Sequence[Exchange | Queue],
    exchange: Exchange,
    queue: str,
    **properties: object,
) -> str:
    """Return whether a message gets to a queue of the memory broker; AMQP has all."""
    if broker is AMQP:
        return YES
    memory = _publish_in_memory(declared, exchange, properties)
    return YES if len(memory.queue(queue).waiting) else NO


def _publish_in_memory(
    declared: Sequence[Exchange | Queue],
    exchange: Exchange,
    properties: Mapping[str, object],
) -> MemoryBroker:
    """
    Declare, publish a message that goes nowhere by its key, and return the broker.

    @raise KombuError: that was refused.
    """
    clock = Clock()
    memory = MemoryBroker(clock)
    connection = BrokerConnection(transport=memory, reactor=clock)
    publishing = Producer(connection, exchange).publish(
        b"",
        "nowhere",
        declare=declared,
        **properties,  # type: ignore[arg-type]
    )
    found: list[object] = []
    publishing.addBoth(found.append)
    while not found:
        clock.advance(0.01)
    closing: Deferred[None] = connection.close()
    while not closing.called:
        clock.advance(0.01)
    error = getattr(found[0], "value", None)
    if isinstance(error, KombuError):
        raise error
    return memory


PROBES: Final[Mapping[str, Callable[[Abilities], str]]] = {
    "secret": _secret,
    "alternate": _alternate,
    "copies": _copies,
    "user": _user,
    "quorum": _quorum,
    "stream": _stream,
}
"""What finds out whether a broker has an extension."""


# --- arguments of queues ----------------------------------------------------------


def arguments() -> str:
    """Return the table of the arguments of queues."""
    rows = [
        [
            f"``{name}``",
            kinds_of(name),
            YES,
            of_memory(name),
            _of_dialect(name),
            NO,
            ARGUMENTS[name][1],
        ]
        for name in CHECKS
    ]
    head = ["argument", "queues", *HEAD, "meaning"]
    return list_table(head, [20, 12, 8, 14, 14, 14, 18], rows)


def _given(name: str) -> dict[str, object]:
    """Return the other arguments that one makes sense with."""
    needs = ("x-dead-letter-routing-key", "x-dead-letter-strategy")
    return {"x-dead-letter-exchange": ""} if name in needs else {}


def _meanings(name: str) -> Iterator[tuple[str, bool]]:
    """Give the kinds of queues that take an argument, and whether it has an effect."""
    for kind in ("classic", "quorum"):
        before = {"x-queue-type": kind, **_given(name)}
        if name == "x-queue-type":
            before = {}
        after = {**before, name: ARGUMENTS[name][0]}
        try:
            meaning = read_arguments("q", "/", after)
        except Refused:
            continue
        yield kind, meaning != read_arguments("q", "/", before)


def kinds_of(name: str) -> str:
    """Return which kinds of queues take an argument."""
    kinds = [kind for kind, _ in _meanings(name)]
    return ", ".join([*kinds, "stream"] if name in OF_STREAMS else kinds)


def of_memory(name: str) -> str:
    """Return what an argument does on the memory broker."""
    found = [effect for _, effect in _meanings(name)]
    if not found:
        return NO
    return YES if any(found) else "without effect"


def _of_dialect(name: str) -> str:
    value = {**_given(name), name: ARGUMENTS[name][0]}
    queue = Queue("q", queue_arguments=value)
    return _tried(lambda: RabbitMQDialect().check_queue(queue))


# --- frames and headers of STOMP ---------------------------------------------------


_BROKERS: Final = ("rabbitmq", "activemq")
READ_BY_STOMPEST: Final = frozenset(("server", "session"))
"""What stompest reads of the answer to a login, and returns."""


@cache
def used_on(folder: str) -> frozenset[str]:
    """
    Return the words that the source of the STOMP transport has for one broker: its
    texts, and the beginnings of those that have more than one word.

    @param folder: the package of the broker.
    """
    return frozenset(
        word
        for path in _STOMP_SOURCE.rglob("*.py")
        if path.parent.name in (folder, "stomp", "wire")
        for node in ast.walk(_tree(path))
        for word in _words(node)
    )


def _words(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "StompSpec":
        yield node.attr
        yield str(getattr(StompSpec, node.attr))
    if isinstance(node, ast.Constant):
        value = node.value
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        if isinstance(text, str):
            yield text
            yield text.partition("\n")[0].partition(":")[0]


def frames() -> str:
    """Return the table of frames."""
    rows = []
    for command, what in FRAMES.items():
        versions = [
            version for version, known in StompSpec.COMMANDS.items() if command in known
        ]
        uses = [_uses(command, each) for each in _BROKERS]
        rows.append([f"``{command}``", ", ".join(sorted(versions)), *uses, what])
    head = ["frame", "STOMP", *HEAD[2:], "for"]
    return list_table(head, [16, 16, 12, 12, 44], rows)


def headers() -> str:
    """Return the table of headers: those of the specification, then others."""
    rows = [
        [f"``{name}``", "1.2", *(_uses(name, each) for each in _BROKERS), what]
        for name, what in HEADERS.items()
    ]
    rows += [
        [
            f"``{name}``",
            "own",
            *(YES if each in header.brokers else NO for each in _BROKERS),
            header.what,
        ]
        for name, header in OF_BROKERS.items()
    ]
    head = ["header", "STOMP", *HEAD[2:], "for"]
    return list_table(head, [22, 10, 12, 12, 44], rows)


def _uses(word: str, broker: str) -> str:
    return YES if word in used_on(broker) | READ_BY_STOMPEST else NO


TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "methods": methods,
    "extensions": extensions,
    "arguments": arguments,
    "frames": frames,
    "headers": headers,
}


if __name__ == "__main__":
    for kind, make in TABLES.items():
        tables.write(kind, make(), PAGE)
