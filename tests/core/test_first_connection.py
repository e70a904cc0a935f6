"""The first connection, its credentials, its state, and the reactor's shutdown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IReactorCore
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.fakes import FakeSession, FakeTransport
from txkombu import BrokerConnection, Producer
from txkombu.core.lifecycle import State
from txkombu.exceptions import (
    AuthenticationFailed,
    ConnectError,
    ConnectionClosed,
    NotSentInTime,
    OperationTimeout,
)


class FirstConnectionTestCase(SynchronousTestCase):
    """Has a connection with a fake transport, under a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.transport = FakeTransport()

    def connection(self, **options: Any) -> BrokerConnection:
        """Return a connection."""
        connection = BrokerConnection(
            transport=self.transport, reactor=self.clock, **options
        )
        self.addCleanup(self.close, connection)
        return connection

    def close(self, connection: BrokerConnection) -> None:
        """Close a connection; nothing may be left of it."""
        self.successResultOf(connection.close())
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def refuse(self, error: Exception | None = None) -> None:
        """Let the last attempt fail."""
        self.transport.attempts[-1].fail(error or ConnectError("down"))

    def accept(self) -> FakeSession:
        """Let the last attempt succeed."""
        session = FakeSession()
        self.transport.attempts[-1].succeed(session)
        return session


class WaitTests(FirstConnectionTestCase):
    """What becomes of a first attempt that fails."""

    def test_fails_fast(self) -> None:
        """By default what waits for it fails with it."""
        connection = self.connection()
        connecting = connection.connect()
        self.refuse()
        self.failureResultOf(connecting, ConnectError)
        self.assertIs(connection.state, State.IDLE)
        self.clock.advance(100)
        self.assertEqual(len(self.transport.attempts), 1)

    def test_waits(self) -> None:
        """With wait_for_broker it is made again, until there is a session."""
        connection = self.connection(wait_for_broker=True)
        connecting = connection.connect()
        for number in range(1, 4):
            self.assertEqual(len(self.transport.attempts), number)
            self.refuse()
            self.assertNoResult(connecting)
            self.assertIs(connection.state, State.WAITING)
            self.assertIsInstance(connection.last_error, ConnectError)
            self.clock.advance(8)
        self.accept()
        self.assertIs(self.successResultOf(connecting), connection)
        self.assertIsNone(connection.last_error)

    def test_waits_by_url(self) -> None:
        """The URL of any of the alternates may ask for that."""
        urls = "memory://a;memory://b?wait_for_broker=true"
        connecting = self.connection(hostname=urls).connect()
        self.refuse()
        self.refuse()
        self.assertNoResult(connecting)
        self.clock.advance(1)
        self.accept()
        self.successResultOf(connecting)

    def test_refused_login(self) -> None:
        """A refused login is tried again slowly."""
        connection = self.connection(wait_for_broker=True)
        connecting = connection.connect()
        self.refuse(AuthenticationFailed("no"))
        self.clock.advance(29)
        self.assertEqual(len(self.transport.attempts), 1)
        self.clock.advance(1)
        self.accept()
        self.successResultOf(connecting)

    def test_operations_wait(self) -> None:
        """Operations and publishes wait until their timeout, as after a loss."""
        connection = self.connection(wait_for_broker=True, operation_timeout=5)
        channel = connection.channel()
        publishing = Producer(connection).publish("a", "q", timeout=5)
        self.refuse()
        self.clock.pump([1] * 5)
        self.failureResultOf(channel, OperationTimeout)
        self.failureResultOf(publishing, NotSentInTime)

    def test_closed_while_waiting(self) -> None:
        """A close ends the waiting."""
        connection = self.connection(wait_for_broker=True)
        connecting = connection.connect()
        self.refuse()
        self.successResultOf(connection.close())
        self.failureResultOf(connecting, ConnectionClosed)

    def test_cancelled(self) -> None:
        """Cancelling what waits ends only that."""
        connection = self.connection(wait_for_broker=True)
        connecting = connection.connect()
        self.refuse()
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assertIs(connection.state, State.WAITING)

    def test_clone(self) -> None:
        """A clone waits as well."""
        twin = self.connection(wait_for_broker=True).clone()
        connecting = twin.connect()
        self.refuse()
        self.assertNoResult(connecting)
        self.close(twin)
        self.failureResultOf(connecting, ConnectionClosed)

    def test_checked(self) -> None:
        """Anything but a bool is refused."""
        with self.assertRaisesRegex(TypeError, "wait_for_broker"):
            self.connection(wait_for_broker="yes")


