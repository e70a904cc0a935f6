"""
Policies: how long to wait before a retry, and what becomes of a failed message.

A failure policy is called with a message whose handling failed, and the failure.  It
settles the message itself, or returns a L{Hold}, so that the consumer keeps the message
unacknowledged for a while and then handles it again or requeues it.  The default,
L{retry} followed by L{circle}, loses nothing.

A handler may raise a L{Verdict} instead: what is to become of its message.
"""

from __future__ import annotations

from .._util.backoff import ReconnectPolicy
from .delays import delayed
from .hosting import FailurePolicy, Hold, Verdict
from .parking import park
from .retrying import RetryPolicy, default, retry
from .settling import circle, drop, halt, reject, requeue, requeue_once
from .verdicts import Drop, Halt, Park, Reject, Requeue

__all__ = [
    "Drop",
    "FailurePolicy",
    "Halt",
    "Hold",
    "Park",
    "ReconnectPolicy",
    "Reject",
    "Requeue",
    "RetryPolicy",
    "Verdict",
    "circle",
    "default",
    "delayed",
    "drop",
    "halt",
    "park",
    "reject",
    "requeue",
    "requeue_once",
    "retry",
]
