"""
The contract: a transport refuses what it cannot do before it sends anything.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from zope.interface import implementer

from tests.contract.capabilities import Abilities, Ability, Nature
from tests.contract.harness import (
    DEFAULT,
    Begin,
    ChannelWatcher,
    Harness,
    Inbox,
    Journal,
    SessionWatcher,
    consume,
    publish,
)
from txkombu.entity import Exchange, Queue
from txkombu.exceptions import NotSupported
from txkombu.interfaces import Capability, ISessionChannel
from txkombu.transport.endpoints import endpoint_for

_C = Capability


def _declares(**options: Any) -> Begin:
    """Declare a queue with a special argument or property."""
    return lambda c, q, e: c.queue_declare(Queue(f"{q.name} 2", **options), False)


def _exchanges(type: str) -> Begin:
    """Declare an exchange of a type."""
    return lambda c, q, e: c.exchange_declare(Exchange(f"{e.name} 2", type), False)


REFUSED: dict[Ability, list[Begin]] = {
    _C.CUSTOM_EXCHANGE_TYPES: [_exchanges("x-own")],
    _C.HEADERS_EXCHANGE: [_exchanges("headers")],
    _C.EXCHANGE_PASSIVE: [lambda c, q, e: c.exchange_declare(e, True)],
    _C.EXCHANGE_DELETE: [
        lambda c, q, e: c.exchange_delete(e, False),
        lambda c, q, e: c.exchange_delete(e, True),
    ],
    _C.EXCHANGE_BIND: [
        lambda c, q, e: c.exchange_bind(e, e, "key", {}),
        lambda c, q, e: c.exchange_unbind(e, e, "key", {}),
    ],
    _C.QUEUE_PASSIVE: [lambda c, q, e: c.queue_declare(q, True)],
    _C.QUEUE_UNBIND: [lambda c, q, e: c.queue_unbind(q, e, "key", {})],
    _C.QUEUE_PURGE: [lambda c, q, e: c.queue_purge(q)],
    _C.QUEUE_DELETE: [lambda c, q, e: c.queue_delete(q, False, False)],
    _C.QUEUE_DELETE_CONDITIONAL: [
        lambda c, q, e: c.queue_delete(q, True, False),
        lambda c, q, e: c.queue_delete(q, False, True),
    ],
    _C.QUEUE_ARGUMENTS: [_declares(max_length=1)],
    _C.EXCLUSIVE_QUEUE: [_declares(exclusive=True)],
    _C.SERVER_NAMED_QUEUE: [lambda c, q, e: c.queue_declare(Queue(""), False)],
    _C.MANDATORY: [lambda c, q, e: publish(c, DEFAULT, q.name, mandatory=True)],
    _C.CONFIRM: [lambda c, q, e: publish(c, DEFAULT, q.name)],
    _C.GET: [lambda c, q, e: c.basic_get(q, False)],
    _C.CONSUMER_EXCLUSIVE: [lambda c, q, e: consume(c, q, "lacking", exclusive=True)],
    _C.CONSUMER_ARGUMENTS: [
        lambda c, q, e: consume(c, q, "lacking", arguments={"x-priority": 1})
    ],
    _C.CONSUMER_PREFETCH: [lambda c, q, e: consume(c, q, "lacking", prefetch_count=1)],
    _C.CHANNEL_PREFETCH: [lambda c, q, e: c.basic_qos(3)],
    _C.RECOVER: [lambda c, q, e: c.basic_recover()],
    Nature.AUTO_DELETE: [_declares(auto_delete=True)],
    Nature.SHARED_EXCLUSIVE: [
        lambda c, q, e: c.basic_get(Queue(f"{q.name} 2", exclusive=True), False),
        lambda c, q, e: c.queue_purge(Queue(f"{q.name} 2", exclusive=True)),
    ],
    Nature.REJECT_PUBLISH: [
        _declares(max_length=1, queue_arguments={"x-overflow": "reject-publish"})
    ],
    Nature.ANY_BINDING: [
        lambda c, q, e: c.queue_bind(q, Exchange(e.name, "topic"), "#.b", {}),
        lambda c, q, e: c.queue_bind(q, Exchange(e.name, "topic"), "a.#.b", {}),
    ],
}
"""
For each capability with an operation of its own, a call that must be refused.
"""


class _Counted(ProtocolWrapper):
    """A transport that counts what is written."""

    def write(self, data: bytes) -> None:
        self.factory.written += 1
        super().write(data)

    def writeSequence(self, seq: Any) -> None:
        self.factory.written += 1
        super().writeSequence(seq)


class _Counting(WrappingFactory):
    """
    Makes protocols whose writes are counted.

    @ivar written: how many writes there were.
    """

    protocol = _Counted
    noisy = False

    def __init__(self, wrapped: IProtocolFactory) -> None:
        super().__init__(wrapped)
        self.written = 0


@implementer(IStreamClientEndpoint)
class Watched:
    """An endpoint whose connections and writes are counted."""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint
        self._factories: list[_Counting] = []

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        self._factories.append(_Counting(protocolFactory))
        return self._endpoint.connect(self._factories[-1])

    @property
    def counts(self) -> tuple[int, int]:
        """Return how often it connected, and how many writes there were."""
        return len(self._factories), sum(each.written for each in self._factories)


class _LackingTests(Harness):
    """What a transport cannot do fails before anything is sent."""

    async def check_refused(self, begins: list[Begin]) -> None:
        """Check that operations are refused, and that the channel continues."""
        watched = Watched(endpoint_for(self.parameters, self.clock))
        session = await self.transport.connect(
            self.parameters, watched, self.clock, SessionWatcher(Journal())
        )
        self.addCleanup(session.close)
        journal = Journal()
        channel = await session.open_channel(ChannelWatcher(journal))
        queue, exchange = await self.queue(channel), await self.exchange(channel)
        for begin in begins:
            before = watched.counts
            error = await self.refusal(NotSupported, begin(channel, queue, exchange))
            self.assertEqual(watched.counts, before)
            self.assertEqual(error.transport, self.parameters.scheme.name)
            self.assertTrue(error.operation)
        await self.check_lives(channel, queue)
        self.assertEqual(journal.entries, [])

    async def check_lives(self, channel: ISessionChannel, queue: Queue) -> None:
        """Check that a channel still works."""
        inbox = Inbox()
        await consume(channel, queue, inbox=inbox)
        await publish(channel, DEFAULT, queue.name, b"1")
        await inbox.first()
        self.assertEqual(inbox.bodies, [b"1"])

    async def check_silent(self) -> None:
        """Check that declaring a queue returns no counts."""
        channel = await self.channel()
        declared = await channel.queue_declare(Queue(self.name()), False)
        self.assertEqual(tuple(declared)[1:], (None, None))


def lacking(abilities: Abilities) -> list[type]:
    """
    Make the tests of what a transport cannot do: one for each capability that it lacks.

    @return: one group, or none if it lacks nothing.
    """
    made: dict[str, Any] = {
        f"test_{each.name.lower()}": _refuses(each)
        for each in abilities.lacks
        if each in REFUSED
    }
    if not abilities.can(Capability.QUEUE_COUNTS):
        made["test_queue_counts"] = _tells_nothing()
    name = "LackingTests"
    told = {"__doc__": _LackingTests.__doc__}
    return [type(name, (_LackingTests,), {**made, **told})] if made else []


def _refuses(ability: Ability) -> Callable[[Any], Coroutine[Any, Any, None]]:
    async def test(self: _LackingTests) -> None:
        await self.check_refused(REFUSED[ability])

    test.__doc__ = f"Not supported: {ability.value}."
    return test


def _tells_nothing() -> Callable[[Any], Coroutine[Any, Any, None]]:
    async def test(self: _LackingTests) -> None:
        """Declaring a queue returns no counts, rather than wrong ones."""
        await self.check_silent()

    return test
