"""
Keeping one session alive.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.support.fakes import Attempt, FakeSession, FakeTransport
from txkombu import BrokerConnection
from txkombu.core.lifecycle import State
from txkombu.core.reconnector import Reconnector
from txkombu.exceptions import (
    AuthenticationFailed,
    ConnectError,
    ConnectionClosed,
    OperationTimeout,
    SessionLost,
    TransportNotAvailable,
)
from txkombu.interfaces import IBrokerTransport, ISession, ISessionListener
from txkombu.url import Parameters, parameters_for


class KeeperTestCase(SynchronousTestCase):
    """Has a reconnector with a fake transport, under a clock."""

    urls = "amqp://one"

    def setUp(self) -> None:
        self.clock = Clock()
        self.transport = FakeTransport()
        self.restoring: list[Deferred[None]] = []
        self.restored: list[ISession] = []
        self.restore_at_once = True
        self.flows: list[bool] = []
        self.forgotten: list[State] = []
        self.reconnector = Reconnector(
            parameters_for(self.urls),
            self.transport_for,
            None,
            self.clock,
            self.restore,
            lambda: self.forgotten.append(self.reconnector.state),
            self.flows.append,
        )
        self.reconnector._backoff._jitter = lambda: 0.0

    def transport_for(self, parameters: Parameters) -> IBrokerTransport:
        """Return the fake transport."""
        return self.transport

    def restore(self, session: ISession) -> Deferred[None]:
        """Restore at once, or when the test says so."""
        self.restored.append(session)
        if self.restore_at_once:
            return succeed(None)
        restoring: Deferred[None] = Deferred()
        self.restoring.append(restoring)
        return restoring

    @property
    def attempt(self) -> Attempt:
        """The last attempt to connect."""
        return self.transport.attempts[-1]

    def accept(self) -> FakeSession:
        """Let the last attempt succeed."""
        session = FakeSession()
        self.attempt.succeed(session)
        return session

    def up(self) -> FakeSession:
        """Bring a session up."""
        waiting = self.reconnector.when_up()
        session = self.accept()
        self.successResultOf(waiting)
        self.flows.clear()
        return session

    def lose(self) -> None:
        """Make the session report that it is lost."""
        self.attempt.listener.session_lost(SessionLost("cut"))

    def assertNothingLeft(self) -> None:
        """Check that it is closed and that nothing of it continues."""
        self.assertIs(self.reconnector.state, State.CLOSED)
        self.assertIsNone(self.reconnector.session)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        before = len(self.transport.attempts)
        self.clock.advance(1000)
        self.assertEqual(len(self.transport.attempts), before)


class ConnectTests(KeeperTestCase):
    """The first session."""

    def test_interface(self) -> None:
        """A reconnector is a listener of sessions."""
        verifyObject(ISessionListener, self.reconnector)

    def test_nothing_by_itself(self) -> None:
        """It does not connect before somebody asks."""
        self.assertEqual(self.transport.attempts, [])
        self.assertIs(self.reconnector.state, State.IDLE)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_up(self) -> None:
        """The caller gets the session when everything is restored."""
        self.restore_at_once = False
        waiting = self.reconnector.when_up()
        self.assertIs(self.reconnector.state, State.CONNECTING)
        session = self.accept()
        self.assertIs(self.reconnector.state, State.RESTORING)
        self.assertIsNone(self.reconnector.session)
        self.assertNoResult(waiting)
        self.restoring[0].callback(None)
        self.assertIs(self.reconnector.state, State.CONNECTED)
        self.assertIs(self.successResultOf(waiting), session)
        self.assertIs(self.successResultOf(self.reconnector.when_up()), session)

    def test_one_attempt_for_all(self) -> None:
        """There is one attempt, however many callers ask."""
        waiting = [self.reconnector.when_up() for _ in range(5)]
        self.assertEqual(len(self.transport.attempts), 1)
        session = self.accept()
        for each in waiting:
            self.assertIs(self.successResultOf(each), session)

    def test_refused(self) -> None:
        """
        If the first attempt fails, all callers are told, and no other attempt follows.
        """
        waiting = [self.reconnector.when_up(), self.reconnector.when_up()]
        error = ConnectError("refused")
        self.attempt.fail(error)
        for each in waiting:
            self.assertIs(self.failureResultOf(each).value, error)
        self.assertIs(self.reconnector.state, State.IDLE)
        self.assertIs(self.reconnector.last_error, error)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_refused_and_asked_again(self) -> None:
        """A caller that asks again, also in its errback, causes another attempt."""
        again: list[Deferred[ISession]] = []
        waiting = self.reconnector.when_up()
        waiting.addErrback(lambda _: again.append(self.reconnector.when_up()))
        self.attempt.fail(ConnectError("refused"))
        self.assertEqual(len(self.transport.attempts), 2)
        session = self.accept()
        self.assertIs(self.successResultOf(again[0]), session)
        self.assertIsNone(self.reconnector.last_error)

    def test_unexpected_error(self) -> None:
        """The caller gets any error with which connecting fails."""
        for error in (CancelledError(), ValueError("no such host")):
            waiting = self.reconnector.when_up()
            self.attempt.fail(error)
            self.assertIs(self.failureResultOf(waiting).value, error)
            self.assertIs(self.reconnector.state, State.IDLE)

    def test_no_transport(self) -> None:
        """If the transport is not available the attempt fails."""
        reconnector = Reconnector(
            parameters_for("amqp://one"),
            self.no_transport,
            None,
            self.clock,
            self.restore,
            self.forgotten.clear,
            self.flows.append,
        )
        self.failureResultOf(reconnector.when_up(), TransportNotAvailable)
        self.assertIs(reconnector.state, State.IDLE)

    def no_transport(self, parameters: Parameters) -> IBrokerTransport:
        """Raise that there is no transport."""
        raise TransportNotAvailable("not available")

    def test_cancelled_waiter(self) -> None:
        """Cancelling one caller's Deferred affects no other."""
        gone, stays = self.reconnector.when_up(), self.reconnector.when_up()
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.assertFalse(self.attempt.cancelled)
        session = self.accept()
        self.assertIs(self.successResultOf(stays), session)

    def test_all_cancelled(self) -> None:
        """If all callers have cancelled, the attempt ends; a caller may ask again."""
        first, second = self.reconnector.when_up(), self.reconnector.when_up()
        first.cancel()
        second.cancel()
        for each in (first, second):
            self.failureResultOf(each, CancelledError)
        self.assertTrue(self.attempt.cancelled)
        self.assertEqual(len(self.transport.attempts), 1)
        self.assertIs(self.reconnector.state, State.IDLE)
        again = self.reconnector.when_up()
        session = self.accept()
        self.assertIs(self.successResultOf(again), session)

    def test_cancelled_after_a_loss(self) -> None:
        """A lost session is restored, whether anybody waits for it or not."""
        self.up()
        self.lose()
        self.clock.advance(1)
        waiting = self.reconnector.when_up()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertFalse(self.attempt.cancelled)
        self.accept()
        self.assertIs(self.reconnector.state, State.CONNECTED)

    def test_at_once(self) -> None:
        """A transport may return a session that is already connected."""
        session = FakeSession()
        transport = FakeTransport()
        self.transport = transport
        connect = transport.connect

        def at_once(*arguments: object) -> Deferred[ISession]:
            connecting = connect(*arguments)  # type: ignore[arg-type]  # the same arguments
            transport.attempts[-1].succeed(session)
            return connecting

        transport.connect = at_once  # type: ignore[method-assign, assignment]  # replaced for this test
        self.assertIs(self.successResultOf(self.reconnector.when_up()), session)
        self.lose()
        self.assertIs(self.reconnector.state, State.WAITING)
        self.clock.advance(1)
        self.assertIs(self.reconnector.state, State.CONNECTED)

    def test_what_is_passed_on(self) -> None:
        """The transport gets the parameters, the clock and the listener."""
        self.reconnector.when_up()
        self.assertEqual(self.attempt.parameters.hostname, "one")
        self.assertIs(self.attempt.clock, self.clock)
        self.assertIs(self.attempt.listener, self.reconnector)
        self.assertIsNone(self.attempt.endpoint)


