"""
Tests of the web server, with a broker in memory and without a port: nothing has to be
started, and time passes only when a test says so.
"""

from __future__ import annotations

from twisted.internet.testing import StringTransport
from twisted.web.server import Site

from txkombu import Queue
from txkombu.service import PublisherService
from txkombu.testing import BrokerTestCase
from web_publisher import ORDERS, SECONDS, Orders


class OrdersTests(BrokerTestCase):
    """What a client is told, and what is in the queue then."""

    def setUp(self) -> None:
        """Make the resource, with a producer on the broker of this test."""
        super().setUp()
        publisher = PublisherService(self.connection)
        publisher.startService()
        producer = publisher.producer(ORDERS.exchange, ORDERS.routing_key)
        self.site = Site(Orders(producer), reactor=self.clock)
        self.flush()

    def post(self, body: bytes, *headers: bytes) -> StringTransport:
        """Post something, and return the client's side of the socket."""
        client = StringTransport()
        channel = self.site.buildProtocol(None)
        channel.makeConnection(client)
        length = b"Content-Length: %d" % len(body)
        head = [b"POST / HTTP/1.1", b"Host: a", b"Connection: close", length, *headers]
        channel.dataReceived(b"\r\n".join([*head, b"", body]))
        self.flush()
        return client

    def test_accepted(self) -> None:
        """What was accepted is in the queue, with the key of the client."""
        client = self.post(b'{"id": 7}', b"Idempotency-Key: order-7")
        self.assertIn(b"202 Accepted", client.value())
        [message] = self.published
        self.assertEqual(message.payload, {"id": 7})
        self.assertEqual(message.properties["message_id"], "order-7")
        self.assertEqual(self.broker.waiting_in("web.orders"), 1)

    def test_no_broker(self) -> None:
        """Without a broker a client is to come again, and nothing is sent later."""
        self.broker.drop()
        self.broker.refuse(ConnectionError("away"))
        client = self.post(b"{}")
        self.assertEqual(client.value(), b"")
        self.advance(SECONDS)
        self.assertIn(b"503 Service Unavailable", client.value())
        self.assertIn(b"Retry-After: 5", client.value())
        self.broker.accept()
        self.advance(30)
        self.assertEqual(self.published, [])

    def test_slow_broker(self) -> None:
        """A client is told nothing before the broker has confirmed."""
        self.broker.hold_confirms()
        client = self.post(b"{}")
        self.assertEqual(client.value(), b"")
        self.broker.release_confirms()
        self.flush()
        self.assertIn(b"202 Accepted", client.value())

    def test_refused(self) -> None:
        """What the broker refuses for good is no fault of the client."""
        other = Queue("web.orders", max_length=1)(self.connect())
        self.result_of(other.declare())
        self.assertIn(b"502 Bad Gateway", self.post(b"{}").value())
