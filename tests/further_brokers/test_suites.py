"""
The conformance suite and the contract on RabbitMQ 4.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from tests.conformance import failure_policies
from tests.conformance import suite as conformance_suite
from tests.conformance.suite import Conformance, program
from tests.contract import suite as contract_suite
from tests.contract.harness import Harness, Inbox, consume
from tests.further_brokers import roots
from txkombu.entity import Queue
from txkombu.exceptions import InternalError, PreconditionFailed
from txkombu.interfaces import IBrokerTransport, ISessionChannel
from txkombu.transport.amqp.native import AmqpTransport
from txkombu.url import parse_url
from txkombu.url.parameters import Parameters


class Conforming:
    """Connects to the RabbitMQ of a suite."""

    suite: str
    url: str

    def setUp(self) -> None:
        self.url = roots.rabbitmq_of(self.suite).url
        super().setUp()  # type: ignore[misc]  # a method of the case


class Contracting:
    """Connects the contract's tests to the RabbitMQ of a suite."""

    suite: str
    transport: IBrokerTransport
    parameters: Parameters
    unknown_type = PreconditionFailed  # only the channel ends, unlike on 3.10
    ends_session = InternalError

    def setUp(self) -> None:
        self.transport = AmqpTransport()
        self.parameters = parse_url(roots.rabbitmq_of(self.suite).url)
        self.clock: Any = reactor

    def ask_for_the_end(self, channel: ISessionChannel) -> Deferred[Any]:
        """Ask for a queue of a kind that this broker denies."""
        queue = Queue(f"denied-{id(channel)}", durable=False)
        return channel.queue_declare(queue, False)


async def limit_of_each(self: Harness) -> None:
    """
    Check that a channel's limit applies to each of its consumers.

    From RabbitMQ 4.3 on, the limit for all consumers together (the deprecated feature
    global_qos) is denied, and the broker does not report that.
    """
    channel = await self.channel()
    await self.done(channel.basic_qos(1))
    inbox = Inbox()
    for tag in ("one", "two"):
        queue = await self.queue(channel)
        await self.put(channel, queue, b"1", b"2")
        await consume(channel, queue, tag, inbox, prefetch_count=0)
    got = await inbox.first(2)
    self.assertEqual({each.consumer_tag for each in got}, {"one", "two"})
    self.assertEqual(await self.ready(channel, queue), 1)


async def limit_of_each_first(self: Harness) -> None:
    """
    Check that a limit that the channel had first applies to each of its consumers,
    instead of higher prefetch counts.
    """
    channel = await self.channel()
    await self.done(channel.basic_qos(4))
    queues = [await self.queue(channel) for _ in range(3)]
    inbox = Inbox()
    for queue, count in zip(queues, (7, 100, 0), strict=True):
        await self.put(channel, queue, *(b"%d" % number for number in range(9)))
        await consume(channel, queue, queue.name, inbox, prefetch_count=count)
    await inbox.first(12)
    left = [await self.ready(channel, queue) for queue in queues]
    self.assertEqual(left, [5, 5, 5])


class Version(Conforming, Conformance):
    """The version of the RabbitMQ."""

    @program
    async def test_version(self) -> None:
        """The broker has the intended version."""
        session = await self.connection.core.when_up()
        self.assertEqual(session.version, roots.version(self.suite))


_CASES = (*conformance_suite.CASES, failure_policies.FailurePolicies)

for suite in roots.SUITES:
    told = {"suite": suite, "__module__": __name__}
    name = suite.title()
    setup = type(name, (Conforming,), told)
    globals().update(conformance_suite.cases(setup, __name__, _CASES))
    cases = contract_suite.cases(type(name, (Contracting,), told), __name__)
    globals().update(cases)
    globals()[f"{name}VersionTests"] = type(f"{name}VersionTests", (Version,), told)
broadened: Any = cases["SidConsumeTests"]
broadened.test_qos_of_channel = limit_of_each
broadened.test_qos_of_channel_first = limit_of_each_first
del Version, Conformance, broadened, cases, setup
