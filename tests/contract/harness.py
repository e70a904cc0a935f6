"""
What the tests of the contract share: watchers of what a transport does.

Every name that is declared is new, so that tests may share one broker.
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
"""Seconds between two looks at what comes by itself."""
PATIENCE = 30.0
"""Seconds in which it has to."""

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
"""Every property, with a value that it may have."""


class Probe:
    """
    Watches a Deferred.

    @ivar outcomes: what it fired with; an error as the exception.
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
        """What it fired with; it must have, once."""
        (outcome,) = self.outcomes
        return outcome


class Event:
    """Something a test waits for, that happens once."""

    def __init__(self) -> None:
        self.deferred: Deferred[None] = Deferred()

    def happen(self) -> None:
        if not self.deferred.called:
            self.deferred.callback(None)


class Journal:
    """
    What happened, in order.

    @ivar entries: pairs of a name and what came with it.
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
        """What came with each entry of that name."""
        return [what for each, what in self.entries if each == name]

    async def first(self, name: str, number: int = 1) -> list[Any]:
        """
        Wait until there are so many entries of that name, and for the end of
        that turn of the reactor; give them.
        """
        if len(self.all(name)) < number:
            event = Event()
            self._awaited.append((name, number, event))
            await event.deferred
            await deferLater(IReactorTime(reactor), 0)
        return self.all(name)[:number]


@implementer(ISessionListener)
class SessionWatcher:
    """Notes what a session tells."""

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
    """Notes what a channel tells."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    def channel_lost(self, error: Exception) -> None:
        self.journal.note("channel_lost", error)

    def returned(self, message: Returned) -> None:
        self.journal.note("returned", message)


class Inbox:
    """A consumer's callbacks; notes C{delivery} and C{cancelled}."""

    def __init__(self, then: Callable[[Delivery], object] | None = None) -> None:
        """
        @param then: called with each delivery before it is noted.
        """
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
    What the contract's tests need of a broker, and what they share.

    A broker's class overrides what is other with it.

    @cvar abilities: what its transport can do with it.
    @cvar unknown_type: what an unknown type of exchange is refused with.
    @cvar ends_session: what L{ask_for_the_end} is refused with.
    @cvar generated: how names begin that the broker makes up.
    @cvar carried: the properties that arrive as they were published.
    @cvar held: what a publish fails with at a loss, begun behind declarations.
    @cvar late: whether a message shows that it was got by who no longer wanted it.
    @cvar immediate: those of L{OPERATIONS} that may need no word of the broker.
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
        """Whether this broker can do all of that."""
        return self.abilities.can(*wanted)

    def operations(self) -> dict[str, Begin]:
        """Those of L{OPERATIONS} that this transport can do."""
        return {
            name: begin
            for name, begin in OPERATIONS.items()
            if name not in NEEDED or self.can(NEEDED[name])
        }

    def protocols(self, session: ISession) -> list[object]:
        """The Twisted protocols of a session."""
        return [session]

    def ask_for_the_end(self, channel: ISessionChannel) -> Deferred[Any]:
        """Ask for something at which the broker ends the whole session."""
        return channel.exchange_declare(Exchange(self.name(), "no-such-type"), False)

    def offend(self, channel: ISessionChannel) -> Deferred[Any]:
        """Ask for something at which the broker ends the channel: a NotFound."""
        return channel.queue_declare(Queue(self.name()), True)

    def missing_exchange(self) -> Exchange:
        """An exchange that the broker does not have, and says so."""
        return Exchange(self.name())

    def lose(self, session: ISession) -> None:
        """Cut the connection, so that C{connectionLost} comes soon."""
        session.transport.abortConnection()  # type: ignore[attr-defined]  # what it is here has it

    def check_reply(
        self, error: BrokerError, about: str, text: str, method: tuple[int, int]
    ) -> None:
        """A refusal says what it is about, in the broker's words."""
        self.assertEqual(error.about, about)
        self.assertEqual(error.text, text)
        self.assertEqual((error.class_id, error.method_id), method)

    async def refusal(self, kind: type[_E], deferred: Deferred[Any]) -> _E:
        """Wait for a failure, which must be of that kind; give the error."""
        error = await self.assertFailure(deferred, kind)
        assert isinstance(error, kind)
        return error

    async def connect(self, journal: Journal | None = None) -> ISession:
        """Open a session, which is dropped when the test is over."""
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
        """A name that nothing has yet."""
        return f"{what}-{next(_counter)}"

    async def done(self, deferred: Deferred[Any]) -> None:
        """Wait for what fires with C{None}."""
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
        """How many messages a queue has ready."""
        declared = await channel.queue_declare(queue, True)
        assert declared.message_count is not None
        return declared.message_count

    async def consumers(self, channel: ISessionChannel, queue: Queue) -> int:
        """How many consumers a queue has."""
        declared = await channel.queue_declare(queue, True)
        assert declared.consumer_count is not None
        return declared.consumer_count

    async def check_ready(
        self, channel: ISessionChannel, queue: Queue, number: int
    ) -> None:
        """
        A queue has so many messages ready, once the broker has seen to what it
        was told: RabbitMQ's queues answer this first, and then do the rest.
        """
        await self._wait_for(number, lambda: self.ready(channel, queue))

    async def check_consumers(
        self, channel: ISessionChannel, queue: Queue, number: int
    ) -> None:
        """A queue has so many consumers, as L{check_ready}."""
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
        """The only consumer of a queue is gone, what was meant for it is ready."""
        await self.check_ready(channel, queue, number)
        await self.check_consumers(channel, queue, 0)

    async def check_empty(self, channel: ISessionChannel, queue: Queue) -> None:
        """There is nothing to get from a queue, now."""
        self.assertIsNone(await channel.basic_get(queue, False))

    async def check_left(
        self, channel: ISessionChannel, queue: Queue, *bodies: bytes
    ) -> None:
        """What is in a queue, in order, which is taken out of it."""
        for body in bodies:
            delivery = await self.take(channel, queue, no_ack=True)
            self.assertEqual(delivery.body, body)
        await self.check_empty(channel, queue)

    async def settled(self, channel: ISessionChannel, queue: Queue) -> None:
        """Wait until the broker has done all that was asked before."""
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
        """Get a message that the broker takes back from a session that closed."""
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
    """Start a consumer, with what most tests do not care about at its default."""
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
    """Publish, with what most tests do not care about at its default."""
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
"""Every operation that has a reply and may fail, with a queue and an exchange."""

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
"""What an operation needs, beyond what every transport can do."""
