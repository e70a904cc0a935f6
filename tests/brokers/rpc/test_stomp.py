"""
Request and reply over STOMP, on a real RabbitMQ and a real ActiveMQ.
"""

from __future__ import annotations

from tests.brokers.stomp import harness
from tests.conformance import suite as conformance_suite
from tests.conformance.suite import program
from tests.rpc import suite
from txkombu.exceptions import NotSupported
from txkombu.rpc import RPCClient


class StompRabbitMQ(harness.ConformingOnRabbitMQ):
    """Connects to the RabbitMQ of this run."""


globals().update(conformance_suite.cases(StompRabbitMQ, __name__, suite.CALLS))


class ActiveMQTests(harness.ConformingOnActiveMQ, suite.Parties):
    """ActiveMQ names no queues, so a client is given one."""

    @program
    async def test_reply_queue(self) -> None:
        """With a queue for replies calls are answered, after a loss, too."""
        queue = await self.serve()
        client = RPCClient(self.connection, reply_queue=self.queue())
        await self.check_works(client, queue)
        self.connection.drop()
        await self.check_works(client, queue)

    @program
    async def test_no_reply_queue(self) -> None:
        """Without one a call is refused."""
        queue = await self.serve()
        await self.fails(NotSupported, self.client.call(queue.name, 1))
