"""
The tests of the native transport, on txAMQP's client.
"""

from __future__ import annotations

from tests.support.adapters import borrowed
from tests.support.txamqp_peer import TXAMQP
from tests.transport.amqp.adapters.native_cases import CASES

globals().update(borrowed(TXAMQP, __name__, CASES))
