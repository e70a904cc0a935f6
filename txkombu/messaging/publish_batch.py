"""Count many publishes as one."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from .._util.waiters import Waiters


class PublishBatch:
    """
    Count publishes and wait for their verdicts.

    @ivar failure: the first failure among them.
    """

    def __init__(self) -> None:
        self._count = 0
        self._open = 0
        self._done: Waiters[None] = Waiters()
        self.failure: Failure | None = None

    def count_publish(self, publish: Deferred[None]) -> None:
        """Count one more publish."""
        self._count += 1
        self._open += 1
        publish.addErrback(self.failed).addBoth(self._over)

    def failed(self, failure: Failure) -> None:
        """Note a failure of a publish, or of the iterable of bodies."""
        if self.failure is None:
            self.failure = failure

    def _over(self, _: object) -> None:
        self._open -= 1
        if not self._open:
            self._done.fire(None)

    def when_done(self) -> Deferred[int]:
        """Return a Deferred of their number; it fails with the first failure."""
        waiting = self._done.wait() if self._open else succeed(None)
        return waiting.addCallback(lambda _: self.failure or self._count)


END: Any = object()
"""Comes after the last body."""


def each_body(
    bodies: Iterable[object] | AsyncIterable[object],
) -> Callable[[], Any]:
    """
    Return a function that returns the next body, or a Deferred of it if the iterable
    is asynchronous; after the last body it returns L{END}.
    """
    if isinstance(bodies, AsyncIterable):
        later = aiter(bodies)
        return lambda: Deferred.fromCoroutine(_next(later))
    now = iter(bodies)
    return lambda: next(now, END)


async def _next(bodies: AsyncIterator[object]) -> object:
    return await anext(bodies, END)
