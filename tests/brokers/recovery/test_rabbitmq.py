"""
What becomes of programs whose network, or whose RabbitMQ, fails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from tests.conformance.suite import Conformance, program
from tests.contract.harness import Probe
from tests.support.closing import shorten_closing
from tests.support.fault_proxy import FaultProxy, Way
from tests.support.rabbitmq import HOST, RabbitMQ, fragile_rabbitmq, rabbitmq
from txkombu import BrokerConnection, Consumer, Message, Producer, Queue
from txkombu._util import backoff
from txkombu.exceptions import (
    KombuError,
    Nacked,
    NotSent,
    OperationTimeout,
    OutcomeUnknown,
)
from txkombu.policy import ReconnectPolicy

WINDOW = 100
"""How many publishes are under way at once."""


class Faults(Conformance):
    """
    What the cases share: programs that publish again what was not confirmed,
    and note what they received.

    @cvar repeated: the errors of a publish after which it is made again.
    @ivar received: how often each number came.
    @ivar unflagged: ids of messages that came again without saying so.
    @ivar verdicts: how often a publish ended in each way.
    """

    timeout = 300
    repeated: tuple[type[KombuError], ...] = (NotSent, OutcomeUnknown)

    def setUp(self) -> None:
        self.broker = self.start_broker()
        self.url = self.broker.url
        super().setUp()
        # Reconnecting is to be soon, however often.
        self.patch(backoff, "DEFAULT", ReconnectPolicy(first=0.1, max=0.5))
        self.received: Counter[int] = Counter()
        self.unflagged: list[str] = []
        self.verdicts: Counter[str] = Counter()
        self._seen: set[str] = set()

    def start_broker(self) -> RabbitMQ:
        """The broker to use."""
        return rabbitmq()

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until something holds, for a long time if need be."""
        for _ in range(6000):
            if condition():
                return
            await self.pause(0.02)
        self.fail(f"waited in vain until {what}")

    async def both(self, *awaitables: Awaitable[Any]) -> None:
        """Run them side by side; the first failure fails."""
        began = [Deferred.fromCoroutine(_of(each)) for each in awaitables]
        await gatherResults(began, consumeErrors=True)

    async def receive(self, message: Message) -> None:
        """A consumer's handler: note the message, and ack it."""
        which = str(message.properties["message_id"])
        if which in self._seen and not message.redelivered:
            self.unflagged.append(which)
        self._seen.add(which)
        self.received[int(str(message.payload))] += 1
        await message.ack()

    async def publish(self, producer: Producer, queue: Queue, number: int) -> None:
        """Publish a number, again and again until it is confirmed."""
        for attempt in range(100):
            try:
                await producer.publish(
                    number, queue.name, message_id=f"{number}.{attempt}", timeout=60
                )
            except self.repeated as error:
                self.verdicts[type(error).__name__] += 1
                if isinstance(error, Nacked):
                    await self.pause(0.2)  # until the queue has a leader
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

        await self.both(*(work() for _ in range(WINDOW)))

    async def all_received(self, numbers: Iterable[int]) -> None:
        """Wait until each has come; none came again without saying so."""
        wanted = set(numbers)
        await self.until(
            lambda: wanted <= self.received.keys(),
            f"all of {len(wanted)} had come",
        )
        self.assertEqual(self.unflagged, [])


