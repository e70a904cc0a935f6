"""
A virtual host of RabbitMQ that has room for one connection only.
"""

from __future__ import annotations

from uuid import uuid4

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import TestCase

from tests.support.rabbitmq import rabbitmq
from txkombu import BrokerConnection, Consumer, Queue
from txkombu.exceptions import AuthenticationFailed, ConnectError
from txkombu.policy import ReconnectPolicy
from txkombu.service import ConsumerService

_LIMIT = (
    'ok = rabbit_vhost_limit:parse_set(<<"{}">>, '
    '<<"{{\\"max-connections\\": 1}}">>, <<"tests">>)'
)


class Quiet(Consumer):
    """Receives nothing."""

    queues = Queue("quiet")
    on_message = print


class ConnectionLimitTests(TestCase):
    """Connecting while that one connection is open."""

    timeout = 120

    async def test_waits_for_room(self) -> None:
        """
        The error is no AuthenticationFailed, and attempts succeed once there is room.
        """
        broker = rabbitmq()
        name = f"small-{uuid4().hex[:8]}"
        await deferToThread(broker.add_vhost, name)
        self.addCleanup(deferToThread, broker.delete_vhost, name)
        await deferToThread(broker.evaluate, _LIMIT.format(name))
        soon = ReconnectPolicy(first=0.1, max=1)
        for scheme in ("amqp", "txamqp", "pika"):
            url = broker.url.replace("amqp", scheme, 1) + f"/{name}"
            first = BrokerConnection(url)
            await first.connect()
            service = ConsumerService(BrokerConnection(url, reconnect=soon), Quiet)
            with capturedLogs() as events:
                service.startService()
                while service.last_error is None:
                    await deferLater(reactor, 0.05)
            error = service.last_error
            self.assertIn("connection limit (1) is reached", str(error))
            self.assertIsInstance(error, ConnectError)
            self.assertNotIsInstance(error, AuthenticationFailed)
            levels = {event["log_level"] for event in events}
            self.assertNotIn(LogLevel.critical, levels)
            await first.close()
            await service.when_started()
            await service.stopService()
