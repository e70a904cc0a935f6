"""
One policy for all the waits of a connection, its channels and consumers.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, capturedLogs, formatEvent

from txkombu import BrokerConnection, Consumer, Queue
from txkombu.exceptions import ConnectError
from txkombu.policy import ReconnectPolicy
from txkombu.service import ConsumerService
from txkombu.testing import BrokerTestCase

SOON = ReconnectPolicy(first=0.25, max=0.5, jitter=0, stable_after=1)


def waits_in(events: list[LogEvent]) -> list[float]:
    """Return the seconds of the waits that were logged."""
    return [event["delay"] for event in events if "delay" in event]


class Quiet(Consumer):
    """A consumer that handles nothing."""

    queues = Queue("quiet")
    on_message = staticmethod(lambda message: message.ack())


class ReconnectPolicyTests(BrokerTestCase):
    """Where the policy of a connection applies."""

    def test_connection(self) -> None:
        """A lost connection waits as the policy says, up to its maximum."""
        connection = self.connect(reconnect=SOON)
        self.result_of(connection.connect())
        self.broker.refuse()
        with capturedLogs() as events:
            self.broker.drop()
            self.clock.pump([0.25, 0.5, 0.5])
        self.assertEqual(waits_in(list(events)), [0.25, 0.5, 0.5, 0.5])

    def test_stable(self) -> None:
        """
        The waits start again after a session that lasted as long as the policy says.
        """
        connection = self.connect(reconnect=SOON)
        self.result_of(connection.connect())
        with capturedLogs() as events:
            for lasted in (0, 0, 1):
                self.clock.advance(lasted)
                self.broker.drop()
                self.clock.advance(0.5)
                self.flush()
        self.assertEqual(waits_in(list(events)), [0.25, 0.5, 0.25])

    def test_consumer(self) -> None:
        """A consumer that the broker ended is started again after the policy's wait."""
        connection = self.connect(reconnect=SOON)
        self.result_of(Quiet(connection).consume())
        self.broker.cancel_consumers("quiet")
        self.flush()
        self.clock.advance(0.24)
        self.flush()
        self.assertFalse(connection.is_consuming)
        self.clock.advance(0.01)
        self.flush()
        self.assertTrue(connection.is_consuming)

    def test_channel(self) -> None:
        """A channel that is lost again and again waits in between."""
        connection = self.connect(reconnect=SOON)
        consumer = Quiet(connection)
        self.result_of(consumer.consume())
        for waits in (0, 0.25, 0.5):
            refused = Queue("none")(consumer.channel).queue_declare(passive=True)
            self.flush()
            self.failureResultOf(refused)
            if waits:
                self.assertFalse(consumer.channel.is_open)
                self.clock.advance(waits)
                self.flush()
            self.assertTrue(consumer.channel.is_open)

    def test_service(self) -> None:
        """A service waits as its connection does, and so does the next one."""
        service = ConsumerService(self.connect(reconnect=SOON), Quiet)
        self.broker.refuse(ConnectError("down"))
        for _ in range(2):
            with capturedLogs() as events:
                service.startService()
                self.clock.pump([0, 0.25, 0.5])
            self.assertEqual(waits_in(list(events)), [0.25, 0.5, 0.5])
            self.result_of(service.stopService())
        self.assertEqual(service.connection.reconnect, SOON)

    def test_refused_consumer_of_a_service(self) -> None:
        """
        A consumer that is refused until somebody acts is tried again after the longest
        wait.
        """

        class Faulty(Quiet):
            def fault(self) -> Deferred[None]:
                """Raise each time."""
                raise ZeroDivisionError("a fault")

            consume: Any = fault

        service = ConsumerService(self.connect(reconnect=SOON), Faulty)
        with capturedLogs() as events:
            service.startService()
            self.flush()
        told = [str(formatEvent(event)) for event in events if "delay" in event]
        self.assertEqual(len(told), 1)
        self.assertIn("next attempt in 0.5 s", told[0])
        self.result_of(service.stopService())

    def test_clone(self) -> None:
        """A clone has the same policy; the default policy has the usual waits."""
        twin = self.connect(reconnect=SOON).clone()
        self.assertEqual(twin.reconnect, SOON)
        self.assertEqual(self.connection.reconnect, ReconnectPolicy())

    def test_wrong(self) -> None:
        """Anything that is not a policy is refused, and the error names it."""
        wrong: Any = 5
        with self.assertRaisesRegex(TypeError, "reconnect must be a .*ReconnectPolicy"):
            BrokerConnection("memory://", reconnect=wrong)
