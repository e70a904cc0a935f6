"""
The programs that the benchmarks run, each once.
"""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.admin import QUEUE, Admin
from benchmarks.amqp_growing import SIZES
from benchmarks.clients import (
    CLIENTS,
    STOMP_CLIENTS,
    Commands,
)
from benchmarks.job import Job
from benchmarks.report import module, run
from benchmarks.rss import publish_and_count
from benchmarks.stomp_admin import ActiveMQAdmin
from benchmarks.stomp_job import DESTINATIONS
from tests.support.activemq import activemq
from tests.support.rabbitmq import rabbitmq

MESSAGES = 20


class ProgramsTests(SynchronousTestCase):
    """Each program does what it says, once."""

    def run_mode(self, mode: str, size: int = 4096) -> None:
        """Run the programs of one table; only the one in C may be missing."""
        folder = Path(self.mktemp())
        folder.mkdir()
        commands = Commands(CLIENTS, folder)
        wanted = {each.name for each in CLIENTS if mode in each.modes and each.package}
        self.assertLessEqual(wanted, set(commands.of(mode)))
        port = rabbitmq().amqp_port
        with Admin(port) as admin:
            self.addCleanup(_delete, port)
            for *command, program_mode in commands.of(mode).values():
                job = Job(program_mode, port, QUEUE, size, MESSAGES)
                admin.prepare(job)
                figures = run([*command, *job.arguments])
                self.assertGreater(min(figures[:2]), 0)
                self.assertEqual(figures.p99 > 0, mode == "request")
                admin.check(job)

    def test_publish(self) -> None:
        """All messages are in the queue, the smallest too."""
        self.run_mode("publish")
        self.run_mode("publish", SIZES[0])

    def test_confirm(self) -> None:
        """All messages are in the queue."""
        self.run_mode("confirm")

    def test_consume(self) -> None:
        """All messages were acked."""
        self.run_mode("consume")

    def test_consume_many(self) -> None:
        """All messages were acked, by several consumers."""
        port = rabbitmq().amqp_port
        with Admin(port) as admin:
            self.addCleanup(_delete, port)
            for program in ("amqp_txkombu", "amqp_pika_twisted"):
                job = Job("consume-many", port, QUEUE, 200, MESSAGES, consumers=5)
                admin.prepare(job)
                figures = run([*module(f"benchmarks.{program}"), *job.arguments])
                self.assertGreater(min(figures[:2]), 0)
                admin.check(job)

    def test_request(self) -> None:
        """All messages came back."""
        self.run_mode("request")

    def run_stomp(
        self, mode: str, admin: Admin | ActiveMQAdmin, broker: str, port: int
    ) -> None:
        """Run the programs of one table of STOMP."""
        commands = Commands(STOMP_CLIENTS, Path())
        self.assertEqual(list(commands.of(mode)), [each.name for each in STOMP_CLIENTS])
        for *command, program_mode in commands.of(mode).values():
            job = Job(program_mode, port, DESTINATIONS[broker], 20_000, MESSAGES)
            admin.prepare(job)
            self.assertGreater(min(run([*command, *job.arguments])[:2]), 0)
            admin.check(job)

    def test_stomp_on_rabbitmq(self) -> None:
        """All messages are in the queue, or were acked."""
        broker = rabbitmq()
        with Admin(broker.amqp_port) as admin:
            self.addCleanup(_delete, broker.amqp_port)
            for mode in ("confirm", "consume"):
                self.run_stomp(mode, admin, "RabbitMQ", broker.stomp_port)

    def test_stomp_on_activemq(self) -> None:
        """All messages are in the queue, or were acked."""
        port = activemq().stomp_port
        for mode in ("confirm", "consume"):
            self.run_stomp(mode, ActiveMQAdmin(port), "ActiveMQ", port)

    def test_stomp_work_undone(self) -> None:
        """A program that leaves messages over is found out on ActiveMQ, too."""
        port = activemq().stomp_port
        admin = ActiveMQAdmin(port, patience=0.0)
        job = Job("consume", port, DESTINATIONS["ActiveMQ"], 200, MESSAGES)
        admin.prepare(job)
        error = self.assertRaises(AssertionError, admin.check, job)
        self.assertIn("20 messages, not 0, with Job(mode='consume'", str(error))

    def test_work_undone(self) -> None:
        """A program that leaves messages over is found out."""
        port = rabbitmq().amqp_port
        with Admin(port) as admin:
            self.addCleanup(_delete, port)
            job = Job("consume", port, QUEUE, 200, MESSAGES)
            admin.prepare(job)
            admin.patience = 0.0
            error = self.assertRaises(AssertionError, admin.check, job)
        self.assertIn("20 messages, not 0, with Job(mode='consume'", str(error))

    def test_rss(self) -> None:
        """What the publisher sends is counted, each once."""
        broker = rabbitmq()
        self.addCleanup(_delete, broker.amqp_port)
        found = publish_and_count(broker, 200, alarm=0.0)
        self.assertEqual((found.different, found.again), (200, 0))
        self.assertEqual(found.blocked, 0)


def _delete(port: int) -> None:
    with Admin(port) as admin:
        admin.delete()
