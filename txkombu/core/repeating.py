"""Kombu's C{ensure_connection} and C{ensure}: repeat what fails for the connection."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from itertools import count, islice
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred, inlineCallbacks

from .._util.awaitables import call_and_wait, call_logged
from .._util.timeouts import sleep_unless
from .._util.validation import check_callable, check_count, check_seconds
from ..exceptions import (
    AuthenticationFailed,
    ConnectError,
    ConnectionForced,
    NotSent,
    OperationTimeout,
    OutcomeUnknown,
    SessionLost,
    TransportNotAvailable,
)
from .connection_core import ConnectionCore, connection_closed
from .lifecycle import State

RECOVERABLE: Final = (
    ConnectError,
    ConnectionForced,
    NotSent,
    OperationTimeout,
    SessionLost,
)
"""What another attempt may succeed after, in the same session or in the next one."""
_FINAL: Final = (AuthenticationFailed, TransportNotAvailable, OutcomeUnknown)
"""
What is not repeated: what somebody has to mend, and what might double a message.
"""

OnError = Callable[[Exception, float], object]
"""Called with the error and the seconds until the next attempt."""


@attrs.frozen
class Repetition:
    """
    How often and how soon to repeat, with Kombu's names.

    @ivar errback: called with each error and the seconds until the next attempt.
    @ivar max_retries: how often to repeat; C{None} is without limit.
    @ivar interval_start: seconds before the first repetition.
    @ivar interval_step: how many seconds longer each further wait is.
    @ivar interval_max: the maximum seconds of a wait.
    @raise TypeError: one of them is of a wrong type.
    @raise ValueError: one of them is negative.
    """

    errback: OnError | None = None
    max_retries: int | None = None
    interval_start: float = 1.0
    interval_step: float = 1.0
    interval_max: float = 1.0

    def __attrs_post_init__(self) -> None:
        if self.errback is not None:
            check_callable("errback", self.errback, 2)
        check_count("max_retries", self.max_retries)
        for what in ("interval_start", "interval_step", "interval_max"):
            check_seconds(what, getattr(self, what))

    def waits(self) -> Iterator[float]:
        """Give the seconds to wait before each repetition."""
        for number in islice(count(), self.max_retries):
            wait = self.interval_start + number * self.interval_step
            yield min(wait, self.interval_max)

    def tell(self, error: Exception, wait: float) -> None:
        """Call the errback, if there is one."""
        if self.errback is not None:
            call_logged("errback", self.errback, error, wait)


def is_recoverable(error: Exception) -> bool:
    """
    Return whether to repeat what failed with this error: the connection was at fault,
    and the repetition cannot double a message.
    """
    return isinstance(error, RECOVERABLE) and not isinstance(error, _FINAL)


@inlineCallbacks
def ensure_connection(
    core: ConnectionCore, repetition: Repetition
) -> Generator[Deferred[Any], Any, None]:
    """
    Connect; again after each failed attempt.

    While the connection comes back by itself after a loss, its own attempts count, and
    its own waits are waited.
    """
    waits = repetition.waits()
    while True:
        try:
            yield core.when_attempted()
            return
        except Exception as error:
            wait = next(waits, None)
            if wait is None or not is_recoverable(error):
                raise
            comes_back = core.state is not State.IDLE
            repetition.tell(error, core.reconnector.wait if comes_back else wait)
        if not comes_back:
            yield _pause(core, wait)


@inlineCallbacks
def repeat(
    core: ConnectionCore, function: Callable[[], object], repetition: Repetition
) -> Generator[Deferred[Any], Any, Any]:
    """
    Call a function until it succeeds, or fails with what is not recoverable.

    @return: fires with the function's value.
    """
    waits = repetition.waits()
    while True:
        try:
            return (yield call_and_wait(function))
        except Exception as error:
            wait = next(waits, None)
            if wait is None or not is_recoverable(error):
                raise
            repetition.tell(error, wait)
        yield _pause(core, wait)


@inlineCallbacks
def _pause(core: ConnectionCore, seconds: float) -> Generator[Deferred[Any], Any, None]:
    """Wait some seconds; fail if the connection is closed meanwhile."""
    yield sleep_unless(core.clock, seconds, core.when_closed())
    if core.is_closing:
        raise connection_closed()
