"""
Heartbeats (AMQP 0-9-1, 4.2.7; STOMP 1.2, "Heart-beating").

One is sent when half the interval passed without a write; the peer is taken
for dead after some intervals without a byte.  The clock strikes four times in
an interval and counts how often nothing was written or heard since; so writing
never asks for the time.  The wall clock may be set meanwhile: see
L{txkombu._util.steady_clock}.

A strike that comes late tells that the reactor did not run.  That is no silence
of the peer; but to the peer it was one of ours, and it may have given us up.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from .._util.steady_clock import steady, waker

_STRIKES: Final = 4
_TOLERANCE: Final = 2.0


class Heartbeat:
    """
    Watches one connection.

    @ivar silence: how often the clock struck since a byte came; see L{heard}.
    @ivar idle: how often it struck since a byte was written; whoever writes
        sets it to 0.
    """

    __slots__ = (
        "_call",
        "_clock",
        "_dead",
        "_dead_after",
        "_due",
        "_every",
        "_interval",
        "_send",
        "_send_after",
        "_stall",
        "_stall_ended",
        "_wake",
        "idle",
        "silence",
    )

    def __init__(
        self,
        clock: IReactorTime,
        send: Callable[[], object],
        dead: Callable[[], object],
    ) -> None:
        """
        @param send: writes a heartbeat.
        @param dead: called once, when the peer is taken for dead.
        """
        self._clock = steady(clock)
        self._wake = waker(self._clock)
        self._send = send
        self._dead = dead
        self._every = self._due = 0.0
        self._interval = inf
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
        @param interval: seconds; 0 is no heartbeats at all.
        @param hears: seconds in which the peer has to say something, if they are
            others than those for us; 0 if it need not.
        @param tolerance: the peer is dead after so many of its intervals.
        """
        if hears is None:
            hears = interval
        if not (interval or hears):
            return
        every = self._every = min(interval or hears, hears or interval) / _STRIKES
        if interval:
            self._interval = interval
            self._send_after = interval / every / 2
        if hears:
            self._dead_after = hears / every * tolerance
        self._await_strike()

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
        Say, to end a sentence about a loss with, for how long the reactor had
        not run: if it was longer than the peer bears, and just now; else C{""}.
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

    def _await_strike(self) -> None:
        self._due = self._clock.seconds() + self._every
        self._call = self._clock.callLater(self._every, self._strike)

    def _note_lateness(self) -> None:
        """A heartbeat that is overdue for that goes out at once."""
        now = self._clock.seconds()
        late = now - self._due
        if late > self._interval:
            self._stall, self._stall_ended = late, now
            self.idle += int(late / self._every)

    def _strike(self) -> None:
        self._note_lateness()
        self._await_strike()
        self.idle += 1
        self.silence += 1
        if self.silence > self._dead_after:
            self.stop()
            self._dead()
        elif self.idle >= self._send_after:
            self._send()
