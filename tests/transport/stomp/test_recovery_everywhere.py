"""
A program on STOMP whose session was lost, and that loses one more socket at any
frame of its recovery.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import Probe
from tests.support.scripted_stomp_broker import ScriptedBroker
from txkombu import BrokerConnection, Consumer, Exchange, Message, Producer, Queue

_STEP = 0.5
_STEPS = 80
"""Long enough for some attempts, and the waits between them."""

_SERVERS = {"RabbitMQ/3.10.8": "/amq/queue/q", "ActiveMQ/5.17.2": ".VirtualTopic.e.k"}
"""How brokers call themselves, and where a queue is read from there."""


class Program:
    """
    Declares, publishes and consumes.

    @ivar lose: which socket is lost, counted from the newest.
    @ivar left: after how many more frames; below 0 for none.
    """

    def __init__(self, server: str, lose: int) -> None:
        self.clock = Clock()
        self.broker = ScriptedBroker(server, self.count)
        self.lose = lose
        self.left = -1
        self.got: list[object] = []
        self.connection = BrokerConnection(
            "stomp://localhost?heartbeat=0", endpoint=self.broker, reactor=self.clock
        )
        queue = Queue("q", Exchange("e", "topic"), "k")
        self.consumer = Consumer(self.connection, queue, on_message=self.take)
        self.producer = Producer(self.connection)

    def count(self) -> None:
        """One more frame passed."""
        self.left -= 1
        if self.left == -1:
            self.broker.lines[-self.lose].lose()

    def take(self, message: Message) -> Any:
        """Handle a message."""
        self.got.append(message.payload)
        return message.ack()

    def run_until(self, done: Any) -> None:
        """Let the broker answer, and time pass, until something is so."""
        for _ in range(_STEPS):
            self.broker.answer()
            if done():
                return
            self.clock.advance(_STEP)

    @property
    def is_well(self) -> bool:
        """Whether it says so itself."""
        return self.connection.connected and self.connection.is_consuming


class RecoveryTests(SynchronousTestCase):
    """Whatever socket goes, the program works again, and all that is in it."""

    def recover(self, server: str, lose: int, frames: int) -> bool:
        """@return: whether it came to the loss."""
        program = Program(server, lose)
        consuming = Probe(program.consumer.consume())
        program.run_until(lambda: consuming.fired)
        self.assertIsNone(consuming.outcome)
        program.broker.vanish()
        program.left = frames
        with capturedLogs() as events:
            program.run_until(lambda: program.is_well and program.left < 0)
        came_to_it = program.left < 0
        texts = [formatEvent(event) or "" for event in events]
        self.assertEqual([text for text in texts if "refused to restore" in text], [])
        self.check_works(program, _SERVERS[server])
        return came_to_it

    def check_works(self, program: Program, source: str) -> None:
        """It says that it is well, and is; and ends in order."""
        program.left = -1
        self.assertTrue(program.is_well)
        program.broker.deliver(source, b"body")
        program.run_until(lambda: bool(program.got))
        self.assertEqual(program.got, ["body"])
        sent = Probe(program.producer.publish("x", "q"))
        program.run_until(lambda: sent.fired)
        self.assertIsNone(sent.outcome)
        closed = Probe(program.connection.close())
        program.run_until(lambda: closed.fired)
        self.assertTrue(closed.fired)
        program.broker.finish()
        self.assertEqual(program.clock.getDelayedCalls(), [])

    def sweep(self, lose: int) -> None:
        """Lose a socket after each frame of the recovery in turn."""
        for server in _SERVERS:
            frames = 0
            while self.recover(server, lose, frames):
                frames += 1
            self.assertGreater(frames, 10, server)

    def test_newest_lost(self) -> None:
        """The socket that was opened last goes."""
        self.sweep(1)

    def test_older_lost(self) -> None:
        """The one before that goes."""
        self.sweep(2)

    def test_oldest_lost(self) -> None:
        """The one before that goes, which is the session's own, or a channel's."""
        self.sweep(3)
