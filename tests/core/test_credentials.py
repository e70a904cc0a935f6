"""Passwords that are asked for: by several connections, in time, or in vain."""

from __future__ import annotations

import contextlib
import gc

from twisted.internet.defer import CancelledError, Deferred, fail

from tests.core.test_first_connection import FirstConnectionTestCase
from txkombu import BrokerConnection
from txkombu.core.lifecycle import State
from txkombu.exceptions import ConnectError, ConnectionClosed, OperationTimeout


class PasswordTestCase(FirstConnectionTestCase):
    """Has connections that ask for their passwords."""

    def passwords(self) -> list[str]:
        """Return the password of each attempt."""
        return [attempt.parameters.password for attempt in self.transport.attempts]

    def begin(self, connection: BrokerConnection) -> None:
        """Begin to connect; the end of the test closes the connection."""
        connection.connect().addErrback(lambda failure: None)


class SharedPasswordTests(PasswordTestCase):
    """One Deferred for several logins."""

    def test_several_connections(self) -> None:
        """A Deferred gives it to several connections and their clones, at any time."""
        password: Deferred[str] = Deferred()
        connections = [self.connection(password=password) for _ in range(2)]
        connections.append(connections[0].clone())
        for each in connections:
            self.begin(each)
        password.callback("token")
        later = [self.connection(password=password), connections[0].clone()]
        for each in later:
            self.begin(each)
        self.assertEqual(self.passwords(), ["token"] * 5)
        self.assertEqual(self.successResultOf(password), "token")
        for each in connections + later:
            each.close()

    def test_fails(self) -> None:
        """One that fails does so for all, with its error, and nothing is logged."""
        password: Deferred[str] = Deferred()
        early = self.connection(password=password).connect()
        password.errback(KeyError("vault"))
        later = self.connection(password=password)
        for connecting in (early, later.connect(), later.clone().connect()):
            error = self.failureResultOf(connecting, ConnectError).value
            self.assertIn("asking for the password failed: 'vault'", str(error))
            self.assertIsInstance(error.__cause__, KeyError)
        self.doCleanups()
        del password, early, later, connecting, error
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_returned_again(self) -> None:
        """A callable may return the same Deferred for each login."""
        password: Deferred[str] = Deferred()
        for _ in range(2):
            self.begin(self.connection(password=lambda: password))
        password.callback("token")
        self.begin(self.connection(password=lambda: password))
        self.assertEqual(self.passwords(), ["token"] * 3)

    def test_never_shown(self) -> None:
        """A password that is asked for is in no URL, and neither is the default one."""
        connection = BrokerConnection("amqp://ann@h", password=lambda: "secret")
        uri = connection.as_uri(include_password=True)
        self.assertEqual(uri, "amqp://ann:**@h:5672//")

    def test_returned_again_and_fails(self) -> None:
        """If that one fails, each of the logins fails with its error."""
        password: Deferred[str] = Deferred()
        connection = self.connection(password=lambda: password)
        first = connection.connect()
        password.errback(KeyError("vault"))
        for connecting in (first, connection.connect()):
            error = self.failureResultOf(connecting, ConnectError).value
            self.assertIn("asking for the password failed: 'vault'", str(error))


