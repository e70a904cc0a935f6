"""
The base of the contract's tests: watchers that record what a transport does.

Every declared name is new, so that tests may share one broker.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timezone
from itertools import count
from typing import Any, TypeVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from tests.contract.capabilities import AMQP, Abilities, Ability
from txkombu.entity import Exchange, Queue
from txkombu.exceptions import BrokerError, CommandInvalid, OutcomeUnknown, PublishError
from txkombu.interfaces import (
    Capability,
    Delivery,
    IBrokerTransport,
    ISession,
    ISessionChannel,
    ISessionChannelListener,
    ISessionListener,
    Returned,
)
from txkombu.url import Parameters

_E = TypeVar("_E", bound=Exception)

Begin = Callable[[ISessionChannel, Queue, Exchange], Deferred[Any]]

_counter = count(1)

STEP = 0.02
"""
Seconds between two checks of something that happens by itself.
"""
PATIENCE = 30.0
"""
Seconds within which it has to happen.
"""

PROPERTIES: Mapping[str, Any] = {
    "content_type": "text/plain",
    "content_encoding": "utf-8",
    "headers": {"a": "1"},
    "delivery_mode": 2,
    "priority": 3,
    "correlation_id": "ü",
    "reply_to": "there",
    "expiration": "60000",
    "message_id": "m-1",
    "timestamp": datetime(2020, 2, 29, 12, tzinfo=timezone.utc),
    "type": "kind",
    "user_id": "guest",
    "app_id": "app",
}
"""
Every property, with a valid value.
"""


class Probe:
    """
    Watches a Deferred.

    @ivar outcomes: the results with which it fired; an error as the exception.
    """

    def __init__(self, deferred: Deferred[Any]) -> None:
        self.deferred = deferred
        self.outcomes: list[Any] = []
        deferred.addCallbacks(self.outcomes.append, self._failed)

    def _failed(self, reason: Failure) -> None:
        self.outcomes.append(reason.value)

    @property
    def fired(self) -> bool:
        return bool(self.outcomes)

    @property
    def outcome(self) -> Any:
        """The result; there must be exactly one."""
        (outcome,) = self.outcomes
        return outcome


class Event:
    """Something that a test waits for, and that happens once."""

    def __init__(self) -> None:
        self.deferred: Deferred[None] = Deferred()

    def happen(self) -> None:
        if not self.deferred.called:
            self.deferred.callback(None)


class Journal:
    """
    Records what happened, in order.

    @ivar entries: pairs of a name and a value.
    """

    def __init__(self) -> None:
        self.entries: list[tuple[str, Any]] = []
        self._awaited: list[tuple[str, int, Event]] = []

    def note(self, name: str, what: Any = None) -> None:
        self.entries.append((name, what))
        for awaited, number, event in list(self._awaited):
            if len(self.all(awaited)) >= number:
                event.happen()

    def all(self, name: str) -> list[Any]:
        """Return the values of all entries of that name."""
        return [what for each, what in self.entries if each == name]

    async def first(self, name: str, number: int = 1) -> list[Any]:
        """
        Wait until there are so many entries of that name, and for the end of that turn
        of the reactor; return their values.
        """
        if len(self.all(name)) < number:
            event = Event()
            self._awaited.append((name, number, event))
            await event.deferred
            await deferLater(IReactorTime(reactor), 0)
        return self.all(name)[:number]


@implementer(ISessionListener)
class SessionWatcher:
    """Records what a session tells its listener."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    def session_lost(self, reason: Exception) -> None:
        self.journal.note("session_lost", reason)

    def blocked(self, reason: str) -> None:
        self.journal.note("blocked", reason)

    def unblocked(self) -> None:
        self.journal.note("unblocked")

    def write_paused(self) -> None:
        self.journal.note("write_paused")

    def write_resumed(self) -> None:
        self.journal.note("write_resumed")


