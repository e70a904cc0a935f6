"""The policy that handles a message again after growing delays."""

from __future__ import annotations

from random import random
from typing import TYPE_CHECKING, Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from .._util.validation import (
    check_callable,
    check_count,
    check_number,
    check_seconds,
)
from ..exceptions import DecodeError
from .failure_log import log_failure
from .hosting import FailurePolicy, Hold, HostedPolicy, PolicyHost, decided, prepared
from .settling import circle

if TYPE_CHECKING:
    from ..message import Message


@attrs.frozen
class RetryPolicy:
    """
    Handle a message again after growing delays, then let another policy decide.

    The message stays unacknowledged meanwhile.  Its handler's slot is free for other
    messages, unless the consumer has C{concurrency=1}: then the order is kept.

    @ivar attempts: how often a message is handled in all; C{None} is without end.
    @ivar delay: seconds before the second attempt.
    @ivar factor: how many times as long each delay is as the one before.
    @ivar max_delay: seconds that no delay exceeds.
    @ivar jitter: how much of each delay, from 0 to 1, may be taken off at random.
    @ivar then: decides when all attempts have failed, and at once when the message
        cannot be decoded.
    """

    attempts: int | None = attrs.field(default=5)
    delay: float = attrs.field(default=1.0)
    factor: float = attrs.field(default=2.0)
    max_delay: float = attrs.field(default=30.0)
    jitter: float = attrs.field(default=0.0)
    then: FailurePolicy | HostedPolicy = attrs.field(default=circle)

    def __attrs_post_init__(self) -> None:
        check_count("attempts", self.attempts, 1)
        check_seconds("delay", self.delay)
        check_seconds("max_delay", self.max_delay)
        check_number("factor", self.factor, 1)
        check_number("jitter", self.jitter, 0, 1)
        check_policy("then", self.then)

    def prepare(self, host: PolicyHost) -> Deferred[Any] | None:
        """
        Prepare the policy that decides afterwards.

        @param host: the consumer.
        @return: fires when that is done; C{None} if there is nothing to wait for.
        """
        return prepared(self.then, host)

    def decide(self, host: PolicyHost, message: Message, failure: Failure) -> object:
        """
        Hold the message, or let the other policy decide.

        @param host: the consumer.
        @param message: the message whose handling failed.
        @param failure: why.
        """
        made = message.attempts
        gives_up = self.attempts is not None and made >= self.attempts
        if gives_up or failure.check(DecodeError):
            return decided(self.then, host, message, failure)
        try:
            seconds = min(self.max_delay, self.delay * self.factor ** max(0, made - 1))
        except OverflowError:
            seconds = self.max_delay
        seconds *= 1 - self.jitter * random()
        limit = "" if self.attempts is None else f" of {self.attempts}"
        fate = f"attempt {made}{limit}; it is tried again in {seconds:g} s"
        log_failure(message, failure, fate, repeats=True)
        return Hold(seconds)


def retry(
    attempts: int | None = 5,
    delay: float = 1.0,
    factor: float = 2.0,
    max_delay: float = 30.0,
    jitter: float = 0.0,
    then: FailurePolicy | HostedPolicy = circle,
) -> RetryPolicy:
    """
    Handle a message again after growing delays; see L{RetryPolicy}.

    @param attempts: how often a message is handled in all; C{None} is without end.
    @param delay: seconds before the second attempt.
    @param factor: how many times as long each delay is as the one before.
    @param max_delay: seconds that no delay exceeds.
    @param jitter: how much of each delay, from 0 to 1, may be taken off at random.
    @param then: decides when all attempts have failed.
    """
    return RetryPolicy(attempts, delay, factor, max_delay, jitter, then)


def check_policy(what: str, policy: object) -> None:
    """
    Refuse with TypeError what cannot decide on a failed message.

    @param what: what it was given as, for the error.
    @param policy: what was given.
    """
    # retry and a class can be called with two arguments, and would fail only with a
    # message. As an attribute of a class, a function is bound.
    if getattr(policy, "__func__", policy) is retry:
        raise TypeError(f"{what} must be what retry() returns, not retry itself")
    if isinstance(policy, type):
        raise TypeError(f"{what} must be a policy, not the class {policy.__name__}")
    if not hasattr(policy, "decide"):
        check_callable(what, policy, 2)


default: Final = RetryPolicy()
"""Five attempts, 1 s doubling to 30 s apart, then L{circle}: loses nothing."""
