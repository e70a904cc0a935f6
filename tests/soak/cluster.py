"""The clients of a run on a cluster, and its faults: nodes that are killed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.soak.client import HEARTBEAT, RECONNECT, Target
from tests.soak.faults import SOON
from tests.soak.figures import Figures, Plan
from tests.soak.targets import on_rabbitmq
from tests.support.broker_process import HOST
from tests.support.rabbitmq import RabbitMQ
from txkombu import BrokerConnection
from txkombu.core.lifecycle import State


class ClusterClient:
    """
    A connection that knows all nodes of a cluster.

    @param on_lost: called when the connection was lost.
    @ivar connection: the connection.
    """

    def __init__(
        self,
        nodes: Sequence[RabbitMQ],
        reactor: Any,
        target: Target,
        on_lost: Callable[[], None],
    ) -> None:
        self._on_lost = on_lost
        self._state = State.IDLE
        self._nodes = nodes
        self._ports = [on_rabbitmq(each, target.scheme).port for each in nodes]
        self.connection = BrokerConnection(
            [
                f"{target.scheme}://guest:guest@{HOST}:{port}/?heartbeat={HEARTBEAT}"
                for port in self._ports
            ],
            reactor=reactor,
            reconnect=RECONNECT,
            on_state=self._on_state,
        )

    def _on_state(self, state: State) -> None:
        before, self._state = self._state, state
        if before is State.CONNECTED and state is State.WAITING:
            self._on_lost()

    @property
    def node(self) -> RabbitMQ:
        """The node that it is connected to, or tries just now."""
        uri = self.connection.current_uri()
        [found] = [
            node
            for node, port in zip(self._nodes, self._ports, strict=True)
            if f":{port}/" in uri
        ]
        return found

    @property
    def is_well(self) -> bool:
        """Whether it is connected, and its consumers run."""
        return self.connection.connected and self.connection.is_consuming

    async def close(self) -> None:
        """Close the connection."""
        await self.connection.close()


class NodeKills:
    """
    Kills the node that the consumer is on as often as planned, and starts it again.

    @param received: tells how many messages have arrived.
    @ivar is_broker_away: whether a node is killed just now.
    @ivar healed_at: when the last node was killed: there are two others.
    @ivar killed: the nodes that were killed, in order.
    @ivar moved_to: the node that the consumer was on after each.
    @ivar waits: the seconds after which it consumed again after each.
    """

    def __init__(
        self,
        reactor: Any,
        target: Target,
        plan: Plan,
        figures: Figures,
        clients: dict[str, ClusterClient],
        received: Callable[[], int],
    ) -> None:
        self._reactor = reactor
        self._plan = plan
        self._figures = figures
        self._clients = clients
        self._received = received
        self.is_broker_away = False
        self.healed_at = 0.0
        self.killed: list[RabbitMQ] = []
        self.moved_to: list[RabbitMQ] = []
        self.waits: list[float] = []

    @property
    def are_done(self) -> bool:
        """Whether all faults of the plan have happened."""
        return self._figures.kills >= self._plan.kills

    def programs(self) -> Iterator[Coroutine[Any, Any, None]]:
        """Give what makes the faults."""
        yield self._kill_nodes()

    def stop(self) -> None:
        """Do nothing: the kills are over by then."""

    async def _kill_nodes(self) -> None:
        for number in range(self._plan.kills):
            wanted = self._plan.messages * (number + 1) // (self._plan.kills + 1)
            while self._received() < wanted or not self._are_well():
                await deferLater(self._reactor, SOON)
            await self._kill(self._clients["consumer"])

    def _are_well(self) -> bool:
        return all(each.is_well for each in self._clients.values())

    async def _kill(self, consumer: ClusterClient) -> None:
        node = consumer.node
        received = self._received()
        self.is_broker_away = True
        await deferToThread(node.kill)
        self.healed_at = self._reactor.seconds()
        self.killed.append(node)
        while consumer.node is node or not consumer.is_well:
            await deferLater(self._reactor, SOON)
        while self._received() == received or not self._are_well():
            await deferLater(self._reactor, SOON)
        self.waits.append(self._reactor.seconds() - self.healed_at)
        self.moved_to.append(consumer.node)
        await deferToThread(node.start)
        self.is_broker_away = False
        self._figures.kills += 1
