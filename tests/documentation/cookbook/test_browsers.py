"""server-sent-events.rst, with clients that read, and one that does not."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from tests.documentation.cookbook.recipe import BROKER, RecipeCase
from txkombu import BrokerConnection, Producer


class Client(Protocol):
    """Ask for events, and keep what comes."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.lost = False

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"GET /events HTTP/1.1\r\nHost: here\r\n\r\n")

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def was_told(self, event: bytes) -> bool:
        """Tell whether an event has come."""
        return event in self.received

    def has(self, size: int) -> bool:
        """Tell whether so many bytes have come."""
        return len(self.received) > size

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True


class EventsTests(RecipeCase):
    """server-sent-events.rst"""

    page = "server-sent-events.rst"

    async def asked(self, address: str) -> Client:
        """Connect a client, and wait for its greeting."""
        endpoint = clientFromString(reactor, address.replace("http://", "tcp:"))
        client: Client = await connectProtocol(endpoint, Client())
        await self.until(lambda: b": welcome\n\n" in client.received, "it was greeted")
        self.assertIn(b"text/event-stream", client.received)
        return client

    async def test_events(self) -> None:
        """All that read get what is published; one that does not is cut off."""
        address = self.listen()
        shown = self.run_tac("events.tac")
        self.assertEqual(shown["BEHIND"], 100)
        shown["BEHIND"] = 3
        self.start(shown["consumers"])
        self.start(shown["web"])
        await shown["consumers"].when_started()
        code, page, _ = await self.request("GET", f"{address}/")
        self.assertEqual(code, 200)
        self.assertIn("EventSource", page)
        readers = [await self.asked(address) for _ in range(2)]
        lazy = await self.asked(address)
        transport: Any = lazy.transport
        async with BrokerConnection(BROKER) as connection:
            producer = Producer(connection, "news", auto_declare=False)
            await producer.publish({"text": "It rains."})
            event = b'data: {"text": "It rains."}\n\n'
            for each in readers:
                await self.until(partial(each.was_told, event), "it was told")
            transport.pauseProducing()
            long = {"text": "x" * 300_000}
            sent = 0
            while len(shown["events"].browsers) == 3:
                self.assertLess(sent, 30_000_000)
                await producer.publish(long)
                sent += 300_000
                for each in readers:
                    await self.until(partial(each.has, sent), "the reader has it")
        transport.resumeProducing()
        await self.until(lambda: lazy.lost, "it was cut off")
        self.assertEqual([each.lost for each in readers], [False, False])
        for each in readers:
            assert each.transport is not None
            each.transport.loseConnection()
        await self.until(lambda: not shown["events"].browsers, "all had left")
