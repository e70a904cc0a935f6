"""
The failure policies on a real RabbitMQ, over each transport.
"""

from __future__ import annotations

from tests.brokers.conformance.test_pika import Pika
from tests.brokers.conformance.test_rabbitmq import RabbitMQ
from tests.brokers.conformance.test_txamqp import TxAMQP
from tests.brokers.stomp import harness
from tests.conformance import failure_policies
from tests.conformance import suite as conformance_suite


class StompRabbitMQ(harness.ConformingOnRabbitMQ):
    """Connects to the RabbitMQ of this run over STOMP."""


class StompActiveMQ(harness.ConformingOnActiveMQ):
    """Connects to the ActiveMQ of this run."""


for _setup in (RabbitMQ, TxAMQP, Pika, StompRabbitMQ, StompActiveMQ):
    globals().update(
        conformance_suite.cases(
            _setup, __name__, wanted=(failure_policies.FailurePolicies,)
        )
    )
