"""The pump: what drives a memory broker, once per turn of the reactor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..._util.failures import without_frames

_log = Logger()

MOST_ROUNDS: Final = 100_000
"""How often the pump may run without time passing, as it does under a test's clock."""


class NeverQuiet(RuntimeError):
    """Something goes on for ever while a test's clock stands still."""


class Pump:
    """
    Has streams deliver their events in the next turn of the reactor.

    A delayed call exists only while there is something to deliver.

    @ivar clock: the reactor; C{None} until the first session.
    """

    def __init__(self, clock: IReactorTime | None) -> None:
        self.clock = clock
        self._due: list[Callable[[], None]] = []
        self._call: IDelayedCall | None = None
        self._rounds = 0
        self._round_time: float | None = None
        self._running = False

    def run_on(self, clock: IReactorTime) -> None:
        """Take a clock, if there is none yet."""
        if self.clock is None:
            self.clock = clock

    def note(self, dispatch: Callable[[], None]) -> None:
        """Have a stream's C{dispatch} called in the next turn."""
        self._due.append(dispatch)
        if self._call is None:
            self._schedule()

    def _schedule(self) -> None:
        assert self.clock is not None, "a session brings a clock"
        self._call = self.clock.callLater(0, self._run)

    def _run(self) -> None:
        assert self.clock is not None
        self._call = None
        now = self.clock.seconds()
        if now != self._round_time:
            self._round_time, self._rounds = now, 0
        self._rounds += 1
        if self._rounds > MOST_ROUNDS:
            self._rounds = 0
            self._schedule()
            raise NeverQuiet(
                f"the memory broker was busy for {MOST_ROUNDS} rounds without any "
                "time passing: does something requeue, or answer itself, for ever?"
            )
        due, self._due = self._due, []
        self._running = True
        try:
            for dispatch in due:
                try:
                    dispatch()
                except Exception:  # the other streams go on
                    _log.failure(
                        "the memory broker failed to deliver", without_frames(Failure())
                    )
        finally:
            self._running = False

    def flush(self) -> None:
        """
        Run until nothing is due, without advancing the clock.

        @raise NeverQuiet: there is always something.
        @raise RuntimeError: called from within a callback of the broker.
        """
        if self._running:
            raise RuntimeError("flush() was called from within what it would run")
        self._rounds = 0
        advance: Callable[[float], None] | None = getattr(self.clock, "advance", None)
        if advance is not None:
            # Also runs what others have put off until the next turn.
            advance(0)
        while self._call is not None:
            self._call.cancel()
            self._run()

    def stop(self) -> None:
        """Leave nothing in the reactor, as no session is left."""
        self._due.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None
