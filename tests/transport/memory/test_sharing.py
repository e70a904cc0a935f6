"""Nothing that a client is given, or gives, is shared with the broker."""

from __future__ import annotations

from typing import Any

from tests.support.memory_harness import DEFAULT, MemoryTestCase
from txkombu.entity import Exchange, Queue
from txkombu.interfaces import Delivery, ISessionChannel


def change(properties: Any) -> None:
    """Change properties, and all tables and lists in them."""
    properties["type"] = "changed"
    properties["headers"]["changed"] = True
    for value in list(properties["headers"].values()):
        if isinstance(value, dict):
            value["changed"] = True
        elif isinstance(value, list):
            value.append("changed")


class SharingTests(MemoryTestCase):
    """Receivers and senders that change what they have."""

    def get(self, channel: ISessionChannel, queue: Queue) -> Delivery:
        """Take a message."""
        found = self.done(channel.basic_get(queue, False))
        assert found is not None
        return found

    def test_receivers(self) -> None:
        """What a receiver changes reaches no other queue and no redelivery."""
        channel = self.channel()
        exchange = Exchange("f", "fanout")
        self.done(channel.exchange_declare(exchange, False))
        one, two = self.queue(channel, "1"), self.queue(channel, "2")
        for queue in (one, two):
            self.done(channel.queue_bind(queue, exchange, "", {}))
        for headers in ({}, {"table": {"list": [1]}, "list": [{"a": 1}]}):
            sent: dict[str, object] = {"headers": headers}
            self.done(channel.basic_publish(b"", sent, exchange, "", False, True))
            first = self.get(channel, one)
            expected = {"headers": {**headers}}
            self.assertEqual(first.properties, expected)
            change(first.properties)
            channel.nack(first.tag, False, True)
            self.assertEqual(headers, expected["headers"])
            for queue in (one, two):
                self.assertEqual(self.get(channel, queue).properties, expected)

    def test_senders(self) -> None:
        """What a sender changes after its publish changes no message."""
        channel = self.channel()
        queue = self.queue(channel)
        for headers in ({}, {"table": {"list": [1]}, "list": [1]}):
            sent: dict[str, object] = {"headers": headers}
            before = repr(sent)
            publishing = channel.basic_publish(b"", sent, DEFAULT, "q", False, True)
            change(sent)
            self.done(publishing)
            self.assertEqual(repr(self.get(channel, queue).properties), before)

    def test_dead_letters(self) -> None:
        """What a receiver changes does not reach the dead-lettered copies."""
        channel = self.channel()
        exchange = Exchange("dead", "fanout")
        self.done(channel.exchange_declare(exchange, False))
        queue = self.queue(channel, x_dead_letter_exchange="dead")
        copies = [self.queue(channel, name) for name in "ab"]
        for copy in copies:
            self.done(channel.queue_bind(copy, exchange, "", {}))
        sent: dict[str, object] = {"headers": {"list": [1]}}
        self.done(channel.basic_publish(b"", sent, DEFAULT, "q", False, True))
        delivery = self.get(channel, queue)
        change(delivery.properties)
        channel.reject(delivery.tag, False)
        dead = self.get(channel, copies[0])
        change(dead.properties)
        other: Any = self.get(channel, copies[1]).properties
        self.assertEqual(other["headers"]["list"], [1])
        self.assertNotIn("changed", repr(other))

    def test_arguments(self) -> None:
        """Arguments that are changed after a declaration change no queue."""
        channel = self.channel()
        queue = Queue("q", queue_arguments={"x-max-length": 1, "x-list": [1]})
        declaring = channel.queue_declare(queue, False)
        queue.arguments["x-max-length"] = 2
        self.done(declaring)
        self.assertEqual(self.broker.queue("q").arguments["x-max-length"], 1)
