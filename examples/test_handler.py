"""
How to test a handler of your own; run it with C{trial ./test_handler.py}.

No broker has to be started, and no test waits: the test case has a broker in memory,
and time passes only when the test advances its clock.
"""

from __future__ import annotations

from typing import Any

from txkombu import Consumer, Exchange, Message, Producer, Queue
from txkombu.policy import park, retry
from txkombu.testing import BrokerTestCase

SHOP = Exchange("shop", type="topic")
ORDERS = Queue("orders", SHOP, "order.*")


class OrderConsumer(Consumer):
    """The code under test: it bills each order."""

    queues = ORDERS
    on_failure = retry(attempts=3, delay=1, then=park("refused-orders"))

    def __init__(self, channel: Any, invoices: Producer) -> None:
        super().__init__(channel)
        self.invoices = invoices

    async def receive(self, order: Any, message: Message) -> None:
        """Publish an invoice, and ack the order when the invoice is confirmed."""
        if order["quantity"] <= 0:
            raise ValueError(f"order {order['id']} has no quantity")
        total = order["quantity"] * order["price"]
        await self.invoices.publish({"order": order["id"], "total": total})
        await message.ack()


class OrderConsumerTests(BrokerTestCase):
    """Orders are billed, also after a failure or a lost connection."""

    def setUp(self) -> None:
        """Start the consumer, as the program would."""
        super().setUp()
        invoices = Producer(self.connect(), SHOP, "invoice")
        self.result_of(OrderConsumer(self.connection, invoices).consume())
        self.shop = Producer(self.connect(), SHOP, "order.new")

    def test_invoice(self) -> None:
        """Each order is billed."""
        self.shop.publish({"id": 7, "quantity": 3, "price": 20})
        self.flush()
        [invoice] = self.broker.published_to("shop", "invoice")
        self.assertEqual(invoice.payload, {"order": 7, "total": 60})
        self.assertEqual(self.broker.waiting_in("orders"), 0)

    def test_refused(self) -> None:
        """
        An order that cannot be billed is tried three times and parked; failures are
        logged.
        """
        self.shop.publish({"id": 8, "quantity": 0, "price": 20})
        self.advance(3)
        self.assertEqual(self.broker.published_to("shop", "invoice"), [])
        self.assertEqual(self.broker.waiting_in("refused-orders"), 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_lost_connection(self) -> None:
        """
        An order that is published while the connection is lost is billed afterwards.
        """
        self.broker.drop()
        self.shop.publish({"id": 9, "quantity": 1, "price": 5})
        self.flush()
        self.assertEqual(self.broker.published_to("shop", "invoice"), [])
        self.advance(1)
        [invoice] = self.broker.published_to("shop", "invoice")
        self.assertEqual(invoice.payload, {"order": 9, "total": 5})