class AlternatesTests(KeeperTestCase):
    """Several URLs."""

    urls = "amqp://one;amqp://two;amqp://three"

    def hosts(self) -> list[object]:
        """The hosts to which it tried to connect, in order."""
        return [each.parameters.hostname for each in self.transport.attempts]

    def test_in_order(self) -> None:
        """The alternates are tried in turn, each after the one before failed."""
        waiting = self.reconnector.when_up()
        self.assertEqual(self.hosts(), ["one"])
        self.attempt.fail(ConnectError("no"))
        self.assertEqual(self.hosts(), ["one", "two"])
        self.assertNoResult(waiting)
        session = self.accept()
        self.assertEqual(self.hosts(), ["one", "two"])
        self.assertIs(self.successResultOf(waiting), session)

    def test_named(self) -> None:
        """A connection shows the URL of the broker to which it is connected."""
        connection = BrokerConnection(
            "memory://one;memory://two", transport=self.transport, reactor=self.clock
        )
        self.assertIn("memory://one", repr(connection))
        connecting = connection.connect()
        self.attempt.fail(ConnectError("no"))
        self.accept()
        self.successResultOf(connecting)
        self.assertIn("memory://two", repr(connection))

    def test_all_fail(self) -> None:
        """If all fail, the caller gets the error of the last one."""
        waiting = self.reconnector.when_up()
        for name in ("first", "second", "third"):
            self.attempt.fail(ConnectError(name))
        self.assertEqual(str(self.failureResultOf(waiting).value), "third")
        self.assertEqual(self.hosts(), ["one", "two", "three"])
        self.assertIs(self.reconnector.state, State.IDLE)

    def test_one_is_not_available(self) -> None:
        """An alternate whose transport is not available is skipped."""

        def missing(parameters: Parameters) -> IBrokerTransport:
            if parameters.hostname == "one":
                raise TransportNotAvailable("not installed")
            return self.transport

        self.reconnector._transport_for = missing
        self.reconnector.when_up()
        self.assertEqual(self.hosts(), ["two"])

    def freeze(self, seconds: float = 10) -> None:
        """Let the last attempt fail after its timeout."""
        self.clock.advance(seconds)
        self.attempt.fail(OperationTimeout("connecting", seconds, "login"))

    def test_frozen(self) -> None:
        """
        An alternate that hangs costs its timeout once: from then on it is tried last,
        until it works or fails at once.
        """
        self.reconnector.when_up()
        self.freeze()
        self.accept()
        self.assertEqual(self.hosts(), ["one", "two"])
        for _ in range(3):
            self.transport.attempts.clear()
            self.lose_for_long()
            self.assertEqual(self.hosts(), ["two"])
            self.accept()
        self.transport.attempts.clear()
        self.lose_for_long()
        for _ in range(2):
            self.attempt.fail(ConnectError("down"))
        self.assertEqual(self.hosts(), ["two", "three", "one"])
        self.accept()
        self.transport.attempts.clear()
        self.lose_for_long()
        self.assertEqual(self.hosts(), ["one"])

    def lose_for_long(self) -> None:
        """Lose the session, and wait for the next attempt."""
        attempts = len(self.transport.attempts)
        if attempts:
            self.lose()
        else:
            session = self.reconnector._live
            assert session is not None
            self.reconnector.session_lost(SessionLost("cut"))
        self.clock.advance(30)

    def test_two_are_frozen(self) -> None:
        """If several alternates hang, or all, their order stays."""
        waiting = self.reconnector.when_up()
        self.freeze()
        self.freeze()
        self.accept()
        self.successResultOf(waiting)
        self.transport.attempts.clear()
        self.lose_for_long()
        self.freeze()
        self.freeze()
        self.freeze()
        self.assertEqual(self.hosts(), ["three", "one", "two"])
        self.clock.advance(30)
        self.assertEqual(self.hosts(), ["three", "one", "two", "one"])

    def test_refused_slowly_and_at_once(self) -> None:
        """An alternate that fails at once keeps its place, whatever its error is."""
        self.reconnector.when_up()
        self.freeze(0.5)
        self.accept()
        self.transport.attempts.clear()
        self.lose_for_long()
        self.assertEqual(self.hosts(), ["one"])

    def test_frozen_while_restoring(self) -> None:
        """An alternate that hangs after the login is tried last, too."""
        self.reconnector.when_up()
        self.accept()
        self.restore_at_once = False
        self.transport.attempts.clear()
        self.lose_for_long()
        self.accept()
        self.clock.advance(30)
        self.restoring[0].errback(OperationTimeout("restoring", 30))
        self.restore_at_once = True
        self.clock.advance(30)
        self.assertEqual(self.hosts(), ["one", "two"])

    def test_given_up_after_long(self) -> None:
        """
        An alternate at which the callers gave up after a while is tried last, too.
        """
        self.reconnector.when_up().addErrback(lambda _: None).cancel()
        self.assertEqual(self.hosts(), ["one"])
        waiting = self.reconnector.when_up()
        self.assertEqual(self.hosts(), ["one", "two"])
        self.clock.advance(5)
        waiting.addErrback(lambda _: None).cancel()
        self.reconnector.when_up()
        self.assertEqual(self.hosts(), ["one", "two", "three"])
        self.accept()
        self.transport.attempts.clear()
        self.lose_for_long()
        self.attempt.fail(ConnectError("down"))
        self.attempt.fail(ConnectError("down"))
        self.assertEqual(self.hosts(), ["one", "three", "two"])

    def test_most_hopeful(self) -> None:
        """
        If all alternates fail, the error is one that may pass by itself, if there is
        such an error; the others are logged.
        """
        cases: list[tuple[list[Any], int]] = [
            (["down", AuthenticationFailed("no"), TransportNotAvailable("none")], 0),
            ([AuthenticationFailed("no"), "down", AuthenticationFailed("no")], 1),
            ([TransportNotAvailable("none"), "down", "slow"], 2),
            ([TransportNotAvailable("no"), "x", AuthenticationFailed("no")], 1),
            ([AuthenticationFailed("a")] * 2 + [TransportNotAvailable("b")], 2),
        ]
        for errors, told in cases:
            failures = [
                ConnectError(each) if isinstance(each, str) else each for each in errors
            ]
            waiting = self.reconnector.when_up()
            with capturedLogs() as events:
                for each in failures:
                    self.attempt.fail(each)
            self.assertIs(self.failureResultOf(waiting).value, failures[told])
            self.assertEqual(
                {event["error"] for event in events} | {str(failures[told])},
                {str(each) for each in failures},
            )

    def test_refused_by_some(self) -> None:
        """Only if all alternates refuse the login is the next attempt delayed."""
        self.reconnector.when_up()
        self.accept()
        self.lose()
        self.clock.advance(1)
        for error in (
            AuthenticationFailed("no"),
            ConnectError("down"),
            AuthenticationFailed("no"),
        ):
            self.attempt.fail(error)
        self.clock.advance(2)
        self.assertEqual(len(self.hosts()), 5)
        for _ in range(3):
            self.attempt.fail(AuthenticationFailed("no"))
        self.clock.advance(29)
        self.assertEqual(len(self.hosts()), 7)
        self.clock.advance(1)
        self.assertEqual(len(self.hosts()), 8)

    def test_after_a_loss(self) -> None:
        """After a loss all alternates are tried from the first."""
        self.reconnector.when_up()
        self.attempt.fail(ConnectError("no"))
        self.accept()
        self.lose()
        self.clock.advance(1)
        self.assertEqual(self.hosts(), ["one", "two", "one"])

    def test_cancelled_between(self) -> None:
        """An attempt that is cancelled tries no other alternate."""
        waiting = self.reconnector.when_up()
        self.attempt.fail(ConnectError("no"))
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(self.hosts(), ["one", "two"])
        self.assertIs(self.reconnector.state, State.IDLE)

    def test_given_up_again_and_again(self) -> None:
        """
        Callers that always cancel before the last alternate get to it all the same.
        """
        for _ in range(4):
            waiting = self.reconnector.when_up()
            waiting.cancel()
            self.failureResultOf(waiting, CancelledError)
        self.assertEqual(self.hosts(), ["one", "two", "three", "one"])
        waiting = self.reconnector.when_up()
        for _ in range(3):
            self.attempt.fail(ConnectError("no"))
        self.failureResultOf(waiting, ConnectError)
        self.assertEqual(self.hosts()[4:], ["two", "three", "one"])
        self.reconnector.when_up()
        self.assertEqual(self.hosts()[7:], ["one"])

    def test_closed_between(self) -> None:
        """
        A close ends the attempt at any alternate, even if that fails with an odd error.
        """
        for error in (None, ConnectError("aborted")):
            self.setUp()
            waiting = self.reconnector.when_up()
            if error is not None:
                self.attempt.reply._canceller = lambda reply, error=error: (
                    reply.errback(error)
                )
            self.successResultOf(self.reconnector.close())
            self.failureResultOf(waiting, ConnectionClosed)
            self.assertEqual(self.hosts(), ["one"])
            self.assertNothingLeft()


