"""
What RabbitMQ's STOMP can do, and what is refused before anything is sent.
"""

from __future__ import annotations

from datetime import datetime, timezone

from twisted.trial.unittest import SynchronousTestCase

from txkombu.entity import Exchange, Queue
from txkombu.exceptions import (
    AccessRefused,
    DecodeError,
    NotFound,
    NotSupported,
    PreconditionFailed,
)
from txkombu.interfaces import Capability
from txkombu.transport.stomp.dialect import (
    BoundQueue,
    ConsumeOptions,
    Source,
    StompBinding,
)
from txkombu.transport.stomp.rabbitmq import RabbitMQDialect
from txkombu.transport.stomp.rabbitmq.dialect import helper_name
from txkombu.transport.stomp.rabbitmq.headers import argument_headers
from txkombu.transport.stomp.wire.errors import _CODES, error_of
from txkombu.transport.stomp.wire.parser import Frame

_OF_OPERATIONS = {
    "access_refused",
    "content_too_large",
    "no_consumers",
    "not_found",
    "precondition_failed",
    "resource_locked",
}
EXCHANGES = {
    "dlx": Exchange("dlx", "direct"),
    "fan": Exchange("fan", "fanout"),
    "there": Exchange("there", "direct", passive=True),
    "fan there": Exchange("fan there", "fanout", passive=True),
    "x": Exchange("x", "headers"),
}