async def _of(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


class ProxyTests(Faults):
    """A network that fails."""

    def setUp(self) -> None:
        super().setUp()
        self.proxies: list[FaultProxy] = []
        self.proxy = self.new_proxy()

    async def clean_up(self) -> None:
        for proxy in self.proxies:
            proxy.thaw()
        await super().clean_up()

    def new_proxy(self) -> FaultProxy:
        """Another way to the broker."""
        proxy = FaultProxy(reactor, self.broker.amqp_port)
        self.proxies.append(proxy)
        self.addCleanup(proxy.stop)
        return proxy

    async def next_client(self, fault: Callable[[], object]) -> None:
        """Do something, and wait until somebody connects again."""
        accepted = self.proxy.accepted
        fault()
        await self.until(lambda: self.proxy.accepted > accepted, "it connected")

    def through(
        self, proxy: FaultProxy | None = None, query: str = "", **options: Any
    ) -> BrokerConnection:
        """Make a connection through a proxy."""
        port = (proxy or self.proxy).port
        url = f"amqp://guest:guest@{HOST}:{port}/{query}"
        connection = BrokerConnection(url, reactor=self.clock, **options)
        self.connections.append(connection)
        return connection

    async def consuming(self, connection: BrokerConnection) -> Queue:
        """Start a consumer of a new queue; give the queue."""
        queue = self.queue()
        await Consumer(connection, queue, on_message=self.receive).consume()
        return queue

    async def goes_on(
        self, connection: BrokerConnection, queue: Queue, number: int
    ) -> None:
        """Publish a number on a connection, and wait for it to come back on it."""
        await self.publish(Producer(connection), queue, number)
        await self.all_received([number])
        self.assertTrue(connection.is_consuming)

    # --- links that end -------------------------------------------------------

    @program
    async def test_cut(self) -> None:
        """After a cut consumers consume again, and publishing goes on."""
        connection = self.through()
        queue = await self.consuming(connection)
        for number in range(3):
            await self.goes_on(connection, queue, number)
            self.proxy.cut()
        await self.goes_on(connection, queue, 3)
        self.assertEqual(self.proxy.accepted, 4)

    @program
    async def test_half_closed(self) -> None:
        """A peer that says it will send no more is a loss, on either side."""
        for number, way in enumerate((self.proxy.to_client, self.proxy.to_broker)):
            connection = self.through()
            queue = await self.consuming(connection)
            await self.next_client(partial(self.proxy.half_close, way))
            await self.goes_on(connection, queue, number)
            await connection.close()

    @program
    async def test_cut_anywhere(self) -> None:
        """
        However often and wherever the connection is cut, in the midst of
        frames, of logging in and of restoring: of the persistent messages that
        a program publishes again when they were not confirmed none is lost,
        and none that was acked comes again without saying so.
        """
        publishing, consuming = self.through(), self.through()
        queue = await self.consuming(consuming)
        sabotage = Deferred.fromCoroutine(self.sabotage())
        numbers = list(range(2000))

        def endless() -> Iterable[int]:
            yield from numbers
            while not sabotage.called:
                numbers.append(len(numbers))
                yield numbers[-1]

        await self.publish_each(Producer(publishing), queue, endless())
        await sabotage
        await self.all_received(numbers)
        self.assertEqual(self.verdicts["confirmed"], len(numbers))
        self.assertTrue(self.verdicts["OutcomeUnknown"], self.verdicts)

    async def sabotage(self) -> None:
        """Cut one link after another, each after so many more bytes."""
        out, back = self.proxy.to_broker, self.proxy.to_client
        cuts = ((out, 40_000), (back, 9), (back, 700), (back, 4000), (out, 3))
        for way, count in (*cuts, (out, 611), (back, 30_000), (out, 100_000)):
            await self.next_client(partial(setattr, way, "cut_after", count))

    @program
    async def test_alternates(self) -> None:
        """When one way to the broker is gone the next one is taken."""
        other = self.new_proxy()
        urls = [f"amqp://{HOST}:{each.port}" for each in (self.proxy, other)]
        connection = BrokerConnection(urls, reactor=self.clock)
        self.connections.append(connection)
        queue = await self.consuming(connection)
        await self.goes_on(connection, queue, 0)
        self.proxy.refusing = True
        self.proxy.cut()
        await self.goes_on(connection, queue, 1)
        self.assertEqual(other.accepted, 1)
        other.refusing, self.proxy.refusing = True, False
        other.cut()
        await self.goes_on(connection, queue, 2)

    # --- links on which nothing comes -----------------------------------------

    @program
    async def test_frozen(self) -> None:
        """
        A broker of which nothing is heard any more is found out by heartbeats,
        whichever way nothing passes.
        """
        frozen: list[tuple[FaultProxy, list[str]]] = [
            (self.proxy, ["to_broker", "to_client"]),
            (self.new_proxy(), ["to_broker"]),
            (self.new_proxy(), ["to_client"]),
        ]
        await self.both(
            *(
                self.frozen(number, proxy, [getattr(proxy, each) for each in ways])
                for number, (proxy, ways) in enumerate(frozen)
            )
        )

    async def frozen(self, number: int, proxy: FaultProxy, ways: list[Way]) -> None:
        """Freeze a link until it is given up, and find all well after."""
        connection = self.through(proxy, "?heartbeat=1")
        queue = await self.consuming(connection)
        proxy.freeze(*ways)
        sent = Deferred.fromCoroutine(self.publish(Producer(connection), queue, number))
        await self.until(lambda: not connection.connected, "it was given up")
        self.assertFalse(sent.called)
        self.assertIsNotNone(connection.last_error)
        proxy.thaw()
        await sent
        await self.all_received([number])

    @program
    async def test_nothing_stays_pending(self) -> None:
        """
        What is asked of a broker that does not answer fails at its deadline;
        what the answers that come late did is undone.
        """
        connection = self.through()
        queue, other = self.queue(), self.queue()
        channel = await connection.channel()
        bound = queue(channel)
        await bound.declare()
        await Producer(self.connection).publish("kept", queue.name)
        connection.operation_timeout = 1.0
        self.proxy.freeze(self.proxy.to_client)
        probes = [
            Probe(began)
            for began in (
                other(channel).declare(),
                bound.get(),
                bound.queue_declare(passive=True),
                Consumer(channel, other).consume(),
                connection.channel(),
                Producer(channel).publish("again", queue.name, timeout=1),
            )
        ]
        await self.until(lambda: all(each.fired for each in probes), "all fired")
        for each in probes:
            self.assertIsInstance(each.outcome, OperationTimeout)
        connection.operation_timeout = 30.0
        self.proxy.thaw()
        await self.until(lambda: connection.connected, "it was up")
        found: list[object] = []
        while len(found) < 2:
            message = await bound.get()
            if message is None:
                await self.pause(0.05)
            else:
                await message.ack()
                found.append(message.payload)
        self.assertEqual(sorted(found), ["again", "kept"])

    @program
    async def test_closing_while_frozen(self) -> None:
        """Closing ends, whether the broker answers or not, and all hear of it."""
        shorten_closing(self)
        connection = self.through()
        queue = await self.consuming(connection)
        connection.operation_timeout = 1.0
        self.proxy.freeze()
        probes = [
            Probe(queue(connection).get()),
            Probe(Producer(connection).publish(1, queue.name)),
            Probe(connection.drain_events()),
        ]
        await connection.close()
        for each in probes:
            self.assertIsInstance(each.outcome, KombuError)

    @program
    async def test_never_sent_later(self) -> None:
        """What was not sent at its deadline is not sent when the broker wakes."""
        connection = self.through()
        queue = self.queue()
        producer = Producer(connection)
        await queue(connection).declare()
        await producer.publish(b"", queue.name, message_id="-1")
        self.proxy.freeze()
        blob = bytes(512 * 1024)
        sent = [
            Probe(producer.publish(blob, queue.name, message_id=str(n), timeout=1))
            for n in range(30)
        ]
        await self.until(lambda: all(each.fired for each in sent), "all fired")
        for each in sent:
            self.assertIsInstance(each.outcome, OperationTimeout)
        kept = {n for n in range(30) if "not sent" in str(sent[n].outcome)}
        self.assertTrue(0 < len(kept) < 30, kept)
        self.proxy.thaw()
        await producer.publish(b"", queue.name, message_id="30")
        found = set()
        while (message := await queue(self.connection).get(no_ack=True)) is not None:
            found.add(int(str(message.properties["message_id"])))
        self.assertIn(30, found)
        self.assertEqual(found & kept, set())

    # --- slow links -----------------------------------------------------------

    @program
    async def test_throttled(self) -> None:
        """A slow link is no dead one: heartbeats pass, everything arrives."""
        connection = self.through(query="?heartbeat=1")
        queue = self.queue()
        await queue(connection).declare()
        self.proxy.to_broker.rate = self.proxy.to_client.rate = 500_000
        await Producer(connection).publish_all(
            (bytes(50_000) for _ in range(20)), routing_key=queue.name
        )
        bound = queue(connection)
        for _ in range(20):
            message = await bound.get(no_ack=True)
            assert message is not None
            self.assertEqual(len(message.body), 50_000)
        self.assertEqual(self.proxy.accepted, 1)

    @program
    async def test_delayed(self) -> None:
        """On a link with a delay, what does not depend on answers does not wait."""
        connection = self.through()
        queue = await self.consuming(connection)
        self.proxy.to_broker.delay = self.proxy.to_client.delay = 0.25
        began = self.clock.seconds()
        await self.publish_each(Producer(connection), queue, range(WINDOW))
        await self.all_received(range(WINDOW))
        self.assertLess(self.clock.seconds() - began, WINDOW * 0.5 / 4)


class NodeTests(Faults):
    """A broker that fails."""

    def start_broker(self) -> RabbitMQ:
        return fragile_rabbitmq()

    @program
    async def test_killed(self) -> None:
        """
        A node that is killed and started again costs nothing: persistent
        messages that were confirmed are there, and all goes on by itself.
        """
        queue = self.queue()
        consumer = Consumer(self.connection, queue, on_message=self.receive)
        await consumer.consume()
        # RabbitMQ 3.10 has a queue for seconds before it is on the disk, and
        # confirms messages in it; then it loses both.
        await deferToThread(self.broker.evaluate, "mnesia:sync_log()")
        publishing = self.connect()
        numbers = list(range(4000))

        def endless() -> Iterable[int]:
            yield from numbers
            while not back.called:
                numbers.append(len(numbers))
                yield numbers[-1]

        back = Deferred.fromCoroutine(self.kill_and_start(1000))
        await self.publish_each(Producer(publishing), queue, endless())
        await back
        wanted = set(numbers)
        await self.until(lambda: wanted <= self.received.keys(), "all had come")
        self.assertEqual(self.verdicts["confirmed"], len(numbers))
        await self.publish(Producer(publishing), queue, -1)
        await self.until(lambda: self.received[-1], "it went on")

    async def kill_and_start(self, after: int) -> None:
        """Kill the node when so many messages have come, and start it again."""
        await self.until(lambda: len(self.received) >= after, "messages came")
        await deferToThread(self.broker.kill)
        self.assertFalse(self.broker.is_running)
        await deferToThread(self.broker.start)

    @program
    async def test_frozen(self) -> None:
        """A node that hangs is given up; when it goes on, so does all else."""
        query = "/?heartbeat=1&connection_timeout=2000"
        connection = BrokerConnection(self.url + query, reactor=self.clock)
        self.connections.append(connection)
        queue = self.queue()
        await Consumer(connection, queue, on_message=self.receive).consume()
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
        """A node that hangs holds up nobody who closes, whatever is on its way."""
        shorten_closing(self)
        queue = self.queue()
        producer = Producer(self.connection)
        await queue(self.connection).declare()
        await self.publish(producer, queue, 0)
        self.broker.freeze()
        self.addCleanup(self.broker.thaw)
        sent = [Probe(producer.publish(n, queue.name)) for n in range(3)]
        began = self.clock.seconds()
        await self.connection.close()
        self.assertLess(self.clock.seconds() - began, 15)
        for each in sent:
            self.assertIsInstance(each.outcome, OutcomeUnknown)
