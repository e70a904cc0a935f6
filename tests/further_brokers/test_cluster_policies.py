"""
Consumers whose handlers fail for a while, as the node they are connected to is killed.
"""

from __future__ import annotations

from collections import Counter

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from tests.conformance.suite import program
from tests.further_brokers.test_cluster import ClusterCase, cluster
from txkombu import BrokerConnection, Consumer, Message, Producer, Queue
from txkombu.exceptions import Nacked, PublishError
from txkombu.policy import default, delayed, park
from txkombu.policy.hosting import FailurePolicy, HostedPolicy

COUNT = 1000
DELAYS = (0.5, 2.0)
DEADLINE = 120.0
PAUSE = 0.005


class PolicyTests(ClusterCase):
    """
    A quorum queue, and a handler that fails until the killed node is back.

    @ivar attempts: how often the handler failed.
    @ivar handled: how often each number was handled.
    @ivar parked: how often each number was parked.
    """

    def setUp(self) -> None:
        super().setUp()
        self.fails_now = True
        self.attempts = 0
        self.handled: Counter[int] = Counter()
        self.parked: Counter[int] = Counter()
        # The last is what the policies meet while the node goes away.
        self.addCleanup(self.flushLoggedErrors, ConnectionError, PublishError)

    def sweeper(self) -> BrokerConnection:
        return self.connect_to_all()

    def connect_to_all(self) -> BrokerConnection:
        """Make a connection that knows all nodes."""
        urls = [each.url for each in cluster()]
        connection = BrokerConnection(urls, reactor=self.clock)
        self.connections.append(connection)
        return connection

    async def handle(self, message: Message) -> None:
        """The handler."""
        if self.fails_now:
            self.attempts += 1
            raise ConnectionError("the database is away")
        self.handled[int(str(message.payload))] += 1
        await message.ack()

    async def note_parked(self, message: Message) -> None:
        """Note what is in the parking queue."""
        self.parked[int(str(message.payload))] += 1
        await message.ack()

    async def outage(self, connection: BrokerConnection) -> None:
        """
        Kill the node that a connection is on once the handler has failed, start it
        again when the handler fails elsewhere, and then let it succeed.
        """
        await self.until(lambda: self.attempts >= 10, "the handler failed")
        uri = connection.current_uri()
        [node] = [each for each in cluster() if f":{each.amqp_port}" in uri]
        await deferToThread(node.kill)
        await self.until(
            lambda: connection.current_uri() != uri and connection.is_consuming,
            "it moved to another node",
        )
        before = self.attempts
        await self.until(lambda: self.attempts >= before + 10, "it failed there, too")
        await deferToThread(node.start)
        self.fails_now = False

    async def publish_until(self, over: Deferred[None], queue: Queue) -> int:
        """
        Publish numbers until the outage is over; return how many.

        RabbitMQ 3.10 may refuse all that comes by a channel until a node that has died
        is back, so another channel has its turn.
        """
        connection = self.connect_to_all()
        producer = Producer(connection)
        number = 0
        while number < COUNT or not over.called:
            try:
                await producer.publish(number, queue.name, retry=True, timeout=DEADLINE)
                number += 1
            except Nacked:  # while the queue has no leader
                await producer.close()
                producer = Producer(connection)
            await self.pause(PAUSE)
        return number

    async def settles(
        self, queue: Queue, policy: FailurePolicy | HostedPolicy, parking: Queue
    ) -> None:
        """Check that each message is handled or parked at last."""
        connection = self.connect_to_all()
        parked = Consumer(self.connect_to_all(), parking, on_message=self.note_parked)
        await parked.consume()
        consumer = Consumer(
            connection, queue, on_message=self.handle, on_failure=policy
        )
        await consumer.consume()
        outage = Deferred.fromCoroutine(self.outage(connection))
        count = await self.publish_until(outage, queue)
        await outage
        await self.until(
            lambda: set(range(count)) <= self.handled.keys() | self.parked.keys(),
            "all were handled or parked",
        )
        doubled = (self.handled + self.parked).total() - count
        print(
            f"{self.id()}: published {count}, failed attempts {self.attempts}, "
            f"handled {len(self.handled)}, parked {len(self.parked)}, doubled {doubled}"
        )

    def quorum(self) -> Queue:
        """Describe a quorum queue."""
        return self.queue(queue_type="quorum")

    @program
    async def test_default(self) -> None:
        """The default tries again in place: all are handled."""
        await self.settles(self.quorum(), default, self.quorum())
        self.assertEqual(self.parked, Counter())

    @program
    async def test_delayed(self) -> None:
        """Those that wait in delay queues are there after the kill."""
        queue, parking = self.quorum(), self.quorum()
        for seconds in DELAYS:
            waiting = Queue(f"{queue.name}.delay.{int(seconds * 1000)}")
            self.temporary.append(waiting)
        await self.settles(queue, delayed(9, DELAYS, park=parking), parking)
        self.assertTrue(self.handled)

    @program
    async def test_parked(self) -> None:
        """Those that failed are parked, and the others are handled."""
        parking = self.quorum()
        await self.settles(self.quorum(), park(parking), parking)
        self.assertTrue(self.parked)