class LossTests(KeeperTestCase):
    """Restoring a lost session."""

    def test_while_connected(self) -> None:
        """After a wait a new session is opened and restored."""
        self.up()
        self.lose()
        self.assertIs(self.reconnector.state, State.WAITING)
        self.assertIsNone(self.reconnector.session)
        self.assertIsInstance(self.reconnector.last_error, SessionLost)
        waiting = self.reconnector.when_up()
        self.clock.advance(0.9)
        self.assertEqual(len(self.transport.attempts), 1)
        self.clock.advance(0.1)
        self.assertIs(self.reconnector.state, State.CONNECTING)
        second = self.accept()
        self.assertIs(self.successResultOf(waiting), second)
        self.assertEqual(self.restored[1:], [second])
        self.assertIsNone(self.reconnector.last_error)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_told_twice(self) -> None:
        """A loss that is reported twice is one loss."""
        self.up()
        self.lose()
        self.lose()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(1)
        self.lose()
        self.assertEqual(len(self.transport.attempts), 2)
        self.assertFalse(self.attempt.cancelled)
        self.accept()
        self.assertIs(self.reconnector.state, State.CONNECTED)

    def test_while_restoring(self) -> None:
        """A loss while restoring ends the restoring, and a new session is opened."""
        self.restore_at_once = False
        waiting = self.reconnector.when_up()
        self.accept()
        self.lose()
        self.assertIs(self.reconnector.state, State.WAITING)
        self.assertTrue(self.restoring[0].called)
        self.assertNoResult(waiting)
        self.clock.advance(1)
        second = self.accept()
        self.restoring[1].callback(None)
        self.assertIs(self.successResultOf(waiting), second)

    def test_restoring_fails_first(self) -> None:
        """Restoring may fail because of the loss before the loss is reported."""
        self.restore_at_once = False
        self.reconnector.when_up()
        session = self.accept()
        self.restoring[0].errback(SessionLost("cut"))
        self.assertTrue(session.aborted)
        self.assertIs(self.reconnector.state, State.WAITING)
        self.lose()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(1)
        self.assertEqual(len(self.transport.attempts), 2)

    def test_restoring_fails(self) -> None:
        """A session that cannot be restored is aborted, and a new one is opened."""
        self.restore_at_once = False
        waiting = self.reconnector.when_up()
        first = self.accept()
        self.restoring[0].errback(TimeoutError("too long"))
        self.assertTrue(first.aborted)
        self.assertIsNone(self.reconnector.session)
        self.assertNoResult(waiting)
        self.clock.advance(1)
        self.assertEqual(len(self.transport.attempts), 2)

    def test_restored_too_late(self) -> None:
        """Restoring that ends after its session was lost brings nothing up."""
        late: Deferred[None] = Deferred(lambda _: None)
        uncancelled: Deferred[None] = Deferred()
        late.addErrback(lambda _: uncancelled)
        self.restore_at_once = False
        self.reconnector._restore = lambda session: late
        self.reconnector.when_up()
        self.accept()
        self.lose()
        self.assertIs(self.reconnector.state, State.WAITING)
        uncancelled.callback(None)
        self.assertIs(self.reconnector.state, State.WAITING)
        self.assertIsNone(self.reconnector.session)
        self.clock.advance(1)
        self.assertEqual(len(self.transport.attempts), 2)

    def test_attempts_fail(self) -> None:
        """Attempts to restore the session continue, and callers continue to wait."""
        self.up()
        self.lose()
        waiting = self.reconnector.when_up()
        for _ in range(6):
            self.clock.advance(30)
            self.attempt.fail(ConnectError("still down"))
            self.assertIs(self.reconnector.state, State.WAITING)
        self.assertNoResult(waiting)
        self.assertIsInstance(self.reconnector.last_error, ConnectError)
        self.clock.advance(30)
        self.accept()
        self.successResultOf(waiting)

    def test_one_at_a_time(self) -> None:
        """Asking during a wait or an attempt begins no second attempt."""
        self.up()
        self.lose()
        self.reconnector.when_up()
        self.reconnector.when_up()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(1)
        self.reconnector.when_up()
        self.clock.advance(100)
        self.assertEqual(len(self.transport.attempts), 2)

    def test_lost_by_who_waited(self) -> None:
        """A caller that is told of the session may lose it at once."""
        waiting = self.reconnector.when_up()
        waiting.addCallback(lambda _: self.lose())
        second = self.reconnector.when_up()
        self.accept()
        self.successResultOf(second)
        self.assertIs(self.reconnector.state, State.WAITING)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)


