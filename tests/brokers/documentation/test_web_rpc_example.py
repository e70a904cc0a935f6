"""
The example of a web server that calls others, as a process on RabbitMQ, with faults of
the network, of the broker, and a SIGTERM.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ConnectError
from twisted.internet.threads import deferToThread
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool

from tests.brokers.documentation.test_publisher_examples import (
    CLIENTS,
    LOST,
    ExampleCase,
)
from tests.conformance.suite import program
from tests.support.rabbitmq import HOST, RabbitMQ, fragile_rabbitmq
from tests.support.web import body_of
from txkombu import Message, Queue
from txkombu.rpc import RPCServer


class WebRPCCase(ExampleCase):
    """
    Clients of C{web_rpc.py}, and a server of its calls in this process.

    @ivar answered: how many were answered with their reply.
    @ivar wrong: what others were answered; 503 and 504 are none of it.
    """

    folder = "rpc"
    example = "web_rpc"
    target = Queue("words")
    ready = "Calling"

    def setUp(self) -> None:
        super().setUp()
        self.answered = 0
        self.wrong: list[tuple[int, str]] = []
        self.pool = HTTPConnectionPool(reactor)
        self.pool.maxPersistentPerHost = CLIENTS
        self.agent = Agent(reactor, pool=self.pool)
        self.delay = 0.0

    async def clean_up(self) -> None:
        await self.pool.closeCachedConnections()
        await self.pause(0.5)  # for timers that the agent leaves behind
        await super().clean_up()

    async def count(self, body: Any, message: Message) -> object:
        """Handle a call."""
        await self.pause(self.delay)
        return {"words": len(body["text"].split())}

    async def start(self) -> None:
        """Start both servers."""
        await RPCServer(self.connection, self.target, self.count).consume()
        await self.serve()

    async def ask(self, number: int) -> bool:
        """Have words counted; return whether it is over."""
        request = json.dumps({"text": "w " * number}).encode()
        try:
            response = await self.agent.request(
                b"POST",
                f"http://{HOST}:{self.port}/".encode(),
                None,
                FileBodyProducer(BytesIO(request)),
            )
        except LOST:
            return False
        except ConnectError:
            return True
        text = (await body_of(response)).decode()
        if response.code == 200 and json.loads(text) == {"words": number}:
            self.answered += 1
        elif response.code not in (503, 504):
            self.wrong.append((response.code, text))
        return False

    async def ask_until(self, over: Callable[[], object]) -> None:
        """Have one text after the other counted."""
        number = 0
        while not over():
            number = (number + 1) % 50
            if await self.ask(number):
                return

    def load(self, over: Callable[[], object]) -> Deferred[Any]:
        """Have all clients ask until something holds, or nobody listens."""
        clients = (Deferred.fromCoroutine(self.ask_until(over)) for _ in range(CLIENTS))
        return gatherResults(list(clients), consumeErrors=True)

    async def more(self, count: int) -> None:
        """Wait until so many more have been answered."""
        wanted = self.answered + count
        await self.until(lambda: self.answered >= wanted, "it answered")


class WebRPCTests(WebRPCCase):
    """C{web_rpc.py}, and its network."""

    @program
    async def test_cut_and_sigterm(self) -> None:
        """
        After each cut it goes on, with the right answer for each; at a SIGTERM it
        answers what it has been asked.
        """
        await self.start()
        over: list[bool] = []
        loading = self.load(lambda: over)
        for _ in range(3):
            await self.more(5 * CLIENTS)
            self.proxy.cut()
        await self.more(5 * CLIENTS)
        over.append(True)
        await loading
        self.assertGreater(self.proxy.accepted, 3)
        self.delay = 0.5
        before = self.answered
        asking = [Deferred.fromCoroutine(self.ask(each)) for each in range(5)]
        await self.pause(0.2)
        self.terminate()
        await gatherResults(asking)
        self.assertEqual(self.answered, before + 5)
        await self.ended()
        self.assertEqual(self.wrong, [])


class WebRPCNodeTests(WebRPCCase):
    """C{web_rpc.py}, and a broker that fails."""

    def start_broker(self) -> RabbitMQ:
        return fragile_rabbitmq()

    @program
    async def test_restarted(self) -> None:
        """A broker that is killed and started again is found by itself."""
        await self.start()
        over: list[bool] = []
        loading = self.load(lambda: over)
        await self.more(5 * CLIENTS)
        await deferToThread(self.broker.kill)
        await deferToThread(self.broker.start)
        await self.more(5 * CLIENTS)
        over.append(True)
        await loading
        self.terminate()
        await self.ended()
        self.assertEqual(self.wrong, [])
