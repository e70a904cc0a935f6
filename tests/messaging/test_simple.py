"""
SimpleQueue, on the memory broker under a Clock.
"""

from __future__ import annotations

import queue

from twisted.internet.defer import fail

from txkombu import Queue
from txkombu.exceptions import DecodeError, NotSupported
from txkombu.simple import Empty, SimpleQueue
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