class BackoffTests(KeeperTestCase):
    """How long it waits between attempts."""

    def wait_for_attempt(self) -> float:
        """Return the seconds until the next attempt, and let it begin."""
        [timer] = self.clock.getDelayedCalls()
        delay = timer.getTime() - self.clock.seconds()
        before = len(self.transport.attempts)
        self.clock.advance(delay)
        self.assertEqual(len(self.transport.attempts), before + 1)
        return delay

    def test_grows(self) -> None:
        """Waits double from one second to thirty."""
        self.up()
        self.lose()
        delays = []
        for _ in range(7):
            delays.append(self.wait_for_attempt())
            self.attempt.fail(ConnectError("down"))
        self.assertEqual(delays, [1, 2, 4, 8, 16, 30, 30])

    def test_flapping(self) -> None:
        """A session that is lost soon does not make the waits short again."""
        self.up()
        delays = []
        for _ in range(5):
            self.clock.advance(4.9)
            self.lose()
            delays.append(self.wait_for_attempt())
            self.accept()
        self.assertEqual(delays, [1, 2, 4, 8, 16])

    def test_stable(self) -> None:
        """A session that lasted five seconds makes the waits short again."""
        self.up()
        for _ in range(3):
            self.lose()
            self.wait_for_attempt()
            self.accept()
        self.clock.advance(5)
        self.lose()
        self.assertEqual(self.wait_for_attempt(), 1)

    def test_long_restoring(self) -> None:
        """Time spent on restoring does not count as time that the session lasted."""
        self.up()
        self.restore_at_once = False
        self.lose()
        delays = []
        for _ in range(4):
            delays.append(self.wait_for_attempt())
            self.accept()
            self.clock.advance(60)
            self.lose()
        self.assertEqual(delays, [1, 2, 4, 8])

    def test_credentials(self) -> None:
        """After refused credentials the next attempts are slow from the first on."""
        self.up()
        self.lose()
        self.wait_for_attempt()
        self.attempt.fail(AuthenticationFailed("403"))
        self.assertEqual(self.wait_for_attempt(), 30)

    def test_jitter(self) -> None:
        """Waits are up to a quarter shorter, at random."""
        self.reconnector._backoff._jitter = lambda: 1.0
        self.up()
        self.lose()
        self.assertEqual(self.wait_for_attempt(), 0.75)


