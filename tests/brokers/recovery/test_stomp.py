"""
What becomes of programs on STOMP whose network, or whose broker, fails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from tests.conformance.suite import Conformance, program
from tests.contract.capabilities import STOMP_ACTIVEMQ, STOMP_RABBITMQ
from tests.contract.harness import Probe
from tests.support.activemq import ActiveMQ, activemq, fragile_activemq
from tests.support.closing import shorten_closing
from tests.support.fault_proxy import FaultProxy, Link
from tests.support.rabbitmq import HOST, RabbitMQ, fragile_rabbitmq, rabbitmq
from txkombu import BrokerConnection, Channel, Consumer, Message, Producer, Queue
from txkombu._util import backoff
from txkombu.exceptions import NotSent, OutcomeUnknown, SessionLost
from txkombu.policy import ReconnectPolicy
from txkombu.url import parse_url

WINDOW = 400
"""How many publishes are under way at once."""


class Faults(Conformance):
    """
    What the cases share: programs that publish again what was not confirmed,
    and note what they received.

    @ivar received: how often each number came.
    @ivar verdicts: how often a publish ended in each way.
    """

    timeout = 300

    def setUp(self) -> None:
        self.broker: Any = self.start_broker()
        self.url = self.broker.stomp_url
        super().setUp()
        # Reconnecting is to be soon, however often.
        self.patch(backoff, "DEFAULT", ReconnectPolicy(first=0.1, max=0.5))
        self.received: Counter[int] = Counter()
        self.verdicts: Counter[str] = Counter()
        self.ended: list[Exception] = []

    def start_broker(self) -> ActiveMQ | RabbitMQ:
        """The broker to use."""
        raise NotImplementedError

    async def sweep(self) -> None:
        """The broker is the tests' own, and keeps what was made."""

    async def until(self, holds: Any, what: str) -> None:
        """Wait until something holds, for a long time if need be."""
        for _ in range(6000):
            if holds():
                return
            await self.pause(0.02)
        self.fail(f"waited in vain until {what}")

    async def receive(self, message: Message) -> None:
        """A consumer's handler: note the message, and ack it."""
        self.received[int(str(message.payload))] += 1
        await message.ack()

    async def publish(self, producer: Producer, queue: Queue, number: int) -> None:
        """Publish a number, again and again until it is confirmed."""
        for _ in range(100):
            try:
                await producer.publish(
                    number, queue.name, delivery_mode="persistent", timeout=60
                )
            except (NotSent, OutcomeUnknown) as error:
                self.verdicts[type(error).__name__] += 1
            else:
                self.verdicts["confirmed"] += 1
                return
        self.fail(f"{number} was never confirmed: {self.verdicts}")

    async def publish_each(
        self, producer: Producer, queue: Queue, numbers: Iterable[int]
    ) -> None:
        """Publish numbers, many at once."""
        numbers = iter(numbers)

        async def work() -> None:
            for number in numbers:
                await self.publish(producer, queue, number)

        began = [Deferred.fromCoroutine(work()) for _ in range(WINDOW)]
        for each in began:
            await each

    async def all_received(self, numbers: Iterable[int]) -> None:
        """Wait until each has come."""
        wanted = set(numbers)
        await self.until(
            lambda: wanted <= self.received.keys(), f"all of {len(wanted)} had come"
        )

    async def consuming(self, connection: BrokerConnection) -> Queue:
        """Start a consumer of a new queue; give the queue."""
        queue = self.queue()
        consumer = Consumer(
            connection,
            queue,
            on_message=self.receive,
            on_cancel=lambda tag, error: self.ended.append(error),
        )
        await consumer.consume()
        return queue

    async def goes_on(
        self, connection: BrokerConnection, queue: Queue, number: int
    ) -> None:
        """Publish a number on a connection, and wait for it to come back on it."""
        await self.publish(Producer(connection), queue, number)
        await self.all_received([number])
        await self.until(lambda: connection.is_consuming, "all consumers ran")


