"""Pause the sockets of the program while messages cannot be sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred

from .._util.awaitables import call_logged


class Pausable(Protocol):
    """
    What can be paused: a provider of Twisted's IPushProducer, such as a protocol's
    transport, or a LineReceiver.
    """

    def pauseProducing(self) -> object:
        """Read no more for now."""

    def resumeProducing(self) -> object:
        """Read on."""


class FlowControl:
    """
    Pause sockets when the window is full, the broker is blocked or slow, or there is
    no connection, and resume them when there is room again.

    @param is_ready: tells whether a message would be sent at once.
    @param when_ready: returns a Deferred that fires when one would.
    """

    def __init__(
        self, is_ready: Callable[[], bool], when_ready: Callable[[], Deferred[None]]
    ) -> None:
        self._is_ready = is_ready
        self._when_ready = when_ready
        self._sockets: dict[int, Pausable] = {}
        self._paused = False

    def add_producer(self, socket: Pausable) -> None:
        """Pause a socket whenever there is no room."""
        self._sockets[id(socket)] = socket
        if self._paused:
            socket.pauseProducing()

    def remove(self, socket: Pausable) -> None:
        """Leave a socket alone; resume it if it is paused."""
        if self._sockets.pop(id(socket), None) is not None and self._paused:
            socket.resumeProducing()

    def check(self) -> None:
        """Pause all sockets if there is no room now."""
        if self._paused or not self._sockets or self._is_ready():
            return
        self._paused = True
        for socket in list(self._sockets.values()):
            call_logged("pauseProducing", socket.pauseProducing)
        # A failure resumes them, too: the next publish says what is wrong.
        self._when_ready().addBoth(self._resume)

    def _resume(self, _: object) -> None:
        self._paused = False
        for socket in list(self._sockets.values()):
            if self._paused:
                return  # a resumed socket has filled the window again
            call_logged("resumeProducing", socket.resumeProducing)
