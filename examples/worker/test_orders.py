"""
Tests of the handlers and of C{service.yaml} together, with a broker in memory: nothing
has to be started, and time passes only when a test says so.
"""

from __future__ import annotations

import sys
from io import StringIO
from pathlib import Path

from txkombu import Producer
from txkombu.configuration import read_file
from txkombu.service import ConsumerService, PublisherService
from txkombu.testing import BrokerTestCase

FILE = Path(__file__).with_name("service.yaml")


class OrderTests(BrokerTestCase):
    """Orders become invoices, also after a failure or a lost connection."""

    def setUp(self) -> None:
        """Start the service of the file, with the broker of this test."""
        super().setUp()
        self.screen = StringIO()
        self.patch(sys, "stdout", self.screen)
        consumers = read_file(str(FILE)).consumers
        self.publisher = PublisherService(self.connect())
        self.publisher.startService()
        self.service = ConsumerService(
            self.connection, consumers, publisher=self.publisher
        )
        self.service.startService()
        self.flush()
        self.orders = Producer(self.connect(), routing_key="orders")

    def tearDown(self) -> None:
        """Stop it, as a signal would."""
        self.result_of(self.service.stopService())
        self.result_of(self.publisher.stopService())
        super().tearDown()

    def test_invoice(self) -> None:
        """Each order is charged, and its invoice is sent."""
        self.result_of(self.orders.publish({"id": 7, "quantity": 3, "price": 20}))
        self.assertEqual(self.screen.getvalue(), "order 7: please pay 60\n")
        self.assertEqual(self.broker.waiting_in("orders"), 0)

    def test_refused(self) -> None:
        """An order that cannot be charged is tried three times, and parked."""
        self.result_of(self.orders.publish({"id": 8, "quantity": 0, "price": 20}))
        self.advance(3)
        self.assertEqual(self.screen.getvalue(), "")
        self.assertEqual(self.broker.waiting_in("refused"), 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_lost_connection(self) -> None:
        """An order that comes while the connection is lost is charged afterwards."""
        self.broker.drop()
        publishing = self.orders.publish({"id": 9, "quantity": 1, "price": 5})
        self.advance(2)
        self.result_of(publishing)
        self.assertEqual(self.screen.getvalue(), "order 9: please pay 5\n")
