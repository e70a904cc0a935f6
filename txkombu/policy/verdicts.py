"""Verdicts: what handlers raise to say what becomes of their messages."""

from __future__ import annotations

from .._util.validation import check_count
from .hosting import FailurePolicy, HostedPolicy, Verdict
from .parking import park
from .settling import drop, halt, reject, requeue


class Reject(Verdict):
    """Reject the message: to the dead letter exchange if there is one."""

    def policy(self) -> FailurePolicy:
        """Return L{reject}."""
        return reject


class Requeue(Verdict):
    """Put the message back into its queue, after a wait that grows each time."""

    def policy(self) -> FailurePolicy:
        """Return L{requeue}."""
        return requeue


class Drop(Verdict):
    """Acknowledge the message, although it was not handled."""

    def policy(self) -> FailurePolicy:
        """Return L{drop}."""
        return drop


class Park(Verdict):
    """
    Move the message to a parking queue, which has to exist.

    @param queue: the queue's name.
    """

    def __init__(self, queue: str) -> None:
        super().__init__(queue)
        self.queue = queue

    def policy(self) -> HostedPolicy:
        """Return L{park} for the queue."""
        return park(self.queue)


class Halt(Verdict):
    """
    Requeue the message and end the consumer; a service that hosts it halts.

    @param exit_code: with which C{txkombu serve} exits; 0 to 255.
    """

    def __init__(self, exit_code: int = 1) -> None:
        super().__init__(exit_code)
        check_count("exit_code", exit_code, 0, 255)
        self.exit_code = exit_code

    def policy(self) -> HostedPolicy:
        """Return L{halt}."""
        return halt
