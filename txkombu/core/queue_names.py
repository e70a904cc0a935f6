"""Refuse queues that have no name yet."""

from __future__ import annotations

from ..entity import Queue


def check_named(queue: Queue) -> None:
    """
    Refuse a queue that has no name yet: AMQP 0-9-1 would take the last one that was
    declared on the channel (1.7.2.1).

    @raise ValueError: it has none.
    """
    if not queue.name:
        raise ValueError(
            "the queue has no name yet: declare() gets it one, so wait for that first"
        )
