"""What failure policies, and the consumers that apply them, ask of each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from .._util.failure_record import FailureRecord
from .._util.validation import check_seconds
from ..entity import Queue

if TYPE_CHECKING:
    from ..message import Message


FailurePolicy = Callable[["Message", Failure], object]
"""
Called with an unsettled message whose handling failed, and the failure.  It settles
the message, or leaves it unsettled on purpose, or returns a L{Hold}; it may return a
Deferred or a coroutine, which may fire with a Hold.
"""

FIRST_HOLD: Final = 30.0
"""Seconds before a message goes round for the first time."""
LONGEST_HOLD: Final = 600.0
"""Seconds; RabbitMQ waits 1800 for an ack before it closes the channel."""


@attrs.frozen
class Hold:
    """
    Keep a message unacknowledged for a while; returned by a failure policy.

    @ivar seconds: how long.
    @ivar requeue: whether to requeue it then; otherwise its handler runs again.
    @raise TypeError: C{seconds} is not a number.
    @raise ValueError: it is negative, or not finite.
    """

    seconds: float = attrs.field()
    requeue: bool = False

    @seconds.validator
    def _check(self, _: object, value: object) -> None:
        check_seconds("seconds", value)


class PolicyHost(Protocol):
    """What a policy asks of the consumer whose messages it decides on."""

    @property
    def queues(self) -> Sequence[Queue]:
        """The queues of the consumer."""

    @property
    def transport_name(self) -> str:
        """The URL scheme of its transport."""

    def declare_queue(self, queue: Queue) -> Deferred[Any]:
        """Declare a queue."""

    def pass_on(
        self,
        message: Message,
        queue: str,
        headers: Mapping[str, object],
        *,
        with_deaths: bool = True,
    ) -> Deferred[None]:
        """
        Publish a message as it is to a queue, where it does not expire; fires when the
        broker has it.
        """

    def halt(self, error: Exception) -> None:
        """End the consumer for good, because of an error."""


class HostedPolicy(Protocol):
    """A policy that needs its consumer, and is made for each one."""

    def prepare(self, host: PolicyHost) -> Deferred[Any] | None:
        """Declare what it needs, before the consumer starts."""

    def decide(self, host: PolicyHost, message: Message, failure: Failure) -> object:
        """Decide on a message as a L{FailurePolicy} does."""


class Verdict(Exception):
    """Base of what a handler raises to say what becomes of its message."""

    def policy(self) -> FailurePolicy | HostedPolicy:
        """Return the policy that carries it out."""
        raise NotImplementedError


def decided(
    policy: FailurePolicy | HostedPolicy,
    host: PolicyHost,
    message: Message,
    failure: Failure,
) -> object:
    """Let a policy decide on a message."""
    decide = getattr(policy, "decide", None)
    if decide is not None:
        return decide(host, message, failure)
    return policy(message, failure)  # type: ignore[operator]  # it is a function


def prepared(
    policy: FailurePolicy | HostedPolicy, host: PolicyHost
) -> Deferred[Any] | None:
    """Have a policy declare what it needs."""
    prepare = getattr(policy, "prepare", None)
    return None if prepare is None else prepare(host)


def next_wait(message: Message, first: float = FIRST_HOLD) -> float:
    """
    Count one more round of a message; return how many seconds it waits before.

    @param first: how many before its first round.
    """
    record = record_of(message)
    # What the broker has again does not wait here.
    is_counted = record is not None and not message.is_back
    count = record.count_round(message.identity) if record and is_counted else 0
    return min(LONGEST_HOLD, first * 2.0 ** min(count, 10))


def record_of(message: Message) -> FailureRecord | None:
    record: FailureRecord | None = getattr(message, "failure_record", None)
    return record
