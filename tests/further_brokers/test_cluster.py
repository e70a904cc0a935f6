"""
Programs on a cluster of three nodes that lose the node they are connected to.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from random import SystemRandom
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.brokers.recovery.test_rabbitmq import Faults
from tests.conformance.suite import program
from tests.soak.client import RECONNECT
from tests.soak.cluster import ClusterClient, NodeKills
from tests.soak.figures import Plan
from tests.soak.scenario import Run
from tests.soak.targets import on_rabbitmq
from tests.support.paths import DOCS
from tests.support.rabbitmq import RabbitMQ
from tests.support.snippets import files_of
from txkombu import BrokerConnection, Consumer, Producer
from txkombu.exceptions import Nacked

COUNT = 3000

_nodes: list[RabbitMQ] = []


def cluster() -> list[RabbitMQ]:
    """Return the three nodes; start and join them at the first call."""
    if not _nodes:
        first = RabbitMQ()
        first.start()
        for _ in range(2):
            other = RabbitMQ(beside=first)
            other.start()
            other.ctl("stop_app")
            other.ctl("join_cluster", first.node)
            other.ctl("start_app")
            _nodes.append(other)
        _nodes.insert(0, first)
    for node in _nodes:
        if not node.is_running:
            node.start()
    return _nodes


class ClusterCase(Faults):
    """Runs on the cluster; its broker is the first node."""

    timeout = 400  # starting it blocks

    def start_broker(self) -> RabbitMQ:
        return cluster()[0]


class ClusterTests(ClusterCase):
    """
    A cluster; each connection knows all its nodes.

    A quorum queue refuses messages while it has no leader: they are published again.
    """

    repeated = (*Faults.repeated, Nacked)

    def connect_in_order(self, *nodes: int) -> BrokerConnection:
        """Make a connection that tries these nodes in turn."""
        urls = [cluster()[number].url for number in nodes]
        connection = BrokerConnection(urls, reactor=self.clock)
        self.connections.append(connection)
        return connection

    async def survives(self, publishing: tuple[int, ...]) -> None:
        """
        Kill the node that has the queue's leader and the consumer; check that nothing
        is lost, and that the other two continue.
        """
        consuming = self.connect_in_order(0, 1, 2)
        queue = self.queue(queue_type="quorum")
        await Consumer(consuming, queue, on_message=self.receive).consume()
        numbers = list(range(COUNT))

        def endless() -> Iterable[int]:
            yield from numbers
            while not killed.called:
                numbers.append(len(numbers))
                yield numbers[-1]

        killed = Deferred.fromCoroutine(self.kill_first(COUNT // 3))
        producer = Producer(self.connect_in_order(*publishing))
        await self.publish_each(producer, queue, endless())
        await killed
        await self.all_received(numbers)
        self.assertTrue(consuming.is_consuming)
        self.assertFalse(self.broker.is_running)
        await deferToThread(self.broker.start)

    async def kill_first(self, after: int) -> None:
        """Kill the first node when so many messages have arrived."""
        await self.until(lambda: len(self.received) >= after, "messages came")
        await deferToThread(self.broker.kill)

    @program
    async def test_all_on_the_node(self) -> None:
        """The killed node has the queue's leader, the consumer and the publisher."""
        await self.survives((0, 1, 2))
        self.assertTrue(self.verdicts["OutcomeUnknown"], self.verdicts)

    @program
    async def test_publisher_elsewhere(self) -> None:
        """
        The publisher is connected to another node, and its connection is not affected.
        """
        await self.survives((2, 1, 0))


class RecipeTests(ClusterCase):
    """The publisher of docs/howto/cookbook/clusters.rst."""

    @program
    async def test_leader_gone(self) -> None:
        """
        It publishes as soon as the queue has a leader again, though its channel is
        refused for as long as the dead node is away, and though nothing else fails.
        """
        page = DOCS.joinpath("howto/cookbook/clusters.rst").read_text("utf-8")
        recipe: dict[str, Any] = {"__name__": "failover"}
        exec(files_of(page)["failover.py"], recipe)
        recipe["orders"] = queue = self.queue(queue_type="quorum")
        async with BrokerConnection(cluster()[0].url, reactor=self.clock) as first:
            await queue(first).declare()  # so its leader is on this node
        async with BrokerConnection(cluster()[1].url, reactor=self.clock) as second:
            publisher = recipe["SafePublisher"](reactor, second)
            refused = publisher.producer
            await refused.when_ready()
            await deferToThread(self.broker.kill)
            for number in range(3):
                await publisher.publish(number)
            self.assertIsNot(publisher.producer, refused)
            self.assertFalse(self.broker.is_running)
            await deferToThread(self.broker.start)
            taken = [await queue(second).get(no_ack=True) for _ in range(3)]
            self.assertEqual([each and each.payload for each in taken], [0, 1, 2])


class SoakTests(TestCase):
    """
    A publisher with C{retry=True} and a consumer on a quorum queue, while the node that
    they are on is killed and comes back, and then the node that they moved to.
    """

    timeout = 400

    async def survives(self, scheme: str, messages: int) -> None:
        """
        Check that nothing is lost or doubled unflagged, and that the client moves to
        another node each time.
        """
        nodes = cluster()
        made: list[NodeKills] = []

        def faults(*arguments: Any) -> NodeKills:
            made.append(NodeKills(*arguments))
            return made[0]

        # A quorum queue refuses messages while it has no leader.
        plan = Plan(messages, cuts=0, kills=2, may_refuse=True)
        run = Run(
            reactor,
            on_rabbitmq(nodes[0], scheme),
            plan,
            SystemRandom().randrange(2**32),
            "quorum",
            partial(ClusterClient, nodes),
            faults,
        )
        figures = await run.run()
        waits = [f"{each:.2f} s" for each in made[0].waits]
        print(f"{scheme} on a cluster: {figures}; after each kill {waits}")
        self.assertEqual(figures.faults(plan, RECONNECT.max), [], str(figures))
        [first, second], moved = made[0].killed, made[0].moved_to
        self.assertIsNot(first, second)
        self.assertIs(moved[0], second)
        self.assertIsNot(moved[1], second)

    @program
    async def test_amqp(self) -> None:
        """Over the transport of our own."""
        await self.survives("amqp", 5000)

    @program
    async def test_txamqp(self) -> None:
        """Over txAMQP."""
        await self.survives("txamqp", 2000)

    @program
    async def test_pika(self) -> None:
        """Over Pika."""
        await self.survives("pika", 2000)

    @program
    async def test_stomp(self) -> None:
        """Over STOMP."""
        await self.survives("stomp", 2000)
