"""
What somebody else deleted at the broker, as a publisher finds out.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, capturedLogs

from txkombu import Consumer, Exchange, Message, Producer, Queue
from txkombu.exceptions import NotFound, PreconditionFailed, Unroutable
from txkombu.testing import BrokerTestCase

EXCHANGE = Exchange("feed", type="direct")
QUEUE = Queue("feed", EXCHANGE, "importer")


class VanishedTests(BrokerTestCase):
    """Deleted over another connection, while the session lives."""

    def setUp(self) -> None:
        super().setUp()
        self.got: list[object] = []
        self.other = self.connect()

    def take(self, body: object, message: Message) -> None:
        """A callback: record the body, and ack."""
        self.got.append(body)
        message.ack()

    def start_consumer(self, *queues: Queue) -> None:
        """Consume on the connection of the producers."""
        self.result_of(
            Consumer(self.connection, queues, callbacks=[self.take]).consume()
        )

    def test_exchange_with_its_bindings(self) -> None:
        """
        An exchange that was deleted is declared again for the second publish, with all
        that was bound to it and that it was bound to, so that no message is dropped.
        """
        source = Exchange("all", "fanout")
        channel = self.result_of(self.connection.channel())
        self.start_consumer(QUEUE, Queue("more", EXCHANGE, "other"))
        self.result_of(source(channel).declare())
        self.result_of(EXCHANGE(channel).bind_to(source))
        producer = Producer(self.connection, EXCHANGE, mandatory=True)
        self.result_of(EXCHANGE(self.other).delete())
        with self.assertRaises(NotFound):
            self.result_of(producer.publish("refused", "importer"))
        for key in ("importer", "other"):
            self.result_of(producer.publish(key, key))
        self.result_of(Producer(self.other, source).publish("from above", "importer"))
        self.assertEqual(self.got, ["importer", "other", "from above"])

    def test_queue_went_too(self) -> None:
        """
        A binding that cannot be restored is logged, and fails neither the declaration
        nor other bindings.
        """
        channel = self.result_of(self.connection.channel())
        self.result_of(Queue("gone", EXCHANGE, "gone")(channel).declare())
        self.start_consumer(QUEUE)
        self.result_of(Queue("gone")(self.other).delete())
        self.result_of(EXCHANGE(self.other).delete())
        with capturedLogs() as events:
            producer = Producer(channel, EXCHANGE, routing_key="importer")
            with self.assertRaises(NotFound):
                self.result_of(producer.publish("refused"))
            self.result_of(producer.publish("x"))
        [event] = [each for each in events if "refused to restore" in format_of(each)]
        self.assertIn("binding of 'gone'", event["what"])
        self.assertEqual(self.got, ["x"])

    def test_declared_queue(self) -> None:
        """
        A queue in C{declare} that was deleted is declared again after the first
        mandatory message that no queue took, from an exchange or the default one.
        """
        for exchange, key in ((EXCHANGE, "importer"), ("", "feed")):
            producer = Producer(self.connection, exchange, routing_key=key)

            def publish(body: object, producer: Producer = producer) -> Deferred[None]:
                return producer.publish(body, declare=[QUEUE], mandatory=True)

            self.result_of(publish(1))
            self.result_of(QUEUE(self.other).delete())
            with self.assertRaises(Unroutable):
                self.result_of(publish(2))
            self.result_of(publish(3))
            message = self.result_of(QUEUE(self.other).get(no_ack=True))
            assert message is not None
            self.assertEqual(message.payload, 3)

    def test_log_is_bounded(self) -> None:
        """
        However many publishes the broker refuses, one line in ten seconds says that
        this has ended the channel, with the number of those that are not logged.
        """
        self.result_of(EXCHANGE(self.other).declare())
        producer = Producer(self.connection, Exchange("feed", type="topic"))

        def publish() -> None:
            with self.assertRaises(PreconditionFailed):
                self.result_of(producer.publish("x", "importer"))

        with capturedLogs() as events:
            for _ in range(100):
                publish()
            self.assertEqual(len(lost(events)), 1)
            self.advance(10)
            publish()
        self.assertEqual(len(lost(events)), 2)
        self.assertRegex(lost(events)[1]["more"], "99 more before, not logged")


def format_of(event: LogEvent) -> str:
    """Return the format of a log event."""
    return str(event.get("log_format"))


def lost(events: Sequence[LogEvent]) -> list[LogEvent]:
    """Return the events about lost channels."""
    return [each for each in events if format_of(each).startswith("Channel lost")]
