"""Every example runs, and does what it says."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.util import module_from_spec, spec_from_file_location
from io import StringIO
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.support.paths import EXAMPLES
from tests.support.processes import TRIAL, Running, run_python
from txkombu import BrokerConnection, Queue
from txkombu.transport.memory import broker_named, forget_brokers

BROKER = "memory://examples"
SECONDS = 30.0


def load(name: str) -> Any:
    """Import an example by its file's name."""
    spec = spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
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
        running = load(name).main(reactor, BROKER, *arguments)
        return Deferred.fromCoroutine(running)

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

    async def interrupt(self, running: Deferred[None]) -> None:
        """Interrupt an example that runs until then, and check that nothing is left."""
        self.assertNoResult(running)
        running.cancel()
        with self.assertRaises(CancelledError):
            await running
        self.assertEqual(broker_named("examples").sessions, [])


class FeedTests(ExampleCase):
    """C{producer.py} and C{consumer.py}"""

    async def test_feeds(self) -> None:
        """The feeds that the producer asks for reach the consumer."""
        consumer = self.run_main("consumer")
        await self.printed("Waiting for feeds")
        await self.run_main("producer", "http://cnn.com/rss/edition.rss", "http://b/")
        await self.printed("Got feed import message for: http://b/\n")
        lines = self.screen.getvalue().splitlines()
        self.assertEqual(
            [line for line in lines if line.startswith("Got")],
            [
                "Got feed import message for: http://cnn.com/rss/edition.rss",
                "Got feed import message for: http://b/",
            ],
        )
        await self.interrupt(consumer)

    async def test_unknown_action(self) -> None:
        """An unknown action is rejected, and the next message is handled."""
        consumer = self.run_main("consumer")
        await self.printed("Waiting for feeds")
        producer_example = load("producer")
        async with BrokerConnection(BROKER) as connection:
            producer = producer_example.FeedProducer(connection)
            await producer.publish({"action": "paint_feed"})
            await producer.import_feed("http://after/")
        await self.printed("for: http://after/\n")
        queue = broker_named("examples").queue("feed")
        await self.until(
            lambda: not (queue.waiting or any(each.held for each in queue.consumers))
        )
        self.assertEqual(len(queue.waiting), 0)
        texts = [str(each.value) for each in self.flushLoggedErrors(Exception)]
        self.assertEqual(texts, ["Unknown action: paint_feed"] * 2)
        await self.interrupt(consumer)


class LineClient(Protocol):
    """
    Collects the server's answers.

    @ivar left: fires when the server has closed the connection.
    """

    def __init__(self) -> None:
        self.received = b""
        self.left: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.left.callback(None)


class LinePublisherTests(ExampleCase):
    """C{line_publisher.py}"""

    async def serve(self) -> tuple[Deferred[None], LineClient]:
        """Start the server, and connect a client."""
        serving = self.run_main("line_publisher", "tcp:0:interface=127.0.0.1")
        found = await self.printed(r"Publishing .* port=(\d+)")
        endpoint = clientFromString(reactor, f"tcp:127.0.0.1:{found[1]}")
        client: LineClient = await connectProtocol(endpoint, LineClient())
        return serving, client

    async def answers(self, client: LineClient, count: int) -> list[bytes]:
        """Wait for so many lines from the server."""
        await self.until(lambda: client.received.count(b"\n") >= count)
        return client.received.splitlines()

    async def leave(self, client: LineClient, serving: Deferred[None]) -> None:
        """
        Close the sending side, at which the server closes, too, and end the server.
        """
        client.transport.loseWriteConnection()  # type: ignore[union-attr]  # what it is here has it
        await client.left
        await self.interrupt(serving)

    async def test_lines(self) -> None:
        """Each line of a client is published in order, and answered."""
        serving, client = await self.serve()
        assert client.transport is not None
        client.transport.write(b"one\r\ntwo\nthr\xc3\xa9e\n")
        answers = await self.answers(client, 3)
        self.assertEqual(answers, [b"published"] * 3)
        async with BrokerConnection(BROKER) as connection:
            lines = Queue("lines")(connection)
            got = [await lines.get(no_ack=True) for _ in range(3)]
        payloads = [None if each is None else each.payload for each in got]
        self.assertEqual(payloads, ["one", "two", "thrée"])
        await self.leave(client, serving)

    async def test_refusal(self) -> None:
        """A line that the broker refuses is reported, and the next line is read."""
        async with BrokerConnection(BROKER) as connection:
            await Queue("lines", max_length=1)(connection).declare()
        serving, client = await self.serve()
        assert client.transport is not None
        for count in (1, 2):
            client.transport.write(b"a line\n")
            answers = await self.answers(client, count)
            self.assertEqual(len(answers), count)
            self.assertIn(b"not published: 406 PRECONDITION_FAILED", answers[-1])
        await self.leave(client, serving)


class ProgramTests(SynchronousTestCase):
    """Examples run as their docstrings say."""

    def test_all_are_tested(self) -> None:
        """Every example is run by a test of this module, or by test_demo."""
        names = {path.stem for path in EXAMPLES.glob("*.py")}
        tested = {"producer", "consumer", "line_publisher", "test_handler"}
        self.assertEqual(names, tested | {"demo"})  # tests.documentation.test_demo

    def test_handler_case(self) -> None:
        """trial runs C{test_handler.py} by the command that its docstring names."""
        home = os.path.abspath(self.mktemp())
        text = (EXAMPLES / "test_handler.py").read_text()
        told = re.search(r"C\{trial (.+?)\}", text)
        assert told is not None
        arguments = (f"--temp-directory={home}", *told[1].split())
        done = run_python("-c", TRIAL, *arguments, cwd=EXAMPLES)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("PASSED (successes=3)", done.stdout)

    def test_hosted(self) -> None:
        """C{consumer.py} can be hosted from its folder, by name."""
        running = Running(
            *("-m", "txkombu", "serve", "--broker", BROKER),
            *("--consumer", "consumer:FeedConsumer"),
            cwd=EXAMPLES,
        )
        self.addCleanup(running.close)
        running.wait_for("<FeedConsumer of 'feed'> consumes")
        running.process.terminate()
        self.assertEqual(running.wait(), 0)
