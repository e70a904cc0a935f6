"""
The examples that publish through a PublisherService, as processes on RabbitMQ, with
faults of the network, of the broker, and a SIGTERM.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from importlib.util import find_spec
from io import BytesIO
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    FileBodyProducer,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseNeverReceived,
)

from tests.conformance.suite import Conformance, program
from tests.support.fault_proxy import FaultProxy
from tests.support.paths import EXAMPLES
from tests.support.processes import Running
from tests.support.rabbitmq import (
    HOST,
    RabbitMQ,
    fragile_rabbitmq,
    free_ports,
    rabbitmq,
)
from tests.support.web import body_of
from txkombu import Exchange, Queue

LOST = (RequestTransmissionFailed, ResponseFailed, ResponseNeverReceived)
"""What a request fails with whose connection is lost."""
SECONDS = 60.0
CLIENTS = 20
"""How many clients post or write at the same time."""


class ExampleCase(Conformance):
    """
    Runs one example in a process, behind a proxy.

    @cvar folder: where it is.
    @cvar example: the name of its file.
    @cvar target: the queue that it publishes to.
    @cvar ready: what it prints when it listens.
    """

    folder = "web_publisher"
    example = "web_publisher"
    target = Queue("web.orders", Exchange("web", type="direct"), "order")
    ready = "Publishing"

    def setUp(self) -> None:
        self.broker = self.start_broker()
        self.url = self.broker.url
        super().setUp()
        self.temporary.append(self.target)
        if self.target.exchange.name:
            self.temporary.append(self.target.exchange)
        self.proxy = FaultProxy(reactor, self.broker.amqp_port)
        self.addCleanup(self.proxy.stop)
        [self.port] = free_ports(1)

    def start_broker(self) -> RabbitMQ:
        return rabbitmq()

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until something holds."""
        began = self.clock.seconds()
        while not condition():
            if self.clock.seconds() - began > SECONDS:
                self.fail(f"waited in vain until {what}: {self.server.output}")
            await self.pause(0.01)

    async def serve(self, scheme: str = "amqp") -> None:
        """Start the example."""
        self.server = Running(
            f"{self.example}.py",
            f"{scheme}://guest:guest@{HOST}:{self.proxy.port}",
            f"tcp:{self.port}:interface={HOST}",
            cwd=EXAMPLES / self.folder,
        )
        self.addCleanup(self.server.close)
        await self.until(lambda: self.ready in self.server.output, "it listened")

    def terminate(self) -> None:
        """Send the example a SIGTERM."""
        self.server.process.send_signal(signal.SIGTERM)

    async def ended(self) -> float:
        """Wait until the example has ended in order; return the seconds it took."""
        began = self.clock.seconds()
        await self.until(lambda: self.server.process.poll() is not None, "it ended")
        self.assertEqual(self.server.process.poll(), 0, self.server.output)
        self.assertNotIn("Unhandled", self.server.output)
        seen = self.server.output.count("Traceback")
        second_signal = self.server.output.count("error.ReactorNotRunning:")
        self.assertEqual(seen, second_signal, self.server.output)
        return self.clock.seconds() - began


