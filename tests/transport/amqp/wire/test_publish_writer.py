"""
What is written and read directly, not by pamqp's definitions.
"""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pamqp import body, commands, header
from pamqp.frame import marshal
from twisted.trial.unittest import SynchronousTestCase

from txkombu.exceptions import DecodeError, ProtocolError
from txkombu.interfaces import Delivery
from txkombu.transport.amqp.wire.ack_frames import (
    ack_frame,
    nack_frame,
    read_ack,
    reject_frame,
)
from txkombu.transport.amqp.wire.content import Content
from txkombu.transport.amqp.wire.delivery_reader import delivery_of
from txkombu.transport.amqp.wire.frames import BODY, HEADER, METHOD
from txkombu.transport.amqp.wire.methods import decode_method
from txkombu.transport.amqp.wire.parser import DELIVERY, AmqpFrameParser
from txkombu.transport.amqp.wire.publish_writer import PublishWriter

Basic = commands.Basic

COMMON: dict[str, object] = {
    "content_type": "application/json",
    "content_encoding": "utf-8",
    "headers": {},
    "delivery_mode": 2,
    "priority": 0,
}


def _by_pamqp(
    number: int,
    content: bytes,
    properties: dict[str, Any],
    exchange: str,
    routing_key: str,
    mandatory: bool,
) -> bytes:
    """A publish as pamqp writes it, with its body in one frame."""
    frames: list[Any] = [
        Basic.Publish(0, exchange, routing_key, mandatory),
        header.ContentHeader(0, len(content), Basic.Properties(**properties)),
    ]
    if content:
        frames.append(body.ContentBody(content))
    return b"".join(marshal(frame, number) for frame in frames)


_names = st.text("abc.-", max_size=20)
_properties = st.fixed_dictionaries(
    {},
    optional={
        "content_type": st.sampled_from(["a/b", "application/json"]),
        "content_encoding": st.sampled_from(["utf-8", "binary"]),
        "headers": st.sampled_from([{}, {}, {"a": "b"}, {"t": True}]),
        "delivery_mode": st.sampled_from([1, 2]),
        "priority": st.integers(0, 255),
        "message_id": st.sampled_from(["m", "n"]),
    },
)


class PublishWriterTests(SynchronousTestCase):
    """The frames of a publish."""

    @given(
        st.lists(
            st.tuples(
                st.binary(max_size=50), _properties, _names, _names, st.booleans()
            ),
            max_size=20,
        )
    )
    def test_as_pamqp(self, publishes: list[Any]) -> None:
        """Whatever was published before, a publish is written as pamqp does."""
        writer = PublishWriter(7, 131072)
        for publish in publishes * 2:
            self.assertEqual(writer.frames(*publish), _by_pamqp(7, *publish))

    def test_sizes(self) -> None:
        """Bodies of every size arrive whole, in frames that are not too large."""
        for size in (0, 1, 4087, 4088, 4089, 8176, 8177, 3 * 2**20):
            writer = PublishWriter(1, 4096)
            frames = writer.frames(b"x" * size, COMMON, "e", "k", False)
            parser = AmqpFrameParser()
            parser.limit_frames(4096)
            bodies = [
                payload for kind, _, payload in parser.feed(frames) if kind == BODY
            ]
            self.assertEqual(b"".join(bodies), b"x" * size)

    def test_no_limit(self) -> None:
        """Without a limit a body is one frame."""
        frames = PublishWriter(1, 0).frames(b"x" * 10**6, COMMON, "", "k", False)
        parser = AmqpFrameParser()
        parser.limit_frames(0)
        self.assertEqual(len(list(parser.feed(frames))), 3)

    def test_impossible(self) -> None:
        """What cannot be written is an error that names it, each time."""
        writer = PublishWriter(1, 4096)
        long: dict[str, object] = {"headers": {"a": "x" * 5000}}
        listed: dict[str, object] = {**COMMON, "content_type": ["a/b"]}
        cases: list[tuple[dict[str, object], str, str, str]] = [
            (long, "e", "k", "the properties take a frame of 50.. bytes, at most 4096"),
            (listed, "e", "k", "property content_type: "),
            (COMMON, "e" * 256, "k", r"Basic.Publish.exchange: 256 bytes"),
            (COMMON, "e", "ü" * 128, r"Basic.Publish.routing_key: 256 bytes"),
            (COMMON, "e", "\ud800", r"Basic.Publish.routing_key: "),
        ]
        for properties, exchange, routing_key, text in cases * 2:
            with self.assertRaisesRegex((TypeError, ValueError), text):
                writer.frames(b"", properties, exchange, routing_key, False)

    def test_many(self) -> None:
        """However many routing keys there are, few are remembered."""
        writer = PublishWriter(1, 4096)
        for number in range(2000):
            kind = {**COMMON, "content_type": f"{number}"}
            publish: Any = (b"b", kind, "e", str(number), False)
            self.assertEqual(writer.frames(*publish), _by_pamqp(1, *publish))
        self.assertLessEqual(len(writer._methods), 500)
        self.assertLessEqual(len(writer._headers), 500)