class StateTests(FirstConnectionTestCase):
    """What a program is told of the connection."""

    def test_on_state(self) -> None:
        """on_state is called with each new state, in order, in a later turn."""
        seen: list[State] = []
        connection = self.connection(on_state=seen.append)
        connection.connect()
        self.assertEqual(seen, [])
        self.accept()
        connection.drop()
        self.clock.advance(1)
        self.accept()
        self.successResultOf(connection.close())
        self.clock.advance(0)
        up = [State.CONNECTING, State.RESTORING, State.CONNECTED]
        end = [State.CLOSING, State.CLOSED]
        self.assertEqual(seen, [*up, State.WAITING, *up, *end])

    def test_closes(self) -> None:
        """It may close the connection."""
        made: list[BrokerConnection] = []
        made.append(self.connection(on_state=lambda state: made[0].close()))
        connecting = made[0].connect()
        self.clock.advance(0)
        self.failureResultOf(connecting, ConnectionClosed)

    def test_raises(self) -> None:
        """What it raises is logged."""
        connection = self.connection(on_state=lambda state: 1 / 0)
        connection.connect()
        self.accept()
        self.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)
        self.successResultOf(connection.close())
        self.clock.advance(0)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_wrong(self) -> None:
        """It has to be callable with a state."""
        with self.assertRaisesRegex(TypeError, "on_state"):
            self.connection(on_state=3)

    def test_when_connected(self) -> None:
        """when_connected waits for a session, and asks for none."""
        connection = self.connection()
        waiting = connection.when_connected()
        self.assertEqual(self.transport.attempts, [])
        connection.connect().addErrback(lambda failure: None)
        self.refuse()
        self.assertNoResult(waiting)
        connection.connect()
        self.accept()
        self.assertIs(self.successResultOf(waiting), connection)
        self.assertIs(self.successResultOf(connection.when_connected()), connection)

    def test_when_connected_and_closed(self) -> None:
        """It fails when the connection is closed."""
        connection = self.connection()
        waiting = connection.when_connected()
        self.successResultOf(connection.close())
        self.failureResultOf(waiting, ConnectionClosed)
        self.failureResultOf(connection.when_connected(), ConnectionClosed)

    def test_when_closed(self) -> None:
        """when_closed fires when nothing is left of the connection."""
        connection = self.connection()
        waiting = connection.when_closed()
        connection.connect()
        self.accept()
        self.assertNoResult(waiting)
        self.successResultOf(connection.close())
        self.successResultOf(waiting)
        self.successResultOf(connection.when_closed())