class WebCase(ExampleCase):
    """
    Clients of a web server, which keep their connections.

    @ivar answered: by code, the numbers of the requests that were answered so.
    @ivar unanswered: the numbers of those whose connection was lost.
    """

    path = "/"

    def setUp(self) -> None:
        super().setUp()
        self.answered: dict[int, list[int]] = {202: [], 503: []}
        self.unanswered: list[int] = []
        self.next_number = 0
        self.pool = HTTPConnectionPool(reactor)
        self.pool.maxPersistentPerHost = CLIENTS
        self.pool.retryAutomatically = False
        self.agent = Agent(reactor, pool=self.pool)

    async def clean_up(self) -> None:
        await self.pool.closeCachedConnections()
        await self.pause(0.5)  # for timers that the agent leaves behind
        await super().clean_up()

    async def post(self, number: int) -> tuple[int, str]:
        """Post a number; return the code and the text of the answer."""
        response = await self.agent.request(
            b"POST",
            f"http://{HOST}:{self.port}{self.path}".encode(),
            None,
            FileBodyProducer(BytesIO(json.dumps(number).encode())),
        )
        text = await body_of(response)
        if response.code == 503:
            self.assertEqual(response.headers.getRawHeaders("Retry-After"), ["5"])
        self.answered[response.code].append(number)
        return response.code, text.decode()

    async def post_until(self, over: Callable[[], object]) -> None:
        """Post one number after the other; the same again after a 503."""
        number = None
        while not over():
            if number is None:
                number, self.next_number = self.next_number, self.next_number + 1
            try:
                code, _ = await self.post(number)
            except LOST:
                self.unanswered.append(number)
                number = None
            except ConnectError:
                return
            else:
                if code == 202:
                    number = None
                else:
                    await self.pause(0.1)

    def load(self, over: Callable[[], object] = lambda: False) -> Deferred[Any]:
        """Have all clients post until something holds, or nobody listens."""
        clients = (
            Deferred.fromCoroutine(self.post_until(over)) for _ in range(CLIENTS)
        )
        return gatherResults(list(clients), consumeErrors=True)

    async def accepted(self, count: int) -> None:
        """Wait until so many more have been accepted."""
        wanted = len(self.answered[202]) + count
        await self.until(lambda: len(self.answered[202]) >= wanted, "it accepted")

    async def assert_in_queue(self) -> list[int]:
        """Each that was accepted is in the queue; return what is there."""
        found = await self.drained(self.target)
        missing = set(self.answered[202]) - set(found)
        self.assertEqual(missing, set())
        return found


class WebTests(WebCase):
    """C{web_publisher.py}"""

    @program
    async def test_sigterm(self) -> None:
        """
        At a SIGTERM it takes no further orders, and answers those that it has: what is
        in the queue is what was accepted, no more and no less.
        """
        for scheme in ("amqp", "txamqp", "pika"):
            await self.serve(scheme)
            await self.until(lambda: self.proxy.links, "it connected by itself")
            loading = self.load()
            await self.accepted(10 * CLIENTS)
            self.proxy.to_client.delay = 0.3  # so that confirms are under way
            await self.pause(0.5)
            before = len(self.answered[202])
            self.terminate()
            await self.accepted(1)
            self.proxy.to_client.delay = 0.0
            await self.ended()
            await loading
            self.assertGreater(len(self.answered[202]), before)
            found = await self.assert_in_queue()
            self.assertEqual(sorted(found), sorted(self.answered[202]))
            self.answered[202].clear()
            await self.pool.closeCachedConnections()

    @program
    async def test_cut(self) -> None:
        """Connections that are cut cost nobody an order that was accepted."""
        await self.serve()
        over: list[bool] = []
        loading = self.load(lambda: over)
        for _ in range(3):
            await self.accepted(5 * CLIENTS)
            self.assertEqual(len(self.proxy.links), 1)
            self.proxy.cut()
        await self.accepted(5 * CLIENTS)
        over.append(True)
        await loading
        self.assertEqual(self.unanswered, [])
        self.assertGreater(self.proxy.accepted, 3)
        self.terminate()
        await self.ended()
        await self.assert_in_queue()


class KleinTests(WebTests):
    """C{klein_publisher.py}"""

    if find_spec("klein") is None:
        skip = "klein is not installed"

    example = "klein_publisher"
    path = "/orders"


class WebStopTests(WebCase):
    """C{web_publisher.py}, when it stops at a bad moment."""

    @program
    async def test_sigterm_after_a_cut(self) -> None:
        """Orders that wait for another connection are accepted while it stops."""
        await self.serve()
        await self.post(0)
        self.proxy.refusing = True
        self.proxy.cut()
        posting = [Deferred.fromCoroutine(self.post(each)) for each in range(1, 6)]
        await self.pause(0.3)
        self.terminate()
        await self.pause(0.3)
        self.assertEqual(self.answered[202], [0])
        self.proxy.refusing = False
        await gatherResults(posting)
        await self.ended()
        self.assertEqual(sorted(self.answered[202]), list(range(6)))
        self.assertEqual(sorted(await self.assert_in_queue()), list(range(6)))

    @program
    async def test_sigterm_while_frozen(self) -> None:
        """
        A network that hangs holds up nobody for ever: clients are told at their
        deadline, and the process ends soon after.
        """
        await self.serve()
        await self.post(0)
        self.proxy.freeze()
        self.addCleanup(self.proxy.thaw)
        posting = Deferred.fromCoroutine(self.post(1))
        await self.pause(0.3)
        self.terminate()
        await self.pause(0.3)
        self.terminate()  # a second signal changes nothing
        code, text = await posting
        self.assertEqual(code, 503)
        self.assertIn("outcome is unknown", text)
        self.assertLess(await self.ended(), 20)