def message(**headers: str) -> Frame:
    """A MESSAGE, with C{-} for each C{_} of the names."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Frame("MESSAGE", named, b"body")


class Case(SynchronousTestCase):
    """Has a dialect."""

    def setUp(self) -> None:
        self.dialect = RabbitMQDialect("3.10.8", "guest", EXCHANGES.get)

    def refusal(self, operation: str, *call: object) -> NotSupported:
        """The error of what is not supported."""
        error = self.assertRaises(NotSupported, *call)
        assert isinstance(error, NotSupported)
        self.assertEqual((error.operation, error.transport), (operation, "stomp"))
        self.assertIn("not with RabbitMQ", str(error))
        return error


class AbilityTests(Case):
    """What works at all."""

    def test_missing(self) -> None:
        """What is missing is what STOMP has no words for."""
        self.assertEqual(
            frozenset(Capability) - self.dialect.capabilities,
            {
                Capability.CUSTOM_EXCHANGE_TYPES,
                Capability.HEADERS_EXCHANGE,
                Capability.EXCHANGE_DELETE,
                Capability.EXCHANGE_BIND,
                Capability.QUEUE_COUNTS,
                Capability.QUEUE_UNBIND,
                Capability.QUEUE_DELETE_CONDITIONAL,
                Capability.MANDATORY,
                Capability.CONSUMER_EXCLUSIVE,
                Capability.CONSUMER_ARGUMENTS,
                Capability.CHANNEL_PREFETCH,
                Capability.DIRECT_REPLY_TO,
            },
        )


class ExchangeTests(Case):
    """Exchanges."""

    def test_good(self) -> None:
        """Direct, fanout and topic exchanges, and those that the broker has."""
        for exchange in (
            Exchange(""),
            Exchange("e"),
            Exchange("e", "fanout"),
            Exchange("e", "topic"),
            Exchange("amq.match", "headers"),
            Exchange("e", "headers", passive=True),
            Exchange("e", "x-delayed-message", no_declare=True),
        ):
            self.dialect.check_exchange(exchange)

    def test_other_types(self) -> None:
        """One of another type that would have to be declared is not supported."""
        for kind in ("headers", "x-delayed-message"):
            exchange = Exchange("e", kind)
            error = self.refusal(
                f"an exchange of type {kind}", self.dialect.check_exchange, exchange
            )
            self.assertIn("passive=True", str(error))
            self.assertRaises(NotSupported, self.dialect.destination, exchange, "k")

    def test_arguments(self) -> None:
        """Nor is one with arguments, which nobody would see."""
        exchange = Exchange("e", arguments={"alternate-exchange": "a"})
        self.refusal(
            "an exchange with arguments", self.dialect.check_exchange, exchange
        )

    def test_name(self) -> None:
        """A name that is too long once it is encoded, or cannot be, is no name."""
        for exchange in (Exchange("ü" * 99), Exchange("a%2Fb", passive=True)):
            self.assertRaises(ValueError, self.dialect.check_exchange, exchange)


class DestinationTests(Case):
    """Where messages go."""

    def test_destination(self) -> None:
        """Each exchange has its destinations, and the default one queues."""
        for exchange, key, expected in (
            (Exchange(""), "a/b", "/amq/queue/a%2Fb"),
            (Exchange("e"), "k/l", "/exchange/amq.direct/txkombu.e.k%2Fl"),
            (Exchange("e", "topic"), "", "/exchange/amq.topic/txkombu.e"),
            (Exchange("e", passive=True), "k", "/exchange/e/k"),
        ):
            self.assertEqual(self.dialect.destination(exchange, key), expected)

    def test_impossible(self) -> None:
        """What cannot be expressed is refused."""
        for exchange, key in (
            (Exchange(""), ""),
            (Exchange(""), "q" * 256),
            (Exchange("e"), "a%2Fb"),
            (Exchange("e"), "k" * 255),
        ):
            self.assertRaises(ValueError, self.dialect.destination, exchange, key)

    def test_refuses(self) -> None:
        """A refusal is about what was sent where it says, if it is one of a send."""
        sent = "/exchange/amq.direct/txkombu.e.k"
        text = "no exchange 'amq.direct' in vhost '/'"
        self.assertTrue(self.dialect.refuses(NotFound(text), sent))
        self.assertTrue(self.dialect.refuses(AccessRefused(text), sent))
        self.assertFalse(self.dialect.refuses(PreconditionFailed(text), sent))
        self.assertFalse(self.dialect.refuses(NotFound(text), "/amq/queue/q"))

    def test_may_refuse(self) -> None:
        """
        Only what the broker says of one operation can be about a send: not what it
        says as it closes a connection, nor what nobody knows.
        """
        died = "AMQP channel died"
        said = [
            *((name, "", name in _OF_OPERATIONS) for name in _CODES),
            (died, "Reason: killed", False),
            (died, 'Reason: {server_initiated_close,320,<<"bye">>}', False),
            (died, 'Reason: {server_initiated_close,541,"no"}', False),
            (died, 'Reason: {server_initiated_close,406,"no"}', True),
            ("Processing error", "", False),
            ("", "", False),
        ]
        for message, body, expected in said:
            error = error_of(Frame("ERROR", {"message": message}, body.encode()))
            self.assertIs(self.dialect.may_refuse(error), expected, error)


class QueueTests(Case):
    """Queues."""

    def test_good(self) -> None:
        """Durable, transient and exclusive queues, with the arguments that arrive."""
        for queue in (
            Queue("q"),
            Queue(""),
            Queue("q", durable=False),
            Queue("q", exclusive=True),
            Queue(
                "q",
                expires=1,
                message_ttl=0,
                max_length=1,
                max_length_bytes=1,
                max_priority=255,
                queue_type="classic",
            ),
            Queue("q", queue_type="quorum"),
        ):
            self.dialect.check_queue(queue)

    def test_auto_delete(self) -> None:
        """One that goes with its last consumer is not, unless it is exclusive."""
        error = self.refusal(
            "an auto-delete queue",
            self.dialect.check_queue,
            Queue("q", auto_delete=True),
        )
        self.assertIn("make it exclusive", str(error))
        self.assertIn("expires=", str(error))

    def test_unknown_arguments(self) -> None:
        """Arguments that the plugin would ignore are named."""
        queue = Queue("q", queue_arguments={"x-overflow": "a", "x-b": 1}, expires=1)
        self.refusal("queue argument x-b, x-overflow", self.dialect.check_queue, queue)

    def test_streams(self) -> None:
        """A stream cannot be consumed as a queue is."""
        self.refusal(
            "a stream", self.dialect.check_queue, Queue("q", queue_type="stream")
        )

    def test_names(self) -> None:
        """A name that cannot be expressed is refused."""
        for name in ("a%2Fb", "a\nb", "a\0b"):
            self.assertRaises(ValueError, self.dialect.check_queue, Queue(name))

    def test_argument_values(self) -> None:
        """Arguments are of the type and in the range that the broker takes."""
        for name, value, kind in (
            ("x-max-length", -1, ValueError),
            ("x-max-length-bytes", "1", TypeError),
            ("x-expires", 0, ValueError),
            ("x-expires", 2**32, ValueError),
            ("x-message-ttl", 1.5, TypeError),
            ("x-message-ttl", 2**32, ValueError),
            ("x-max-priority", 256, ValueError),
            ("x-max-priority", True, TypeError),
            ("x-queue-type", 1, TypeError),
            ("x-dead-letter-routing-key", 1, TypeError),
            ("x-dead-letter-routing-key", "a\0b", ValueError),
        ):
            queue = Queue("q", queue_arguments={name: value})
            error = self.assertRaises(kind, self.dialect.check_queue, queue)
            self.assertIn(f"queue argument {name}", str(error))

    def test_argument_headers(self) -> None:
        """Arguments are headers with their names."""
        queue = Queue("q", expires=1.5, max_priority=5, queue_type="classic")
        self.assertEqual(
            argument_headers(queue, EXCHANGES.get),
            [
                ("x-expires", "1500"),
                ("x-max-priority", "5"),
                ("x-queue-type", "classic"),
            ],
        )


def dying(exchange: str, key: str | None = None) -> Queue:
    """A queue whose messages die to an exchange."""
    arguments = {"x-dead-letter-exchange": exchange}
    if key is not None:
        arguments["x-dead-letter-routing-key"] = key
    return Queue("q", queue_arguments=arguments)


class DeadLetterTests(Case):
    """Queues whose messages die to an exchange."""

    def test_headers(self) -> None:
        """They die to what stands for the exchange, as its type needs it."""
        for queue, exchange, key in (
            (dying("dlx", "k"), "amq.direct", "txkombu.dlx.k"),
            (dying("fan"), "amq.topic", "txkombu.fan"),
            (dying("fan", "k"), "amq.topic", "txkombu.fan.k"),
            (dying("", "q2"), "", "q2"),
            (dying("amq.direct", "k"), "amq.direct", "k"),
            (dying("amq.fanout"), "amq.fanout", None),
            (dying("there", "k"), "there", "k"),
            (dying("fan there"), "fan there", None),
        ):
            self.dialect.check_queue(queue)
            expected = [("x-dead-letter-exchange", exchange)]
            if key is not None:
                expected.append(("x-dead-letter-routing-key", key))
            self.assertEqual(argument_headers(queue, EXCHANGES.get), expected)

    def test_key_alone(self) -> None:
        """A key without an exchange is the broker's to understand."""
        queue = Queue("q", queue_arguments={"x-dead-letter-routing-key": "k"})
        self.assertEqual(
            argument_headers(queue, EXCHANGES.get), [("x-dead-letter-routing-key", "k")]
        )

    def test_without_a_key(self) -> None:
        """Where keys matter, those that messages have there would be wrong ones."""
        for name in ("dlx", "", "amq.direct", "amq.topic", "there", "unknown"):
            error = self.refusal(
                "x-dead-letter-exchange without x-dead-letter-routing-key",
                self.dialect.check_queue,
                dying(name),
            )
            self.assertIn("give a key, or use a fanout exchange", str(error))

    def test_unknown(self) -> None:
        """An exchange of which nothing is known cannot be named."""
        error = self.assertRaises(
            ValueError, self.dialect.check_queue, dying("unknown", "k")
        )
        self.assertIn("declare that exchange before the queue", str(error))

    def test_other_types(self) -> None:
        """Nor can one that cannot be mapped."""
        self.assertRaises(ValueError, self.dialect.check_queue, dying("x", "k"))


