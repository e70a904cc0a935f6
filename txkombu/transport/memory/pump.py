"""
The pump: what drives a memory broker, once per turn of the reactor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from .interfaces import Stream

MOST_ROUNDS: Final = 100_000
"""How often it may run without any time passing; only a test's clock stands."""


class NeverQuiet(RuntimeError):
    """Something goes on for ever while a test's clock stands still."""


class Pump:
    """
    Lets streams fire their events in the next turn of the reactor.

    A delayed call exists only while there is something to fire.

    @ivar clock: the reactor; None until the first session.
    """

    def __init__(self, clock: IReactorTime | None) -> None:
        self.clock = clock
        self._streams: list[Stream] = []
        self._call: IDelayedCall | None = None
        self._rounds = 0
        self._round_time: float | None = None
        self._running = False

    def note(self, stream: Stream) -> None:
        """A stream has events."""
        self._streams.append(stream)
        if self._call is None:
            self._schedule()

    def _schedule(self) -> None:
        assert self.clock is not None, "a session brings a clock"
        self._call = self.clock.callLater(0, self._run)

    def _run(self) -> None:
        self._call = None
        if self._too_often():
            self._schedule()
            raise NeverQuiet(
                f"the memory broker was busy for {MOST_ROUNDS} rounds without any "
                "time passing: does something requeue, or answer itself, for ever?"
            )
        streams, self._streams = self._streams, []
        self._running = True
        try:
            for stream in streams:
                stream.dispatch()
        finally:
            self._running = False

    def _too_often(self) -> bool:
        assert self.clock is not None
        now = self.clock.seconds()
        if now != self._round_time:
            self._round_time, self._rounds = now, 0
        self._rounds += 1
        if self._rounds <= MOST_ROUNDS:
            return False
        self._rounds = 0
        return True

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
        """No session is left: leave nothing in the reactor."""
        self._streams.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None
