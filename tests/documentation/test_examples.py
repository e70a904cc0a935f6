"""Every example runs, and does what it says."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import (
    Agent,
    FileBodyProducer,
    ResponseNeverReceived,
)
from twisted.web.http_headers import Headers

import txkombu
from tests.support.broker_process import HOST, free_ports
from tests.support.examples import importable
from tests.support.paths import EXAMPLES
from tests.support.processes import Running, run_python
from tests.support.snippets import links_of
from tests.support.web import body_of
from txkombu import BrokerConnection, Queue
from txkombu.core import publish_queue
from txkombu.transport.memory import broker_named, forget_brokers

BROKER = "memory://examples"
SECONDS = 30.0


def load(name: str) -> Any:
    """Import an example by its file, such as C{"rpc/web_rpc"}."""
    module_name = f"example_{name.replace('/', '_')}"
    spec = spec_from_file_location(module_name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class ExampleCase(TestCase):
    """Runs the C{main} of examples in this process, on one broker in memory."""

    def setUp(self) -> None:
        forget_brokers()
        self.addCleanup(forget_brokers)
        self.screen = StringIO()
        redirection = redirect_stdout(self.screen)
        redirection.__enter__()
        self.addCleanup(redirection.__exit__, None, None, None)

    def run_main(self, name: str, *arguments: str) -> Deferred[None]:
        """Begin to run an example."""
        return self.run_loaded(load(name), *arguments)

    def run_loaded(
        self, example: Any, *arguments: str, broker: str = BROKER
    ) -> Deferred[None]:
        """Begin to run the C{main} of an example that was imported."""
        return Deferred.fromCoroutine(example.main(reactor, broker, *arguments))

    async def printed(self, pattern: str) -> re.Match[str]:
        """Wait until this has been printed."""
        await self.until(lambda: re.search(pattern, self.screen.getvalue()))
        found = re.search(pattern, self.screen.getvalue())
        assert found, f"{pattern!r} not in {self.screen.getvalue()!r}"
        return found

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition is true, or for a long time."""
        for _ in range(round(SECONDS / 0.005)):
            if condition():
                return
            await deferLater(reactor, 0.005)
        self.fail("it took too long")

    async def interrupt(self, running: Deferred[None]) -> None:
        """Interrupt an example that runs until then, and check that nothing is left."""
        self.assertNoResult(running)
        running.cancel()
        with self.assertRaises(CancelledError):
            await running
        self.assertEqual(broker_named("examples").sessions, [])


class WebCase(ExampleCase):
    """
    Runs a web server that publishes.

    @cvar example: the name of its file.
    @cvar path: where it takes orders.
    @cvar ready: what it prints when it listens.
    """

    example = "web_publisher/web_publisher"
    path = "/"
    ready = "Publishing what is posted"

    def setUp(self) -> None:
        super().setUp()
        self.module = load(self.example)
        [self.port] = free_ports(1)

    async def serve(self, broker: str = BROKER) -> Deferred[None]:
        """Start the server."""
        endpoint = f"tcp:{self.port}:interface={HOST}"
        serving = self.run_loaded(self.module, endpoint, broker=broker)
        await self.printed(self.ready)
        return serving

    async def post(
        self, body: bytes, headers: Mapping[str, list[str]] | None = None
    ) -> tuple[int, Headers, str]:
        """Post a body; return code, headers and text of the answer."""
        response = await Agent(reactor).request(
            b"POST",
            f"http://{HOST}:{self.port}{self.path}".encode(),
            Headers(headers or {}),
            FileBodyProducer(BytesIO(body)),
        )
        text = await body_of(response)
        return response.code, response.headers, text.decode()

    def assert_later(self, answer: tuple[int, Headers, str], text: str) -> None:
        """The answer says that the same can be posted again, and when."""
        code, headers, told = answer
        self.assertEqual(code, 503)
        self.assertEqual(headers.getRawHeaders("Retry-After"), ["5"])
        self.assertIn(text, told)


class WebPublisherTests(WebCase):
    """What C{web_publisher.py} answers."""

    async def test_accepted(self) -> None:
        """What was posted is in the queue once it was accepted."""
        serving = await self.serve()
        code, _, told = await self.post(b'{"id": 7}')
        self.assertEqual((code, told), (202, "accepted\n"))
        async with BrokerConnection(BROKER) as connection:
            message = await Queue("web.orders")(connection).get(no_ack=True)
        assert message is not None
        self.assertEqual(message.payload, {"id": 7})
        await self.interrupt(serving)

    async def test_refused(self) -> None:
        """What the broker refuses for good is a fault behind the server."""
        async with BrokerConnection(BROKER) as connection:
            await Queue("web.orders", max_length=1)(connection).declare()
        serving = await self.serve()
        code, headers, told = await self.post(b"{}")
        self.assertEqual(code, 502)
        self.assertFalse(headers.hasHeader("Retry-After"))
        self.assertIn("406 PRECONDITION_FAILED", told)
        await self.interrupt(serving)

    async def test_no_broker(self) -> None:
        """
        Without a broker a client waits no longer than the deadline; if too many wait,
        the next one does not wait at all.
        """
        self.patch(self.module, "SECONDS", 2.0)
        self.patch(publish_queue, "MAX_PENDING", 1)
        [nobody] = free_ports(1)
        serving = await self.serve(f"amqp://{HOST}:{nobody}")
        first = Deferred.fromCoroutine(self.post(b"{}"))
        await deferLater(reactor, 0.2)
        self.assert_later(await self.post(b"{}"), "1 messages (2 bytes) wait")
        self.assertNoResult(first)
        self.assert_later(await first, "was not over within 2 s")
        await self.interrupt(serving)