class UnwantedSessionTests(KeeperTestCase):
    """A transport that gives a session though it was cancelled."""

    def setUp(self) -> None:
        super().setUp()
        self.sessions: list[FakeSession] = []
        self.late: list[Deferred[None]] = []
        self.patch(self.transport, "connect", self.connect)

    def connect(self, *arguments: object) -> Deferred[ISession]:
        """Connect when the test says so."""
        return Deferred.fromCoroutine(self.stubborn())

    async def stubborn(self) -> ISession:
        """Give a session at the second event, if the first cancels this."""
        session = FakeSession()
        self.sessions.append(session)
        self.late.append(Deferred())
        try:
            await Deferred()
        except CancelledError:
            await self.late[-1]
        return session

    def test_closed(self) -> None:
        """A session that comes after close is aborted."""
        waiting = self.reconnector.when_up()
        self.successResultOf(self.reconnector.close())
        self.failureResultOf(waiting, ConnectionClosed)
        self.late[0].callback(None)
        self.assertTrue(self.sessions[0].aborted)
        self.assertNothingLeft()

    def test_cancelled(self) -> None:
        """One that comes after a cancelled attempt is aborted; the next goes on."""
        waiting = self.reconnector.when_up()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        again = self.reconnector.when_up()
        self.late[0].callback(None)
        self.assertTrue(self.sessions[0].aborted)
        self.assertIs(self.reconnector.state, State.CONNECTING)
        self.assertNoResult(again)
        self.assertEqual(self.restored, [])
        self.successResultOf(self.reconnector.close())
        self.failureResultOf(again, ConnectionClosed)


