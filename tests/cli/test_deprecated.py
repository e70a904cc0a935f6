"""txkombu doctor, at a broker that permits nothing that RabbitMQ 4 deprecates."""

from __future__ import annotations

from typing import Any

from pamqp.frame import marshal
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from tests.support.amqp_peer import START, Basic, Channel, Connection, reply_to
from tests.support.commands import begin
from txkombu.transport.amqp.wire.frames import METHOD
from txkombu.transport.amqp.wire.methods import decode_method
from txkombu.transport.amqp.wire.parser import AmqpFrameParser

_REFUSAL = "INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated."


class Broker(Protocol):
    """
    One connection of such a broker.

    @ivar permits: whether it permits what is deprecated.
    """

    def __init__(self, permits: bool) -> None:
        self._permits = permits
        self._parser: AmqpFrameParser | None = None
        self._published = 0

    def dataReceived(self, data: bytes) -> None:
        """Answer what the client says."""
        if self._parser is None:
            self._parser = AmqpFrameParser()
            self._reply(0, START)
            return
        for kind, number, payload in self._parser.feed(data):
            if kind == METHOD:
                self._asked(number, decode_method(payload))

    def _asked(self, number: int, asked: Any) -> None:
        answer = reply_to(asked)
        if isinstance(asked, Connection.StartOk):
            answer = Connection.Tune(2047, 131072, 60)
        elif isinstance(asked, Connection.Open):
            answer = Connection.OpenOk()
        elif isinstance(asked, Channel.Open):
            self._published = 0
        elif isinstance(asked, Basic.Publish):
            self._published += 1
            answer = Basic.Ack(self._published)
        elif answer is not None and answer.name == "Queue.DeclareOk":
            is_transient = not (asked.durable or asked.exclusive or asked.passive)
            if is_transient and not self._permits:
                number = 0
                answer = Connection.Close(541, _REFUSAL, 50, 10)
            else:
                # What the limit of the channel leaves of two messages.
                answer.message_count = 1 if self._permits else 0
        if answer is not None:
            self._reply(number, answer)

    def _reply(self, number: int, method: Any) -> None:
        assert self.transport is not None
        self.transport.write(marshal(method, number))


class DeprecatedTests(TestCase):
    """The last line of the doctor."""

    async def last_line(self, permits: bool) -> str:
        """Run the doctor, for which all is well but what is deprecated."""
        from twisted.internet import reactor

        factory = Factory.forProtocol(lambda: Broker(permits))
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = await endpoint.listen(factory)
        self.addCleanup(port.stopListening)
        url = f"amqp://guest:guest@127.0.0.1:{port.getHost().port}"
        ran = begin(f"doctor {url}", None)
        self.assertEqual(await ran.code, 0, ran.out)
        return ran.out.decode().splitlines()[-1]

    async def test_refused(self) -> None:
        """What the broker refuses, or takes and ignores, is told with what to do."""
        self.assertEqual(
            await self.last_line(permits=False),
            "warning  deprecated features: the broker refuses transient queues that "
            "are not exclusive: declare durable, and has no prefetch for a whole "
            "channel: limit each consumer, without apply_global",
        )

    async def test_permitted(self) -> None:
        """A broker that permits all is well."""
        self.assertEqual(
            await self.last_line(permits=True),
            "ok       deprecated features: transient queues and a prefetch for a whole "
            "channel are permitted",
        )