@implementer(ISessionChannelListener)
class ChannelWatcher:
    """Records what a channel tells its listener."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    def channel_lost(self, error: Exception) -> None:
        self.journal.note("channel_lost", error)

    def returned(self, message: Returned) -> None:
        self.journal.note("returned", message)


class Inbox:
    """The callbacks of a consumer; records C{delivery} and C{cancelled}."""

    def __init__(self, then: Callable[[Delivery], object] | None = None) -> None:
        """@param then: called with each delivery before it is recorded."""
        self.journal = Journal()
        self._then = then

    def on_delivery(self, delivery: Delivery) -> None:
        try:
            if self._then is not None:
                self._then(delivery)
        finally:
            self.journal.note("delivery", delivery)

    def on_cancelled(self, error: Exception) -> None:
        self.journal.note("cancelled", error)

    @property
    def bodies(self) -> list[bytes]:
        return [each.body for each in self.journal.all("delivery")]

    async def first(self, number: int = 1) -> list[Delivery]:
        """Wait for so many deliveries."""
        return await self.journal.first("delivery", number)


class Harness(TestCase):
    """
    The base of the contract's tests, with what they need of a broker.

    A broker's class overrides what is different on that broker.

    @cvar abilities: what its transport can do on this broker.
    @cvar unknown_type: the error for an unknown type of exchange.
    @cvar ends_session: the error of L{ask_for_the_end}.
    @cvar generated: how names begin that the broker generates.
    @cvar carried: the properties that arrive as they were published.
    @cvar held: the error of a publish that waits for declarations at a loss.
    @cvar late: whether a message shows that a cancelled get received it.
    @cvar immediate: the operations of L{OPERATIONS} that may need no answer of the
        broker.
    """

    timeout = 120

    abilities: Abilities = AMQP
    transport: IBrokerTransport
    parameters: Parameters
    clock: IReactorTime
    unknown_type: type[BrokerError] = CommandInvalid
    ends_session: type[BrokerError] = CommandInvalid
    generated = "amq.gen-"
    carried: Mapping[str, Any] = PROPERTIES
    held: type[PublishError] = OutcomeUnknown
    late: tuple[bool, ...] = (True,)
    immediate: frozenset[str] = frozenset()

    def can(self, *wanted: Ability) -> bool:
        """Return whether this broker can do all of that."""
        return self.abilities.can(*wanted)

    def operations(self) -> dict[str, Begin]:
        """Return the operations of L{OPERATIONS} that this transport can do."""
        return {
            name: begin
            for name, begin in OPERATIONS.items()
            if name not in NEEDED or self.can(NEEDED[name])
        }

    def protocols(self, session: ISession) -> list[object]:
        """Return the Twisted protocols of a session."""
        return [session]

    def ask_for_the_end(self, channel: ISessionChannel) -> Deferred[Any]:
        """Ask for something for which the broker ends the whole session."""
        return channel.exchange_declare(Exchange(self.name(), "no-such-type"), False)

    def offend(self, channel: ISessionChannel) -> Deferred[Any]:
        """Ask for something for which the broker ends the channel, with NotFound."""
        return channel.queue_declare(Queue(self.name()), True)

    def missing_exchange(self) -> Exchange:
        """Return an exchange that the broker reports as missing."""
        return Exchange(self.name())

    def lose(self, session: ISession) -> None:
        """Cut the connection, so that C{connectionLost} is called soon."""
        session.transport.abortConnection()  # type: ignore[attr-defined]  # every transport here has it

    def check_reply(
        self, error: BrokerError, about: str, text: str, method: tuple[int, int]
    ) -> None:
        """Check that a refusal names its object in the broker's words."""
        self.assertEqual(error.about, about)
        self.assertEqual(error.text, text)
        self.assertEqual((error.class_id, error.method_id), method)

    async def refusal(self, kind: type[_E], deferred: Deferred[Any]) -> _E:
        """Wait for a failure, which must be of that kind; return the error."""
        error = await self.assertFailure(deferred, kind)
        assert isinstance(error, kind)
        return error

    async def connect(self, journal: Journal | None = None) -> ISession:
        """Open a session, which is dropped at the end of the test."""
        session = await self.transport.connect(
            self.parameters, None, self.clock, SessionWatcher(journal or Journal())
        )
        self.addCleanup(session.close)
        return session

    async def channel(
        self, session: ISession | None = None, journal: Journal | None = None
    ) -> ISessionChannel:
        """Open a channel, of a new session if none is given."""
        if session is None:
            session = await self.connect()
        return await session.open_channel(ChannelWatcher(journal or Journal()))

    # --- names and messages --------------------------------------------------

    def name(self, what: str = "name") -> str:
        """Return a new name."""
        return f"{what}-{next(_counter)}"

    async def done(self, deferred: Deferred[Any]) -> None:
        """Wait for a Deferred, which has to fire with C{None}."""
        self.assertIsNone(await deferred)

    async def queue(self, channel: ISessionChannel, **options: Any) -> Queue:
        """Declare a new queue."""
        queue = Queue(self.name("queue"), **options)
        await channel.queue_declare(queue, False)
        return queue

    async def exchange(
        self, channel: ISessionChannel, type: str = "direct", **options: Any
    ) -> Exchange:
        """Declare a new exchange."""
        exchange = Exchange(self.name("exchange"), type, **options)
        await channel.exchange_declare(exchange, False)
        return exchange

    async def put(self, channel: ISessionChannel, queue: Queue, *bodies: bytes) -> None:
        """Put messages into a queue."""
        for body in bodies:
            await channel.basic_publish(body, {}, DEFAULT, queue.name, False, True)

    async def ready(self, channel: ISessionChannel, queue: Queue) -> int:
        """Return how many messages of a queue are ready."""
        declared = await channel.queue_declare(queue, True)
        assert declared.message_count is not None
        return declared.message_count

    async def consumers(self, channel: ISessionChannel, queue: Queue) -> int:
        """Return how many consumers a queue has."""
        declared = await channel.queue_declare(queue, True)
        assert declared.consumer_count is not None
        return declared.consumer_count

    async def check_ready(
        self, channel: ISessionChannel, queue: Queue, number: int
    ) -> None:
        """
        Check how many messages of a queue are ready, once the broker has done
        everything before: RabbitMQ's queues answer this first, and then do the rest.
        """
        await self._wait_for(number, lambda: self.ready(channel, queue))

    async def check_consumers(
        self, channel: ISessionChannel, queue: Queue, number: int
    ) -> None:
        """Check how many consumers a queue has, as L{check_ready} does."""
        await self._wait_for(number, lambda: self.consumers(channel, queue))

    async def _wait_for(self, wanted: int, ask: Callable[[], Awaitable[int]]) -> None:
        limit = self.clock.seconds() + PATIENCE
        while (found := await ask()) != wanted:
            if self.clock.seconds() > limit:
                self.assertEqual(found, wanted)
            await deferLater(self.clock, STEP)

    async def check_cancelled(
        self, channel: ISessionChannel, queue: Queue, number: int
    ) -> None:
        """
        Check that a queue's only consumer is gone, and that its messages are ready.
        """
        await self.check_ready(channel, queue, number)
        await self.check_consumers(channel, queue, 0)

    async def check_empty(self, channel: ISessionChannel, queue: Queue) -> None:
        """Check that there is nothing to get from a queue now."""
        self.assertIsNone(await channel.basic_get(queue, False))

    async def check_left(
        self, channel: ISessionChannel, queue: Queue, *bodies: bytes
    ) -> None:
        """Take all messages out of a queue, and check them and their order."""
        for body in bodies:
            delivery = await self.take(channel, queue, no_ack=True)
            self.assertEqual(delivery.body, body)
        await self.check_empty(channel, queue)

    async def settled(self, channel: ISessionChannel, queue: Queue) -> None:
        """Wait until the broker has done everything that it was asked before."""
        await channel.queue_declare(queue, False)

    async def take(
        self, channel: ISessionChannel, queue: Queue, no_ack: bool = False
    ) -> Delivery:
        """Get a message, which must be there."""
        delivery = await channel.basic_get(queue, no_ack)
        assert delivery is not None
        return delivery

    async def take_returned(
        self, channel: ISessionChannel, queue: Queue, no_ack: bool = False
    ) -> Delivery:
        """Get a message that the broker requeues from a session that closed."""
        limit = self.clock.seconds() + PATIENCE
        while (delivery := await channel.basic_get(queue, no_ack)) is None:
            assert self.clock.seconds() < limit, f"nothing comes to {queue.name}"
            await deferLater(self.clock, STEP)
        return delivery


