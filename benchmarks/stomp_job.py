"""
The job of a program that measures one client of STOMP.

Its queue is a destination, such as C{/queue/bench}.
"""

from __future__ import annotations

from benchmarks.admin import QUEUE
from benchmarks.job import USER, Job

DESTINATIONS = {"RabbitMQ": f"/amq/queue/{QUEUE}", "ActiveMQ": f"/queue/{QUEUE}"}
"""
The destination of the same queue at each broker.
"""
_PREFETCH = {"RabbitMQ": "prefetch-count", "ActiveMQ": "activemq.prefetchSize"}

LOGIN = {"accept-version": "1.2", "host": "/", "login": USER, "passcode": USER}
PROPERTIES = {"content-type": "application/json", "content-encoding": "utf-8"}
"""
The headers of every message, beside a receipt: those that txkombu sends.
"""


def prefetch_of(job: Job) -> str:
    """Return the name of the header that limits the unacked messages."""
    (broker,) = (each for each, name in DESTINATIONS.items() if name == job.queue)
    return _PREFETCH[broker]
