"""
Keep a session: connect, notice its loss, connect again.

L{Reconnector.when_up} fires with the session when what was declared is restored.  The
states are those of L{txkombu.core.lifecycle}.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks, succeed
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from .._util.awaitables import call_logged
from .._util.backoff import DEFAULT, Backoff, ReconnectPolicy
from .._util.shown import printable
from .._util.steady_clock import steady
from .._util.waiters import Waiters
from ..exceptions import (
    AuthenticationFailed,
    ConnectionClosed,
    SessionLost,
    TransportNotAvailable,
)
from ..interfaces import IBrokerTransport, ISession, ISessionListener
from ..url.parameters import Parameters
from .lifecycle import Event, State, new_lifecycle
from .login import log_in, most_hopeful

_SLOW: Final = 1.0
"""An alternate whose failed attempt took so many seconds is tried last."""


@implementer(ISessionListener)
class Reconnector:
    """
    Keep one session with one of several brokers.

    @param alternates: the broker's URLs, tried in turn.
    @param transport_for: returns the transport of one of them.
    @param endpoint: where to connect instead of their hosts and ports.
    @param clock: for waits between attempts.
    @param restore: called with each new session; the session is up when its Deferred
        fires.
    @param forget: called when a session has ended, for whatever reason.
    @param flow: called with C{False} when publishing has to pause, and with
        C{True} when it may go on.
    @param policy: how long to wait between attempts.
    @param login_at: returns a Deferred of an alternate with its password.
    @param wait_for_broker: whether a first attempt that fails is made again; C{None}
        is no, until L{hold}.
    @param on_state: called with each new state.

    @ivar session: the session while it is up, else C{None}.
    @ivar blocked_reason: why the broker takes no messages now, or C{""}.
    @ivar reconnects: how often a lost session was replaced by another.
    @ivar has_told: whether it has logged that the session is up.
    @ivar last_error: the last loss or failed attempt; C{None} while all is well.
    """

    _log = Logger()

    def __init__(
        self,
        alternates: Sequence[Parameters],
        transport_for: Callable[[Parameters], IBrokerTransport],
        endpoint: IStreamClientEndpoint | None,
        clock: IReactorTime,
        restore: Callable[[ISession], Deferred[None]],
        forget: Callable[[], None],
        flow: Callable[[bool], None],
        policy: ReconnectPolicy = DEFAULT,
        login_at: Callable[[Parameters], Deferred[Parameters]] = succeed,
        wait_for_broker: bool | None = None,
        on_state: Callable[[State], object] | None = None,
    ) -> None:
        self._login_at = login_at
        self._waits_for_broker = wait_for_broker
        self._on_state = on_state
        self._alternates = alternates
        self._place = alternates[0]
        self._first = self._tried = 0
        self._tried_at = 0.0
        self._slow: set[int] = set()
        self._transport_for = transport_for
        self._endpoint = endpoint
        self._clock = clock
        self._steady = steady(clock)
        self._restore = restore
        self._forget = forget
        self._flow = flow
        self._lifecycle = new_lifecycle()
        self._backoff = Backoff(policy=policy)
        self._up: Waiters[ISession] = Waiters()
        self._attempts: Waiters[ISession] = Waiters()
        self._watchers: Waiters[ISession] = Waiters()
        self._closed: Waiters[None] = Waiters()
        self._attempt: Deferred[Any] | None = None
        self._wanted: object = None
        self._timer: IDelayedCall | None = None
        self._live: ISession | None = None
        self._up_since = 0.0
        self._lost_at: float | None = None
        self._write_paused = self._was_up = self._is_held = False
        self._is_ending = False
        self.session: ISession | None = None
        self.blocked_reason = ""
        self.reconnects = 0
        self.has_told = False
        self.last_error: Exception | None = None

    @property
    def state(self) -> State:
        """The state of the connection."""
        return self._lifecycle.state

    @property
    def place(self) -> Parameters:
        """The alternate it is connected to, or tried last."""
        return self._place

    @property
    def may_publish(self) -> bool:
        """Whether broker and socket take messages now."""
        return not self.blocked_reason and not self._write_paused

    def _step(self, event: Event) -> None:
        self._lifecycle.step(event)
        if self._on_state is not None:
            # Later: a callback that closes must not find a step half done.
            self._clock.callLater(
                0, call_logged, "on_state", self._on_state, self.state
            )

    def hold(self) -> None:
        """
        Begin no attempt before L{release}, and then wait for the broker, unless
        C{wait_for_broker} is false: what needs a session waits, and fails only if the
        transport cannot be used.
        """
        self._is_held = True
        if self._waits_for_broker is None:
            self._waits_for_broker = True

    def release(self) -> None:
        """Allow attempts; the next L{when_up} begins one."""
        self._is_held = False

    # --- for users ----------------------------------------------------------

    def when_up(self) -> Deferred[ISession]:
        """
        Connect if need be.

        @return: fires with the restored session; fails with
            L{ConnectionClosed} once closed, or with what the first attempt
            to connect failed with.  When all callers have cancelled, that attempt
            is given up.
        """
        return self._wait_in(self._up)

    def when_attempted(self) -> Deferred[ISession]:
        """
        Connect if need be.

        @return: as of L{when_up}, but fails with the next attempt, whatever follows.
        """
        return self._wait_in(self._attempts)

    def _wait_in(self, waiters: Waiters[ISession]) -> Deferred[ISession]:
        if self.session is not None:
            return succeed(self.session)
        waiter = waiters.wait()
        if self._never_connects:
            waiters.fail(_closed())
        elif self.state is State.IDLE and not self._is_held:
            self._connect()
        return waiter.addErrback(self._cancelled)

    @property
    def _never_connects(self) -> bool:
        """Whether there is no session, and will not be another."""
        without = (State.IDLE, State.WAITING) if self._is_ending else ()
        return self.state in (State.CLOSING, State.CLOSED, *without)

    def when_connected(self) -> Deferred[ISession]:
        """
        Wait for the session, without connecting.

        @return: fires with the restored session; fails with L{ConnectionClosed} once
            closed.
        """
        if self.session is not None:
            return succeed(self.session)
        waiter = self._watchers.wait()
        if self._never_connects:
            self._watchers.fail(_closed())
        return waiter

    def _cancelled(self, failure: Failure) -> Failure:
        """End a first attempt when all that waited for it have cancelled."""
        nobody = not (self._up or self._attempts) and failure.check(CancelledError)
        if nobody and self.state is State.CONNECTING and self._lost_at is None:
            self._step(Event.REFUSED)
            self._stop_trying()
            self._note_speed()
            # Begin with the next alternate, so that callers who cancel early reach all.
            self._first = self._tried + 1
        return failure

    def begin_end(self) -> None:
        """Begin no further attempt, since L{close} follows; one under way goes on."""
        self._is_ending = True
        if self._never_connects:
            self._stop_trying()
            self._fail_all()

    def _fail_all(self) -> None:
        """Fail all who wait for a session, since there will be none."""
        for waiters in (self._up, self._attempts, self._watchers):
            waiters.fail(_closed())

    @inlineCallbacks
    def close(self) -> Generator[Deferred[Any], Any, None]:
        """
        End the attempt that is under way, and close the session.

        @return: fires when nothing is left; never fails.  Cancelling aborts the
            session at once.
        """
        if self.state is State.CLOSED:
            return
        if self.state is State.CLOSING:
            yield self._closed.wait()
            return
        self._step(Event.CLOSE)
        live, self._live, self.session = self._live, None, None
        self._forget()
        self._stop_trying()
        self._fail_all()
        try:
            if live is not None:
                yield live.close()
        except CancelledError:
            assert live is not None
            live.abort()
            raise
        finally:
            self._step(Event.GONE)
            self._closed.fire(None)

    def drop(self, tell_channels: Callable[[Exception], None]) -> None:
        """
        Abort the session as if it had been lost, and connect again.

        @param tell_channels: called with the error before the session is aborted,
            since an aborted session does not call its channels.
        """
        live = self._live
        if live is not None:
            lost = SessionLost("the session was dropped by this program")
            self.session_lost(lost)
            tell_channels(lost)
            live.abort()

    # --- connecting ---------------------------------------------------------

    def _connect(self) -> None:
        self._timer = None
        self._step(Event.CONNECT)
        self._wanted = wanted = object()
        attempt = self._try_alternates(lambda: self._wanted is wanted)
        if self._wanted is wanted:
            self._attempt = attempt
        else:  # what was asked for the password has closed this
            attempt.cancel()
        attempt.addCallbacks(
            lambda session: self._session_up(session, wanted),
            lambda failure: self._attempt_failed(failure, wanted),
        )

    def _dial(self, login: Parameters) -> Deferred[ISession]:
        transport = self._transport_for(login)
        return transport.connect(login, self._endpoint, self._clock, self)

    @inlineCallbacks
    def _try_alternates(
        self, is_wanted: Callable[[], bool]
    ) -> Generator[Deferred[Any], Any, ISession]:
        session: ISession
        failed: list[tuple[Parameters, Exception]] = []
        for number in self._in_turn():
            self._tried, parameters = number, self._alternates[number]
            self._place = parameters
            self._tried_at = self._steady.seconds()
            try:
                session = yield log_in(
                    parameters, self._login_at, self._dial, self._clock, is_wanted
                )
                break
            except Exception as error:
                if not is_wanted():
                    raise
                self._note_speed()
                failed.append((parameters, error))
                if len(failed) < len(self._alternates):
                    self._log_failed(parameters, error)
        else:
            raise self._error_to_report(failed)
        self._live = session
        self._step(Event.SESSION)
        yield self._restore(session)
        return session

    def _in_turn(self) -> list[int]:
        """
        Return the alternates in the order to try them: from where the last attempt was
        given up, or from the first, but those that time out at the end.
        """
        first, self._first = self._first, 0
        count = len(self._alternates)
        numbers = [(first + each) % count for each in range(count)]
        return numbers if first else sorted(numbers, key=self._slow.__contains__)

    def _note_speed(self) -> None:
        """Note whether the failed attempt at an alternate took long."""
        took = self._steady.seconds() - self._tried_at
        (self._slow.add if took >= _SLOW else self._slow.discard)(self._tried)

    def _log_failed(self, parameters: Parameters, error: Exception) -> None:
        self._log.warn(
            "Connecting to {url} failed: {error}",
            url=parameters.as_uri(),
            error=str(error),
        )

    def _error_to_report(self, failed: list[tuple[Parameters, Exception]]) -> Exception:
        """Return what to fail with, and log the last failure if that is another."""
        told = most_hopeful(failed)
        if told is not failed[-1]:
            self._log_failed(*failed[-1])
        self._place, error = told
        return error

    def _session_up(self, session: ISession, wanted: object) -> None:
        if self._wanted is not wanted:
            return
        self._attempt = self._wanted = None
        self._slow.discard(self._tried)
        self._step(Event.RESTORED)
        self.session = session
        self.last_error = None
        self._up_since = self._steady.seconds()
        self._flow(self.may_publish)
        self.has_told = self._lost_at is not None
        if self._lost_at is not None:
            what = "reconnected" if self._was_up else "connected"
            self.reconnects += self._was_up
            self._log.info(
                what + " in {seconds:.2f} s to {url}",
                seconds=self._up_since - self._lost_at,
                url=self._place.as_uri(),
            )
            self._lost_at = None
        self._was_up = True
        for waiters in (self._up, self._attempts, self._watchers):
            waiters.fire(session)

    def _attempt_failed(self, failure: Failure, wanted: object) -> None:
        if self._wanted is not wanted:
            return
        self._attempt = self._wanted = None
        live, self._live = self._live, None
        if live is not None:
            self._note_speed()
            live.abort()
            self._forget()
            self._forget_flow()
        error = failure.value
        assert isinstance(error, Exception)
        self.last_error = error
        first = self._lost_at is None and self.state is State.CONNECTING
        hopeless = isinstance(error, TransportNotAvailable)
        if first and (hopeless or not self._waits_for_broker):
            self._step(Event.REFUSED)
            self._up.fail(error)
            self._attempts.fail(error)
        else:
            self._wait(error)

    def _wait(self, error: Exception) -> None:
        """Try again after a wait, which is the longest for a refused login."""
        self._step(Event.LOST)
        if self._lost_at is None:
            self._lost_at = self._steady.seconds()
        if self._is_ending:
            self._log.warn(
                "No connection to {url}: {error}; there is no other attempt, "
                "since this program closes it",
                url=self._place.as_uri(),
                error=str(error),
            )
            self._fail_all()
            return
        delay = self._backoff.delay()
        if isinstance(error, AuthenticationFailed):
            delay = self._backoff.policy.max
        self._log.warn(
            "No connection to {url}: {error}; next attempt in {delay:.1f} s",
            url=self._place.as_uri(),
            error=str(error),
            delay=delay,
        )
        self._timer = self._steady.callLater(delay, self._connect)
        self._attempts.fail(error)

    @property
    def wait(self) -> float:
        """Seconds until the next attempt; 0 if none waits for its time."""
        timer = self._timer
        return 0.0 if timer is None else timer.getTime() - self._steady.seconds()

    def credentials_changed(self) -> None:
        """Try again now if the login was refused."""
        if self._timer is not None and isinstance(
            self.last_error, AuthenticationFailed
        ):
            self._timer.reset(0)

    def _stop_trying(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        attempt, self._attempt = self._attempt, None
        self._wanted = None
        if attempt is not None:
            attempt.cancel()

    # --- ISessionListener ---------------------------------------------------

    def session_lost(self, reason: Exception) -> None:
        """Connect again: the session is lost."""
        if self._live is None:
            return
        self._live = self.session = None
        self._forget()
        self._forget_flow()
        self.last_error = reason
        if self.state is State.CONNECTED:
            self._backoff.reset_if_stable(self._clock, self._up_since)
        self._stop_trying()
        if self.state in (State.RESTORING, State.CONNECTED):
            self._wait(reason)

    def _forget_flow(self) -> None:
        """
        Clear the flow state of the lost session.  Channels are told when the next
        session is up, since they may not know of the loss yet.
        """
        self.blocked_reason = ""
        self._write_paused = False

    def blocked(self, reason: str) -> None:
        """Pause publishing: the broker is in alarm."""
        self._log.warn(
            "The broker blocks publishing: {reason}", reason=printable(reason)
        )
        self.blocked_reason = reason or "no reason given"
        self._flow(False)

    def unblocked(self) -> None:
        """Publish again: the alarm is over."""
        self._log.info("The broker takes messages again")
        self.blocked_reason = ""
        self._flow(self.may_publish)

    def write_paused(self) -> None:
        """Pause publishing: the socket is full.  It may say so at each write."""
        if not self._write_paused:
            self._write_paused = True
            self._flow(False)

    def write_resumed(self) -> None:
        """Publish again: the socket has room."""
        self._write_paused = False
        self._flow(self.may_publish)


def _closed() -> ConnectionClosed:
    return ConnectionClosed("the connection was closed; make a new one")