DEFAULT = Exchange("")


def consume(
    channel: ISessionChannel,
    queue: Queue,
    tag: str = "tag",
    inbox: Inbox | None = None,
    no_ack: bool = False,
    exclusive: bool = False,
    prefetch_count: int = 100,
    arguments: Mapping[str, object] | None = None,
) -> Deferred[None]:
    """Start a consumer, with defaults for what most tests do not care about."""
    inbox = inbox or Inbox()
    return channel.basic_consume(
        queue,
        tag,
        no_ack,
        exclusive,
        arguments or {},
        prefetch_count,
        inbox.on_delivery,
        inbox.on_cancelled,
    )


def publish(
    channel: ISessionChannel,
    exchange: Exchange,
    routing_key: str,
    body: bytes = b"body",
    mandatory: bool = False,
    confirm: bool = True,
    **properties: Any,
) -> Deferred[None]:
    """Publish, with defaults for what most tests do not care about."""
    return channel.basic_publish(
        body, properties, exchange, routing_key, mandatory, confirm
    )


OPERATIONS: dict[str, Begin] = {
    "exchange_declare": lambda c, q, e: c.exchange_declare(e, False),
    "exchange_declare passive": lambda c, q, e: c.exchange_declare(e, True),
    "exchange_delete": lambda c, q, e: c.exchange_delete(e, False),
    "exchange_bind": lambda c, q, e: c.exchange_bind(e, e, "key", {}),
    "exchange_unbind": lambda c, q, e: c.exchange_unbind(e, e, "key", {}),
    "queue_declare": lambda c, q, e: c.queue_declare(q, False),
    "queue_declare passive": lambda c, q, e: c.queue_declare(q, True),
    "queue_bind": lambda c, q, e: c.queue_bind(q, e, "key", {}),
    "queue_unbind": lambda c, q, e: c.queue_unbind(q, e, "key", {}),
    "queue_purge": lambda c, q, e: c.queue_purge(q),
    "queue_delete": lambda c, q, e: c.queue_delete(q, False, False),
    "basic_consume": lambda c, q, e: consume(c, q, "of operations"),
    "basic_get": lambda c, q, e: c.basic_get(q, False),
    "basic_qos": lambda c, q, e: c.basic_qos(7),
    "basic_recover": lambda c, q, e: c.basic_recover(),
}
"""
Every operation that has a reply and may fail, called with a queue and an exchange.
"""

NEEDED: dict[str, Capability] = {
    "exchange_declare passive": Capability.EXCHANGE_PASSIVE,
    "exchange_delete": Capability.EXCHANGE_DELETE,
    "exchange_bind": Capability.EXCHANGE_BIND,
    "exchange_unbind": Capability.EXCHANGE_BIND,
    "queue_declare passive": Capability.QUEUE_PASSIVE,
    "queue_unbind": Capability.QUEUE_UNBIND,
    "queue_purge": Capability.QUEUE_PURGE,
    "queue_delete": Capability.QUEUE_DELETE,
    "basic_get": Capability.GET,
    "basic_qos": Capability.CHANNEL_PREFETCH,
    "basic_recover": Capability.RECOVER,
}
"""
What an operation needs beyond what every transport can do.
"""
