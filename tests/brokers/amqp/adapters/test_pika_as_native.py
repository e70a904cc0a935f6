"""
The tests of the native transport on RabbitMQ, on pika.
"""

from __future__ import annotations

from tests.brokers.amqp.adapters.native_cases import CASES
from tests.support.adapters import borrowed
from tests.support.pika_peer import PIKA

globals().update(borrowed(PIKA, __name__, CASES))
