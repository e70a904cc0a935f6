"""
Request and reply on a real RabbitMQ, over each transport that speaks AMQP.
"""

from __future__ import annotations

from tests.conformance import suite as conformance_suite
from tests.contract.capabilities import AMQP, PIKA, TXAMQP
from tests.rpc.suite import CALLS
from tests.support import txamqp_peer
from tests.support.rabbitmq import rabbitmq


class Native:
    """Connects to the RabbitMQ of this run."""

    abilities = AMQP
    url: str

    def setUp(self) -> None:
        self.url = self.through(rabbitmq().url)
        super().setUp()  # type: ignore[misc]  # the case's

    def through(self, url: str) -> str:
        """Return the URL for the transport."""
        return url


class TxAMQP(Native):
    """The same, with txAMQP's client."""

    abilities = TXAMQP

    def through(self, url: str) -> str:
        return txamqp_peer.TXAMQP.through(url)


class Pika(Native):
    """The same, with pika."""

    abilities = PIKA

    def through(self, url: str) -> str:
        return url.replace("amqp", "pika", 1)


for _setup in (Native, TxAMQP, Pika):
    globals().update(conformance_suite.cases(_setup, __name__, CALLS))
