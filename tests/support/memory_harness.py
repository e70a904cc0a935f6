"""
The base of the memory broker's tests: a broker under a Clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import ChannelWatcher, Inbox, Journal, SessionWatcher
from txkombu.entity import Exchange, Queue
from txkombu.interfaces import Delivery, ISessionChannel
from txkombu.transport.memory import MemoryBroker
from txkombu.transport.memory.session import MemorySession
from txkombu.url import Parameters

T = TypeVar("T")
DEFAULT = Exchange("")


class MemoryTestCase(SynchronousTestCase):
    """
    Has a broker; at the end of a test it closes the sessions, and expects an empty
    clock.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.broker = MemoryBroker(self.clock)
        self.addCleanup(self.check_clock)

    def check_clock(self) -> None:
        """Close what is open, and check that the clock has no calls left."""
        for session in list(self.broker.sessions):
            session.abort()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def done(self, deferred: Deferred[T]) -> T:
        """Let things happen, and return the result, which must have arrived."""
        self.broker.flush()
        return self.successResultOf(deferred)

    def connect(
        self, journal: Journal | None = None, vhost: str = "/"
    ) -> MemorySession:
        """Return a new session."""
        parameters = Parameters("memory", virtual_host=vhost)
        listener = SessionWatcher(journal or Journal())
        session = self.done(self.broker.connect(parameters, None, self.clock, listener))
        assert isinstance(session, MemorySession)
        return session

    def channel(
        self, session: MemorySession | None = None, journal: Journal | None = None
    ) -> ISessionChannel:
        """Return a channel, of a new session if none is given."""
        watcher = ChannelWatcher(journal or Journal())
        return self.done((session or self.connect()).open_channel(watcher))

    def queue(
        self, channel: ISessionChannel, name: str = "q", **options: object
    ) -> Queue:
        """Declare a queue, and return it."""
        queue = Queue(name, queue_arguments=_arguments(options))
        self.done(channel.queue_declare(queue, False))
        return queue

    def put(
        self, channel: ISessionChannel, queue: Queue, *bodies: bytes, **properties: str
    ) -> None:
        """Publish to a queue, with confirm."""
        for body in bodies:
            self.done(
                channel.basic_publish(
                    body, properties, DEFAULT, queue.name, False, True
                )
            )

    def consume(
        self,
        channel: ISessionChannel,
        queue: Queue,
        tag: str = "c",
        then: Callable[[Delivery], object] | None = None,
        no_ack: bool = False,
        prefetch: int = 0,
    ) -> Inbox:
        """Start a consumer; return it and the list of its deliveries."""
        inbox = Inbox(then)
        channel.basic_consume(
            queue,
            tag,
            no_ack,
            False,
            {},
            prefetch,
            inbox.on_delivery,
            inbox.on_cancelled,
        )
        return inbox

    def waiting(self, name: str = "q") -> list[bytes]:
        """Return the bodies that wait in a queue."""
        return [message.body for message in self.broker.queue(name).waiting]


def _arguments(options: Mapping[str, object]) -> dict[str, object]:
    """Turn C{x_message_ttl=1} into C{x-message-ttl}."""
    return {name.replace("_", "-"): value for name, value in options.items()}
