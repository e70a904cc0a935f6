"""
The state tables of sessions, channels and consumers.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from itertools import product
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.memory_harness import MemoryTestCase
from txkombu._util.state_machine import IllegalStep, StateMachine
from txkombu.transport.memory import consumer, states
from txkombu.transport.memory.consumer import Turn
from txkombu.transport.memory.states import Event, State


class TableTests(SynchronousTestCase):
    """What the tables allow."""

    def check(
        self,
        table: Mapping[tuple[Any, Any], Any],
        states: type[Enum],
        events: type[Enum],
    ) -> None:
        """Each step leads where the table says, or is illegal."""
        for state, event in product(states, events):
            machine = StateMachine("it", table, state)
            if (state, event) in table:
                machine.step(event)
                self.assertIs(machine.state, table[state, event])
            else:
                with self.assertRaisesRegex(IllegalStep, f"it that is {state.value}"):
                    machine.step(event)

    def test_lives(self) -> None:
        """A session or channel is released before it is closed, and over for good."""
        self.check(states.TABLE, State, Event)
        self.assertNotIn((State.OPEN, Event.CLOSE), states.TABLE)
        self.assertNotIn(State.OVER, [state for state, _ in states.TABLE])

    def test_turns(self) -> None:
        """A consumer that has ended lines up no more."""
        self.check(consumer.TABLE, Turn, consumer.Move)
        self.assertNotIn((Turn.ENDED, consumer.Move.LINE_UP), consumer.TABLE)


class TurnTests(MemoryTestCase):
    """Where consumers wait for their turn."""

    def setUp(self) -> None:
        super().setUp()
        self.one = self.channel()

    def turns(self) -> list[Turn]:
        """Return where the consumers of the queue are."""
        return [each.turn.state for each in self.broker.queue("q").consumers]

    def test_parked_without_room(self) -> None:
        """A consumer without room gives way to others, until it settles."""
        queue = self.queue(self.one)
        inbox = self.consume(self.one, queue, "a", prefetch=1)
        other = self.consume(self.one, queue, "b", prefetch=2)
        self.assertEqual(self.turns(), [Turn.IN_LINE] * 2)
        self.put(self.one, queue, b"1", b"2", b"3", b"4")
        self.assertEqual(self.turns(), [Turn.PARKED, Turn.IN_LINE])
        self.assertEqual((inbox.bodies, other.bodies), ([b"1"], [b"2", b"3"]))
        self.one.ack(inbox.journal.all("delivery")[0].tag, False)
        self.broker.flush()
        self.assertEqual((inbox.bodies, other.bodies), ([b"1", b"4"], [b"2", b"3"]))

    def test_single_active(self) -> None:
        """Of a queue that has one active consumer at a time, others stand by."""
        queue = self.queue(self.one, x_single_active_consumer=True)
        for tag in ("a", "b"):
            self.consume(self.one, queue, tag)
        ended, standby = self.broker.queue("q").consumers
        self.assertEqual(self.turns(), [Turn.IN_LINE, Turn.STANDBY])
        self.done(self.one.basic_cancel("a"))
        self.assertIs(ended.turn.state, Turn.ENDED)
        self.assertIs(standby.turn.state, Turn.IN_LINE)

    def test_ended(self) -> None:
        """A consumer ends with its queue, and with its channel."""
        for name in ("a", "b"):
            self.consume(self.one, self.queue(self.one, name), name)
        (first,) = self.broker.queue("a").consumers
        (second,) = self.broker.queue("b").consumers
        self.done(self.one.queue_delete(self.queue(self.one, "a"), False, False))
        self.assertIs(first.turn.state, Turn.ENDED)
        self.done(self.one.close())
        self.assertIs(second.turn.state, Turn.ENDED)

    def test_abandoned(self) -> None:
        """A consumer whose start was cancelled is abandoned."""
        queue = self.queue(self.one)
        starting = self.one.basic_consume(
            queue, "c", False, False, {}, 0, self.fail, self.fail
        )
        (only,) = self.broker.queue("q").consumers
        starting.cancel()
        self.broker.flush()
        self.assertIs(only.turn.state, Turn.ABANDONED)
        self.failureResultOf(starting)
