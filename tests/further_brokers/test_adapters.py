"""
The contract on RabbitMQ 4, over the adapted libraries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.contract import suite as contract_suite
from tests.contract.capabilities import PIKA, TXAMQP
from tests.further_brokers import roots
from tests.further_brokers.test_suites import (
    Contracting,
    limit_of_each,
    limit_of_each_first,
)
from txkombu.interfaces import IBrokerTransport
from txkombu.transport.amqp.adapters.pika import PikaTransport
from txkombu.transport.amqp.adapters.txamqp import TxAMQPTransport
from txkombu.url import parse_url

TRANSPORTS: dict[str, Callable[[], IBrokerTransport]] = {
    "Pika": PikaTransport,
    "TxAMQP": TxAMQPTransport,
}
ABILITIES = {"Pika": PIKA, "TxAMQP": TXAMQP}


class Adapted(Contracting):
    """Connects to the RabbitMQ of a suite with another scheme."""

    adapter: str

    def setUp(self) -> None:
        super().setUp()
        self.transport = TRANSPORTS[self.adapter]()
        url = roots.rabbitmq_of(self.suite).url
        self.parameters = parse_url(url.replace("amqp", self.adapter.lower(), 1))


for suite in roots.SUITES:
    for adapter, abilities in ABILITIES.items():
        told = {"suite": suite, "adapter": adapter, "abilities": abilities}
        name = suite.title() + adapter
        broker = type(name, (Adapted,), {**told, "__module__": __name__})
        cases: dict[str, Any] = contract_suite.cases(broker, __name__)
        if suite == "sid":
            broadened: Any = cases[f"{name}ConsumeTests"]
            broadened.test_qos_of_channel = limit_of_each
            broadened.test_qos_of_channel_first = limit_of_each_first
        globals().update(cases)
del broadened, broker, cases
