"""The policy that moves messages to a parking queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ..entity import Queue
from ..exceptions import Nacked
from .failure_log import log_failure
from .hosting import FIRST_HOLD, Hold, HostedPolicy, PolicyHost, next_wait

if TYPE_CHECKING:
    from ..message import Message


DELAYS_HEADER: Final = "x-delayed-count"
"""
How often L{delayed} had a message wait.  A header of our own, since C{x-death} does not
reach STOMP, and RabbitMQ 4 begins it anew in each message that a client publishes.
"""

ORIGIN_HEADER: Final = "x-parked-from"
"""The queue from which a message was parked, where it can be moved back."""

ERROR_HEADER: Final = "x-exception"
"""Why it was parked."""

_FIRST_HOLD_OF_NACKED: Final = 1.0
"""Seconds; a quorum queue without a leader refuses messages for a moment."""


class _ParkPolicy:
    """Move messages to a parking queue; made by L{park}."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def prepare(self, host: PolicyHost) -> Deferred[Any] | None:
        """Declare the parking queue."""
        return host.declare_queue(self._queue)

    def decide(self, host: PolicyHost, message: Message, failure: Failure) -> object:
        """Publish the message to the parking queue, then acknowledge it."""
        name = self._queue.name
        log_failure(message, failure, f"it is parked in queue {name!r}")
        headers = {
            ERROR_HEADER: failure.getErrorMessage()[:1000],
            ORIGIN_HEADER: message.queue_name or None,
            DELAYS_HEADER: None,
        }
        passing = host.pass_on(message, name, headers)
        return settle_passed_on(passing, message, f"parked in queue {name!r}")


def park(queue: str | Queue) -> HostedPolicy:
    """
    Make a policy that moves messages to a parking queue: a confirmed publish, then the
    ack.  The queue is declared when the consumer starts.

    @param queue: the queue, or the name of a durable one.
    """
    return parking(queue)


def parking(queue: str | Queue) -> HostedPolicy:
    wanted = queue if isinstance(queue, Queue) else Queue(queue)
    if not wanted.name:
        raise ValueError("a parking queue needs a name")
    return _ParkPolicy(wanted)


def settle_passed_on(
    passing: Deferred[None], message: Message, what: str
) -> Deferred[Hold | None]:
    """
    Acknowledge a message when its copy is confirmed; hold it if that failed, but not if
    the broker has it again, since the session was lost.

    @param what: what becomes of it, for the log.
    """

    def passed_on(_: object) -> None:
        message.ack()

    def refused(failure: Failure) -> Hold | None:
        first = _FIRST_HOLD_OF_NACKED if failure.check(Nacked) else FIRST_HOLD
        seconds = next_wait(message, first)
        fate = f"it cannot be {what}; tried again in {seconds:g} s"
        log_failure(message, failure, fate, repeats=True, about="copy")
        return None if message.is_back else Hold(seconds)

    return passing.addCallbacks(passed_on, refused)
