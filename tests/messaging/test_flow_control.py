"""
Sockets that are paused while messages cannot be sent.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from txkombu import Exchange, Producer, Queue
from txkombu.testing import BrokerTestCase

QUEUE = Queue("lines", Exchange("lines"), "key")


class Socket:
    """Records its calls."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        """Record a pause."""
        self.told.append("pause")

    def resumeProducing(self) -> None:
        """Record a resume."""
        self.told.append("resume")


class CouplingTests(BrokerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.result_of(QUEUE(self.connection).declare())
        self.producer = Producer(self.connection, QUEUE.exchange, "key")
        self.result_of(self.producer.publish("declared"))
        self.socket = Socket()
        self.producer.registerProducer(self.socket)

    def fill(self) -> list[Deferred[None]]:
        """Fill the window of unconfirmed messages."""
        self.broker.hold_confirms()
        return [self.producer.publish(number) for number in range(1000)]

    def test_not_while_there_is_room(self) -> None:
        """While messages are sent at once, no socket is paused."""
        for number in range(999):
            self.result_of(self.producer.publish(number))
        self.assertEqual(self.socket.told, [])

    def test_full_window(self) -> None:
        """
        A full window pauses a socket, and half a window of room resumes it, once each.
        """
        sent = self.fill()
        self.assertEqual(self.socket.told, ["pause"])
        sent.append(self.producer.publish("one more"))
        self.flush()
        self.assertEqual(self.socket.told, ["pause"])
        self.broker.release_confirms()
        self.flush()
        self.assertEqual(self.socket.told, ["pause", "resume"])
        for each in sent:
            self.successResultOf(each)

    def test_blocked(self) -> None:
        """While the broker is blocked, the first message pauses a socket."""
        self.broker.block()
        sent = self.producer.publish(1)
        self.assertEqual(self.socket.told, ["pause"])
        self.broker.unblock()
        self.flush()
        self.successResultOf(sent)
        self.assertEqual(self.socket.told, ["pause", "resume"])

    def test_connection_away(self) -> None:
        """While the connection is lost, the first message pauses a socket."""
        self.broker.drop()
        sent = self.producer.publish(1)
        self.assertEqual(self.socket.told, ["pause"])
        self.clock.advance(1)
        self.flush()
        self.successResultOf(sent)
        self.assertEqual(self.socket.told, ["pause", "resume"])

    def test_closed(self) -> None:
        """A closed connection leaves no socket paused."""
        self.broker.block()
        self.producer.publish(1).addErrback(lambda failure: None)
        self.result_of(self.connection.close())
        self.assertEqual(self.socket.told, ["pause", "resume"])

    def test_come_and_go(self) -> None:
        """
        A socket that is registered late is paused at once; one that is unregistered is
        resumed.
        """
        self.fill()
        late = Socket()
        self.producer.registerProducer(late)
        self.assertEqual(late.told, ["pause"])
        self.producer.unregisterProducer(late)
        self.producer.unregisterProducer(late)
        self.assertEqual(late.told, ["pause", "resume"])
        self.broker.release_confirms()
        self.flush()
        self.assertEqual(late.told, ["pause", "resume"])

    def test_filled_again_on_resuming(self) -> None:
        """A socket that fills the window when it is resumed is paused again."""

        class Eager(Socket):
            def resumeProducing(socket) -> None:
                super().resumeProducing()
                if len(socket.told) < 3:
                    for number in range(1000):
                        self.producer.publish(number)

        eager = Eager()
        self.producer.registerProducer(eager)
        self.fill()
        self.broker.release_confirms()
        self.flush()
        self.assertEqual(eager.told, ["pause", "resume"] * 2)

    def test_socket_that_fails(self) -> None:
        """An error of one socket is logged, and the others are still paused."""

        class Broken(Socket):
            def pauseProducing(self) -> None:
                raise RuntimeError("gone")

        self.producer.unregisterProducer(self.socket)
        self.producer.registerProducer(Broken())
        self.producer.registerProducer(self.socket)
        self.fill()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.socket.told, ["pause"])
        self.broker.release_confirms()
