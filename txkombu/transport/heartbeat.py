"""
Heartbeats (AMQP 0-9-1, 4.2.7; STOMP 1.2, "Heart-beating").

A heartbeat is sent when nothing was written for half the interval; the peer is taken
for dead when no byte came for some intervals.  A timer ticks four times in an interval
and counts the ticks without a write and without a byte, so that writing never asks for
the time.  The wall clock may be set meanwhile: see L{txkombu._util.steady_clock}.

A late tick means that the reactor was blocked.  It does not count against the peer, but
the peer may have taken this side for dead.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from .._util.steady_clock import steady, waker

_TICKS: Final = 4
_TOLERANCE: Final = 2.0


class Heartbeat:
    """
    Watches one connection.

    @ivar silence: how many ticks ago the last byte came; see L{heard}.
    @ivar idle: how many ticks ago the last byte was written.
    @ivar agreed: seconds between heartbeats; 0 for none.
    """

    def __init__(
        self,
        clock: IReactorTime,
        send: Callable[[], object],
        dead: Callable[[], object],
        has_written: Callable[[], bool] = bool,
    ) -> None:
        """
        @param send: writes a heartbeat.
        @param dead: called once, when the peer is taken for dead.
        @param has_written: tells whether anything was written since it was last
            called.
        """
        self._clock = steady(clock)
        self._wake = waker(self._clock)
        self._send = send
        self._dead = dead
        self._has_written = has_written
        self._every = self._due = 0.0
        self._interval = inf
        self.agreed = 0.0
        self._stall = self._stall_ended = 0.0
        self._send_after = self._dead_after = inf
        self._call: IDelayedCall | None = None
        self.silence = self.idle = 0

    def start(
        self,
        interval: float,
        hears: float | None = None,
        tolerance: float = _TOLERANCE,
    ) -> None:
        """
        Begin to watch.

        @param interval: how often to write something, in seconds; 0 for no
            heartbeats.
        @param hears: how often the peer has to write something, in seconds; 0 if it
            need not.  The same interval by default.
        @param tolerance: after how many of its intervals the peer is dead.
        """
        if hears is None:
            hears = interval
        if not (interval or hears):
            return
        self.agreed = interval or hears
        every = self._every = min(interval or hears, hears or interval) / _TICKS
        if interval:
            self._interval = interval
            self._send_after = interval / every / 2
        if hears:
            self._dead_after = hears / every * tolerance
        self._await_tick()

    def stop(self) -> None:
        """Leave no timer behind."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def heard(self) -> None:
        """Count the peer's silence anew: bytes came."""
        self.silence = 0
        if self._wake is not None:
            self._wake()

    def note_of_stall(self) -> str:
        """
        Return a note for the end of a sentence about a loss, if the reactor was
        blocked just before for longer than the peer bears; else C{""}.
        """
        now = self._clock.seconds()
        stall = now - self._due
        if stall <= self._interval and now - self._stall_ended <= self._interval:
            stall = self._stall
        if stall <= self._interval or not self._every:
            return ""
        return (
            f"; before that the reactor had not run for {stall:.0f} s, longer than "
            f"the heartbeat of {self._interval:g} s: something in this program "
            "blocked it, or the machine slept"
        )

    def _await_tick(self) -> None:
        self._due = self._clock.seconds() + self._every
        self._call = self._clock.callLater(self._every, self._tick)

    def _tick(self) -> None:
        if self._has_written():
            self.idle = 0
        now = self._clock.seconds()
        late = now - self._due
        if late > self._interval:
            self._stall, self._stall_ended = late, now
            self.idle += int(late / self._every)  # so that one is sent at once
        self._await_tick()
        self.idle += 1
        self.silence += 1
        if self.silence > self._dead_after:
            self.stop()
            self._dead()
        elif self.idle >= self._send_after:
            self._send()