class BindingTests(Case):
    """Bindings."""

    def check(self, queue: Queue, exchange: Exchange, key: str, **more: object) -> None:
        """Check one."""
        self.dialect.check_binding(StompBinding(exchange, key, more), BoundQueue(queue))

    def test_good(self) -> None:
        """Any pattern is good."""
        for key in ("#", "#.a", "a.#.b", "*.*", ""):
            self.check(Queue("q"), Exchange("e", "topic"), key)

    def test_refused(self) -> None:
        """What a SUBSCRIBE cannot say is not supported."""
        exchange = Exchange("e", passive=True)
        self.refusal(
            "a binding with arguments",
            lambda: self.check(Queue("q"), exchange, "", match="all"),
        )
        self.assertRaises(
            NotSupported, self.check, Queue("q"), Exchange("e", "headers"), ""
        )
        self.assertRaises(ValueError, self.check, Queue("q"), exchange, "a%2Fb")
        self.assertRaises(ValueError, self.check, Queue("q"), Exchange("e"), "k" * 250)

    def test_zero_byte(self) -> None:
        """A key cannot have what ends a frame, mapped or not."""
        for exchange in (Exchange("e"), Exchange("amq.direct")):
            self.assertRaises(ValueError, self.check, Queue("q"), exchange, "a\0b")

    def test_quorum(self) -> None:
        """So may quorum queues be bound, from which it takes nothing."""
        self.check(Queue("q", queue_type="quorum"), Exchange("e"), "k")