class SettlementTests(SynchronousTestCase):
    """The frames of acks, nacks and rejects."""

    def test_as_pamqp(self) -> None:
        """They are as pamqp writes them."""
        for tag in (0, 7, 2**62):
            for first in (False, True):
                ack = marshal(Basic.Ack(tag, first), 3)
                self.assertEqual(ack_frame(3, tag, first), ack)
                reject = marshal(Basic.Reject(tag, first), 3)
                self.assertEqual(reject_frame(3, tag, first), reject)
                for second in (False, True):
                    nack = marshal(Basic.Nack(tag, first, second), 3)
                    self.assertEqual(nack_frame(3, tag, first, second), nack)

    @given(st.integers(0, 2**64 - 1), st.integers(0, 255), st.binary(max_size=1))
    def test_read(self, tag: int, bits: int, more: bytes) -> None:
        """An ack is read as other methods are; all others are left to them."""
        begin = ack_frame(3, tag, False)[7:-2]
        ack = begin + bytes([bits])
        method: Any = decode_method(ack)
        self.assertEqual(read_ack(ack), (method.delivery_tag, method.multiple))
        others = (nack_frame(3, tag, True, True)[7:-1], begin, ack + b"x", more)
        for other in others:
            self.assertIsNone(read_ack(other))


def _delivery(
    consumer: str, exchange: str, routing_key: str, content: bytes, properties: Any
) -> bytes:
    frames: list[Any] = [
        Basic.Deliver(consumer, 2**40, True, exchange, routing_key),
        header.ContentHeader(0, len(content), Basic.Properties(**properties)),
    ]
    if content:
        frames.append(body.ContentBody(content))
    return b"".join(marshal(frame, 5) for frame in frames)


def _said(delivery: Delivery) -> tuple[object, ...]:
    return (
        delivery.tag,
        delivery.consumer_tag,
        delivery.redelivered,
        delivery.exchange,
        delivery.routing_key,
        delivery.body,
        delivery.properties,
    )


def _by_frames(stream: bytes, size: int) -> list[Delivery]:
    """The deliveries of a stream that comes in pieces."""
    parser = AmqpFrameParser()
    found: list[Delivery] = []
    content: Content | None = None
    for start in range(0, len(stream), size):
        for kind, number, payload in parser.feed(stream[start : start + size]):
            assert number == 5
            if kind == DELIVERY:
                assert content is None
                found.append(payload)
            elif kind == METHOD:
                content = Content(decode_method(payload))
            else:
                assert content is not None
                take = content.take_header if kind == HEADER else content.take_body
                if take(payload):
                    found.append(delivery_of(content))
                    content = None
    return found


_deliveries = st.lists(
    st.tuples(
        st.text(min_size=1, max_size=5),
        st.text(max_size=5),
        st.text(max_size=5),
        st.binary(max_size=50),
        _properties,
    ),
    max_size=8,
)


def _all_read(parser: AmqpFrameParser, pieces: list[bytes]) -> list[object]:
    """Return what is read, and the error that ends it."""
    found: list[object] = []
    try:
        for piece in pieces:
            for kind, number, payload in parser.feed(piece):
                found.append((kind, number, _shown(payload)))
    except ProtocolError as error:
        found.append(str(error))
    return found


def _shown(payload: Any) -> object:
    if not isinstance(payload, Delivery):
        return payload
    try:
        properties: object = payload.properties
    except DecodeError as error:
        properties = str(error)
    return [getattr(payload, name) for name in _SHOWN] + [properties]


_SHOWN = ("tag", "consumer_tag", "redelivered", "exchange", "routing_key", "body")