class WebRequestTests(WebCase):
    """What C{web_publisher.py} does with headers and clients."""

    async def test_headers(self) -> None:
        """Content type and idempotency key go with the message."""
        serving = await self.serve()
        headers = {"Content-Type": ["text/plain"], "Idempotency-Key": ["order-7"]}
        code, *_ = await self.post(b"seven", headers)
        self.assertEqual(code, 202)
        async with BrokerConnection(BROKER) as connection:
            message = await Queue("web.orders")(connection).get(no_ack=True)
        assert message is not None
        self.assertEqual(message.content_type, "text/plain")
        self.assertEqual(message.properties["message_id"], "order-7")
        await self.interrupt(serving)

    async def test_wrong_header(self) -> None:
        """A header that no message can carry is the client's fault."""
        serving = await self.serve()
        code, _, told = await self.post(b"{}", {"Idempotency-Key": ["7" * 300]})
        self.assertEqual(code, 400)
        self.assertIn("message_id", told)
        await self.interrupt(serving)

    async def test_client_gone(self) -> None:
        """The message of a client that has gone waits no more, and is not sent."""
        [nobody] = free_ports(1)
        publisher = self.module.web_publisher(
            reactor, f"amqp://{HOST}:{nobody}", f"tcp:{self.port}:interface={HOST}"
        )
        publisher.startService()
        posting = Deferred.fromCoroutine(self.post(b"{}"))
        await self.until(lambda: publisher.unconfirmed)
        self.assertEqual(publisher.unconfirmed, 1)
        posting.cancel()
        with self.assertRaises(ResponseNeverReceived):
            await posting
        await self.until(lambda: not publisher.unconfirmed)
        self.assertEqual(publisher.unconfirmed, 0)
        await publisher.stopService()


class KleinPublisherTests(WebPublisherTests):
    """C{klein_publisher.py}"""

    if find_spec("klein") is None:
        skip = "klein is not installed"

    example = "web_publisher/klein_publisher"
    path = "/orders"


class RPCTests(ExampleCase):
    """C{rpc_server.py} and C{rpc_client.py}"""

    async def test_calls(self) -> None:
        """The client prints the replies and the errors of the server, in order."""
        server = self.run_main("rpc/rpc_server")
        await self.printed("Waiting for calls")
        await self.run_main("rpc/rpc_client", "one two", "", "one")
        self.assertEqual(
            self.screen.getvalue().splitlines()[1:],
            [
                "2 words in 'one two'",
                "the server refused '': ValueError: the text has no words",
                "1 words in 'one'",
            ],
        )
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        await self.interrupt(server)

    async def test_no_server(self) -> None:
        """Without a server the client says so at once."""
        await self.run_main("rpc/rpc_client", "one")
        self.assertEqual(self.screen.getvalue(), "there is no server\n")


