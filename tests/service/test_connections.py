"""What services call their connections, and what the log has of them."""

from __future__ import annotations

import os
import socket

from twisted.logger import capturedLogs, formatEvent

from txkombu import Consumer, Message, Queue
from txkombu.service import ConsumerService, PublisherService
from txkombu.service.connection_names import hosted_connection, name_connection
from txkombu.testing import BrokerTestCase


class Worker(Consumer):
    """Handles nothing much."""

    queues = Queue("work")

    def receive(self, body: object, message: Message) -> object:
        """Acknowledge."""
        return message.ack()


class NameTests(BrokerTestCase):
    """Names of connections."""

    def test_made(self) -> None:
        """A connection without name gets one of application, host, process, purpose."""
        connection = hosted_connection("memory://", "consumers", "a" * 200)
        wanted = f"{'a' * 100}@{socket.gethostname()[:100]}:{os.getpid()}/consumers"
        self.assertEqual(connection.info()["name"], wanted)
        self.assertEqual(connection.clone().info()["name"], wanted)

    def test_kept(self) -> None:
        """A name that was given stays, and so does the first that was made."""
        connection = name_connection(self.connect(name="mine"), "consumers", "app")
        self.assertEqual(connection.info()["name"], "mine")
        connection = name_connection(self.connect(), "consumers", "first")
        name_connection(connection, "consumers", "second")
        self.assertTrue(str(connection.info()["name"]).startswith("first@"))

    def test_at_each_login(self) -> None:
        """The process is the one that logs in, not the one that made the connection."""
        connection = name_connection(self.connect(), "consumers", "app")
        numbers = iter((1, 2, 3))
        seen: list[object] = []
        settings = connection.core.settings
        self.patch(os, "getpid", lambda: next(numbers))
        for _ in range(2):
            login = self.result_of(settings.login_at(settings.alternates[0]))
            seen.append(login.connection_name)
        self.assertTrue(str(seen[0]).endswith(":1/consumers"))
        self.assertTrue(str(seen[1]).endswith(":2/consumers"))


class LogTests(BrokerTestCase):
    """One line for each change of a connection."""

    def test_lines(self) -> None:
        """It was made, lost, made again, and closed."""
        service = ConsumerService(self.connect(), Worker)
        with capturedLogs() as events:
            service.startService()
            self.flush()
            service.connection.drop()
            self.advance(10)
            service.stopService()
            self.flush()
        told = [str(formatEvent(each)) for each in events]
        lines = [each for each in told if "memory://" in each]
        self.assertEqual(len(lines), 4, lines)
        for line, wanted in zip(
            lines,
            ("Connected to ", "No connection to ", "reconnected in ", "is closed"),
            strict=True,
        ):
            self.assertIn(wanted, line)

    def test_late(self) -> None:
        """A publisher whose broker comes late tells of its connection once."""
        service = PublisherService(self.connect())
        self.broker.refuse()
        with capturedLogs() as events:
            service.startService()
            self.advance(2)
            self.broker.accept()
            self.advance(10)
            self.assertTrue(service.connected)
            service.stopService()
            self.flush()
        told = [str(formatEvent(each)) for each in events]
        self.assertEqual(len([each for each in told if "onnected " in each]), 1, told)
