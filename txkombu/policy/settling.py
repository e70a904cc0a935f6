"""Policies that settle a message at once, or after a wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from .._util.awaitables import as_exception
from .failure_log import fate_of, log_failure
from .hosting import Hold, HostedPolicy, PolicyHost, next_wait

if TYPE_CHECKING:
    from ..message import Message


def reject(message: Message, failure: Failure) -> None:
    """
    Reject the message: to the dead letter exchange if there is one.

    @param message: the message whose handling failed.
    @param failure: why.
    """
    log_failure(message, failure, fate_of(message))
    message.reject()


def drop(message: Message, failure: Failure) -> None:
    """
    Acknowledge the message, although it was not handled.

    @param message: the message whose handling failed.
    @param failure: why.
    """
    log_failure(message, failure, "it is dropped")
    message.ack()


def requeue_once(message: Message, failure: Failure) -> None:
    """
    Requeue the message once; reject it if it is redelivered and fails again.

    @param message: the message whose handling failed.
    @param failure: why.
    """
    if message.redelivered or message.no_ack:
        reject(message, failure)
        return
    log_failure(message, failure, "it is requeued once")
    message.reject(requeue=True)


def requeue(message: Message, failure: Failure) -> Hold | None:
    """
    Put the message back into its queue, after a wait that grows with each time.

    @param message: the message whose handling failed.
    @param failure: why.
    """
    if message.no_ack:
        reject(message, failure)
        return None
    seconds = next_wait(message)
    log_failure(message, failure, f"it is requeued in {seconds:g} s", repeats=True)
    return Hold(seconds, requeue=True)


def circle(message: Message, failure: Failure) -> Hold | None:
    """
    Reject the message if its queue was declared with a dead letter exchange; else
    requeue it after a wait that grows with each time, so that it is never lost.

    A message of a quorum queue is held and handled again instead of requeued, since
    RabbitMQ 4 drops it after 21 returns.  On 4.0 all returns count: reject, nack,
    recover, the end of a channel, a loss; on 4.3 nack and recover do not.

    @param message: the message whose handling failed.
    @param failure: why.
    """
    if message.no_ack or message.dead_letter_exchange is not None:
        reject(message, failure)
        return None
    if not message.is_lost_by_requeues:
        return requeue(message, failure)
    seconds = next_wait(message)
    fate = f"it is held, and tried again in {seconds:g} s"
    log_failure(message, failure, fate, repeats=True)
    return Hold(seconds)


class _HaltPolicy:
    """Requeue the message, and end the consumer; see L{halt}."""

    def prepare(self, host: PolicyHost) -> Deferred[Any] | None:
        """Return C{None}: there is nothing to declare."""
        return None

    def decide(self, host: PolicyHost, message: Message, failure: Failure) -> None:
        """Requeue the message, and end the consumer."""
        fate = "it is requeued, and its consumer ends"
        if message.no_ack:
            fate = f"{fate_of(message)}, and ends"
        log_failure(message, failure, fate)
        message.reject(requeue=True)
        error = failure.value
        assert error is not None
        host.halt(as_exception(error, f"the handler of {message!r}"))


halt: Final[HostedPolicy] = _HaltPolicy()
"""Requeue the message and end its consumer; a service that hosts it halts."""