class LinkCases(Faults):
    """A network that fails."""

    def setUp(self) -> None:
        super().setUp()
        self.proxy = FaultProxy(reactor, parse_url(self.url).port)
        self.addCleanup(self.proxy.stop)

    async def clean_up(self) -> None:
        self.proxy.thaw()
        await super().clean_up()

    def through(self, query: str = "", **options: Any) -> BrokerConnection:
        """Make a connection through the proxy."""
        url = f"stomp://guest:guest@{HOST}:{self.proxy.port}/{query}"
        connection = BrokerConnection(url, reactor=self.clock, **options)
        self.connections.append(connection)
        return connection

    async def new_links(self, before: list[Link], count: int) -> list[Link]:
        """The links that have come to stay, when those that come and go have gone."""

        def new() -> list[Link]:
            return [each for each in self.proxy.links if each not in before]

        await self.until(lambda: len(new()) == count, f"{count} links stayed")
        return new()

    @program
    async def test_cut(self) -> None:
        """After a cut consumers consume again, and publishing goes on."""
        connection = self.through()
        queue = await self.consuming(connection)
        for number in range(3):
            await self.goes_on(connection, queue, number)
            self.proxy.cut()
        await self.goes_on(connection, queue, 3)
        self.assertEqual(self.ended, [])

    @program
    async def test_cut_one_consumer(self) -> None:
        """
        A consumer whose own connection is cut consumes again; the session and its
        other consumers do not even notice.
        """
        connection = self.through()
        steady = await self.consuming(connection)
        await self.goes_on(connection, steady, 0)
        before = self.proxy.links
        channel = await connection.channel()
        held: list[Message] = []
        queue = self.queue()
        consumer = Consumer(
            channel,
            queue,
            on_message=held.append,
            on_cancel=lambda tag, error: self.ended.append(error),
        )
        await consumer.consume()
        *_, own = await self.new_links(before, 2)
        await self.publish(Producer(connection), queue, 1)
        await self.until(lambda: held, "it had come")
        own.cut()
        await self.until(lambda: len(held) == 2, "it had come again")
        self.assertTrue(held[1].redelivered)
        await held[0].ack()  # in vain
        await held[1].ack()
        self.assertEqual([type(each) for each in self.ended], [SessionLost])
        self.assertIn(before[0], self.proxy.links)
        await self.goes_on(connection, steady, 2)

    @program
    async def test_cut_one_publisher(self) -> None:
        """
        A channel whose own connection is cut gets another; the session goes on.
        """
        connection = self.through()
        steady = await self.consuming(connection)
        await self.goes_on(connection, steady, 0)
        before = self.proxy.links
        producer = Producer(await connection.channel())
        await self.publish(producer, steady, 1)
        [own] = await self.new_links(before, 1)
        own.cut()
        await self.publish(producer, steady, 2)
        await self.all_received([1, 2])
        self.assertIn(before[0], self.proxy.links)
        self.assertEqual(self.ended, [])

    @program
    async def test_no_further_connection(self) -> None:
        """
        While the session lives and no further connection can be made, what needs one
        waits: a declaration, a get, a consumer, a message on a channel to be opened,
        and one with something to declare.  All ends well when connections can be made.
        """
        connection = self.through()
        queue, other = self.queue(), self.queue()
        producer = Producer(connection)
        await queue(connection).declare()
        await self.publish(producer, queue, 0)
        # The connection that is kept for further declarations goes by itself.
        await self.until(lambda: len(self.proxy.links) == 3, "no more were open")
        accepted, self.proxy.refusing = self.proxy.accepted, True
        consumer = Consumer(connection, other, on_message=self.receive)
        began: dict[str, Deferred[Any]] = {
            "declare": self.queue()(producer.channel).declare(),
            "get": queue(producer.channel).get(),
            "consume": consumer.consume(),
            "publish": Producer(Channel(connection)).publish(1, queue.name),
            "declare and publish": producer.publish(
                2, other.name, declare=[other], retry=True
            ),
        }
        probes = {what: Probe(each) for what, each in began.items()}
        await self.until(
            lambda: self.proxy.accepted > accepted + 3 * len(began), "many were refused"
        )
        self.assertEqual([what for what, each in probes.items() if each.fired], [])
        self.proxy.refusing = False
        await self.until(
            lambda: all(each.fired for each in probes.values()), "all was over"
        )
        failed = [
            each for each in probes.values() if isinstance(each.outcome, Exception)
        ]
        self.assertEqual([each.outcome for each in failed], [])
        await self.all_received([2])

    @program
    async def test_cut_anywhere(self) -> None:
        """
        However often and wherever connections are cut, in the midst of frames, of
        logging in and of restoring: of the persistent messages that a program
        publishes again when they were not confirmed none is lost.
        """
        publishing, consuming = self.through(), self.through()
        queue = await self.consuming(consuming)
        sabotage = Deferred.fromCoroutine(self.sabotage())
        numbers = list(range(2000))
        endless = _until_fired(numbers, sabotage)
        await self.publish_each(Producer(publishing), queue, endless)
        await sabotage
        await self.all_received(numbers)
        self.assertEqual(self.verdicts["confirmed"], len(numbers))
        self.assertTrue(self.verdicts["OutcomeUnknown"], self.verdicts)

    async def sabotage(self) -> None:
        """Cut links, one after another, each after so many more bytes."""
        out, back = self.proxy.to_broker, self.proxy.to_client
        cuts = ((out, 40_000), (back, 9), (back, 700), (back, 4000), (out, 3))
        for way, count in (*cuts, (out, 611), (back, 30_000), (out, 100_000)):
            accepted = self.proxy.accepted
            way.cut_after = count
            somebody = partial(self.has_accepted, accepted)
            await self.until(somebody, "somebody connected again")

    def has_accepted(self, before: int) -> bool:
        """Whether the proxy has accepted more than so many."""
        return self.proxy.accepted > before

    @program
    async def test_frozen(self) -> None:
        """
        A broker of which nothing is heard any more is found out by heart-beats.
        """
        connection = self.through("?heartbeat=1")
        queue = await self.consuming(connection)
        await self.goes_on(connection, queue, 0)
        self.proxy.freeze()
        sent = Deferred.fromCoroutine(self.publish(Producer(connection), queue, 1))
        await self.until(lambda: not connection.connected, "it was given up")
        self.proxy.thaw()
        await sent
        await self.all_received([1])

    @program
    async def test_closing_while_frozen(self) -> None:
        """Closing ends, whether the broker answers or not."""
        shorten_closing(self)
        connection = self.through()
        queue = await self.consuming(connection)
        connection.operation_timeout = 1.0
        self.proxy.freeze()
        publishing = Producer(connection).publish(1, queue.name)
        publishing.addErrback(lambda reason: self.note(reason.value))
        began = self.clock.seconds()
        await connection.close()
        self.assertLess(self.clock.seconds() - began, 15)
        self.assertEqual(len(self.got), 1)


