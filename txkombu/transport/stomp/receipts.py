"""
The receipts that were asked for and have not come (STOMP 1.2, "RECEIPT").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..._util.failures import without_frames

Waiter = Callable[["Exception | None"], object]


class Receipts:
    """
    Who waits for which receipt.

    A receipt that nobody waits for is nothing to worry about: RabbitMQ sends one
    after the ERROR for a frame that failed, and who waited may have gone.
    """

    __slots__ = ("_count", "_deferreds", "_waiters")

    _log: Final = Logger()

    def __init__(self) -> None:
        self._count = 0
        self._waiters: dict[str, Waiter] = {}
        self._deferreds: dict[str, Deferred[None]] = {}

    def expect(self, waiter: Waiter) -> str:
        """
        @param waiter: called with C{None}, or with the error; not at the end.
        @return: the receipt to ask for.
        """
        self._count += 1
        number = str(self._count)
        self._waiters[number] = waiter
        return number

    def wait(self) -> tuple[str, Deferred[None]]:
        """
        @return: the receipt to ask for, and a Deferred that fires with it.  One
            that is cancelled takes the receipt without a word: that is what
            Twisted promises for one without a canceller.
        """
        self._count += 1
        number = str(self._count)
        deferred = self._deferreds[number] = Deferred()
        return number, deferred

    def answer(self, number: str, error: Exception | None = None) -> None:
        """
        One has come, or an ERROR that names it.
        """
        waiter = self._waiters.pop(number, None)
        if waiter is not None:
            try:
                waiter(error)
            except Exception:
                self._log.failure(
                    "{waiter} failed", without_frames(Failure()), waiter=waiter
                )
            return
        deferred = self._deferreds.pop(number, None)
        if deferred is None:
            return
        if error is None:
            deferred.callback(None)
        else:
            deferred.errback(Failure(error))

    def drain(self, make: Callable[[], Exception]) -> None:
        """
        None will come any more.

        @param make: makes the error, anew for each Deferred.
        """
        for number in list(self._deferreds):
            self._deferreds.pop(number).errback(Failure(make()))
