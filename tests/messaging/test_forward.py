"""What C{Producer.forward} keeps of a received message, and what it leaves out."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from txkombu import Exchange, Message, Producer, Queue
from txkombu.exceptions import Unroutable
from txkombu.testing import BrokerTestCase

QUEUE = Queue("q")
DEATHS = {
    "x-death": [{"queue": "old", "reason": "rejected", "count": 1}],
    "x-first-death-queue": "old",
    "x-first-death-reason": "rejected",
    "x-last-death-exchange": "",
}
ALL: dict[str, Any] = {
    "correlation_id": "c",
    "reply_to": "r",
    "message_id": "m",
    "timestamp": datetime(2026, 1, 2, tzinfo=timezone.utc),
    "type": "t",
    "app_id": "a",
    "priority": 3,
    "delivery_mode": 1,
    "expiration": "60000",
}


class ForwardTests(BrokerTestCase):
    """Has a producer without an exchange, and two queues."""

    def setUp(self) -> None:
        super().setUp()
        self.producer = Producer(self.connection)
        for queue in (QUEUE, Queue("to")):
            self.result_of(queue(self.connection).declare())

    def received(self, queue: str = "q", **options: Any) -> Message:
        """Publish a message and get it, or get the one that is there."""
        if queue == "q":
            self.result_of(
                self.producer.publish(options.pop("body", "body"), "q", **options)
            )
        message = self.result_of(Queue(queue)(self.connection).get(no_ack=True))
        assert message is not None
        return message

    def forwarded(self, message: Message, **options: Any) -> Message:
        """Forward a message, and get what has arrived."""
        self.result_of(self.producer.forward(message, routing_key="to", **options))
        return self.received("to")

    def test_as_it_is(self) -> None:
        """Body, labels, headers and properties stay, compression and expiration too."""
        given = self.received(
            body={"a": [1, "ü" * 300]}, compression="gzip", headers={"h": 1}, **ALL
        )
        found = self.forwarded(given)
        self.assertEqual(found.raw_body, given.raw_body)
        self.assertEqual(found.properties, given.properties)
        self.assertEqual(found.payload, {"a": [1, "ü" * 300]})
        self.assertEqual(found.headers, {"h": 1, "compression": "application/x-gzip"})
        for name, value in ALL.items():
            self.assertEqual(found.properties[name], value)

    def test_undecodable(self) -> None:
        """A body that cannot be decoded is passed on."""
        given = self.received(body=b"{", content_type="application/json")
        self.assertEqual(self.forwarded(given).raw_body, b"{")

    def test_key(self) -> None:
        """By default the routing key is that of the message."""
        fan = Exchange("fan", type="fanout")
        self.result_of(Queue("all", fan)(self.connection).declare())
        self.result_of(self.producer.forward(self.received(), exchange=fan))
        self.assertEqual(self.received("all").routing_key, "q")

    def test_left_out(self) -> None:
        """What a broker would check, or send to others again, is left out."""
        given = self.received(user_id="guest", headers={"CC": ["other"], "h": 1})
        self.assertEqual(given.properties["user_id"], "guest")
        found = self.forwarded(given)
        self.assertNotIn("user_id", found.properties)
        self.assertEqual(found.headers, {"h": 1})

    def test_headers(self) -> None:
        """Headers are added, replaced and, by C{None}, left out."""
        given = self.received(headers={"a": 1, "b": 2, "c": 3})
        headers = {"b": 4, "c": None, "d": 5}
        found = self.forwarded(given, headers=headers)
        self.assertEqual(found.headers, {"a": 1, "b": 4, "d": 5})
        self.assertEqual(headers, {"b": 4, "c": None, "d": 5})
        self.assertEqual(given.headers, {"a": 1, "b": 2, "c": 3})

    def test_deaths(self) -> None:
        """What tells of dead-lettering stays, or goes when it is not wanted."""
        given = self.received(headers={**DEATHS, "h": 1})
        self.assertEqual(self.forwarded(given).headers, {**DEATHS, "h": 1})
        found = self.forwarded(given, with_deaths=False)
        self.assertEqual(found.headers, {"h": 1})

    def test_expiration(self) -> None:
        """The message can be kept for ever."""
        given = self.received(expiration=60)
        found = self.forwarded(given, with_expiration=False)
        self.assertNotIn("expiration", found.properties)

    def test_mandatory(self) -> None:
        """If it is mandatory, or the producer is, nothing goes where no queue is."""
        given = self.received()
        mandatory = Producer(self.connection, mandatory=True)
        for forwarding in (
            self.producer.forward(given, routing_key="none", mandatory=True),
            mandatory.forward(given, routing_key="none"),
        ):
            self.flush()
            error = self.failureResultOf(forwarding, Unroutable).value
            self.assertTrue(error.returned.properties["message_id"])
        dropped = mandatory.forward(given, routing_key="none", mandatory=False)
        self.result_of(dropped)

    def test_retry(self) -> None:
        """It can be sent again after a loss, with the same message_id."""
        given = self.received()
        self.broker.hold_confirms()
        forwarding = self.producer.forward(given, routing_key="to", retry=True)
        self.flush()
        self.broker.drop()
        self.broker.release_confirms()
        self.advance(2)
        self.successResultOf(forwarding)
        ids = [
            each.properties["message_id"] for each in self.broker.published_to("", "to")
        ]
        self.assertEqual(len(ids), 2)
        self.assertEqual(len(set(ids)), 1)

    def test_nowhere(self) -> None:
        """Without an exchange and a routing key there is nowhere to go."""
        fan = Exchange("fan", type="fanout")
        self.result_of(Queue("all", fan)(self.connection).declare())
        self.result_of(self.producer.publish("a", "", exchange=fan))
        given = self.received("all")
        with self.assertRaisesRegex(ValueError, "give a routing_key, or an exchange"):
            self.producer.forward(given)

    def test_wrong_headers(self) -> None:
        """Headers that are none are refused by name."""
        given = self.received()
        with self.assertRaisesRegex(TypeError, "headers"):
            self.producer.forward(given, headers=3, routing_key="to")  # type: ignore[arg-type]  # wrong on purpose