class ConsumerTests(Case):
    """Consumers."""

    def test_sources(self) -> None:
        """A consumer subscribes to the queue alone, always with its prefetch."""
        for consuming, ack, count in (
            (ConsumeOptions(10), "client-individual", "10"),
            (ConsumeOptions(0), "client-individual", "0"),
            (ConsumeOptions(5, no_ack=True), "auto", "5"),
        ):
            self.assertEqual(
                self.dialect.sources(BoundQueue(Queue("a/b")), consuming),
                [Source("/amq/queue/a%2Fb", (("ack", ack), ("prefetch-count", count)))],
            )


class MessageTests(Case):
    """What comes and goes."""

    def test_delivery(self) -> None:
        """A MESSAGE is a delivery of what was published."""
        frame = message(
            destination="/exchange/amq.direct/txkombu.e.k",
            redelivered="true",
            reply_to="/reply-queue/r",
            expiration="500",
            priority="255",
            timestamp="0",
            user_id="guest",
        )
        delivery = self.dialect.delivery(frame, 7, "tag")
        self.assertEqual(
            (
                delivery.tag,
                delivery.consumer_tag,
                delivery.redelivered,
                delivery.exchange,
                delivery.routing_key,
                delivery.body,
            ),
            (7, "tag", True, "e", "k", b"body"),
        )
        self.assertEqual(
            delivery.properties,
            {
                "reply_to": "r",
                "expiration": "500",
                "priority": 255,
                "timestamp": datetime(1970, 1, 1, tzinfo=timezone.utc),
                "user_id": "guest",
                "delivery_mode": 1,
                "headers": {},
            },
        )

    def test_poison(self) -> None:
        """Headers that cannot be read are an error of who reads them, each time."""
        bad = b"\xff".decode("utf-8", "surrogateescape")
        delivery = self.dialect.delivery(message(destination="/queue/q", a=bad), 1, "")
        for _ in range(2):
            self.assertRaises(DecodeError, getattr, delivery, "properties")
        self.assertEqual(delivery.routing_key, "q")

    def test_bare(self) -> None:
        """A MESSAGE without any header is a delivery, too."""
        delivery = self.dialect.delivery(message(), 1, "t")
        self.assertEqual((delivery.exchange, delivery.redelivered), ("", False))

    def test_many_destinations(self) -> None:
        """However many destinations there are, each is told right."""
        for number in [*range(1200), 0]:
            frame = message(destination=f"/queue/{number}")
            self.assertEqual(
                self.dialect.delivery(frame, 1, "").routing_key, str(number)
            )

    def test_settling(self) -> None:
        """Settling names the delivery, and says where it goes."""
        frame = message(**{"message-id": "T_1@@s@@2"})
        self.assertEqual(self.dialect.ack(frame), b"ACK\nid:T_1@@s@@2\n\n\0")
        for requeue, word in ((True, b"true"), (False, b"false")):
            self.assertEqual(
                self.dialect.nack(frame, requeue),
                b"NACK\nid:T_1@@s@@2\nrequeue:" + word + b"\n\n\0",
            )

    def test_properties(self) -> None:
        """RabbitMQ has its own words and limits for some properties."""
        for properties, lines in (
            ({"priority": 255}, b"priority:255\n"),
            ({"reply_to": "there %41"}, b"reply-to:there %41\n"),
            ({"expiration": "4294967295"}, b"expiration:4294967295\n"),
            ({"user_id": "guest"}, b"user-id:guest\n"),
            ({"timestamp": 5}, b"timestamp:5\n"),
        ):
            self.assertEqual(self.dialect.properties(properties, 0), lines)

    def test_properties_refused(self) -> None:
        """What makes the plugin close the connection is not sent."""
        for properties, kind, text in (
            ({"priority": 256}, ValueError, "priority"),
            ({"reply_to": "/queue/x"}, ValueError, "reply_to cannot be '/queue/x'"),
            ({"reply_to": "a/b"}, ValueError, "reply_to"),
            ({"expiration": "1.5"}, ValueError, "whole milliseconds, not '1.5'"),
            ({"expiration": ""}, ValueError, "expiration"),
            ({"expiration": "٣"}, ValueError, "expiration"),
            ({"expiration": "4294967296"}, ValueError, "expiration"),
            ({"expiration": 5}, TypeError, "expiration"),
            ({"user_id": "other"}, ValueError, "must be the login, 'guest'"),
        ):
            error = self.assertRaises(kind, self.dialect.properties, properties, 0)
            self.assertIn(text, str(error))

    def test_unknown_login(self) -> None:
        """Whose login it is need not be known."""
        lines = RabbitMQDialect().properties({"user_id": "any"}, 0)
        self.assertEqual(lines, b"user-id:any\n")

    def test_headers_like_arguments(self) -> None:
        """
        Headers that the plugin reads as numbers must be some, or it would close the
        connection; of what is no text it sees nothing.
        """
        names = ("x-expires", "x-message-ttl", "x-max-length", "x-max-length-bytes")
        for name in (*names, "x-max-priority"):
            for text in (
                "abc",
                "",
                " ",
                "5.0",
                "1e3",
                "0x1",
                "1_0",
                "5\t",
                "\u0663",
                "--5",
            ):
                error = self.assertRaises(
                    ValueError, self.dialect.properties, {"headers": {name: text}}, 0
                )
                self.assertIn(f"the header {name!r} must be a whole number", str(error))
            for fine in ("5", " 5 ", "-5", "+5", 7, 5.5, None, [1], True):
                self.dialect.properties({"headers": {name: fine}}, 0)
        self.dialect.properties({"headers": {"x-overflow": "abc", "x-queue": ""}}, 0)

    def test_dead_letter_exchange_in_one_line(self) -> None:
        """A dead letter exchange has a name in one line, as all have."""
        queue = Queue(
            "q",
            queue_arguments={
                "x-dead-letter-exchange": "amq.direct\r",
                "x-dead-letter-routing-key": "k",
            },
        )
        error = self.assertRaises(ValueError, self.dialect.check_queue, queue)
        self.assertIn("an exchange cannot be called 'amq.direct\\r'", str(error))

    def test_routing_headers(self) -> None:
        """Headers that RabbitMQ routes by cannot be written as it wants them."""
        for name in ("CC", "BCC"):
            self.refusal(
                f"a header {name}",
                self.dialect.properties,
                {"headers": {name: ["q"]}},
                0,
            )


class HelperTests(SynchronousTestCase):
    """Helper queues."""

    def test_names(self) -> None:
        """They begin as the queue does, differ, and are not too long."""
        self.assertTrue(helper_name("orders").startswith("orders."))
        self.assertNotEqual(helper_name("q"), helper_name("q"))
        for name in ("q" * 255, "ü" * 127, "q" + "日" * 84):
            helper = helper_name(name)
            self.assertLessEqual(len(helper.encode()), 255)
            self.assertGreater(len(helper.encode()), 250)
            self.assertTrue(name.startswith(helper[:60]))