class SlowPasswordTests(PasswordTestCase):
    """Passwords that take time."""

    def test_never(self) -> None:
        """An attempt ends after connect_timeout if no password has come."""

        async def stubborn() -> str:
            with contextlib.suppress(CancelledError):
                await Deferred()
            return str(await Deferred())

        asks: list[object] = [Deferred(), Deferred, stubborn]
        for password in asks:
            connection = self.connection(password=password, connect_timeout=7)
            connecting = connection.connect()
            self.clock.advance(6.9)
            self.assertNoResult(connecting)
            self.clock.advance(0.1)
            error = self.failureResultOf(connecting, OperationTimeout).value
            self.assertIn("asking for the password", str(error))
            self.assertIs(connection.state, State.IDLE)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.transport.attempts, [])

    def test_after_a_loss(self) -> None:
        """An attempt that gets no password in time is made again after a loss."""
        answers: list[object] = ["old", Deferred(), "new"]
        connection = self.connection(password=lambda: answers.pop(0))
        self.begin(connection)
        self.accept()
        connection.drop()
        self.clock.pump([1, 10])
        self.assertIs(connection.state, State.WAITING)
        self.assertIsInstance(connection.last_error, OperationTimeout)
        self.clock.advance(2)
        self.assertEqual(self.passwords(), ["old", "new"])

    def test_late(self) -> None:
        """A Deferred that fires when the attempt has ended serves the next one."""
        password: Deferred[str] = Deferred()
        connection = self.connection(password=password)
        connecting = connection.connect()
        self.clock.advance(10)
        self.failureResultOf(connecting, OperationTimeout)
        password.callback("late")
        self.begin(connection)
        self.assertEqual(self.passwords(), ["late"])

    def test_one_limit(self) -> None:
        """Asking and the login have connect_timeout together."""
        password: Deferred[str] = Deferred()
        connection = self.connection(password=password, connect_timeout=10)
        connecting = connection.connect()
        self.clock.advance(6)
        password.callback("late")
        [attempt] = self.transport.attempts
        self.clock.advance(3.9)
        self.assertNoResult(connecting)
        self.clock.advance(0.2)
        error = self.failureResultOf(connecting, OperationTimeout).value
        self.assertIn("after 6.0 s of asking for the password", str(error))
        self.assertTrue(attempt.cancelled)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_limit_of_the_transport(self) -> None:
        """The transport gets the whole connect_timeout, for its other connections."""
        password: Deferred[str] = Deferred()
        self.begin(self.connection(password=password, connect_timeout=10))
        self.clock.advance(6)
        password.callback("late")
        [attempt] = self.transport.attempts
        self.assertEqual(attempt.parameters.connect_timeout, 10)
        self.accept()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_own_timeout(self) -> None:
        """A timeout of the program's own, while asking, is a failure to ask."""
        late = OperationTimeout("the vault", 5)
        connecting = self.connection(password=lambda: fail(late)).connect()
        error = self.failureResultOf(connecting, ConnectError).value
        self.assertIs(error.__cause__, late)

    def test_error_without_text(self) -> None:
        """An error without a text is told by its name."""
        connecting = self.connection(password=lambda: fail(TimeoutError())).connect()
        error = self.failureResultOf(connecting, ConnectError).value
        self.assertEqual(str(error), "asking for the password failed: TimeoutError")


class UnwantedPasswordTests(PasswordTestCase):
    """Passwords that come when the attempt is over."""

    async def stubborn(self) -> str:
        """Return a password when it should have been cancelled."""
        with contextlib.suppress(CancelledError):
            await Deferred()
        return "secret"

    def tearDown(self) -> None:
        """Nobody has logged in, and nothing continues."""
        self.assertEqual(self.transport.attempts, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelled(self) -> None:
        """An attempt that was cancelled does not log in with it."""
        connection = self.connection(password=self.stubborn)
        connecting = connection.connect()
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assertIs(connection.state, State.IDLE)

    def test_closed(self) -> None:
        """Nor does one of a connection that was closed."""
        connection = self.connection(password=self.stubborn)
        connecting = connection.connect()
        self.successResultOf(connection.close())
        self.failureResultOf(connecting, ConnectionClosed)
        self.assertIs(connection.state, State.CLOSED)

    def test_closed_by_the_function(self) -> None:
        """Nor does one whose function has closed the connection."""
        self.close_and_answer("secret")

    def test_closed_by_the_function_that_waits(self) -> None:
        """Nor does it wait for the function then."""
        self.close_and_answer(Deferred())

    def close_and_answer(self, answer: object) -> None:
        """Close the connection when it asks for the password."""

        def close() -> object:
            connection.close()
            return answer

        connection = self.connection(password=close)
        self.failureResultOf(connection.connect(), ConnectionClosed)
        self.assertIs(connection.state, State.CLOSED)
