"""What becomes of configuration files that are right."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.configuration import handlers
from txkombu import BrokerConnection, Consumer
from txkombu.configuration import ConfigurationError, read_file
from txkombu.configuration.consumer_loader import forget_working_directory
from txkombu.configuration.plan import Plan
from txkombu.core.channel import Channel
from txkombu.policy import RetryPolicy, reject
from txkombu.service import ConsumerService
from txkombu.service.handlers import with_publisher

H = "tests.configuration.handlers"

SMALLEST = f"""
broker: memory://x
consumers:
  - handler: {H}:Feeds
"""

FULL = f"""
app: importer
broker:
  url: [amqp://one//, amqp://two//]
  userid: feeds
  password: {{env: TXKOMBU_TEST_PASSWORD}}
  heartbeat: 20
  connect_timeout: 5
  operation_timeout: 7.5
publisher:
  broker: amqp://guest:guest@three//
  middleware: ["{H}:middleware"]
exchanges:
  feeds: {{type: topic, durable: false, arguments: {{alternate-exchange: rest}}}}
queues:
  feeds:
    exchange: feeds
    routing_key: feeds.*
    message_ttl: 60
    max_length: 1000
    queue_arguments: {{x-dead-letter-exchange: amq.fanout}}
  several:
    bindings:
      - {{exchange: feeds, routing_key: a.*}}
      - {{exchange: amq.headers, arguments: {{x-match: any, kind: b}}}}
  parked:
    queue_type: quorum
consumers:
  - handler: {H}:Feeds
    queues: [feeds, several]
    prefetch_count: 5
    concurrency: 2
    on_failure: {{retry: {{attempts: 3, delay: 2, then: {{park: parked}}}}}}
    accept: [json, yaml]
    auto_declare: passive
    middleware: ["{H}:middleware"]
  - handler: {H}:marked
    thread: true
    on_failure: reject
  - handler: {H}:plain
    queues: feeds
    on_failure: {H}:on_failure
  - handler: {H}:publishing
    queues: several
  - handler: {H}:make_feeds
shutdown_timeout: 12.5
log: {{level: warn, format: json}}
"""


class FileCase(SynchronousTestCase):
    """Reads files."""

    def read(self, text: str, name: str = "service.yaml") -> Plan:
        """Read a file with this text."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / name).write_text(text)
        return read_file(str(folder / name))

    def consumers(self, plan: Plan) -> list[Consumer]:
        """Make the consumers of a plan."""
        connection = BrokerConnection("memory://", reactor=Clock())
        return [
            with_publisher(each, plan.publisher)(Channel(connection))
            for each in plan.consumers
        ]


class PlanTests(FileCase):
    """The parts of a service."""

    def setUp(self) -> None:
        os.environ["TXKOMBU_TEST_PASSWORD"] = "secret"
        self.addCleanup(os.environ.pop, "TXKOMBU_TEST_PASSWORD")

    def test_smallest(self) -> None:
        """A broker and a handler are enough; all else has its default."""
        plan = self.read(SMALLEST)
        self.assertEqual(plan.shutdown_timeout, 30)
        self.assertIsNone(plan.publisher)
        self.assertEqual((plan.log.level, plan.log.format), ("info", "text"))
        [made] = self.consumers(plan)
        self.assertIsInstance(made, handlers.Feeds)
        self.assertEqual([each.name for each in made.queues], ["feeds"])  # type: ignore[union-attr]
        self.assertEqual(made.prefetch_count, 100)

    def test_no_time(self) -> None:
        """Handlers may have no time to finish at all."""
        plan = self.read(f"{SMALLEST}shutdown_timeout: 0\n")
        self.assertEqual(plan.shutdown_timeout, 0)

    def test_connection(self) -> None:
        """The connection has the options of the file, and tells no password."""
        plan = self.read(FULL)
        found = plan.connection.info()
        self.assertEqual(
            [found[each] for each in ("userid", "heartbeat", "connect_timeout")],
            ["feeds", 20, 5],
        )
        self.assertEqual(found["operation_timeout"], 7.5)
        self.assertEqual(len(found["alternates"]), 2)  # type: ignore[arg-type]
        self.assertNotIn("secret", repr(plan))

    def test_names(self) -> None:
        """Connections are named by application, host, process and purpose."""
        plan = self.read(FULL)
        here = f"@{socket.gethostname()}:{os.getpid()}/"
        self.assertEqual(plan.connection.info()["name"], f"importer{here}consumers")
        assert plan.publisher is not None
        publishing = plan.publisher.connection.info()
        self.assertEqual(publishing["name"], f"importer{here}publisher")
        self.assertEqual(publishing["hostname"], "three")
        self.assertEqual(plan.publisher.producer().middleware, [handlers.middleware])
        plan = self.read(SMALLEST, "orders.yaml")
        self.assertEqual(plan.connection.info()["name"], f"orders{here}consumers")
        plan = self.read(SMALLEST.replace("//x", "//x?name=mine"))
        self.assertEqual(plan.connection.info()["name"], "mine")

    def test_entities(self) -> None:
        """Queues and exchanges are those of the file."""
        queues = self.read(FULL).queues
        feeds, several, parked = (
            queues[each] for each in ("feeds", "several", "parked")
        )
        self.assertEqual((feeds.exchange.name, feeds.exchange.type), ("feeds", "topic"))
        self.assertFalse(feeds.exchange.durable)
        self.assertEqual(feeds.routing_key, "feeds.*")
        self.assertEqual(feeds.message_ttl, 60)
        self.assertEqual(feeds.arguments["x-dead-letter-exchange"], "amq.fanout")
        self.assertEqual(
            [(each.exchange.name, each.routing_key) for each in several.bindings],
            [("feeds", "a.*"), ("amq.headers", "")],
        )
        self.assertEqual(parked.queue_type, "quorum")

    def test_consumers(self) -> None:
        """Consumers have what the file says of them, be they classes or functions."""
        plan = self.read(FULL)
        feeds, marked, plain, publishing, made = self.consumers(plan)
        self.assertIsInstance(feeds, handlers.Feeds)
        names = [each.name for each in feeds.queues]  # type: ignore[union-attr]
        self.assertEqual(names, ["feeds", "several"])
        self.assertEqual((feeds.prefetch_count, feeds.concurrency), (5, 2))
        self.assertEqual(feeds.auto_declare, "passive")
        self.assertEqual(feeds.accept, ["json", "yaml"])
        self.assertEqual(feeds.middleware, [handlers.middleware])
        retry: Any = feeds.on_failure
        self.assertIsInstance(retry, RetryPolicy)
        self.assertEqual((retry.attempts, retry.delay), (3, 2))
        self.assertEqual((marked.prefetch_count, marked.concurrency), (3, 10))
        self.assertIs(marked.on_failure, reject)
        self.assertIs(plain.on_failure, handlers.on_failure)
        self.assertEqual(made.prefetch_count, 7)
        self.assertEqual(len({id(each) for each in (feeds, publishing)}), 2)

    def test_parking_queue(self) -> None:
        """A parking queue of the file is declared as the file says."""
        plan = self.read(FULL)
        policy: Any = self.consumers(plan)[0].on_failure
        self.assertIs(policy.then._queue, plan.queues["parked"])

    def test_services(self) -> None:
        """A service of it hosts the consumers and the publisher."""
        plan = self.read(SMALLEST.replace("consumers:", "publisher: true\nconsumers:"))
        service = ConsumerService(
            plan.connection, plan.consumers, publisher=plan.publisher
        )
        assert plan.publisher is not None
        self.assertIsNot(service.connection, plan.publisher.connection)
        for text in ("publisher: false", "publisher: {broker: memory://y}"):
            plan = self.read(SMALLEST.replace("consumers:", f"{text}\nconsumers:"))
            self.assertEqual(plan.publisher is None, text == "publisher: false")

    def test_no_working_directory(self) -> None:
        """Handlers are found where the current directory was deleted meanwhile."""
        here = os.getcwd()
        self.addCleanup(os.chdir, here)
        self.patch(sys, "path", [here, *(each for each in sys.path if each)])
        file = Path(self.mktemp()).absolute()
        file.write_text(SMALLEST)
        gone = Path(self.mktemp()).absolute()
        gone.mkdir()
        os.chdir(gone)
        gone.rmdir()
        self.assertEqual(len(read_file(str(file)).consumers), 1)
        forget_working_directory()

    def test_class_is_not_changed(self) -> None:
        """What the file says is not written into the class."""
        self.read(FULL)
        self.assertEqual(handlers.Feeds.prefetch_count, 100)
        self.assertIsNone(handlers.Feeds.concurrency)


class SecretTests(FileCase):
    """Passwords that stand elsewhere."""

    def test_file(self) -> None:
        """A password of a file is read at each login, without its line's end."""
        secret = Path(self.mktemp())
        secret.write_text("first\r\n")
        broker = f"{{url: amqp://h, password: {{file: '{secret}'}}}}"
        plan = self.read(SMALLEST.replace("memory://x", broker))
        settings = plan.connection.core.settings
        [place] = settings.alternates
        login = self.successResultOf(settings.login_at(place))
        self.assertEqual(login.password, "first")
        secret.write_text("second\n\n")
        login = self.successResultOf(settings.login_at(place))
        self.assertEqual(login.password, "second\n")
        secret.unlink()
        error = self.failureResultOf(settings.login_at(place)).value
        self.assertIn("cannot be read: No such file", str(error))

    def test_file_is_no_text(self) -> None:
        """A password has to be UTF-8."""
        secret = Path(self.mktemp())
        secret.write_bytes(b"\xff")
        broker = f"{{url: amqp://h, password: {{file: '{secret}'}}}}"
        error = self.assertRaises(
            ConfigurationError, self.read, SMALLEST.replace("memory://x", broker)
        )
        self.assertIn("it is not UTF-8", str(error))
