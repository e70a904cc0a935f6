"""
What AMQP producers can put into messages, and STOMP consumers have to bear.

They are published by py-amqp, which checks nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import amqp
from twisted.python.failure import Failure

from tests.brokers.interop.meeting import MeetingTests
from tests.brokers.interop.test_entities import origin
from tests.conformance.suite import program
from tests.support.rabbitmq import HOST, rabbitmq
from txkombu import Consumer, Message, Producer, Queue
from txkombu.exceptions import DecodeError, NotSupported
from txkombu.policy import (
    FailurePolicy,
    circle,
    default,
    reject,
    requeue_once,
    retry,
)

UNREADABLE: tuple[Mapping[Any, Any], ...] = (
    {"application_headers": {"k": b"\xff"}},
    {"correlation_id": b"\xff"},
    {"content_type": b"\xff"},
    {"type": "é".encode("latin-1")},
    {"application_headers": {"x-txk-headers": "{"}},
    {"application_headers": {"x-txk-headers": "[1]"}},
    {"application_headers": {"x-txk-headers": "[" * 100_000}},
    {"application_headers": {"x-txk-headers": '{"compression": 5}'}},
)
"""Properties of messages that nobody can make sense of."""

ODD: tuple[Mapping[str, str], ...] = (
    {"nul": "a\0b", "\0": ""},
    {"": "no name"},
    {"a:b\n\r\\": "v:\n\r\\"},
    {"\n\n\0MESSAGE\n": "\n\n\0\n\nMESSAGE\n\n\0"},
    {"colons": ":" * 130_000},
    {"n" * 255: "longest"},
    {f"k{number}": "" for number in range(5000)},
    {"Content-Length": "1", "receipt-id": "1", "message": "m", "id": "s"},
)
"""Headers that are as good as any."""

NO_PROPERTIES = {
    "timestamp": "2020-01-02T03:04:05Z",
    "priority": "high",
}
"""Headers that are called as properties are, of which they are no values."""

SPOOFED = {
    "ack": "T_1@@session-x@@9",
    "content-length": "1",
    "destination": "/queue/elsewhere",
    "message-id": "T_1@@session-x@@9",
    "receipt": "1",
    "redelivered": "true",
    "subscription": "elsewhere",
    "transaction": "t",
    "x-txk-unknown": "u",
}
"""Headers that are called what those of frames are called."""

PROPERTIES = {
    "content-type": "image/png",
    "content-encoding": "binary",
    "correlation-id": "no",
    "persistent": "no",
    "priority": "1",
    "reply-to": "no",
    "expiration": "1",
    "amqp-message-id": "no",
    "timestamp": "1",
    "type": "no",
    "user-id": "nobody",
    "app-id": "no",
}
"""Headers that are called what STOMP calls the properties of AMQP."""


@contextlib.contextmanager
def producer() -> Iterator[Callable[..., None]]:
    """Log in; @return: what publishes to a queue, and waits for the confirm."""
    broker = rabbitmq()
    place = f"{HOST}:{broker.amqp_port}"
    with amqp.Connection(place, "guest", "guest", confirm_publish=True) as connection:
        channel = connection.channel()

        def publish(queue: Queue, body: bytes, **properties: object) -> None:
            channel.basic_publish(
                amqp.Message(body, **properties), routing_key=queue.name
            )

        yield publish


class PoisonTests(MeetingTests):
    """Messages that cannot be read."""

    async def check_policy(self, policy: FailurePolicy, times: int) -> None:
        """
        Those that can be read are handled in order, the others, after as many
        failures as the policy has, are dead letters.  A retry before the policy makes
        no difference.
        """
        dead = self.queue()
        arguments = {
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": dead.name,
        }
        queue = self.queue(queue_arguments=arguments)
        for each in (dead, queue):
            await each(self.stomp).declare()
        with producer() as publish:
            for number, properties in enumerate(UNREADABLE):
                publish(queue, b"before %d" % number)
                publish(queue, b"poison", **properties)
            publish(queue, b"last")
        failed: list[type[BaseException] | None] = []

        def counted(message: Message, failure: Failure) -> object:
            failed.append(failure.type)
            return policy(message, failure)

        consumer = Consumer(
            self.stomp,
            queue,
            callbacks=[self.take],
            on_failure=retry(then=counted),
            concurrency=1,
        )
        await consumer.consume()
        await self.when_got(len(UNREADABLE) + 1)
        before = [f"before {number}" for number in range(len(UNREADABLE))]
        self.assertEqual(self.got, [*before, "last"])
        for _ in UNREADABLE:
            message = await self.get(self.stomp, dead)
            self.assertRaises(DecodeError, getattr, message, "payload")
        await consumer.close()
        self.assertIsNone(await queue(self.amqp).get())
        self.assertIsNone(await dead(self.amqp).get())
        self.assertEqual(failed, [DecodeError] * (times * len(UNREADABLE)))

    @program
    async def test_rejected(self) -> None:
        """A policy that rejects has a poisonous message once, and it is gone."""
        await self.check_policy(reject, 1)

    @program
    async def test_default(self) -> None:
        """The default policy does not try such a message again: it is gone."""
        self.assertIs(default.then, circle)
        await self.check_policy(circle, 1)

    @program
    async def test_requeued_once(self) -> None:
        """requeue_once has it twice, and it is gone."""
        await self.check_policy(requeue_once, 2)

    @program
    async def test_told(self) -> None:
        """The consumer's on_decode_error is told, and may settle it."""
        queue = self.queue()

        def on_decode_error(message: Message, error: Exception) -> None:
            self.note(type(error))
            message.ack()

        consumer = Consumer(
            self.stomp, queue, callbacks=[self.take], on_decode_error=on_decode_error
        )
        await consumer.consume()
        with producer() as publish:
            for properties in UNREADABLE:
                publish(queue, b"poison", **properties)
        await self.when_got(len(UNREADABLE))
        self.assertEqual(self.got, [DecodeError] * len(UNREADABLE))