class WebRPCTests(WebCase):
    """C{web_rpc.py}, with C{rpc_server.py}"""

    example = "rpc/web_rpc"
    ready = "Calling for what is posted"

    async def test_called(self) -> None:
        """The reply of the server, or its error, is the answer."""
        server = self.run_main("rpc/rpc_server")
        await self.printed("Waiting for calls")
        serving = await self.serve()
        code, _, told = await self.post(b'{"text": "one two"}')
        self.assertEqual((code, told), (200, '{"words": 2}'))
        code, _, told = await self.post(b'{"text": ""}')
        self.assertEqual((code, told), (400, '{"error": "the text has no words"}'))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        serving.cancel()
        with self.assertRaises(CancelledError):
            await serving
        await self.interrupt(server)

    async def test_wrong_body(self) -> None:
        """What is no JSON is the client's fault."""
        serving = await self.serve()
        code, _, told = await self.post(b"{")
        self.assertEqual(code, 400)
        self.assertIn("Expecting property name", told)
        await self.interrupt(serving)

    async def test_no_server(self) -> None:
        """Without a server of the calls a client is told at once to come again."""
        serving = await self.serve()
        self.assert_later(await self.post(b"{}"), "NO_ROUTE")
        await self.interrupt(serving)

    async def test_no_broker(self) -> None:
        """Without a broker a client is told so at the deadline."""
        self.patch(self.module, "SECONDS", 0.3)
        [nobody] = free_ports(1)
        serving = await self.serve(f"amqp://{HOST}:{nobody}")
        self.assert_later(await self.post(b"{}"), "was not over within 0.3 s")
        await self.interrupt(serving)

    async def test_no_reply(self) -> None:
        """A call that is not replied to in time ends with a timeout."""
        self.patch(self.module, "SECONDS", 0.3)
        async with BrokerConnection(BROKER) as connection:
            await Queue("words")(connection).declare()
            serving = await self.serve()
            code, headers, told = await self.post(b"{}")
        self.assertEqual(code, 504)
        self.assertFalse(headers.hasHeader("Retry-After"))
        self.assertIn("waiting for the reply", told)
        await self.interrupt(serving)

    async def test_stopped_meanwhile(self) -> None:
        """A stop waits for the replies of the calls that are under way."""
        async with BrokerConnection(BROKER) as connection:
            await Queue("words")(connection).declare()
            service = self.module.web_rpc(
                reactor, BROKER, f"tcp:{self.port}:interface={HOST}"
            )
            service.startService()
            posting = Deferred.fromCoroutine(self.post(b"{}"))
            queue = broker_named("examples").queue("words")
            await self.until(lambda: queue.waiting)
            stopping = service.stopService()
            await deferLater(reactor, 0.1)
            self.assertNoResult(stopping)
            message = await Queue("words")(connection).get(no_ack=True)
            assert message is not None
            await message.respond({"words": 0})
            await stopping
            self.assertEqual((await posting)[0], 200)

    async def test_client_gone(self) -> None:
        """The call of a client that has gone is forgotten."""
        async with BrokerConnection(BROKER) as connection:
            await Queue("words")(connection).declare()
            service = self.module.web_rpc(
                reactor, BROKER, f"tcp:{self.port}:interface={HOST}"
            )
            service.startService()
            [listening] = service.services
            posting = Deferred.fromCoroutine(self.post(b"{}"))
            await self.until(lambda: listening.words.calls)
            posting.cancel()
            with self.assertRaises(ResponseNeverReceived):
                await posting
            await self.until(lambda: not listening.words.calls)
            await service.stopService()


class OutboxTests(ExampleCase):
    """C{outbox.tac}, with a database in a file."""

    async def test_application(self) -> None:
        """What is ordered before and while it runs is shipped."""
        folder, database = EXAMPLES / "outbox", os.path.abspath(self.mktemp())
        changed = {**os.environ, "TXKOMBU_BROKER": BROKER, "OUTBOX": database}
        self.patch(os, "environ", changed)
        self.patch(sys, "path", list(sys.path))  # to which the .tac adds
        file = folder / "outbox.tac"
        shown: dict[str, Any] = {"__file__": str(file)}
        with importable(folder):
            order = load("outbox/order")
            exec(compile(file.read_text(), file, "exec"), shown)
        order.main(database, "lamp")
        service = IService(shown["application"])
        service.startService()
        await self.printed("shipped lamp\n")
        order.main(database, "chair")
        await self.printed("shipped chair\n")
        await service.stopService()
        shown["pool"].close()
        self.assertEqual(self.screen.getvalue().count("shipped"), 2)


class FolderTests(SynchronousTestCase):
    """Examples in their folders, as their READMEs say."""

    def test_all_are_tested(self) -> None:
        """Every example is a folder with a README, but for the demo."""
        files = {path.name for path in EXAMPLES.glob("*.py")}
        self.assertEqual(files, {"demo.py"})  # tests.documentation.test_demo
        folders = {path for path in EXAMPLES.iterdir() if any(path.glob("*.py"))}
        described = {path.parent for path in EXAMPLES.glob("*/README.rst")}
        self.assertEqual(described, folders)
        listed = set(links_of(EXAMPLES / "README.rst"))
        self.assertEqual(listed, {path.name for path in folders})

    def test_trial(self) -> None:
        """trial runs the tests of an example by the command that its README has."""
        folder = EXAMPLES / "worker"
        readme = (folder / "README.rst").read_text()
        told = re.search(r"    python (-m twisted\.trial) (.+)\n", readme)
        assert told is not None
        library = str(Path(txkombu.__file__).parents[1])  # without the suite's folders
        done = run_python(
            *(*told[1].split(), f"--temp-directory={os.path.abspath(self.mktemp())}"),
            told[2],
            cwd=folder,
            PYTHONPATH=library,
        )
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("PASSED (successes=3)", done.stdout)

    def test_worker(self) -> None:
        """The worker's service runs from its folder, by the command of its README."""
        folder = EXAMPLES / "worker"
        readme = (folder / "README.rst").read_text()
        told = re.search(r"    txkombu (serve .+)\n", readme)
        assert told is not None
        options = (*told[1].split(), "--broker", "memory://worker")
        running = Running("-m", "txkombu", *options, cwd=folder)
        self.addCleanup(running.close)
        running.wait_for("<charge of 'orders'> consumes")
        running.wait_for("<send_invoice of 'invoices'> consumes")
        self.assertNotIn("#warn]", running.output)
        running.process.terminate()
        self.assertEqual(running.wait(), 0)
