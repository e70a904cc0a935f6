"""
Carry out tasks that programs with Celery send::

    txkombu serve --broker amqp://guest:guest@localhost// --consumer worker:worker
"""

from __future__ import annotations

from celery_bridge import CeleryWorker
from txkombu import BrokerConnection, Channel


def multiply(x: int, y: int) -> int:
    """Multiply two numbers; a task could as well be a coroutine function."""
    return x * y


def worker(channel: Channel | BrokerConnection) -> CeleryWorker:
    """Make the worker."""
    return CeleryWorker(channel, {"tasks.multiply": multiply})