class CloseTests(KeeperTestCase):
    """The user's close is possible in every state."""

    def close(self) -> None:
        """Close, and check that nothing is left."""
        closing = self.reconnector.close()
        self.successResultOf(closing)
        self.assertNothingLeft()
        self.successResultOf(self.reconnector.close())
        self.failureResultOf(self.reconnector.when_up(), ConnectionClosed)

    def test_idle(self) -> None:
        """Before anything was connected."""
        self.close()
        self.assertEqual(self.transport.attempts, [])

    def test_connecting(self) -> None:
        """While connecting: the attempt is cancelled, and the callers are told."""
        waiting = self.reconnector.when_up()
        self.close()
        self.assertTrue(self.attempt.cancelled)
        self.failureResultOf(waiting, ConnectionClosed)

    def test_connecting_fails_oddly(self) -> None:
        """A cancelled attempt may fail with an error of its own."""
        waiting = self.reconnector.when_up()
        self.attempt.reply._canceller = lambda reply: reply.errback(
            ConnectError("aborted")
        )
        self.close()
        self.failureResultOf(waiting, ConnectionClosed)

    def test_restoring(self) -> None:
        """While restoring: the restoring is cancelled, and the session closed."""
        self.restore_at_once = False
        waiting = self.reconnector.when_up()
        session = self.accept()
        self.close()
        self.assertTrue(self.restoring[0].called)
        self.assertEqual(session.names(), ["close"])
        self.failureResultOf(waiting, ConnectionClosed)

    def test_connected(self) -> None:
        """While connected: the session is closed in order, not aborted."""
        session = self.up()
        self.close()
        self.assertEqual(session.names(), ["close"])
        self.assertFalse(session.aborted)

    def test_waiting(self) -> None:
        """While waiting: the timer is cancelled, and the callers are told."""
        self.up()
        self.lose()
        waiting = self.reconnector.when_up()
        self.close()
        self.failureResultOf(waiting, ConnectionClosed)

    def test_connecting_again(self) -> None:
        """While connecting again after a loss."""
        self.up()
        self.lose()
        self.clock.advance(1)
        self.close()
        self.assertTrue(self.attempt.cancelled)

    def test_closing(self) -> None:
        """A second close waits for the first one."""
        session = self.up()
        del session.answers["close"]
        first, second = self.reconnector.close(), self.reconnector.close()
        self.assertIs(self.reconnector.state, State.CLOSING)
        self.failureResultOf(self.reconnector.when_up(), ConnectionClosed)
        self.assertNoResult(first)
        self.assertNoResult(second)
        session.calls[0].succeed()
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(session.names(), ["close"])
        self.assertNothingLeft()

    def test_lost_while_closing(self) -> None:
        """A loss that is reported during the close changes nothing."""
        session = self.up()
        del session.answers["close"]
        closing = self.reconnector.close()
        self.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        session.calls[0].succeed()
        self.successResultOf(closing)
        self.assertNothingLeft()

    def test_cancelled(self) -> None:
        """Cancelling a close aborts the session; another close succeeds."""
        session = self.up()
        del session.answers["close"]
        closing, second = self.reconnector.close(), self.reconnector.close()
        closing.cancel()
        self.failureResultOf(closing, CancelledError)
        self.assertTrue(session.aborted)
        self.successResultOf(second)
        self.assertNothingLeft()

    def test_by_who_waited(self) -> None:
        """
        A caller that is told of the session may close it at once; the other callers got
        it.
        """
        closing: list[Deferred[None]] = []
        waiting = self.reconnector.when_up()
        waiting.addCallback(lambda _: closing.append(self.reconnector.close()))
        other = self.reconnector.when_up()
        session = self.accept()
        self.successResultOf(closing[0])
        self.assertIs(self.successResultOf(other), session)
        self.assertNothingLeft()

    def test_by_who_was_refused(self) -> None:
        """A caller that is told that connecting failed may close."""
        waiting = self.reconnector.when_up()
        waiting.addErrback(lambda _: self.reconnector.close())
        self.attempt.fail(ConnectError("no"))
        self.successResultOf(waiting)
        self.assertNothingLeft()

    def test_asks_again_when_told(self) -> None:
        """A caller that asks again when it is told of the close is told again."""
        again: list[Deferred[ISession]] = []
        waiting = self.reconnector.when_up()
        waiting.addErrback(lambda _: again.append(self.reconnector.when_up()))
        self.successResultOf(self.reconnector.close())
        self.failureResultOf(again[0], ConnectionClosed)
        self.assertNothingLeft()


