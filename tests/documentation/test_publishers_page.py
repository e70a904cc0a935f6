"""docs/howto/publishers.rst is so."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from twisted.application.service import IServiceCollection
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.support.paths import DOCS, EXAMPLES
from tests.support.processes import TWISTD, Running
from tests.support.snippets import PageTestCase, snippets_of
from txkombu import BrokerConnection, Exchange, Queue
from txkombu._util.timeouts import CLOSE_TIMEOUT
from txkombu.service import ConsumerService, PublisherService
from txkombu.service.broker_service import SHUTDOWN_TIMEOUT
from txkombu.transport.memory import forget_brokers

PAGE = DOCS / "howto" / "publishers.rst"
BROKER = "memory://publishers-page"


def write_files() -> str:
    """Write the files that the page shows; return their folder."""
    programs = [
        each.text
        for each in snippets_of(PAGE.read_text(encoding="utf-8"))
        if each.kind == "program"
    ]
    home = os.path.abspath("publishers-page")
    os.makedirs(home, exist_ok=True)
    Path(home, "shop.py").write_text(programs[0])
    Path(home, "shop.tac").write_text(programs[1])
    return home


class PublishersPageTests(PageTestCase):
    """The snippets of the page."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(sys, "path", [write_files(), *sys.path])
        self.addCleanup(sys.modules.pop, "shop", None)
        self.patch(os, "environ", {**os.environ, "TXKOMBU_BROKER": BROKER})

    async def test_snippets(self) -> None:
        """They do what the page shows."""
        self.assertGreater(await self.run_text(PAGE.read_text(encoding="utf-8")), 10)

    async def test_application(self) -> None:
        """The application passes an order on as an invoice, and stops in order."""
        self.addCleanup(forget_brokers)
        forget_brokers()
        shown: dict[str, object] = {}
        source = Path(sys.path[0], "shop.tac").read_text()
        exec(compile(source, "shop.tac", "exec"), shown)
        publisher, consumers = shown["publisher"], shown["consumers"]
        assert isinstance(publisher, PublisherService)
        assert isinstance(consumers, ConsumerService)
        self.assertEqual(
            list(IServiceCollection(shown["application"])),
            [publisher],
        )
        publisher.startService()
        await consumers.when_started()
        async with BrokerConnection(BROKER) as connection:
            invoices = Queue("invoices-page", Exchange("invoices", type="fanout"))(
                connection
            )
            await invoices.declare()
            await publisher.publish({"order": 7}, "order", exchange="shop")
            await publisher.stopService()
            message = await invoices.get(no_ack=True)
            assert message is not None
            self.assertEqual(message.payload, {"invoice for": 7})
            await invoices.delete()

    async def test_program(self) -> None:
        """The program publishes, and runs until its service is stopped."""
        self.addCleanup(forget_brokers)
        programs = snippets_of(PAGE.read_text(encoding="utf-8"))
        [source] = [each.text for each in programs if "async def main" in each.text]
        shown = {"PublisherService": PublisherService, "Queue": Queue}
        exec(source, shown)
        stops: list[object] = []

        class Recording:
            """The reactor, but for its triggers."""

            def __getattr__(self, name: str) -> object:
                return getattr(reactor, name)

            def addSystemEventTrigger(
                self, phase: str, event: str, stop: object
            ) -> None:
                assert (phase, event) == ("before", "shutdown")
                stops.append(stop)

        main: object = shown["main"]
        assert callable(main)
        running = Deferred.fromCoroutine(main(Recording(), BROKER))
        async with BrokerConnection(BROKER) as connection:
            greetings = Queue("greetings")(connection)
            await greetings.declare()
            message = await greetings.get(no_ack=True)
            while message is None:
                message = await greetings.get(no_ack=True)
            self.assertEqual(message.payload, "hello")
        self.assertNoResult(running)
        [stop] = stops
        assert callable(stop)
        await stop()
        await running


class PublishersPageTextTests(SynchronousTestCase):
    """The rest of the page."""

    def setUp(self) -> None:
        self.text = PAGE.read_text(encoding="utf-8")

    def test_command(self) -> None:
        """The command runs the application, and a SIGTERM ends it in order."""
        [command] = re.findall(r"(?m)^    PYTHONPATH=\. twistd (.*)$", self.text)
        home = write_files()
        broker = f"os.environ['TXKOMBU_BROKER'] = '{BROKER}'"
        running = Running(
            "-c",
            f"import os, sys; sys.path.insert(0, '.'); {broker}; {TWISTD}",
            *command.split(),
            cwd=home,
        )
        self.addCleanup(running.close)
        running.wait_for("consumes")
        running.process.terminate()
        running.wait()
        self.assertIn("Server Shut Down", running.output)
        self.assertNotIn("Traceback", running.output)

    def test_examples(self) -> None:
        """The examples that it names are there."""
        names = set(re.findall(r"``examples/(\w+)``", self.text))
        self.assertEqual(len(names), 2)
        for name in names:
            self.assertTrue((EXAMPLES / name).exists(), name)

    def test_times(self) -> None:
        """The times that the page tells are those of the code."""
        self.assertEqual((SHUTDOWN_TIMEOUT, CLOSE_TIMEOUT), (30, 5))
        text = " ".join(self.text.split())
        self.assertIn("``shutdown_timeout`` seconds together, by default 30;", text)
        self.assertIn("if that takes more than five seconds.", text)
        self.assertIn("the verdicts have five seconds", text)
