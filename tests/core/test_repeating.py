"""Kombu's ensure_connection, ensure and autoretry."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from tests.core.test_first_connection import FirstConnectionTestCase
from txkombu import Channel, Producer, Queue
from txkombu.core.lifecycle import State
from txkombu.exceptions import (
    AuthenticationFailed,
    ConnectError,
    ConnectionClosed,
    NotFound,
    OperationTimeout,
    OutcomeUnknown,
    SessionLost,
)
from txkombu.testing import BrokerTestCase


class EnsureConnectionTests(FirstConnectionTestCase):
    """What C{ensure_connection} does about attempts that fail."""

    def setUp(self) -> None:
        super().setUp()
        self.told: list[tuple[str, float]] = []

    def note(self, error: Exception, wait: float) -> None:
        """An errback."""
        self.told.append((str(error), wait))

    def test_connects(self) -> None:
        """It connects, or finds that there is a session."""
        connection = self.connection()
        ensured = connection.ensure_connection(self.note)
        self.accept()
        self.assertIs(self.successResultOf(ensured), connection)
        self.assertIs(self.successResultOf(connection.ensure_connection()), connection)
        self.assertEqual(self.told, [])

    def test_tries_again(self) -> None:
        """The waits are those that were given, and the errback hears of each."""
        ensured = self.connection().ensure_connection(
            self.note, interval_start=1, interval_step=2, interval_max=4
        )
        for number, wait in enumerate((1, 3, 4, 4), 1):
            self.assertEqual(len(self.transport.attempts), number)
            self.refuse(ConnectError(f"down {number}"))
            self.assertEqual(self.told[-1], (f"down {number}", wait))
            self.clock.advance(wait - 0.1)
            self.assertEqual(len(self.transport.attempts), number)
            self.clock.advance(0.1)
        self.accept()
        self.successResultOf(ensured)

    def test_gives_up(self) -> None:
        """After max_retries it fails with the last error."""
        ensured = self.connection().ensure_connection(self.note, max_retries=2)
        for number in range(3):
            self.refuse(ConnectError(f"down {number}"))
            self.clock.advance(30)
        error = self.failureResultOf(ensured, ConnectError).value
        self.assertEqual(str(error), "down 2")
        self.assertEqual([text for text, _ in self.told], ["down 0", "down 1"])
        self.assertEqual(len(self.transport.attempts), 3)

    def test_no_retry(self) -> None:
        """With max_retries=0 there is one attempt."""
        ensured = self.connection().ensure_connection(max_retries=0)
        self.refuse()
        self.failureResultOf(ensured, ConnectError)

    def test_permanent(self) -> None:
        """A refused login is told at once."""
        ensured = self.connection().ensure_connection(self.note)
        self.refuse(AuthenticationFailed("no"))
        self.failureResultOf(ensured, AuthenticationFailed)
        self.assertEqual(self.told, [])

    def test_after_a_loss(self) -> None:
        """While the connection comes back by itself, its attempts and waits count."""
        connection = self.connection()
        connection.connect()
        self.accept()
        connection.drop()
        ensured = connection.ensure_connection(self.note, max_retries=1)
        self.clock.advance(1)
        self.refuse()
        [(_, wait)] = self.told
        self.assertTrue(1.5 <= wait <= 2)
        self.clock.advance(2)
        self.refuse()
        self.failureResultOf(ensured, ConnectError)
        self.assertIs(connection.state, State.WAITING)

    def test_lost_while_restoring(self) -> None:
        """A session that is lost before it is restored is a failed attempt."""
        connection = self.connection()
        ensured = connection.ensure_connection(self.note)
        restoring: Deferred[None] = Deferred()
        self.patch(connection.core.reconnector, "_restore", lambda session: restoring)
        self.accept()
        connection.core.reconnector.session_lost(SessionLost("cut"))
        self.assertEqual([text for text, _ in self.told], ["cut"])
        self.clock.advance(1)
        self.assertNoResult(ensured)
        self.accept()
        restoring.callback(None)
        self.successResultOf(ensured)

    def test_closed(self) -> None:
        """It fails when the connection is closed, while it waits and afterwards."""
        connection = self.connection()
        ensured = connection.ensure_connection()
        self.refuse()
        self.successResultOf(connection.close())
        self.failureResultOf(ensured, ConnectionClosed)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.failureResultOf(connection.ensure_connection(), ConnectionClosed)

    def test_cancelled(self) -> None:
        """Cancelling it gives up the attempt, or the wait for the next."""
        connection = self.connection()
        ensured = connection.ensure_connection()
        ensured.cancel()
        self.failureResultOf(ensured, CancelledError)
        self.assertIs(connection.state, State.IDLE)
        ensured = connection.ensure_connection()
        self.refuse()
        ensured.cancel()
        self.failureResultOf(ensured, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_timeout(self) -> None:
        """The timeout is for all attempts together."""
        ensured = self.connection().ensure_connection(timeout=3)
        self.refuse()
        self.clock.pump([1] * 3)
        self.failureResultOf(ensured, OperationTimeout)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_errback_fails(self) -> None:
        """What the errback raises is logged, and nothing else."""
        ensured = self.connection().ensure_connection(lambda error, wait: 1 / 0)
        self.refuse()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.clock.advance(2)
        self.accept()
        self.successResultOf(ensured)

    def test_arguments(self) -> None:
        """Nonsense is refused by name."""
        wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
            ({"errback": 3}, TypeError, "errback"),
            ({"max_retries": "3"}, TypeError, "max_retries"),
            ({"max_retries": -1}, ValueError, "max_retries"),
            ({"interval_start": -1}, ValueError, "interval_start"),
            ({"interval_step": None}, TypeError, "interval_step"),
            ({"interval_max": float("nan")}, ValueError, "interval_max"),
            ({"timeout": "1"}, TypeError, "timeout"),
        ]
        for options, kind, name in wrong:
            with self.assertRaisesRegex(kind, name):
                self.connection().ensure_connection(**options)


class EnsureTests(BrokerTestCase):
    """What C{ensure} and C{autoretry} repeat."""

    def fails(self, *errors: Exception) -> Any:
        """Return a function that fails with each of the errors, and then works."""
        left = list(errors)

        async def work(value: str, twice: bool = False) -> str:
            if left:
                raise left.pop(0)
            return value * 2 if twice else value

        return work

    def test_value(self) -> None:
        """The value of the function is that of the call."""
        for work in (self.fails(), lambda value, twice: value * 2):
            ensured = self.connection.ensure(None, work)
            self.assertEqual(self.result_of(ensured("a", twice=True)), "aa")

    def test_repeats(self) -> None:
        """It is repeated after errors of the connection, which the errback hears of."""
        told: list[tuple[str, float]] = []
        work = self.fails(SessionLost("cut"), ConnectError("down"))
        ensured = self.connection.ensure(
            None, work, lambda error, wait: told.append((str(error), wait))
        )
        calling = ensured("a")
        self.advance(2)
        self.assertEqual(self.successResultOf(calling), "a")
        self.assertEqual(told, [("cut", 1), ("down", 1)])

    def test_gives_up(self) -> None:
        """After max_retries it fails with the last error; each call counts anew."""
        work = self.fails(*[SessionLost(str(number)) for number in range(4)])
        ensured = self.connection.ensure(None, work, max_retries=1, interval_start=0)
        for text in ("1", "3"):
            calling = ensured("a")
            self.advance(0)
            error = self.failureResultOf(calling, SessionLost).value
            self.assertEqual(str(error), text)

    def test_not_repeated(self) -> None:
        """Refusals, faults and what could double a message are told at once."""
        for error in (NotFound("none"), KeyError("a"), OutcomeUnknown("perhaps")):
            calling = self.connection.ensure(None, self.fails(error))("a")
            self.assertIs(self.failureResultOf(calling).value, error)

    def test_cancelled(self) -> None:
        """Cancelling the call ends it."""
        began: list[Deferred[None]] = []

        def work() -> Deferred[None]:
            began.append(Deferred())
            return began[-1]

        calling = self.connection.ensure(None, work)()
        calling.cancel()
        self.failureResultOf(calling, CancelledError)
        self.assertTrue(began[0].called)

    def test_closed(self) -> None:
        """It is not called again when the connection was closed meanwhile."""
        called: list[int] = []

        def work() -> None:
            called.append(1)
            raise SessionLost("cut")

        connection = self.connect()
        calling = connection.ensure(None, work, interval_start=9, interval_max=9)()
        self.result_of(connection.close())
        self.failureResultOf(calling, ConnectionClosed)
        self.assertEqual(called, [1])

    def test_publish(self) -> None:
        """A producer's publish has retry=True: the message keeps its id."""
        self.result_of(Queue("q")(self.connection).declare())
        producer = Producer(self.connection)
        publish = self.connection.ensure(producer, producer.publish, max_retries=3)
        self.broker.hold_confirms()
        publishing = publish("one", routing_key="q")
        self.flush()
        self.broker.drop()
        self.broker.release_confirms()
        self.advance(2)
        self.successResultOf(publishing)
        first, second = self.broker.published_to("", "q")
        self.assertEqual(
            first.properties["message_id"], second.properties["message_id"]
        )

    def test_publish_without_broker(self) -> None:
        """What was not sent, since the first attempt to connect failed, is repeated."""
        connection = self.connect()
        producer = Producer(connection)
        self.broker.refuse()
        publishing = connection.ensure(producer, producer.publish)("one", "q")
        self.flush()
        self.broker.accept()
        self.advance(2)
        self.successResultOf(publishing)

    def test_arguments(self) -> None:
        """Nonsense is refused by name."""
        wrong: Any = 3
        with self.assertRaisesRegex(TypeError, "fun must be callable"):
            self.connection.ensure(None, wrong)
        with self.assertRaisesRegex(TypeError, "max_retries"):
            self.connection.ensure(None, print, max_retries=wrong / 2)

    def test_autoretry(self) -> None:
        """The function gets a channel, and the caller gets it with the value."""
        used: list[Channel] = []
        errors = [SessionLost("cut")]

        def work(number: int, channel: Channel) -> int:
            used.append(channel)
            if errors:
                raise errors.pop()
            return number + 1

        calling = self.connection.autoretry(work)(1)
        self.advance(1)
        default = self.connection.default_channel
        self.assertEqual(self.successResultOf(calling), (2, default))
        self.assertEqual(used, [default] * 2)
        channel = self.result_of(self.connection.channel())
        calling = self.connection.autoretry(work, channel, max_retries=1)(2)
        self.assertEqual(self.result_of(calling), (3, channel))
