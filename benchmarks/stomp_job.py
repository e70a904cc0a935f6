"""
What a program that measures one client of STOMP is asked to do.

Its queue is a destination, such as C{/queue/bench}.
"""

from __future__ import annotations

from benchmarks.admin import QUEUE
from benchmarks.job import USER, Job

DESTINATIONS = {"RabbitMQ": f"/amq/queue/{QUEUE}", "ActiveMQ": f"/queue/{QUEUE}"}
"""The same queue, as each broker spells it."""
_PREFETCH = {"RabbitMQ": "prefetch-count", "ActiveMQ": "activemq.prefetchSize"}

LOGIN = {"accept-version": "1.2", "host": "/", "login": USER, "passcode": USER}
PROPERTIES = {"content-type": "application/json", "content-encoding": "utf-8"}
"""What every message has, beside a receipt: what ours have."""


def prefetch_of(job: Job) -> str:
    """The header that bounds what is unacked."""
    (broker,) = (each for each, name in DESTINATIONS.items() if name == job.queue)
    return _PREFETCH[broker]
