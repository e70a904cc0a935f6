"""
Request and reply over every transport, as the conformance suite.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.conformance.suite import Conformance, program
from tests.contract.capabilities import needs
from txkombu import Message, Producer, Queue
from txkombu.exceptions import (
    OutcomeUnknown,
    OutcomeUnknownInTime,
    RemoteError,
    Unroutable,
)
from txkombu.interfaces import Capability as Can
from txkombu.rpc import RPCClient, RPCServer


class Parties(Conformance):
    """A client and a server, each on its own connection."""

    def setUp(self) -> None:
        super().setUp()
        self.serving = self.connect()
        self.client = RPCClient(self.connection)
        self.gates: list[Deferred[Any]] = []

    async def serve(self, handler: Any = None) -> Queue:
        """Start a server; return its queue."""
        queue = self.queue()
        server = RPCServer(self.serving, queue, handler or self.double)
        await server.consume()
        return queue

    async def double(self, body: Any, message: Message) -> object:
        """Reply with twice the request."""
        if body == "fail":
            raise RemoteError("Refused", "for this é test")
        return {"twice": body * 2}

    def hold(self, body: Any, message: Message) -> Deferred[Any]:
        """Note the request, and wait for the test."""
        gate: Deferred[Any] = Deferred()
        self.gates.append(gate)
        self.note(body)
        return gate

    async def check_works(self, client: RPCClient, queue: Queue) -> None:
        """Check that calls are answered."""
        calls = [client.call(queue.name, number) for number in range(200)]
        replies = await gatherResults(calls)
        self.assertEqual(replies, [{"twice": number * 2} for number in range(200)])


class Calls(Parties):
    """What becomes of calls."""

    @needs(Can.SERVER_NAMED_QUEUE)
    @program
    async def test_replies(self) -> None:
        """Calls are answered, errors arrive, and the requests are settled."""
        queue = await self.serve()
        await self.check_works(self.client, queue)
        error = await self.fails(RemoteError, self.client.call(queue.name, "fail"))
        self.assertEqual((error.kind, error.text), ("Refused", "for this é test"))
        await self.client.close()
        await self.serving.close()
        self.assertEqual(await self.drained(queue), [])

    @needs(Can.SERVER_NAMED_QUEUE)
    @program
    async def test_own_queue(self) -> None:
        """So they are by a queue that the broker names, and after a loss, too."""
        queue = await self.serve()
        replies = Queue("", exclusive=True)
        client = RPCClient(self.connection, reply_queue=replies)
        await self.check_works(client, queue)
        self.connection.drop()
        await self.check_works(client, queue)

    @needs(Can.MANDATORY)
    @program
    async def test_unroutable(self) -> None:
        """A call that no queue takes fails at once, and the client goes on."""
        queue = await self.serve()
        await self.fails(Unroutable, self.client.call("no-" + self.suffix, 1))
        await self.check_works(self.client, queue)

    @needs(Can.SERVER_NAMED_QUEUE)
    @program
    async def test_deadline(self) -> None:
        """A call without a reply ends at its deadline; a late reply harms nothing."""
        queue = await self.serve(self.hold)
        late = self.client.call(queue.name, 1, timeout=0.5)
        await self.fails(OutcomeUnknownInTime, late)
        again = self.client.call(queue.name, 2)
        await self.when_got(2)
        for number, gate in enumerate(self.gates):
            gate.callback(number)
        self.assertEqual(await again, 1)

    @needs(Can.SERVER_NAMED_QUEUE)
    @program
    async def test_lost_in_flight(self) -> None:
        """A call in flight at a loss fails, or is sent again if it asked for that."""
        queue = await self.serve(self.hold)
        once = self.client.call(queue.name, "once")
        again = self.client.call(queue.name, "again", retry=True)
        await self.when_got(2)
        await self.pause(0.2)  # until both are confirmed
        self.connection.drop()
        await self.fails(OutcomeUnknown, once)
        after = self.client.call(queue.name, "after")
        await self.when_got(4)
        for body, gate in zip(self.got, self.gates, strict=True):
            gate.callback(body)
        self.assertEqual(await again, "again")
        self.assertEqual(await after, "after")
        self.assertEqual(sorted(self.got), ["after", "again", "again", "once"])

    @needs(Can.SERVER_NAMED_QUEUE)
    @program
    async def test_server_lost(self) -> None:
        """A request whose server was cut off is handled again, and answered."""
        queue = await self.serve(self.hold)
        calling = self.client.call(queue.name, 1)
        await self.when_got(1)
        self.serving.drop()
        await self.when_got(2)
        self.gates[1].callback("done")
        self.assertEqual(await calling, "done")
        self.gates[0].callback("done before")

    @needs(Can.DIRECT_REPLY_TO)
    @program
    async def test_nobody_to_reply_to(self) -> None:
        """Replies that reach nobody, for whatever reason, do not disturb the server."""
        queue = await self.serve()
        producer = Producer(self.connect())
        for name in (
            "gone-" + self.suffix,
            "amq.rabbitmq.reply-to.gone",
            "é" * 100,
        ):
            await producer.publish(1, queue.name, reply_to=name, correlation_id="c")
        await producer.publish(1, queue.name)
        await self.check_works(self.client, queue)
        await self.serving.close()
        self.assertEqual(await self.drained(queue), [])

    @needs(Can.DIRECT_REPLY_TO)
    @program
    async def test_harmful_addresses(self) -> None:
        """
        An address that makes RabbitMQ fail, and end the session of the server, does so
        twice at the most; other requests are answered all the same.
        """

        async def handle(body: Any, message: Message) -> object:
            self.note(body)
            return body

        queue = await self.serve(handle)
        producer = Producer(self.connect())
        harmful = "amq.rabbitmq.reply-to.g2dkAA.x=="
        await producer.publish("x", queue.name, reply_to=harmful, correlation_id="c")
        quiet = 0
        while quiet < 20:
            self.assertEqual(await self.client.call(queue.name, 2), 2)
            await self.pause(0.1)  # until it is acknowledged
            at_work = self.serving.unfinished_work() or not self.serving.is_consuming
            quiet = 0 if at_work else quiet + 1
        self.assertIn(self.got.count("x"), (1, 3))  # 1 where the broker does not fail
        await self.serving.close()
        self.assertEqual(await self.drained(queue), [])
        self.flushLoggedErrors()


CALLS = (Calls,)