class DropTests(KeeperTestCase):
    """Dropping the session on purpose."""

    def test_drop(self) -> None:
        """
        The channels are told, then the session is aborted, and a new one is opened.
        """
        session = self.up()
        told: list[tuple[Exception, bool]] = []
        self.reconnector.drop(lambda error: told.append((error, session.aborted)))
        [(error, aborted)] = told
        self.assertIsInstance(error, SessionLost)
        self.assertFalse(aborted)
        self.assertTrue(session.aborted)
        self.assertIs(self.reconnector.state, State.WAITING)
        self.clock.advance(1)
        self.accept()
        self.assertIs(self.reconnector.state, State.CONNECTED)

    def test_while_restoring(self) -> None:
        """A session that is being restored can be dropped, too."""
        self.restore_at_once = False
        self.reconnector.when_up()
        session = self.accept()
        self.reconnector.drop(lambda error: None)
        self.assertTrue(session.aborted)
        self.assertIs(self.reconnector.state, State.WAITING)

    def test_without_session(self) -> None:
        """Without a session it does nothing."""
        self.reconnector.drop(self.fail)
        self.reconnector.when_up()
        self.reconnector.drop(self.fail)
        self.assertIs(self.reconnector.state, State.CONNECTING)

    def test_told_twice(self) -> None:
        """A transport that reports the abort as a loss does no harm."""
        session = self.up()

        def abort() -> None:
            session.aborted = True
            self.lose()

        session.abort = abort  # type: ignore[method-assign]  # replaced for this test
        self.reconnector.drop(lambda error: None)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)


