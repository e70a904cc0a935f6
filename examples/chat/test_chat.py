"""
Tests of two servers, with a broker in memory and without ports: nothing has to be
started, and time passes only when a test says so.
"""

from __future__ import annotations

from twisted.internet.testing import StringTransport

from chat import CHAT, Chatter, Room
from txkombu import Exchange, Producer
from txkombu.service import PublisherService
from txkombu.testing import BrokerTestCase


class ChatTests(BrokerTestCase):
    """Who reads what."""

    def server(self) -> Room:
        """Start a server."""
        publisher = PublisherService(self.connect())
        publisher.startService()
        room = Room(publisher.producer(CHAT))
        self.result_of(room.hear(self.connect()).consume())
        return room

    def enter(self, room: Room, name: str) -> tuple[Chatter, StringTransport]:
        """Connect a client; return it with its side of the socket."""
        chatter, client = room.buildProtocol(None), StringTransport()
        chatter.makeConnection(client)
        chatter.dataReceived(name.encode() + b"\r\n")
        return chatter, client

    def test_all_servers(self) -> None:
        """What somebody says everybody reads, at each server."""
        here, there = self.server(), self.server()
        ann, anns = self.enter(here, "ann")
        bob, bobs = self.enter(there, "bob")
        ann.dataReceived(b"hello\n")
        self.flush()
        bob.dataReceived("grüß dich\n".encode())
        self.flush()
        wanted = "ann: hello\nbob: grüß dich\n".encode()
        self.assertEqual((anns.value(), bobs.value()), (wanted, wanted))

    def test_lost_broker(self) -> None:
        """While the broker is away a client is not read; then its line is published."""
        ann, client = self.enter(self.server(), "ann")
        self.broker.refuse(ConnectionError("away"))
        self.broker.drop()
        ann.dataReceived(b"hello\n")
        self.flush()
        self.assertEqual(client.producerState, "paused")
        self.broker.accept()
        self.advance(5)
        self.assertEqual(client.producerState, "producing")
        self.assertEqual([each.payload for each in self.published], ["ann: hello"])

    def test_slow_client(self) -> None:
        """A client that does not read misses lines, and holds up nobody."""
        room = self.server()
        ann, _ = self.enter(room, "ann")
        _, client = self.enter(room, "bob")
        assert client.producer is not None
        client.producer.pauseProducing()
        ann.dataReceived(b"one\n")
        self.flush()
        client.producer.resumeProducing()
        ann.dataReceived(b"two\n")
        self.flush()
        self.assertEqual(client.value(), b"ann: two\n")

    def test_refused(self) -> None:
        """Who wrote a line that the broker refuses is told so."""
        self.result_of(Exchange("chat", "topic")(self.connect()).declare())
        room = Room(Producer(self.connect(), CHAT))
        ann, client = self.enter(room, "ann")
        ann.dataReceived(b"hello\n")
        self.flush()
        self.assertIn(b"* not said: 406 PRECONDITION_FAILED", client.value())

    def test_left(self) -> None:
        """A client that has left is told nothing more."""
        room = self.server()
        ann, _ = self.enter(room, "ann")
        bob, client = self.enter(room, "bob")
        bob.connectionLost()
        ann.dataReceived(b"hello\n")
        self.flush()
        self.assertEqual(client.value(), b"")
