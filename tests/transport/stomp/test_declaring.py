"""Sockets on which many declarations are made, one soon after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import ChannelWatcher, Journal, Probe, SessionWatcher
from tests.support.scripted_stomp_broker import ScriptedBroker
from txkombu import Exchange, Queue
from txkombu.transport.stomp import StompTransport
from txkombu.url import Parameters

QUEUE = Queue("q")
SERVERS = "RabbitMQ/3.10.8", "ActiveMQ/5.17.2"


class DeclaringTests(SynchronousTestCase):
    """What the spare socket, and the broker, keep of what was done on it."""

    def open(self, server: str) -> None:
        """Open a channel on a broker."""
        self.clock = Clock()
        self.broker = ScriptedBroker(server, lambda: None)
        self.session: Any = self.done(
            StompTransport().connect(
                Parameters("stomp", heartbeat=0),
                self.broker,
                self.clock,
                SessionWatcher(Journal()),
            )
        )
        self.addCleanup(self.session.abort)
        opening = self.session.open_channel(ChannelWatcher(Journal()))
        self.channel: Any = self.done(opening)

    def done(self, doing: Deferred[Any]) -> Any:
        """Answer everything until it is done."""
        probe = Probe(doing)
        while self.broker.answer():
            pass
        self.assertTrue(probe.fired)
        return probe.outcome

    def check(self, begin: Callable[[int], Deferred[Any]], kept: int) -> None:
        """Something that is done many times leaves little on its one socket."""
        before = len(self.broker.lines)
        for number in range(30):
            self.done(begin(number))
        self.assertEqual(len(self.broker.lines), before + 1)
        [*_, line] = self.broker.lines
        self.assertLessEqual(len(line.subscriptions), kept)
        socket = self.session.connections._spare
        self.assertLessEqual(len(socket._subscriptions), kept)
        self.assertLessEqual(len(socket._receipts), 0)
        self.clock.advance(1)
        self.broker.answer()
        self.assertFalse(line.is_open)

    def test_bound(self) -> None:
        """
        Bindings, for which the helper queue of RabbitMQ's direct exchanges is kept by
        one subscription.
        """
        for server in SERVERS:
            for kind in ("direct", "topic", "fanout"):
                self.open(server)
                exchange = Exchange("x", kind)
                keeps = kind == "direct" and server == SERVERS[0]
                self.check(
                    lambda number, to=exchange: self.channel.queue_bind(  # type: ignore[misc]  # mypy cannot infer it
                        QUEUE, to, f"k{number}", {}
                    ),
                    int(keeps),
                )

    def test_helper_ends_first(self) -> None:
        """
        The helper queue that tries a binding ends before the queue is bound, since
        RabbitMQ 4.3 nacks for a moment what still goes to the helper.
        """
        for kind in ("topic", "fanout"):
            self.open(SERVERS[0])
            self.done(self.channel.queue_bind(QUEUE, Exchange("x", kind), "k", {}))
            queues: dict[str, str] = {}
            steps = []
            for sent in self.broker.taken:
                headers = dict(sent.headers)
                if "x-queue-name" in headers:
                    queues[headers["id"]] = headers["x-queue-name"]
                if headers.get("id") in queues:
                    is_bound = queues[headers["id"]] == QUEUE.name
                    steps.append((sent.command, "queue" if is_bound else "helper"))
            self.assertEqual(
                steps,
                [
                    ("SUBSCRIBE", "helper"),
                    ("UNSUBSCRIBE", "helper"),
                    ("SUBSCRIBE", "queue"),
                    ("UNSUBSCRIBE", "queue"),
                ],
            )

    def test_declared(self) -> None:
        """Queues that are declared."""
        for server in SERVERS:
            self.open(server)
            self.check(
                lambda number: self.channel.queue_declare(Queue(f"q{number}"), False),
                0,
            )

    def test_looked_up(self) -> None:
        """Queues and exchanges that are looked for on RabbitMQ, and deleted queues."""
        there = Exchange("x", passive=True)
        for begin in (
            lambda _: self.channel.queue_declare(QUEUE, True),
            lambda _: self.channel.exchange_declare(there, True),
            lambda number: self.channel.queue_delete(Queue("q"), False, False),
        ):
            self.open(SERVERS[0])
            self.check(begin, 0)