class NodeCases(Faults):
    """A broker that fails."""

    async def settle_down(self) -> None:
        """Wait until what was declared would survive."""

    @program
    async def test_killed(self) -> None:
        """
        A broker that is killed and started again costs nothing: persistent
        messages that were confirmed are there, and all goes on by itself.
        """
        queue = await self.consuming(self.connection)
        await self.settle_down()
        publishing = self.connect()
        numbers = list(range(20_000))
        back = Deferred.fromCoroutine(self.kill_and_start(4000))
        endless = _until_fired(numbers, back)
        await self.publish_each(Producer(publishing), queue, endless)
        await back
        await self.all_received(numbers)
        self.assertEqual(self.verdicts["confirmed"], len(numbers))
        await self.publish(Producer(publishing), queue, -1)
        await self.all_received([-1])

    async def kill_and_start(self, after: int) -> None:
        """Kill the broker when so many messages have come, and start it again."""
        await self.until(lambda: len(self.received) >= after, "messages came")
        await deferToThread(self.broker.kill)
        self.assertFalse(self.broker.is_running)
        await deferToThread(self.broker.start)

    @program
    async def test_frozen(self) -> None:
        """A broker that hangs is given up; when it goes on, so does all else."""
        url = f"{self.url}/?heartbeat=1&connection_timeout=2000"
        connection = BrokerConnection(url, reactor=self.clock)
        self.connections.append(connection)
        queue = await self.consuming(connection)
        producer = Producer(connection)
        await self.publish(producer, queue, 0)
        self.broker.freeze()
        self.addCleanup(self.broker.thaw)
        sent = Deferred.fromCoroutine(self.publish_each(producer, queue, range(1, 50)))
        await self.until(lambda: not connection.connected, "it was given up")
        first = connection.last_error
        await self.until(
            lambda: connection.last_error is not first, "connecting failed too"
        )
        self.broker.thaw()
        await sent
        await self.all_received(range(50))

    @program
    async def test_closing_while_frozen(self) -> None:
        """A broker that hangs holds up nobody who closes, whatever is on its way."""
        shorten_closing(self)
        queue = await self.consuming(self.connect())
        connection = self.connect()
        producer = Producer(connection)
        await self.publish(producer, queue, 0)
        self.broker.freeze()
        self.addCleanup(self.broker.thaw)
        sent = [Probe(producer.publish(n, queue.name)) for n in range(1, 4)]
        began = self.clock.seconds()
        await connection.close()
        self.assertLess(self.clock.seconds() - began, 15)
        for each in sent:
            self.assertIsInstance(each.outcome, OutcomeUnknown)


def _until_fired(numbers: list[int], event: Deferred[None]) -> Iterator[int]:
    """Numbers, and more of them until something has happened."""
    yield from numbers
    while not event.called:
        numbers.append(len(numbers))
        yield numbers[-1]


class RabbitMQLinkTests(LinkCases):
    """A way to RabbitMQ that fails."""

    abilities = STOMP_RABBITMQ

    def start_broker(self) -> RabbitMQ:
        return rabbitmq()


class ActiveMQLinkTests(LinkCases):
    """A way to ActiveMQ that fails."""

    abilities = STOMP_ACTIVEMQ

    def start_broker(self) -> ActiveMQ:
        return activemq()


class RabbitMQNodeTests(NodeCases):
    """A RabbitMQ that fails."""

    abilities = STOMP_RABBITMQ

    def start_broker(self) -> RabbitMQ:
        return fragile_rabbitmq()

    async def settle_down(self) -> None:
        # RabbitMQ 3.10 has a queue for seconds before it is on the disk, and
        # confirms messages in it; then it loses both.
        await deferToThread(self.broker.evaluate, "mnesia:sync_log()")


class ActiveMQNodeTests(NodeCases):
    """An ActiveMQ that fails."""

    abilities = STOMP_ACTIVEMQ

    def start_broker(self) -> ActiveMQ:
        return fragile_activemq()


del Faults, LinkCases, NodeCases
