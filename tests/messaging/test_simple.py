"""
SimpleQueue and SimpleBuffer, on the memory broker under a Clock.
"""

from __future__ import annotations

import queue
from types import MappingProxyType
from typing import Any

import kombu.simple
from twisted.internet.defer import fail

from txkombu import Exchange, Queue
from txkombu.exceptions import DecodeError, NotFound, NotSupported, ResourceLocked
from txkombu.simple import Empty, SimpleBuffer, SimpleQueue
from txkombu.testing import BrokerTestCase


class SimpleQueueTests(BrokerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.simple = SimpleQueue(self.connection, "jobs")

    def test_empty_is_pythons(self) -> None:
        """C{except queue.Empty} catches our Empty."""
        self.assertIs(Empty, queue.Empty)
        self.assertIs(SimpleQueue.Empty, queue.Empty)

    def test_put_and_get(self) -> None:
        """Messages are returned in the order in which they were put."""
        for number in range(3):
            self.result_of(self.simple.put({"n": number}))
        for number in range(3):
            message = self.result_of(self.simple.get())
            self.assertEqual(message.payload, {"n": number})
            self.result_of(message.ack())

    def test_options(self) -> None:
        """Queue and exchange are made with the options, and their classes' defaults."""
        simple = SimpleQueue(
            self.connection,
            "short",
            queue_opts={"max_length": 2, "durable": False},
            queue_args={"x-overflow": "reject-publish"},
            exchange_opts={"type": "topic"},
            serializer="yaml",
            compression="gzip",
        )
        made = simple.queue
        self.assertEqual(
            made.arguments, {"x-max-length": 2, "x-overflow": "reject-publish"}
        )
        self.assertEqual((made.durable, made.routing_key), (False, "short"))
        self.assertEqual(
            made.exchange.unbound(), Exchange("short", "topic", durable=True)
        )
        self.result_of(simple.put(["a"]))
        message = self.result_of(simple.get())
        self.assertEqual(message.content_type, "application/x-yaml")
        self.assertEqual(message.headers["compression"], "application/x-gzip")
        message.ack()

    def test_order_of_options(self) -> None:
        """By position they are Kombu's."""
        simple = SimpleQueue(
            self.connection, "jobs", True, {"durable": False}, {"x-a": 1}, {}, "yaml"
        )
        self.assertEqual(simple.queue.arguments, {"x-a": 1})
        self.result_of(simple.put([1]))
        message = self.result_of(simple.get())
        self.assertEqual(message.content_type, "application/x-yaml")

    def test_subclass(self) -> None:
        """A subclass sets defaults, which single options leave alone."""

        class Short(SimpleQueue):
            no_ack = True
            queue_opts = MappingProxyType({"max_length": 1, "durable": False})

        simple = Short(self.connection, "short", queue_opts={"durable": True})
        self.assertEqual((simple.queue.max_length, simple.queue.durable), (1, True))
        self.result_of(simple.put(1))
        self.result_of(simple.get(block=False))  # is not unsettled afterwards

    def test_options_for_a_queue(self) -> None:
        """A Queue has its options already; further ones are refused, and so are odd."""
        for options in (
            {"queue_opts": {"durable": False}},
            {"queue_args": {"x-max-length": 1}},
            {"exchange_opts": {"type": "topic"}},
        ):
            with self.assertRaisesRegex(TypeError, "given by its name"):
                SimpleQueue(self.connection, Queue("jobs"), **options)
        with self.assertRaisesRegex(TypeError, "durrable"):
            SimpleQueue(self.connection, "jobs", queue_opts={"durrable": False})

    def test_channel(self) -> None:
        """The connection makes it on a channel that is given, and leaves that open."""
        channel = self.result_of(self.connection.channel())
        simple = self.connection.SimpleQueue("jobs", channel=channel)
        self.assertIs(simple.channel, channel)
        self.result_of(simple.put(1))
        self.result_of(simple.close())
        self.assertFalse(channel.closed)
        own = self.connection.SimpleQueue("jobs", no_ack=True)
        self.assertIsNot(own.channel, channel)
        self.assertEqual(self.result_of(own.get()).payload, 1)
        self.result_of(own.close())
        self.assertTrue(own.channel.closed)

    def test_max_body_size(self) -> None:
        """A body that becomes too large is refused by get and by get_nowait."""
        simple = SimpleQueue(self.connection, "jobs", max_body_size=100)
        for _ in range(2):
            self.result_of(simple.put("x" * 101, compression="bzip2"))
        for getting in (simple.get(block=False), simple.get()):
            message = self.result_of(getting)
            error = self.assertRaises(DecodeError, getattr, message, "payload")
            self.assertIn("raise max_body_size", str(error))
            message.ack()

    def test_put_declares(self) -> None:
        """A put may declare further queues, beside its own."""
        self.result_of(self.simple.put("a", declare=[Queue("other")]))
        self.result_of(self.simple.put("b", declare=None))
        self.assertEqual(self.broker.waiting_in("other"), 0)
        self.assertEqual(self.broker.waiting_in("jobs"), 2)

    def test_get_waits(self) -> None:
        """get waits for a message."""
        getting = self.simple.get()
        self.flush()
        self.assertNoResult(getting)
        self.result_of(self.simple.put("late"))
        message = self.successResultOf(getting)
        message.ack()
        self.assertEqual(message.payload, "late")

    def test_get_before_the_last_was_settled(self) -> None:
        """get returns messages while others are unsettled, as in Kombu."""
        for number in range(3):
            self.result_of(self.simple.put(number))
        messages = [self.result_of(self.simple.get()) for _ in range(3)]
        self.assertEqual([each.payload for each in messages], [0, 1, 2])
        for message in messages:
            message.ack()

    def test_get_times_out(self) -> None:
        """After its timeout get fails with Empty, and loses no later message."""
        getting = self.simple.get(timeout=2)
        self.flush()
        self.clock.advance(2)
        self.failureResultOf(getting, queue.Empty)
        self.result_of(self.simple.put(1))
        message = self.result_of(self.simple.get(timeout=1))
        message.ack()
        self.assertEqual(message.payload, 1)

    def test_get_nowait(self) -> None:
        """get_nowait returns a message that is there, or fails with Empty."""
        with self.assertRaises(queue.Empty):
            self.result_of(self.simple.get_nowait())
        self.result_of(self.simple.put(1))
        message = self.result_of(self.simple.get(block=False))
        message.ack()
        self.assertEqual(message.payload, 1)

    def test_get_nowait_while_consuming(self) -> None:
        """get_nowait returns a message that was delivered already."""
        first = self.simple.get(timeout=1)
        self.flush()
        self.clock.advance(1)
        self.failureResultOf(first, queue.Empty)
        self.result_of(self.simple.put(1))
        message = self.result_of(self.simple.get_nowait())
        message.ack()
        self.assertEqual(message.payload, 1)

    def test_qsize_and_clear(self) -> None:
        """qsize is the number of ready messages; clear removes them."""
        for number in range(3):
            self.result_of(self.simple.put(number))
        self.assertEqual(self.result_of(self.simple.qsize()), 3)
        self.assertEqual(self.result_of(self.simple.clear()), 3)
        self.assertEqual(self.result_of(self.simple.qsize()), 0)

    def test_qsize_untold(self) -> None:
        """If a queue cannot be looked up, its size is not known."""
        self.result_of(self.simple.put(1))
        self.simple.channel.queue_declare = (  # type: ignore[method-assign]  # replaced for this test
            lambda queue, passive=False: fail(NotSupported("it", "stomp"))
        )
        self.assertIsNone(self.result_of(self.simple.qsize()))

    def test_close_hands_back(self) -> None:
        """
        A message that was taken and not settled is in the queue again after close.
        """
        self.result_of(self.simple.put(1))
        self.result_of(self.simple.get())
        self.result_of(self.simple.close())
        self.assertEqual(self.broker.waiting_in("jobs"), 1)

    def test_async_with_and_a_queue(self) -> None:
        """SimpleQueue takes a Queue, too."""

        async def program() -> object:
            async with SimpleQueue(self.connection, Queue("own")) as simple:
                await simple.put("x")
                message = await simple.get()
                await message.ack()
                return message.payload

        self.assertEqual(self.result_of(program()), "x")


class SimpleBufferTests(BrokerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.buffer = self.connection.SimpleBuffer("notes")

    def test_declared(self) -> None:
        """Queue and exchange are Kombu's: exclusive, transient, deleted when unused."""
        theirs: Any = kombu.simple.SimpleBuffer
        made = self.buffer.queue
        for name, value in theirs.queue_opts.items():
            self.assertEqual(getattr(made, name), value, name)
        self.assertEqual(theirs.exchange_opts["delivery_mode"], "transient")
        self.assertEqual(
            made.exchange.unbound(),
            Exchange(
                "notes", "direct", durable=False, auto_delete=True, delivery_mode=1
            ),
        )

    def test_put_and_get(self) -> None:
        """Messages are transient, and need no ack."""
        self.result_of(self.buffer.put("a"))
        self.result_of(self.buffer.put("b"))
        self.assertEqual(self.published[0].properties["delivery_mode"], 1)
        self.assertEqual(self.result_of(self.buffer.qsize()), 2)
        self.assertEqual(self.result_of(self.buffer.get_nowait()).payload, "a")
        self.assertEqual(self.result_of(self.buffer.get()).payload, "b")
        with self.assertRaises(queue.Empty):
            self.result_of(self.buffer.get_nowait())

    def test_exclusive(self) -> None:
        """Another connection cannot use the queue."""
        self.result_of(self.buffer.put("a"))
        other = self.connect().SimpleBuffer("notes")
        with self.assertRaises(ResourceLocked):
            self.result_of(other.put("b"))

    def test_deleted(self) -> None:
        """It ends with what consumes from it."""
        self.result_of(self.buffer.put("a"))
        self.result_of(self.buffer.get())
        self.result_of(self.buffer.close())
        with self.assertRaises(NotFound):
            self.result_of(Queue("notes")(self.connection).queue_declare(passive=True))

    def test_acknowledged(self) -> None:
        """With C{no_ack=False} a message that was not acked comes back."""
        careful = SimpleBuffer(
            self.connection, "kept", no_ack=False, queue_opts={"auto_delete": False}
        )
        self.result_of(careful.put("a"))
        message = self.result_of(careful.get())
        message.requeue()
        self.assertTrue(self.result_of(careful.get()).redelivered)
        self.result_of(careful.close())