class FlowTests(KeeperTestCase):
    """When publishing has to pause."""

    def test_blocked(self) -> None:
        """The broker's alarm pauses publishing until the alarm ends."""
        self.up()
        self.attempt.listener.blocked("low on memory")
        self.assertEqual(self.reconnector.blocked_reason, "low on memory")
        self.assertFalse(self.reconnector.may_publish)
        self.attempt.listener.unblocked()
        self.assertEqual(self.reconnector.blocked_reason, "")
        self.assertTrue(self.reconnector.may_publish)
        self.assertEqual(self.flows, [False, True])

    def test_no_reason(self) -> None:
        """An alarm without a reason pauses publishing, too."""
        self.up()
        self.attempt.listener.blocked("")
        self.assertFalse(self.reconnector.may_publish)
        self.assertTrue(self.reconnector.blocked_reason)

    def test_socket(self) -> None:
        """
        A full socket pauses publishing; listeners are told once, however often it
        reports that.
        """
        self.up()
        for _ in range(2):
            self.attempt.listener.write_paused()
        self.assertFalse(self.reconnector.may_publish)
        self.attempt.listener.write_resumed()
        self.assertTrue(self.reconnector.may_publish)
        self.assertEqual(self.flows, [False, True])

    def test_both(self) -> None:
        """Publishing resumes when both the broker and the socket accept messages."""
        self.up()
        listener = self.attempt.listener
        listener.blocked("disk")
        listener.write_paused()
        listener.unblocked()
        self.assertFalse(self.flows[-1])
        listener.write_resumed()
        self.assertTrue(self.flows[-1])
        listener.write_paused()
        listener.blocked("disk")
        listener.write_resumed()
        self.assertFalse(self.flows[-1])
        listener.unblocked()
        self.assertTrue(self.flows[-1])

    def test_lost_while_paused(self) -> None:
        """The blocked state of a lost session does not pause the next one."""
        for pause in ("write_paused", "blocked"):
            self.setUp()
            self.up()
            listener = self.attempt.listener
            listener.blocked("disk") if pause == "blocked" else listener.write_paused()
            self.lose()
            self.assertTrue(self.reconnector.may_publish)
            self.assertEqual(self.flows, [False])
            self.clock.advance(1)
            self.accept()
            self.assertEqual(self.flows, [False, True])

    def test_not_restored_while_paused(self) -> None:
        """
        The blocked state of a session that could not be restored does not pause the
        next one.
        """
        self.restore_at_once = False
        self.reconnector.when_up()
        self.accept()
        self.attempt.listener.blocked("disk")
        self.restoring[0].errback(TimeoutError())
        self.assertTrue(self.reconnector.may_publish)
        self.clock.advance(1)
        self.accept()
        self.restoring[1].callback(None)
        self.assertEqual(self.flows, [False, True])

    def test_blocked_while_restoring(self) -> None:
        """
        A session that is blocked while it is restored is still blocked when it is up.
        """
        self.restore_at_once = False
        self.reconnector.when_up()
        self.accept()
        self.attempt.listener.blocked("disk")
        self.restoring[0].callback(None)
        self.assertFalse(self.reconnector.may_publish)
        self.assertFalse(self.flows[-1])
        self.attempt.listener.unblocked()
        self.assertTrue(self.flows[-1])

    def test_before_who_waited(self) -> None:
        """
        Publishing resumes before the callers that waited for the session are told.
        """
        seen: list[list[bool]] = []
        waiting = self.reconnector.when_up()
        waiting.addCallback(lambda _: seen.append(list(self.flows)))
        self.accept()
        self.successResultOf(waiting)
        self.assertEqual(seen, [[True]])


class LogTests(KeeperTestCase):
    """What it logs."""

    urls = "amqp://user:secret@one"

    def texts(self, events: Sequence[LogEvent]) -> list[str]:
        """Return the log as text."""
        return [formatEvent(event) for event in events]

    def test_reconnected(self) -> None:
        """One line reports the loss, another how long it took to reconnect."""
        with capturedLogs() as events:
            self.up()
            self.lose()
            self.clock.advance(1)
            self.attempt.fail(ConnectError("down"))
            self.clock.advance(2)
            self.accept()
        texts = self.texts(events)
        self.assertEqual(len(texts), 3)
        self.assertIn("cut; next attempt in 1.0 s", texts[0])
        self.assertIn("down; next attempt in 2.0 s", texts[1])
        self.assertRegex(texts[2], r"^reconnected in 3.00 s to amqp://user:\*\*@one")

    def test_again(self) -> None:
        """Each loss is timed separately."""
        self.up()
        self.lose()
        self.clock.advance(1)
        self.accept()
        self.clock.advance(100)
        with capturedLogs() as events:
            self.lose()
            self.clock.advance(1)
            self.accept()
        self.assertIn("reconnected in 1.00 s", self.texts(events)[-1])

    def test_first(self) -> None:
        """The first connection is not logged as a reconnection."""
        with capturedLogs() as events:
            self.up()
        self.assertEqual(events, [])

    def test_no_password(self) -> None:
        """No line shows the password."""
        with capturedLogs() as events:
            self.up()
            self.lose()
        [text] = self.texts(events)
        self.assertIn("amqp://user:**@one", text)
        self.assertNotIn("secret", text)