class OddTests(MeetingTests):
    """Messages that look as if they could do harm."""

    async def consume(self, messages: Iterable[Mapping[str, Any]]) -> list[Message]:
        """
        Publish messages by py-amqp, and consume them one by one.

        @return: what came; all were settled.
        """
        queue = self.queue()
        published = list(messages)
        consumer = Consumer(
            self.stomp, queue, callbacks=[self.keep], prefetch_count=1, accept=["json"]
        )
        await consumer.consume()
        with producer() as publish:
            for properties in published:
                publish(queue, **properties)
        await self.when_got(len(published))
        await consumer.close()
        self.assertIsNone(await queue(self.amqp).get())
        return self.got

    async def keep(self, payload: object, message: Message) -> None:
        """A callback that acks."""
        await message.ack()
        self.note(message)

    @program
    async def test_odd(self) -> None:
        """Headers come as they were, whatever is in them, with and without a body."""
        messages = await self.consume(
            {"application_headers": headers, "body": body}
            for headers in ODD
            for body in (b"", b"body\0\n\n")
        )
        for number, message in enumerate(messages):
            self.assertEqual(message.headers, ODD[number // 2])
            self.assertEqual(message.body, (b"", b"body\0\n\n")[number % 2])

    @program
    async def test_names_that_are_no_text(self) -> None:
        """A header's name that is no UTF-8 is shown escaped, and hides no other."""
        headers = {b"a\xff": "v", "mine": "m"}
        queue = self.queue()
        await queue(self.amqp).declare()
        with producer() as publish:
            for _ in range(2):
                publish(queue, b"body", application_headers=headers)
        for connection in (self.amqp, self.stomp):
            message = await self.get(connection, queue)
            self.assertEqual(message.headers, {"a\\xff": "v", "mine": "m"})
            self.assertEqual(message.body, b"body")

    @program
    async def test_spoofed(self) -> None:
        """Headers called as a frame's own fool nobody, and are not shown."""
        messages = await self.consume(
            {"application_headers": {**SPOOFED, "mine": "m"}, "body": body}
            for body in (b"", b"body", b"more")
        )
        self.assertEqual([each.body for each in messages], [b"", b"body", b"more"])
        for message in messages:
            self.assertEqual(message.headers, {"mine": "m"})
            self.assertEqual(origin(message), ("", message.queue_name))
            self.assertFalse(message.redelivered)

    @program
    async def test_properties(self) -> None:
        """Headers called as STOMP calls a property do not change one that is set."""
        properties = {
            "content_type": "application/json",
            "content_encoding": "utf-8",
            "correlation_id": "c",
            "delivery_mode": 2,
            "priority": 7,
            "reply_to": "r",
            "expiration": "60000",
            "message_id": "m",
            "type": "t",
            "user_id": "guest",
            "app_id": "a",
        }
        (message,) = await self.consume(
            [{**properties, "application_headers": PROPERTIES, "body": b"[]"}]
        )
        self.assertEqual(message.payload, [])
        found = dict(message.properties)
        self.assertLessEqual(properties.items(), found.items())

    @program
    async def test_no_properties(self) -> None:
        """Headers called as properties are headers if they can be nothing else."""
        (message,) = await self.consume(
            [{"application_headers": NO_PROPERTIES, "body": b"x"}]
        )
        self.assertEqual(message.body, b"x")
        self.assertEqual(message.headers, NO_PROPERTIES)
        self.assertLessEqual(message.properties.keys(), {"delivery_mode", "headers"})

    @program
    async def test_lengths(self) -> None:
        """Nor does a length that an AMQP table has twice change a body."""
        headers = {b"content-length": "1", "content-length": "2", "mine": "m"}
        messages = await self.consume(
            [{"application_headers": headers, "body": body} for body in (b"body", b"")]
        )
        self.assertEqual([message.body for message in messages], [b"body", b""])
        for message in messages:
            self.assertEqual(message.headers, {"mine": "m"})


class RefusedTests(MeetingTests):
    """What STOMP producers may not do to AMQP's consumers."""

    async def publish(self, queue: Queue, **options: Any) -> None:
        """Publish by STOMP."""
        await Producer(self.stomp).publish("x", queue.name, **options)

    @program
    async def test_refused(self) -> None:
        """
        What would end the connections of AMQP's consumers, or STOMP's, is refused
        before it is sent.
        """
        queue = self.queue()
        await queue(self.stomp).declare()
        long = "é" * 128
        for options in (
            {"headers": {long: "v"}},
            {"headers": {"": "v"}},
            {"headers": {"nul\0": "v"}},
            {"headers": {"nul": "\0"}},
            {"headers": {"half": "\ud800"}},
            {"headers": {"x-txk-headers": "{}"}},
            {"headers": {"long": "v" * 200_000}},
            {"correlation_id": long},
            {"correlation_id": "\0"},
            {"reply_to": long},
            {"reply_to": "/queue/replies"},
            {"message_id": long},
            {"type": long},
            {"app_id": long},
            {"user_id": "nobody"},
            {"content_type": "t" * 256},
            {"content_type": "text/plain", "content_encoding": "e" * 256},
            {"priority": 256},
        ):
            await self.fails(ValueError, self.publish(queue, **options))
        for name in ("CC", "BCC"):
            headers = {name: ["elsewhere"]}
            await self.fails(NotSupported, self.publish(queue, headers=headers))
        await self.publish(queue)
        self.assertEqual(await self.drained(queue), ["x"])

    @program
    async def test_longest(self) -> None:
        """What is as long as may be reaches AMQP's consumers."""
        queue = self.queue()
        await queue(self.stomp).declare()
        longest = "é" * 127 + "e"
        await self.publish(
            queue,
            headers={longest: "v"},
            **dict.fromkeys(
                ("correlation_id", "reply_to", "message_id", "type", "app_id"), longest
            ),
        )
        message = await self.get(self.amqp, queue)
        self.assertEqual(message.headers[longest], "v")
        self.assertEqual(message.properties["app_id"], longest)
