"""C{txkombu plan} and C{txkombu apply}, on a broker in memory."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.support.commands import Ran, begin
from tests.support.paths import DOCS
from txkombu import Exchange, Queue
from txkombu.cli.plan import PlanOptions
from txkombu.testing import BrokerTestCase

FILE = """
broker: memory://x
exchanges:
  feeds: {type: topic}
  other: {no_declare: true}
queues:
  imports: {exchange: feeds, routing_key: import.*, message_ttl: 60}
  parked: {}
  others: {bindings: [{exchange: amq.topic, routing_key: "#"}]}
  theirs: {no_declare: true}
consumers:
  - handler: tests.configuration.handlers:Feeds
  - {handler: "tests.configuration.handlers:plain", queues: imports}
"""
NAMES = ("imports", "parked", "others", "feeds")


class PlanCase(BrokerTestCase):
    """Runs the two commands."""

    def setUp(self) -> None:
        super().setUp()
        self.file = Path(self.mktemp())
        self.file.write_text(FILE)

    def run_command(self, name: str, code: int) -> Ran:
        """Run a command with the file, which has to end with that exit code."""
        ran = begin(f"{name} {self.file}", self.connect())
        ended: list[int] = []
        ran.code.addCallback(ended.append)
        self.flush()
        self.assertEqual(ended, [code], ran.err)
        return ran

    def lines(self, name: str, code: int = 0) -> list[str]:
        """Return what a command writes."""
        return self.run_command(name, code).out.decode().splitlines()

    def queues(self) -> set[str]:
        """Return the names of the broker's queues."""
        return set(self.broker.memory.vhost().queues)


class ConnectionTests(TestCase):
    """The connection to the broker."""

    async def test_refused(self) -> None:
        """A broker that cannot be used ends them, unless the file says to wait."""
        file = Path(self.mktemp())
        broker = "{url: 'amqp://guest:s3cret@127.0.0.1:1'}"
        file.write_text(FILE.replace("memory://x", broker))
        for name in ("plan", "apply"):
            ran = begin(f"{name} {file}", None)
            self.assertEqual(await ran.code, 1)
            self.assertIn("cannot connect to 127.0.0.1:1: ", ran.err)
            self.assertEqual(ran.err.count("\n"), 1)
        waiting = broker.replace("}", ", wait_for_broker: true}")
        file.write_text(FILE.replace("memory://x", waiting))
        options = PlanOptions()
        options.parseOptions([str(file)])
        self.assertTrue(options.connection.core.settings.wait_for_broker)


class PlanTests(PlanCase):
    """C{txkombu plan}"""

    def test_missing(self) -> None:
        """What the broker lacks is told, and stays missing."""
        self.assertEqual(
            self.lines("plan"),
            [
                "exchange 'feeds' is missing",
                *(f"queue '{each}' is missing" for each in NAMES),
            ],
        )
        self.assertEqual(self.queues(), set())

    def test_exists(self) -> None:
        """What exists as described is told, too."""
        self.result_of(Exchange("feeds", "topic")(self.connection).declare())
        self.result_of(Queue("parked")(self.connection).declare())
        lines = self.lines("plan")
        self.assertEqual(lines[0], "exchange 'feeds' exists")
        self.assertIn("queue 'parked' exists", lines)
        self.assertEqual(self.queues(), {"parked"})

    def test_differs(self) -> None:
        """What exists with other arguments is told with the argument; the code is 1."""
        self.result_of(Exchange("feeds", "fanout")(self.connection).declare())
        self.result_of(Queue("imports", message_ttl=5)(self.connection).declare())
        lines = self.lines("plan", 1)
        self.assertTrue(lines[0].startswith("exchange 'feeds' differs: 406"), lines[0])
        self.assertIn("inequivalent arg 'type'", lines[0])
        self.assertTrue(lines[1].startswith("queue 'imports' differs: 406"), lines[1])
        self.assertIn("inequivalent arg 'x-message-ttl'", lines[1])

    def test_locked(self) -> None:
        """A queue that another connection uses exclusively cannot be looked at."""
        self.result_of(Queue("parked", exclusive=True)(self.connection).declare())
        lines = self.lines("plan")
        self.assertIn("queue 'parked' may not be looked at: 405", lines[2])

    def test_wrong_file(self) -> None:
        """The faults of the file are told, and nothing else is done."""
        self.file.write_text("consumers: 3")
        ran = self.run_command("plan", 2)
        self.assertIn("consumers: must be a list; it is 3", ran.err)


class ApplyTests(PlanCase):
    """C{txkombu apply}"""

    def test_declared(self) -> None:
        """What is missing is declared, with its bindings; a second time nothing is."""
        self.result_of(Queue("parked")(self.connection).declare())
        ran = self.run_command("apply", 0)
        self.assertIn("queue 'imports' is missing: declared", ran.out.decode())
        self.assertIn("4 declarations; 1 existed", ran.err)
        self.assertEqual(self.queues(), set(NAMES))
        bound = self.broker.memory.vhost().exchanges["feeds"].bindings
        self.assertEqual(len(list(bound)), 1)
        ran = self.run_command("apply", 0)
        self.assertEqual((ran.out, ran.err), (b"", "0 declarations; 5 existed\n"))
        self.assertEqual(len(self.lines("plan")), 5)

    def test_differs(self) -> None:
        """If one differs nothing is changed."""
        self.result_of(Queue("others", max_length=1)(self.connection).declare())
        ran = self.run_command("apply", 1)
        self.assertIn("queue 'others' differs: 406", ran.out.decode())
        self.assertIn("nothing was changed", ran.err)
        self.assertEqual(self.queues(), {"others"})


class PageTests(PlanCase):
    """docs/reference/commands.rst"""

    def test_examples(self) -> None:
        """Both commands say what the page shows."""
        self.file.write_text(
            "broker: memory://x\n"
            "queues: {orders: {message_ttl: 60}, invoices: }\n"
            "consumers:\n"
            "  - {handler: 'tests.configuration.handlers:plain', queues: orders}\n"
        )
        orders = Queue("orders")(self.connection)
        self.result_of(orders.declare())
        shown = (DOCS / "reference" / "commands.rst").read_text(encoding="utf-8")
        for line in self.lines("plan", 1):
            self.assertIn(line.partition("x-message-ttl")[0], shown)
        self.result_of(orders.delete())
        self.result_of(Queue("orders", message_ttl=60)(self.connection).declare())
        ran = self.run_command("apply", 0)
        for line in [*ran.out.decode().splitlines(), *ran.err.splitlines()]:
            self.assertIn(line, shown)