class WebNodeTests(WebCase):
    """C{web_publisher.py}, and a broker that fails."""

    def start_broker(self) -> RabbitMQ:
        return fragile_rabbitmq()

    @program
    async def test_restarted(self) -> None:
        """
        It starts without a broker, and tells clients when to come again; a broker that
        is killed and started again costs nobody an order that was accepted.
        """
        await self.target(self.connection).declare()
        # RabbitMQ 3.10 has a queue for seconds before it is on the disk.
        await deferToThread(self.broker.evaluate, "mnesia:sync_log()")
        self.proxy.refusing = True
        await self.serve()
        code, text = await self.post(-1)
        self.assertEqual(code, 503)
        self.assertIn("was not over within 5 s (waiting for the connection", text)
        self.proxy.refusing = False
        over: list[bool] = []
        loading = self.load(lambda: over)
        await self.accepted(5 * CLIENTS)
        await deferToThread(self.broker.kill)
        self.assertFalse(self.broker.is_running)
        await deferToThread(self.broker.start)
        await self.accepted(5 * CLIENTS)
        over.append(True)
        await loading
        self.assertEqual(self.unanswered, [])
        self.terminate()
        await self.ended()
        found = await self.assert_in_queue()
        self.assertNotIn(-1, found)


class ChatClient(Protocol):
    """
    Says lines, as fast as the server reads.

    @ivar heard: how many lines that were said the server has sent.
    @ivar stalled: whether the server does not read.
    @ivar sent: how many lines were handed to the socket.
    """

    def __init__(self) -> None:
        self.heard = 0
        self._rest = b""
        self.stalled = False
        self.sent = 0
        self.left: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.heard += sum(line.startswith(b"me: ") for line in lines)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.left.callback(None)

    def send(self) -> None:
        """Write until the server reads no more."""
        transport: Any = self.transport
        transport.write(b"me\n")
        transport.registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self) -> None:
        self.stalled = False
        self._write()

    def _write(self) -> None:
        assert self.transport is not None
        if not self.stalled:
            self.transport.write(b"%d %s\n" % (self.sent, b"x" * 10_000))
            self.sent += 1
            IReactorTime(reactor).callLater(0, self._write)

    def pauseProducing(self) -> None:
        self.stalled = True

    def stopProducing(self) -> None:
        self.stalled = True


class ChatTests(ExampleCase):
    """C{chat.py}"""

    folder = "chat"
    example = "chat"
    target = Queue("said", Exchange("chat", type="fanout"))
    ready = "Chatting"

    async def connect_client(self) -> ChatClient:
        """Connect a client to the server."""
        endpoint = clientFromString(reactor, f"tcp:{HOST}:{self.port}")
        client: ChatClient = await connectProtocol(endpoint, ChatClient())
        return client

    @program
    async def test_paused(self) -> None:
        """
        While there is no broker, the server does not read, and its clients wait; when
        there is one, it goes on.  At a SIGTERM it publishes what it has read, or tells
        that it could not.
        """
        await self.target(self.connection).declare()
        self.proxy.refusing = True
        await self.serve()
        client = await self.connect_client()
        client.send()
        await self.until(lambda: client.stalled, "the client had to wait")
        await self.pause(1)  # while buffers fill up
        stalled_at = client.sent
        await self.pause(1)
        self.assertEqual(client.sent, stalled_at)
        self.assertEqual(client.heard, 0)
        self.proxy.refusing = False
        await self.until(lambda: client.sent > stalled_at + 100, "it went on")
        await self.until(lambda: client.heard > 100, "lines were heard")
        self.proxy.cut()
        before = client.heard
        await self.until(lambda: client.heard > before + 100, "it went on")
        self.terminate()
        await self.ended()
        await client.left
        numbers = [int(each.split()[1]) for each in await self.drained(self.target)]
        self.assertGreaterEqual(len(numbers), client.heard)
        self.assertGreaterEqual(client.heard, 200)
        self.assertEqual(len(numbers), len(set(numbers)))
        self.assertEqual(numbers, sorted(numbers))
