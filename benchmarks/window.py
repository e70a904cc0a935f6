"""
Publish with a window: one more message for each that is confirmed.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from benchmarks.job import Job


class Window:
    """
    Keeps as many messages in flight as a job allows.

    @param job: tells how many messages to publish in all, too.
    @param publish: publishes the message of that number; its Deferred fires when
        confirmed.
    """

    def __init__(self, job: Job, publish: Callable[[int], Deferred[None]]) -> None:
        self._count = job.messages
        self._most = job.window
        self._publish = publish
        self._begun = self._confirmed = 0
        self._done: Deferred[None] = Deferred()

    def run(self) -> Deferred[None]:
        """
        Publish all messages.

        @return: fires when all are confirmed; fails if one is not.
        """
        while self._begun < min(self._most, self._count):
            self._next()
        return self._done

    def _next(self) -> None:
        self._begun += 1
        publishing = self._publish(self._begun - 1)
        publishing.addCallbacks(self._one_confirmed, self._failed)

    def _one_confirmed(self, _: object) -> None:
        self._confirmed += 1
        if self._begun < self._count:
            self._next()
        elif self._confirmed == self._count:
            self._done.callback(None)

    def _failed(self, failure: Failure) -> None:
        if not self._done.called:
            self._done.errback(failure)
