"""
Tests of relay and consumer, with a broker and a database in memory: nothing has to be
started, and time passes only when a test says so.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from io import StringIO
from typing import Any, cast

from twisted.internet.defer import Deferred, execute

from outbox import SCHEMA, SECONDS, Relay, Shipping, place_order
from txkombu.service import PublisherService
from txkombu.testing import BrokerTestCase


class Pool:
    """
    What is used of adbapi's C{ConnectionPool}, without a thread.

    @ivar broken: whether operations fail.
    """

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:")
        self.connection.executescript(SCHEMA)
        self.broken = False

    def _run(self, work: Callable[..., Any], *arguments: Any) -> Any:
        with self.connection:
            return work(self.connection.cursor(), *arguments)

    def runInteraction(self, work: Callable[..., Any], *rest: Any) -> Deferred[Any]:
        """Do some work in a transaction."""
        return execute(self._run, work, *rest)

    def runQuery(self, *query: Any) -> Deferred[Any]:
        """Return rows."""
        return execute(self._run, lambda cursor: cursor.execute(*query).fetchall())

    def runOperation(self, *operation: Any) -> Deferred[Any]:
        """Change something."""
        if self.broken:
            return execute(self._run, lambda cursor: 1 / 0)
        return execute(self._run, lambda cursor: cursor.execute(*operation))


class OutboxTests(BrokerTestCase):
    """Each order is shipped once, whatever fails."""

    def setUp(self) -> None:
        """Start relay and consumer."""
        super().setUp()
        self.screen = StringIO()
        self.patch(sys, "stdout", self.screen)
        self.pool = cast(Any, Pool())
        self.addCleanup(self.pool.connection.close)
        publisher = PublisherService(self.connect())
        publisher.startService()
        self.relay = Relay(self.pool, publisher.producer(routing_key="orders"))
        self.relay.clock = self.clock
        self.result_of(Shipping(self.connection, self.pool).consume())
        self.relay.startService()
        self.flush()

    def tearDown(self) -> None:
        """Stop the relay."""
        self.result_of(self.relay.stopService())
        super().tearDown()

    def order(self, item: str) -> None:
        """Place an order, as a program would."""
        self.result_of(self.pool.runInteraction(place_order, item))

    def left(self) -> int:
        """Return how many messages are in the outbox."""
        return len(self.result_of(self.pool.runQuery("select id from outbox")))

    def test_shipped(self) -> None:
        """What is ordered is shipped, in order."""
        self.order("lamp")
        self.order("chair")
        self.advance(SECONDS)
        self.assertEqual(self.screen.getvalue(), "shipped lamp\nshipped chair\n")
        self.assertEqual(self.left(), 0)

    def test_published_twice(self) -> None:
        """A message that is published again, as after a crash, ships nothing again."""
        self.order("lamp")
        self.pool.broken = True
        self.advance(SECONDS)
        self.assertEqual(self.left(), 1)
        self.pool.broken = False
        self.advance(SECONDS)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        first, second = (each.properties["message_id"] for each in self.published)
        self.assertEqual(first, second)
        self.assertEqual(self.screen.getvalue(), "shipped lamp\n")
        self.assertEqual(self.left(), 0)

    def test_no_broker(self) -> None:
        """While there is no broker, orders are placed, and shipped afterwards."""
        self.broker.drop()
        self.broker.refuse(ConnectionError("away"))
        self.order("lamp")
        self.advance(60)
        self.assertEqual(self.left(), 1)
        self.broker.accept()
        self.advance(60)
        self.assertEqual(self.screen.getvalue(), "shipped lamp\n")

    def test_rolled_back(self) -> None:
        """An order whose transaction fails is neither written nor published."""

        def place_and_fail(transaction: sqlite3.Cursor) -> None:
            place_order(transaction, "lamp")
            raise LookupError("no such customer")

        with self.assertRaises(LookupError):
            self.result_of(self.pool.runInteraction(place_and_fail))
        self.advance(SECONDS)
        self.assertEqual(self.result_of(self.pool.runQuery("select * from orders")), [])
        self.assertEqual(self.published, [])
