"""The brokers of the runs, and the transports."""

from __future__ import annotations

from functools import partial
from typing import Final

from tests.soak.client import Target
from tests.support.activemq import ActiveMQ
from tests.support.rabbitmq import RabbitMQ

TRANSPORTS: Final = ("amqp", "txamqp", "pika", "stomp", "stomp-activemq")
"""What a run may use; all but the last one with RabbitMQ."""


def on_rabbitmq(node: RabbitMQ, scheme: str) -> Target:
    """Return how a transport reaches a RabbitMQ."""
    port = node.stomp_port if scheme == "stomp" else node.amqp_port
    # RabbitMQ 3.10 has a queue for seconds before it is on the disk, and confirms
    # messages in it; then a kill loses both.
    sync = partial(node.evaluate, "mnesia:sync_log()")
    return Target(f"{scheme} on RabbitMQ", node, scheme, port, sync)


def target(transport: str) -> Target:
    """Start a broker, and return how this transport reaches it."""
    if transport == "stomp-activemq":
        activemq = ActiveMQ()
        activemq.start()
        return Target("stomp on ActiveMQ", activemq, "stomp", activemq.stomp_port)
    rabbitmq = RabbitMQ()
    rabbitmq.start()
    return on_rabbitmq(rabbitmq, transport)
