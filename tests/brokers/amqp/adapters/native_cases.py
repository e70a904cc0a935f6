"""
The tests of the native transport on RabbitMQ that the adapters have to pass as well.
"""

from __future__ import annotations

from types import ModuleType
from typing import Final

from tests.brokers.amqp import test_native, test_tls, test_update_secret
from tests.brokers.recovery import test_rabbitmq

CASES: Final[dict[ModuleType, tuple[str, ...]]] = {
    test_native: ("RabbitMQTests",),
    test_rabbitmq: ("ProxyTests",),
    test_tls: ("TrustTests",),
    test_update_secret: ("SessionTests",),
}
