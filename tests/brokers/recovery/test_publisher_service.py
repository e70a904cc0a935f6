"""PublisherService on RabbitMQ, over each transport for AMQP: starting and stopping."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from tests.conformance.suite import Conformance, program
from tests.contract.harness import Probe
from tests.support.fault_proxy import FaultProxy
from tests.support.rabbitmq import HOST, rabbitmq
from txkombu import Consumer, Message
from txkombu.core.channel import Channel
from txkombu.exceptions import ConnectError, ConnectionClosed, OutcomeUnknown
from txkombu.service import ConsumerService, PublisherService

COUNT = 500
"""How many messages are under way at the stop."""


class ServiceTests(Conformance):
    """
    Over the native transport.

    @cvar scheme: of the URL.
    """

    scheme = "amqp"

    def setUp(self) -> None:
        self.url = rabbitmq().url
        super().setUp()
        self.proxy = FaultProxy(reactor, rabbitmq().amqp_port)
        self.addCleanup(self.proxy.stop)
        self.services: list[PublisherService] = []
        self.target = self.queue()

    async def clean_up(self) -> None:
        self.proxy.thaw()
        for service in self.services:
            await service.stopService()
        await super().clean_up()

    def service(self, **options: Any) -> PublisherService:
        """Make a service behind the proxy."""
        url = f"{self.scheme}://guest:guest@{HOST}:{self.proxy.port}"
        service = PublisherService(url, reactor=self.clock, **options)
        self.services.append(service)
        return service

    def publish(
        self, service: PublisherService, number: int, **options: Any
    ) -> Deferred[None]:
        """Publish a number."""
        declare = [self.target]
        return service.publish(number, self.target.name, declare=declare, **options)

    @program
    async def test_waits_for_the_broker(self) -> None:
        """It finds a broker that comes later; what was published meanwhile is there."""
        self.proxy.refusing = True
        service = self.service()
        early = self.publish(service, 0)
        service.startService()
        sent = [early, *(self.publish(service, number) for number in range(1, 10))]
        while service.last_error is None:
            await self.pause(0.02)
        self.assertIsInstance(service.last_error, ConnectError)
        self.proxy.refusing = False
        await service.when_started()
        await gatherResults(sent)
        self.assertTrue(service.connected)
        self.assertIsNone(service.last_error)
        self.assertEqual(await self.drained(self.target), list(range(10)))

    @program
    async def test_drains(self) -> None:
        """All that is under way at the stop is confirmed, and nothing else is sent."""
        service = self.service()
        service.startService()
        await self.publish(service, -1)
        self.proxy.to_client.delay = 0.2
        sent = [Probe(self.publish(service, number)) for number in range(COUNT)]
        stopping = [service.stopService(), service.stopService()]
        late = Probe(self.publish(service, COUNT))
        self.assertIsInstance(late.outcome, ConnectionClosed)
        await gatherResults(stopping)
        self.assertEqual({each.outcome for each in sent}, {None})
        self.assertFalse(service.connected)
        self.assertEqual(await self.drained(self.target), list(range(-1, COUNT)))

    @program
    async def test_cut_while_it_stops(self) -> None:
        """What may be sent again is confirmed on another connection, before the end."""
        service = self.service()
        service.startService()
        await self.publish(service, -1)
        self.proxy.freeze(self.proxy.to_client)
        sent = [
            Probe(self.publish(service, number, retry=True)) for number in range(COUNT)
        ]
        stopping = service.stopService()
        await self.pause(0.2)
        self.proxy.cut()
        self.proxy.thaw()
        await stopping
        self.assertEqual({each.outcome for each in sent}, {None})
        self.assertEqual(self.proxy.accepted, 2)
        found = await self.drained(self.target)
        self.assertEqual(set(found), set(range(-1, COUNT)))

    @program
    async def test_frozen(self) -> None:
        """A broker that answers nothing holds it up no longer than its timeouts."""
        service = self.service(shutdown_timeout=1)
        service.startService()
        await self.publish(service, -1)
        self.proxy.freeze()
        sent = [Probe(self.publish(service, number)) for number in range(3)]
        began = self.clock.seconds()
        await service.stopService()
        self.assertLess(self.clock.seconds() - began, 13)
        for each in sent:
            self.assertIsInstance(each.outcome, OutcomeUnknown)

    @program
    async def test_handlers_publish(self) -> None:
        """
        A consumer service that is its child: each message that was handled has been
        published, though the stop came in between.
        """
        results = self.queue()
        errors: list[Exception] = []
        pause = self.pause

        class Relay(Consumer):
            queues = self.target
            prefetch_count = 50
            concurrency = 50

            async def receive(self, body: object, message: Message) -> None:
                await pause(0.1)
                try:
                    await service.publish(body, results.name)
                except Exception as error:
                    errors.append(error)
                    raise
                await message.ack()

        def relay(channel: Channel) -> Relay:
            return Relay(channel)

        service = self.service()
        consumers = ConsumerService(self.connect(), relay)
        consumers.setServiceParent(service)
        await results(self.connection).declare()
        service.startService()
        await consumers.when_started()
        await gatherResults([self.publish(service, each) for each in range(COUNT)])
        self.proxy.to_client.delay = 0.1
        await self.pause(0.25)
        await service.stopService()
        done = await self.drained(results)
        left = await self.drained(self.target)
        self.assertCountEqual([*done, *left], range(COUNT))
        self.assertGreater(len(left), 0)
        self.assertEqual(errors, [])


class TxAMQPTests(ServiceTests):
    """Over txAMQP's client."""

    scheme = "txamqp"


class PikaTests(ServiceTests):
    """Over pika's client."""

    scheme = "pika"
