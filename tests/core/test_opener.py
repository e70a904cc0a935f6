"""Opening session channels for a channel, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.fakes import FakeSession, FakeTransport
from txkombu import BrokerConnection, Channel, Exchange, Producer, Queue
from txkombu._util.state_machine import IllegalStep, StateMachine
from txkombu.core.opener import TABLE, ChannelEvent, ChannelState
from txkombu.exceptions import (
    AuthenticationFailed,
    ChannelClosed,
    ChannelError,
    ConnectError,
    NotFound,
    NotSent,
    OperationTimeout,
    OutcomeUnknown,
    ResourceError,
    SessionLost,
)


class TableTests(SynchronousTestCase):
    """The states of a channel."""

    def at(self, state: ChannelState) -> StateMachine[ChannelState, ChannelEvent]:
        """Return a machine that is in a state."""
        return StateMachine("a channel", TABLE, state)

    def test_no_other_steps(self) -> None:
        """A step that is not in the table raises an error that names it."""
        for state, event in product(ChannelState, ChannelEvent):
            if (state, event) not in TABLE:
                machine = self.at(state)
                with self.assertRaisesRegex(IllegalStep, event.value):
                    machine.step(event)
                self.assertIs(machine.state, state)

    def test_close_wins(self) -> None:
        """A close leads from every state to closing, and only the end leads on."""
        for state in ChannelState:
            if state not in (ChannelState.CLOSING, ChannelState.CLOSED):
                machine = self.at(state)
                machine.step(ChannelEvent.CLOSE)
                machine.step(ChannelEvent.LOST)
                self.assertIs(machine.state, ChannelState.CLOSING)
                machine.step(ChannelEvent.GONE)
                self.assertIs(machine.state, ChannelState.CLOSED)


class OpenerTests(SynchronousTestCase):
    """A channel of a connection with a fake transport."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.transport = FakeTransport()
        self.connection = BrokerConnection(
            transport=self.transport, reactor=self.clock, operation_timeout=5
        )
        self.connection.connect()
        self.session = FakeSession()
        self.transport.attempts[-1].succeed(self.session)
        self.channel = Channel(self.connection)
        self.opener = self.channel.core.opener

    def tearDown(self) -> None:
        self.session.answers.pop("open_channel", None)
        self.successResultOf(self.connection.close())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_idle(self) -> None:
        """Nothing is opened before it is needed."""
        self.assertIs(self.opener.state, ChannelState.IDLE)
        self.assertEqual(self.session.channels, [])

    def test_opened(self) -> None:
        """The first operation opens a session channel, the next uses it."""
        for _ in range(2):
            self.successResultOf(self.channel.basic_qos(1))
        self.assertIs(self.opener.state, ChannelState.OPEN)
        self.assertEqual(len(self.session.channels), 1)

    def test_raising(self) -> None:
        """What an operation raises fails it, whether or not the channel is open."""

        def operate(channel: object) -> Deferred[None]:
            raise ZeroDivisionError("a fault")

        for _ in range(2):
            failing = self.opener.call("dividing", operate)
            self.failureResultOf(failing, ZeroDivisionError)
            self.successResultOf(self.channel.basic_qos(1))

    def test_waits_for_consumers(self) -> None:
        """It is open when its consumers are started on the next session channel."""
        self.successResultOf(self.channel.consume(Queue("q"), print))
        self.session.prompt = False
        self.session.channels[0].die(ChannelError("gone"))
        self.assertIs(self.opener.state, ChannelState.STARTING)
        self.session.channels[1].prompt()
        self.session.channels[1].called("basic_consume")[0].succeed()
        self.assertIs(self.opener.state, ChannelState.OPEN)

    def test_lost_while_starting(self) -> None:
        """A loss while consumers are started opens another session channel."""
        self.successResultOf(self.channel.consume(Queue("q"), print))
        self.session.prompt = False
        self.session.channels[0].die(ChannelError("gone"))
        self.session.prompt = True
        self.session.channels[1].die(ChannelClosed("by another refusal"))
        self.clock.pump([1] * 3)
        self.assertIs(self.opener.state, ChannelState.OPEN)
        self.assertTrue(self.channel.is_consuming)
        self.assertEqual(len(self.session.channels), 3)

    def test_not_needed(self) -> None:
        """After a loss it is opened again only when it is needed."""
        self.successResultOf(self.channel.basic_qos(1))
        self.session.channels[0].die(ChannelError("gone"))
        self.assertIs(self.opener.state, ChannelState.IDLE)
        self.successResultOf(self.channel.basic_qos(1))
        self.assertEqual(len(self.session.channels), 2)

    def test_lost_twice(self) -> None:
        """A second report of one loss changes nothing."""
        self.successResultOf(self.channel.basic_qos(1))
        self.session.channels[0].die(ChannelError("gone"))
        self.opener.channel_lost(SessionLost("late"))
        self.assertIs(self.opener.state, ChannelState.IDLE)

    def test_closed(self) -> None:
        """A closed channel opens nothing any more."""
        self.successResultOf(self.channel.basic_qos(1))
        self.successResultOf(self.channel.close())
        self.assertIs(self.opener.state, ChannelState.CLOSED)
        self.failureResultOf(self.channel.basic_qos(1), ChannelClosed)
        self.opener.ensure_open()
        self.assertEqual(len(self.session.channels), 1)

    def test_closed_while_opening(self) -> None:
        """A close ends the attempt to open a session channel."""
        opening: Deferred[Any] = Deferred()
        self.session.open_channel = lambda listener: opening  # type: ignore[method-assign]  # no answer
        waiting = self.channel.basic_qos(1)
        self.assertIs(self.opener.state, ChannelState.OPENING)
        self.successResultOf(self.channel.close())
        self.failureResultOf(waiting, ChannelClosed)
        self.assertIs(self.opener.state, ChannelState.CLOSED)

    def test_published_while_closing(self) -> None:
        """What was published is sent before a close is done."""
        publishing = Producer(self.channel, auto_declare=False).publish("a", "q")
        closing = self.channel.close()
        [channel] = self.session.channels
        channel.called("basic_publish")[0].succeed()
        self.successResultOf(publishing)
        self.successResultOf(closing)

    def test_lost_while_closing(self) -> None:
        """A channel that closes sends nothing again, and is closed at once."""
        producer = Producer(self.channel, auto_declare=False)
        sent = [producer.publish("a", "q", retry=retry) for retry in (True, False)]
        self.channel.core.publisher.flow(False)
        waiting = producer.publish("b", "q")
        closing = self.channel.close()
        self.assertNoResult(closing)
        self.session.channels[0].die(SessionLost("cut"))
        for each in sent:
            self.failureResultOf(each, OutcomeUnknown)
        self.failureResultOf(waiting, NotSent)
        self.successResultOf(closing)

    def cannot_connect(self, cause: Exception | None) -> list[float]:
        """Have channels fail to open; return a list that gets the time of each try."""
        tries: list[float] = []

        def refuse(listener: object) -> Deferred[Any]:
            tries.append(self.clock.seconds())
            return fail(self.refused(cause))

        self.session.open_channel = refuse  # type: ignore[method-assign]  # fails
        return tries

    def test_no_further_connection(self) -> None:
        """
        Messages and operations wait while a further connection of the session cannot be
        made, each until its deadline, and go on when it can.
        """
        answering = self.session.open_channel
        tries = self.cannot_connect(ConnectError("refused"))
        publishing = Producer(self.channel, auto_declare=False).publish("a", "q")
        late = self.channel.basic_qos(1)
        self.clock.pump([0, *[1] * 5])
        self.failureResultOf(late, OperationTimeout)
        waiting = self.channel.basic_qos(1)
        self.assertNoResult(publishing)
        self.assertTrue(2 < len(tries) < 6)
        self.session.open_channel = answering  # type: ignore[method-assign]  # as it was
        self.clock.pump([1] * 4)
        self.successResultOf(waiting)
        [channel] = self.session.channels
        channel.called("basic_publish")[0].succeed()
        self.successResultOf(publishing)

    def test_no_further_connection_wanted(self) -> None:
        """When nobody waits any more, it is not tried again."""
        tries = self.cannot_connect(ConnectError("refused"))
        waiting = self.channel.basic_qos(1)
        self.clock.pump([0, *[1] * 60])
        self.failureResultOf(waiting, OperationTimeout)
        self.assertLess(tries[-1], 10)
        self.assertIs(self.opener.state, ChannelState.IDLE)

    def test_no_channel_left(self) -> None:
        """If all channels are in use that may be, this is told at once."""
        self.cannot_connect(None)
        self.failureResultOf(self.channel.basic_qos(1), ResourceError)

    def operations(self) -> dict[str, Callable[[], Deferred[Any]]]:
        """One of each kind of operation, by what the session channel calls it."""
        queue, feed = Queue("q")(self.channel), Exchange("e")(self.channel)
        return {
            "queue_declare": queue.declare,
            "exchange_declare": feed.declare,
            "queue_bind": lambda: self.channel.queue_bind(queue, feed, "k"),
            "queue_purge": queue.purge,
            "queue_delete": queue.delete,
            "basic_get": queue.get,
            "basic_consume": lambda: self.channel.consume(queue, print),
        }

    def refused(self, cause: Exception | None) -> ResourceError:
        """Return what an operation fails with whose connection cannot be made."""
        error = ResourceError("cannot open one more connection")
        error.__cause__ = cause
        return error

    def test_no_connection_for_an_operation(self) -> None:
        """
        An operation whose connection cannot be made is begun anew with growing waits,
        and ends when the connection can be made.
        """
        self.successResultOf(self.channel.basic_qos(1))
        [fake] = self.session.channels
        for name, begin in self.operations().items():
            answering = fake.answers[name]
            fake.answers[name] = self.refused(ConnectError("refused"))
            before = len(fake.called(name))
            waiting = begin()
            self.clock.pump([0.5] * 4)
            self.assertNoResult(waiting)
            tries = len(fake.called(name)) - before
            self.assertTrue(1 < tries < 4, f"{name}: {tries} tries")
            fake.answers[name] = answering
            self.clock.pump([0.5] * 5)
            self.successResultOf(waiting)

    def test_no_connection_until_the_deadline(self) -> None:
        """Such an operation ends at its deadline, and is not begun anew after that."""
        self.successResultOf(self.channel.basic_qos(1))
        [fake] = self.session.channels
        fake.answers["queue_declare"] = self.refused(ConnectError("refused"))
        waiting = Queue("q")(self.channel).declare()
        self.clock.pump([1] * 5)
        self.failureResultOf(waiting, OperationTimeout)
        tries = len(fake.called("queue_declare"))
        self.clock.pump([1] * 60)
        self.assertEqual(len(fake.called("queue_declare")), tries)

    def test_no_connection_and_a_loss(self) -> None:
        """An operation that waits for its connection goes on after a loss."""
        self.successResultOf(self.channel.basic_qos(1))
        self.session.channels[0].answers["queue_declare"] = self.refused(
            ConnectError("refused")
        )
        waiting = Queue("q")(self.channel).declare()
        self.session.channels[0].die(ChannelClosed("lost"))
        self.assertNoResult(waiting)
        self.clock.pump([1] * 4)
        self.assertEqual(self.successResultOf(waiting), "q")
        self.assertEqual(self.session.channels[1].names(), ["queue_declare"])

    def test_no_connection_and_a_cancellation(self) -> None:
        """Cancelling ends what waits for its connection."""
        self.successResultOf(self.channel.basic_qos(1))
        [fake] = self.session.channels
        fake.answers["queue_purge"] = self.refused(ConnectError("refused"))
        waiting = Queue("q")(self.channel).purge()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_connection_and_a_close(self) -> None:
        """A close ends at once what waits for its connection."""
        self.successResultOf(self.channel.basic_qos(1))
        self.session.channels[0].answers["queue_declare"] = self.refused(
            ConnectError("refused")
        )
        waiting = Queue("q")(self.channel).declare()
        self.assertNoResult(waiting)
        self.successResultOf(self.channel.close())
        self.failureResultOf(waiting, ChannelClosed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_refused_operation(self) -> None:
        """What does not pass fails an operation at once, before or after a wait."""
        self.successResultOf(self.channel.basic_qos(1))
        [fake] = self.session.channels
        for error in (AuthenticationFailed("no"), self.refused(None), NotFound("no")):
            fake.answers["queue_declare"] = error
            declaring = Queue("q")(self.channel).declare()
            self.failureResultOf(declaring, type(error))
            fake.answers["queue_declare"] = self.refused(ConnectError("refused"))
            waiting = Queue("q")(self.channel).declare()
            self.assertNoResult(waiting)
            fake.answers["queue_declare"] = error
            self.clock.advance(1)
            self.failureResultOf(waiting, type(error))

    def test_no_connection_to_declare_for_a_message(self) -> None:
        """A message waits until what it needs can be declared, and is sent then."""
        self.successResultOf(self.channel.basic_qos(1))
        [fake] = self.session.channels
        answering = fake.answers["queue_declare"]
        fake.answers["queue_declare"] = self.refused(ConnectError("refused"))
        producer = Producer(self.channel)
        publishing = producer.publish("a", "q", declare=[Queue("q")], retry=True)
        self.clock.pump([1] * 2)
        self.assertNoResult(publishing)
        fake.answers["queue_declare"] = answering
        self.clock.pump([1] * 2)
        fake.called("basic_publish")[0].succeed()
        self.successResultOf(publishing)

    def test_no_answer(self) -> None:
        """
        Messages wait while no session channel can be opened in time, and are sent when
        one can.
        """
        self.session.open_channel, answering = (  # type: ignore[method-assign]  # no answer
            lambda listener: Deferred(),
            self.session.open_channel,
        )
        producer = Producer(self.channel, auto_declare=False)
        publishing = producer.publish("a", "q", timeout=60)
        waiting = self.channel.basic_qos(1)
        self.clock.pump([1] * 5)
        self.failureResultOf(waiting, OperationTimeout)
        self.assertNoResult(publishing)
        self.session.open_channel = answering  # type: ignore[method-assign]  # as it was
        self.clock.pump([1] * 10)
        [channel] = self.session.channels
        channel.called("basic_publish")[0].succeed()
        self.successResultOf(publishing)
