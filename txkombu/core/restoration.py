"""
Restore what was declared on each new session, and try again what was refused.

A refusal may pass, as when the home node of a queue comes back, or permissions are
given again.  So what the broker refuses is tried again with growing waits, as long as
the session lives: also when a further attempt was not answered, or had no connection
of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from .._util.backoff import DEFAULT, Backoff, ReconnectPolicy
from .._util.steady_clock import steady
from .._util.timeouts import gather_results_in_time
from ..interfaces import ISession
from .topology import Topology


class Restoration:
    """
    Restore a topology in each session.

    @param topology: what was declared.
    @param clock: for waits and timeouts.
    @param timeout: returns how many seconds a declaration may take.
    @param policy: how long to wait before what was refused is tried again.
    """

    _log = Logger()

    def __init__(
        self,
        topology: Topology,
        clock: IReactorTime,
        timeout: Callable[[], float],
        policy: ReconnectPolicy = DEFAULT,
    ) -> None:
        self._topology = topology
        self._clock = clock
        self._timeout = timeout
        self._backoff = Backoff(policy=policy)
        self._session: ISession | None = None
        self._timer: IDelayedCall | None = None

    @inlineCallbacks
    def restore(self, session: ISession) -> Generator[Deferred[Any], Any, None]:
        """
        Declare everything again.

        @return: fails if the session is lost, or is of no use: the broker does not
            answer, or a connection that is needed cannot be had.
        """
        self.stop()
        self._session = session
        self._backoff.reset()
        yield self._topology.replay(session, self._wait)
        self._retry_later(session)

    def _wait(self, began: Sequence[Deferred[Any]]) -> Deferred[Any]:
        """Wait for declarations; the timeout restarts at each completed one."""
        timeout = self._timeout()
        return gather_results_in_time(began, self._clock, timeout, "restoring")

    def _retry_later(self, session: ISession) -> None:
        if session is self._session and self._topology.refused:
            delay = self._backoff.delay()
            self._timer = steady(self._clock).callLater(delay, self._retry, session)

    def _retry(self, session: ISession) -> None:
        self._timer = None
        retrying = self._topology.replay_refused(session, self._wait)
        retrying.addErrback(self._failed, session)
        retrying.addCallback(lambda _: self._retry_later(session))

    def _failed(self, failure: Failure, session: ISession) -> None:
        """Note that not everything could be tried; a lost session is told of itself."""
        if session is self._session:
            text = "Not everything that the broker refused was tried again: {error}"
            self._log.warn(text, error=str(failure.value))

    def lost(self) -> None:
        """Note that the session is lost."""
        self.stop()
        self._topology.session_lost()

    def stop(self) -> None:
        """Stop trying again."""
        self._session = None
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