class PasswordTests(FirstConnectionTestCase):
    """Passwords that are asked for."""

    def passwords(self) -> list[str]:
        """Return the password of each attempt."""
        return [attempt.parameters.password for attempt in self.transport.attempts]

    def attempts(self, password: object) -> BrokerConnection:
        """Connect, and lose the session."""
        connection = self.connection(password=password)
        connection.connect().addErrback(lambda failure: None)
        if self.transport.attempts:
            self.accept()
            connection.drop()
            self.clock.advance(1)
        return connection

    def test_callable(self) -> None:
        """A callable is called for each attempt."""
        numbers = iter(["one", "two", "three"])
        self.attempts(lambda: next(numbers))
        self.assertEqual(self.passwords(), ["one", "two"])

    def test_later(self) -> None:
        """It may return a Deferred, or be a coroutine function."""

        async def ask() -> str:
            return "asked"

        asks: list[Callable[[], object]] = [lambda: succeed("deferred"), ask]
        for each in asks:
            self.attempts(each)
        self.assertEqual(self.passwords(), ["deferred"] * 2 + ["asked"] * 2)

    def test_deferred(self) -> None:
        """A Deferred gives the one for all attempts."""
        password: Deferred[str] = Deferred()
        connection = self.connection(password=password)
        connection.connect()
        self.assertEqual(self.transport.attempts, [])
        password.callback("late")
        self.accept()
        connection.drop()
        self.clock.advance(1)
        self.assertEqual(self.passwords(), ["late"] * 2)

    def test_deferred_fails(self) -> None:
        """A Deferred that fails fails each attempt."""
        password: Deferred[str] = Deferred()
        connection = self.connection(password=password)
        waiting = connection.connect()
        password.errback(KeyError("vault"))
        self.failureResultOf(waiting, ConnectError)
        self.failureResultOf(connection.connect(), ConnectError)

    def test_not_had(self) -> None:
        """An attempt fails if its password cannot be had, and the error hides it."""
        wrong: list[tuple[object, str]] = [
            (lambda: 1 / 0, "asking for the password failed: division by zero"),
            (lambda: fail(KeyError("vault")), "vault"),
            (lambda: b"secret", "must be a str, not bytes"),
            (lambda: "secret\ud800", "the password asked for"),
        ]
        for password, text in wrong:
            connecting = self.connection(password=password).connect()
            error = self.failureResultOf(connecting, ConnectError).value
            self.assertIn(text, str(error))
            self.assertNotIn("secret", str(error))
        self.assertEqual(self.transport.attempts, [])

    def test_wrong(self) -> None:
        """Anything else is refused."""
        for password in (b"secret", 5, ["a"]):
            with self.assertRaisesRegex(TypeError, "password must be a str") as caught:
                self.connection(password=password)
            self.assertNotIn("secret", str(caught.exception))

    def test_hidden(self) -> None:
        """It is in no repr and no URL."""
        connection = self.attempts(lambda: "secret")
        shown = f"{connection!r} {connection.info()} {connection.current_uri()}"
        self.assertNotIn("secret", shown)

    def test_updated(self) -> None:
        """update_secret has its place from then on."""
        connection = self.attempts(lambda: "old")
        self.accept()
        connection.update_secret("new").addErrback(lambda failure: None)
        connection.drop()
        self.clock.advance(2)
        self.assertEqual(self.passwords(), ["old", "old", "new"])


class Reactor(MemoryReactorClock):
    """A reactor that forgets what is to be called before it shuts down."""

    def addSystemEventTrigger(self, *trigger: Any, **options: Any) -> Any:
        super().addSystemEventTrigger(*trigger, **options)
        return self.triggers["before"]["shutdown"][-1]

    def removeSystemEventTrigger(self, trigger: Any) -> None:
        self.triggers["before"]["shutdown"].remove(trigger)


class ShutdownTests(SynchronousTestCase):
    """A reactor that shuts down."""

    def setUp(self) -> None:
        self.reactor: Any = Reactor()
        self.transport = FakeTransport()
        self.connection = BrokerConnection(
            transport=self.transport, reactor=self.reactor
        )

    def connect(self) -> FakeSession:
        """Connect."""
        self.connection.connect()
        session = FakeSession()
        self.transport.attempts[-1].succeed(session)
        return session

    @property
    def triggers(self) -> list[Any]:
        """Return what is called before the reactor shuts down."""
        found: list[Any] = self.reactor.triggers.get("before", {}).get("shutdown", [])
        return found

    def test_clock(self) -> None:
        """A clock shuts nothing down."""
        self.assertFalse(IReactorCore.providedBy(Clock()))
        self.assertTrue(IReactorCore.providedBy(self.reactor))

    def test_closes(self) -> None:
        """A connection that was connected closes itself, and the reactor waits."""
        self.assertEqual(self.triggers, [])
        session = self.connect()
        self.connection.connect()
        [(close, arguments, options)] = self.triggers
        closing = close(*arguments, **options)
        self.successResultOf(closing)
        self.assertEqual(len(session.called("close")), 1)
        self.assertIs(self.connection.state, State.CLOSED)
        self.successResultOf(self.connection.when_closed())
        self.assertEqual(self.triggers, [])

    def test_closed_before(self) -> None:
        """A closed connection leaves nothing behind."""
        self.connect()
        self.successResultOf(self.connection.close())
        self.assertEqual(self.triggers, [])
        self.failureResultOf(self.connection.connect(), ConnectionClosed)
        self.assertEqual(self.triggers, [])

    def test_left(self) -> None:
        """A service closes its connection in its own order."""
        self.connect()
        self.connection.core.leave_shutdown()
        self.connection.connect()
        self.assertEqual(self.triggers, [])
        self.successResultOf(self.connection.close())
