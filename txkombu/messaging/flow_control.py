"""
A user's own sockets, paused while messages cannot go out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from .._util.failures import without_frames


class Pausable(Protocol):
    """
    What can be paused: any provider of Twisted's IPushProducer, such as a
    protocol's transport; and a LineReceiver itself.
    """

    def pauseProducing(self) -> object:
        """Read no more for now."""

    def resumeProducing(self) -> object:
        """Read on."""


class FlowControl:
    """
    Pauses sockets when the window is full, the broker is blocked or slow, or
    the connection is away, and resumes them when there is room again.

    @param is_ready: whether a message would go out at once.
    @param when_ready: fires when one would.
    """

    _log = Logger()

    def __init__(
        self, is_ready: Callable[[], bool], when_ready: Callable[[], Deferred[None]]
    ) -> None:
        self._is_ready = is_ready
        self._when_ready = when_ready
        self._sockets: dict[int, Pausable] = {}
        self._paused = False

    def __bool__(self) -> bool:
        return bool(self._sockets)

    def add_producer(self, socket: Pausable) -> None:
        """Pause this one too, from now on."""
        self._sockets[id(socket)] = socket
        if self._paused:
            socket.pauseProducing()

    def remove(self, socket: Pausable) -> None:
        """Leave this one alone; one that is paused is resumed."""
        if self._sockets.pop(id(socket), None) is not None and self._paused:
            socket.resumeProducing()

    def check(self) -> None:
        """Pause all if there is no room now."""
        if self._paused or not self._sockets or self._is_ready():
            return
        self._paused = True
        for socket in list(self._sockets.values()):
            self._tell(socket.pauseProducing)
        # Also when it fails: then the next publish says what is wrong.
        self._when_ready().addBoth(self._resume)

    def _resume(self, _: object) -> None:
        self._paused = False
        for socket in list(self._sockets.values()):
            if self._paused:
                return  # one that was resumed has filled the window again
            self._tell(socket.resumeProducing)

    def _tell(self, what: Callable[[], object]) -> None:
        try:
            what()
        except Exception:
            self._log.failure("{what!r} failed", without_frames(Failure()), what=what)
