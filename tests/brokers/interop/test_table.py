"""
AMQP and STOMP meet on RabbitMQ: what one publishes, the other reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from tests.brokers.interop import table
from tests.brokers.interop.meeting import MeetingTests
from tests.brokers.interop.table import (
    BODIES,
    HEADERS,
    PROPERTIES,
    SEEN_BY_AMQP,
    Fate,
    Row,
)
from tests.conformance.suite import program
from txkombu import BrokerConnection, Message, Producer
from txkombu.exceptions import DecodeError

ACCEPTED = ["json", "yaml", "msgpack", "pickle"]
USUAL = {"content_type", "content_encoding", "delivery_mode", "priority", "headers"}
MISSING = object()


class DocsTests(SynchronousTestCase):
    """The page about STOMP."""

    def test_table(self) -> None:
        """The page has the table that these tests go by."""
        self.assertEqual(table.written(), table.table())


class TableTests(MeetingTests):
    """
    Every sample of the table, published by one and read by the other.
    """

    async def carry(self, fates: str, published: list[dict[str, Any]]) -> list[Message]:
        """
        Publish messages in one direction of the table.

        @return: what came.
        """
        source, target = self.ways[fates]
        queue = self.queue()
        await queue(source).declare()
        producer = Producer(source)
        for options in published:
            await producer.publish(routing_key=queue.name, **options)
        return [await self.get(target, queue, ACCEPTED) for _ in published]

    @property
    def ways(self) -> Mapping[str, tuple[BrokerConnection, BrokerConnection]]:
        """Who publishes and who reads, by the table's columns."""
        return {
            "to_stomp": (self.amqp, self.stomp),
            "to_amqp": (self.stomp, self.amqp),
            "by_stomp": (self.stomp, self.stomp),
        }

    async def check_bodies(self, fates: str) -> None:
        """Check the table's first part."""
        samples = [sample for row in BODIES for sample in row.samples]
        published = [{"body": body, **options} for body, options in cast(Any, samples)]
        for options, message in zip(
            published, await self.carry(fates, published), strict=True
        ):
            self.assertEqual(message.payload, options["body"])
            self.assertIs(type(message.payload), type(options["body"]))

    async def check_properties(self, fates: str) -> None:
        """Check the table's second part."""
        for name, row in PROPERTIES.items():
            property = "delivery_mode" if name == "transient" else name
            published = [
                {"body": b"x", **published_by(property, each)} for each in row.samples
            ]
            messages = await self.carry(fates, published)
            for sample, message in zip(row.samples, messages, strict=True):
                found = message.properties.get(property, MISSING)
                fate = getattr(row, fates)
                self.assertEqual(found, arrived(fate, sample), row)
                self.assertLessEqual(message.properties.keys(), {*USUAL, property})
                if fate is Fate.HEADER:
                    self.assertEqual(message.headers["cluster-id"], sample)

    async def check_headers(self, fates: str) -> None:
        """Check the table's third part."""
        for row in HEADERS:
            published = [
                {"body": b"x", "headers": {"sample": each, "other": "o"}}
                for each in row.samples
            ]
            messages = await self.carry(fates, published)
            for sample, message in zip(row.samples, messages, strict=True):
                self.check_header(fates, row, sample, message)

    def check_header(
        self, fates: str, row: Row, sample: object, message: Message
    ) -> None:
        """Look at what became of one header."""
        fate = getattr(row, fates)
        if fate is Fate.UNREADABLE:
            with self.assertRaises(DecodeError):
                _ = message.headers
            return
        headers = dict(message.headers)
        found = headers.pop("sample", MISSING)
        self.assertEqual(found, arrived(fate, sample), row)
        self.assertIs(type(found), type(arrived(fate, sample)))
        self.assertEqual(headers.pop("other"), "o")
        self.assertLessEqual(
            headers.keys(), SEEN_BY_AMQP if fates == "to_amqp" else set()
        )

    @program
    async def test_bodies_to_stomp(self) -> None:
        """A consumer by STOMP has every body of a producer by AMQP."""
        await self.check_bodies("to_stomp")

    @program
    async def test_bodies_to_amqp(self) -> None:
        """A consumer by AMQP has every body of a producer by STOMP."""
        await self.check_bodies("to_amqp")

    @program
    async def test_bodies_by_stomp(self) -> None:
        """A consumer by STOMP has every body of a producer by STOMP."""
        await self.check_bodies("by_stomp")

    @program
    async def test_properties_to_stomp(self) -> None:
        """A consumer by STOMP has of an AMQP message's properties what is said."""
        await self.check_properties("to_stomp")

    @program
    async def test_properties_to_amqp(self) -> None:
        """A consumer by AMQP has of a STOMP message's properties what is said."""
        await self.check_properties("to_amqp")

    @program
    async def test_properties_by_stomp(self) -> None:
        """With STOMP on both sides properties are what they were."""
        await self.check_properties("by_stomp")

    @program
    async def test_headers_to_stomp(self) -> None:
        """A consumer by STOMP has of an AMQP message's headers what is said."""
        await self.check_headers("to_stomp")

    @program
    async def test_headers_to_amqp(self) -> None:
        """A consumer by AMQP has of a STOMP message's headers what is said."""
        await self.check_headers("to_amqp")

    @program
    async def test_headers_by_stomp(self) -> None:
        """With STOMP on both sides headers are what they were, of any type."""
        await self.check_headers("by_stomp")


def published_by(property: str, value: object) -> dict[str, object]:
    """The option of publish that sets a property."""
    if property == "expiration":
        return {property: int(cast(str, value)) / 1000}
    return {property: value}


def arrived(fate: Fate, value: object) -> object:
    """What a sample is at the other end."""
    if fate is Fate.SAME:
        return value
    if fate is Fate.TEXT:
        return value.decode() if isinstance(value, bytes) else str(value)
    return MISSING
