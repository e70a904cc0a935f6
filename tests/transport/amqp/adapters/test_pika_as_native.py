"""
The tests of the native transport, on pika.
"""

from __future__ import annotations

from tests.support.adapters import borrowed
from tests.support.pika_peer import PIKA
from tests.transport.amqp.adapters.native_cases import CASES

globals().update(borrowed(PIKA, __name__, CASES))