class DeliveryReaderTests(SynchronousTestCase):
    """Deliveries that arrive whole, or in pieces."""

    @given(_deliveries, st.integers(1, 200))
    def test_any_pieces(self, given: list[Any], size: int) -> None:
        """A delivery is the same, however the stream is cut."""
        given = [
            (tag, "e", "k", *rest) for tag, _, _, *rest in given if tag.isascii()
        ] + [("t", "e", "k", b"", {})]
        stream = b"".join(_delivery(*each) for each in given)
        meant = [
            (2**40, tag, True, exchange, routing_key, content, properties)
            for tag, exchange, routing_key, content, properties in given
        ]
        for pieces in (size, len(stream)):
            found = [_said(each) for each in _by_frames(stream, pieces)]
            self.assertEqual(found, meant)

    def test_whole(self) -> None:
        """One that is all there is read in one go."""
        parser = AmqpFrameParser()
        for content in (b"", b"x", b"x" * 131064):
            stream = _delivery("t", "e", "k", content, COMMON) * 2
            kinds = [kind for kind, _, _ in parser.feed(stream)]
            self.assertEqual(kinds, [DELIVERY, DELIVERY])

    @given(_deliveries, st.data())
    def test_damaged(self, given: list[Any], data: st.DataObject) -> None:
        """Whatever a peer sends is read, or refused as breaking the protocol."""
        stream = bytearray(
            b"".join(
                _delivery("t", "e", "k", content, properties)
                for *_, content, properties in [*given, (b"b", {})]
            )
        )
        for _ in range(data.draw(st.integers(1, 3))):
            stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(
                st.integers(0, 255)
            )
        parser = AmqpFrameParser()
        with contextlib.suppress(ProtocolError):
            for kind, _, payload in parser.feed(bytes(stream)):
                if kind == DELIVERY:
                    self.assertIsInstance(payload.body, bytes)

    @given(
        st.binary(max_size=30),
        st.lists(st.tuples(st.integers(0, 150), st.integers(0, 255)), max_size=2),
        st.integers(0, 200),
        st.integers(1, 2**40),
        st.booleans(),
    )
    def test_like_the_one_before(
        self,
        content: bytes,
        damages: list[tuple[int, int]],
        cut: int,
        tag: int,
        again: bool,
    ) -> None:
        """One that is nearly as the one before is read as if that had not been."""
        method = marshal(Basic.Deliver("t", tag, again, "e", "k"), 5)
        stream = bytearray(
            method + _delivery("t", "e", "k", content, COMMON)[len(method) :]
        )
        for at, value in damages:
            stream[at % len(stream)] = value
        rest = _delivery("u", "f", "l", b"rest", {})
        read = []
        for before in (b"", _delivery("t", "e", "k", b"before", COMMON)):
            parser = AmqpFrameParser()
            list(parser.feed(before))
            read.append(_all_read(parser, [bytes(stream[:cut]), bytes(stream[cut:])]))
            read[-1] += _all_read(parser, [rest])
        self.assertEqual(read[0], read[1])

    def test_begins_with_nothing(self) -> None:
        """What begins as no frame does is refused also before the first delivery."""
        size = (1).to_bytes(8, "big")
        stream = bytes(10) + size + size[4:] + b"x\xce"
        with self.assertRaises(ProtocolError):
            list(AmqpFrameParser().feed(stream + bytes(100)))

    def test_not_in_one_go(self) -> None:
        """One that is not as it should be is left to those who say why."""
        good = _delivery("t", "e", "k", b"body", {})
        method = marshal(Basic.Deliver("t", 1, False, "e", "k"), 5)
        bad = [
            good.replace(b"\x01t\x00", b"\xfft\x00"),
            good.replace(b"\x01e\x01k", b"\x01e\x02k"),
            good.replace(b"\x01e\x01k", b"\x01e\x00k"),
            good.replace(b"\x01e\x01k", b"\x01\xff\x01k"),
            good.replace(b"\x00\x00\x00\x04body", b"\x00\x00\x00\x03body"),
            good.replace(b"\x00\x3c\x00\x00", b"\x00\x3d\x00\x00"),
            good[:-1] + b"\x00",
            method + marshal(body.ContentBody(b"x" * 30), 5),
            method + marshal(header.ContentHeader(0, 1), 6) + b"x" * 30,
            method + b"\x02\x00\x05\x00\x00\x00\x0c" + b"\x00\x3c" + b"x" * 30,
            method,
            good[:-5],
        ]
        for stream in bad:
            self.assertNotEqual(stream, good)
            kinds = []
            with contextlib.suppress(ProtocolError):
                for kind, _, _ in AmqpFrameParser().feed(stream):
                    kinds.append(kind)
            self.assertEqual(kinds[0], METHOD, stream)
