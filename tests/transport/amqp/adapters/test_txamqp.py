"""
The txAMQP transport, against a scripted peer: faults of txAMQP and pamqp are cured.
"""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from struct import pack
from typing import Any, cast
from warnings import catch_warnings, simplefilter

from pamqp import body, commands, header
from twisted.trial.unittest import SynchronousTestCase
from txamqp.protocol import AMQChannel, AMQClient

from tests.contract.harness import DEFAULT, Inbox, Probe, consume, publish
from tests.support.amqp_peer import START, Basic, Channel, Connection, content_header
from tests.support.paths import TREE
from tests.support.processes import run_python
from tests.support.txamqp_peer import TXAMQP
from txkombu.entity import Exchange, Queue
from txkombu.exceptions import (
    ConsumerCancelled,
    DecodeError,
    NotFound,
    ProtocolError,
    SessionLost,
)
from txkombu.interfaces import Delivery
from txkombu.transport.amqp.adapters.txamqp_spec import load, method_name
from txkombu.transport.amqp.wire.frames import BODY, HEADER, METHOD, frame
from txkombu.transport.amqp.wire.methods import decode_method
from txkombu.transport.amqp.wire.properties import decode_properties, encode_properties
from txkombu.transport.protocol import CLOSE_SECONDS
from txkombu.url import Parameters

QUEUE = Queue("q")
NAME = "\u043a\u043b\u044e\u0447 \u4e2d\U0001f407!"
"""Characters of one to four bytes, and some that pamqp lets no name have."""

TABLE: dict[str, object] = {
    "str": NAME,
    "bytes": b"\xff\x00",
    "int": -1,
    "small": 2**31 - 1,
    "long": 2**40,
    "negative": -(2**40),
    "double": 0.1,
    "true": True,
    "none": None,
    "decimal": Decimal("-1.10"),
    "time": datetime(2020, 2, 29, tzinfo=timezone.utc),
    "list": [1, "two", [None], {}],
    "table": {"k" * 200: {"deep": [2.5]}},
}
"""A value of each type that is sent."""

READ_ONLY = (
    (b"b\xff", -1),
    (b"B\xff", 255),
    (b"s\xff\xfe", -2),
    (b"u\xff\xfe", 65534),
    (b"i\xff\xff\xff\xff", 2**32 - 1),
    (b"L\xff\xff\xff\xff\xff\xff\xff\xff", -1),
    (b"f" + pack(">f", 0.75), 0.75),
    (b"x\x00\x00\x00\x02\x00\xff", b"\x00\xff"),
    (b"D\x02\xff\xff\xff\x92", Decimal("-1.10")),
    (b"T\x00\x00\x00\x03\xe4\xe6\xb0\x80", datetime(2500, 1, 1, tzinfo=timezone.utc)),
    (b"T" + b"\xff" * 8, 2**64 - 1),
)
"""Values that other peers send and we do not, and what they are."""


class Case(SynchronousTestCase):
    """A session with a channel, its peer played by hand."""

    def setUp(self) -> None:
        self.peer = TXAMQP.peer()
        self.peer.log_in(heartbeat=0)
        self.channel = self.peer.channel()
        self.inbox = Inbox()

    def tearDown(self) -> None:
        """Nothing may be left to do."""
        self.peer.lose()
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])

    def consume(self) -> None:
        """Start a consumer, tag and all."""
        started = Probe(consume(self.channel, QUEUE, "tag", self.inbox))
        self.peer.send(1, Basic.QosOk(), Basic.ConsumeOk("tag"))
        self.assertIsNone(started.outcome)
        self.peer.taken()

    def delivered(self, listed: bytes, *pieces: bytes) -> Delivery:
        """Deliver a message in these pieces, and return it."""
        self.consume()
        self.peer.send(1, Basic.Deliver("tag", 1, False, "", "q"))
        size = sum(map(len, pieces))
        frames = [frame(HEADER, 1, content_header(size, listed))]
        frames += [frame(BODY, 1, piece) for piece in pieces]
        self.peer.session.dataReceived(b"".join(frames))
        (delivery,) = self.inbox.journal.all("delivery")
        assert isinstance(delivery, Delivery)
        return delivery


class FaultsOfTxAMQPTests(Case):
    """Faults of txAMQP, a test for each."""

    def test_no_specification(self) -> None:
        """
        The specification that txAMQP's wheel lacks is there, with RabbitMQ's
        extensions.
        """
        session_channel = self.peer.session._client.channels[1]
        for kind in (
            commands.Queue.Declare,
            commands.Confirm.Select,
            Basic.Nack,
            commands.Exchange.Bind,
            Connection.Blocked,
            Connection.UpdateSecret,
        ):
            self.assertTrue(hasattr(session_channel, method_name(kind.name)), kind)
        self.assertIs(load(), load())

    def test_rabbitmqs_extensions(self) -> None:
        """Confirms, their nack, blocked, and a cancel by the broker are understood."""
        self.consume()
        taken = Probe(publish(self.channel, DEFAULT, "q"))
        self.peer.send(1, commands.Confirm.SelectOk(), Basic.Ack(1))
        self.assertIsNone(taken.outcome)
        self.peer.send(0, Connection.Blocked("no memory"), Connection.Unblocked())
        self.peer.send(1, Basic.Cancel("tag", False))
        (error,) = self.inbox.journal.all("cancelled")
        self.assertIsInstance(error, ConsumerCancelled)
        told = [("blocked", "no memory"), ("unblocked", None)]
        self.assertEqual(self.peer.journal.entries, told)

    def test_lengths_count_bytes(self) -> None:
        """The length of a string is that of its UTF-8, wherever the string stands."""
        Probe(self.channel.queue_bind(QUEUE, Exchange(NAME), NAME, {NAME: NAME}))
        publish(self.channel, Exchange(NAME), NAME, confirm=False, message_id=NAME)
        frames = self.peer.frames()
        (listed,) = [payload[12:] for kind, _, payload in frames if kind == HEADER]
        self.assertEqual(decode_properties(listed), {"message_id": NAME})
        methods: list[Any] = [decode_method(each[2]) for each in frames if each[0] == 1]
        bind, published = methods
        self.assertEqual((bind.exchange, bind.routing_key), (NAME, NAME))
        self.assertEqual(bind.arguments, {NAME: NAME})
        self.assertEqual((published.exchange, published.routing_key), (NAME, NAME))

    def test_tables_are_written(self) -> None:
        """Every type of value is sent in arguments and headers."""
        Probe(self.channel.queue_bind(QUEUE, Exchange("e"), "k", TABLE))
        publish(self.channel, DEFAULT, "q", confirm=False, headers=TABLE)
        frames = self.peer.frames()
        (listed,) = [payload[12:] for kind, _, payload in frames if kind == HEADER]
        self.assertEqual(decode_properties(listed)["headers"], TABLE)
        self.assertIn(listed[6:], frames[0][2])

    def test_tables_are_read(self) -> None:
        """Every type of value that we send is read."""
        written = encode_properties({"headers": TABLE})
        self.assertEqual(self.delivered(written).properties["headers"], TABLE)

    def test_rare_types_are_read(self) -> None:
        """Types that only others send are read."""
        for raw, value in READ_ONLY:
            table = b"\x01k" + raw
            listed = b"\x20\x00" + pack(">I", len(table)) + table
            delivery = self.delivered(listed)
            self.assertEqual(delivery.properties["headers"], {"k": value})
            (read,) = cast("dict[str, object]", delivery.properties["headers"]).values()
            self.assertIs(type(read), type(value))
            self.tearDown()
            self.setUp()

    def test_rare_types_in_arrays_and_tables(self) -> None:
        """These types are read in arrays and nested tables as well."""
        raw = b"".join(raw for raw, _ in READ_ONLY)
        array = b"A" + pack(">I", len(raw)) + raw
        inner = b"\x01a" + array
        table = b"\x01a" + array + b"\x01t" + b"F" + pack(">I", len(inner)) + inner
        delivery = self.delivered(b"\x20\x00" + pack(">I", len(table)) + table)
        values = [value for _, value in READ_ONLY]
        expected = {"a": values, "t": {"a": values}}
        self.assertEqual(delivery.properties["headers"], expected)

    def test_unreadable_table(self) -> None:
        """A table that cannot be read costs its message, not the connection."""
        delivery = self.delivered(b"\x20\x00\x00\x00\x00\x03\x01kZ")
        with self.assertRaisesRegex(DecodeError, "unknown type b'Z'"):
            delivery.properties.get("headers")
        self.assertEqual(self.peer.journal.entries, [])

    def test_bodies_stay_bytes(self) -> None:
        """A body that happens to be UTF-8 stays bytes, and so does any other."""
        self.assertEqual(self.delivered(b"\0\0", NAME.encode()).body, NAME.encode())

    def test_no_body(self) -> None:
        """An empty body is bytes."""
        self.assertEqual(self.delivered(b"\0\0").body, b"")

    def test_body_of_several_frames(self) -> None:
        """
        A body of several frames, of which some are UTF-8, is put together as bytes.
        """
        pieces = (b"text", b"\xff\xfe", NAME.encode()[:1], NAME.encode()[1:])
        self.assertEqual(self.delivered(b"\0\0", *pieces).body, b"".join(pieces))

    def test_several_frames_are_sent(self) -> None:
        """A large body is cut into frames of the size agreed on."""
        content = NAME.encode() * 20_000
        publish(self.channel, DEFAULT, "q", content, confirm=False)
        pieces = [payload for kind, _, payload in self.peer.frames() if kind == BODY]
        self.assertEqual(b"".join(pieces), content)
        self.assertEqual({len(piece) for piece in pieces[:-1]}, {131072 - 8})

    def test_heartbeat(self) -> None:
        """The broker's heartbeat counts when it is shorter, and is sent."""
        peer = TXAMQP.peer(Parameters(heartbeat=60))
        peer.connect()
        peer.send(0, START, Connection.Tune(0, 131072, 10))
        tune_ok = next(m for _, m in peer.taken() if m.name == "Connection.TuneOk")
        self.assertEqual(tune_ok.heartbeat, 10)
        peer.send(0, Connection.OpenOk())
        peer.clock.pump([2.5] * 3)
        self.assertEqual(peer.frames(), [(8, 0, b"")])
        peer.clock.pump([2.5] * 6)
        (reason,) = peer.journal.all("session_lost")
        self.assertRegex(str(reason), "nothing came .* for two heartbeats")
        peer.lose()

    def test_no_deprecated_calls(self) -> None:
        """No deprecated function is called on the way there and back."""
        with catch_warnings():
            simplefilter("error")
            self.assertEqual(self.delivered(b"\0\0", b"body").body, b"body")
            Probe(self.channel.queue_purge(QUEUE))
            closing = Probe(self.peer.session.close())
            self.peer.send(0, Connection.CloseOk())
        self.assertEqual(self.peer.journal.entries, [])
        self.peer.finish()
        self.assertIsNone(closing.outcome)

    def test_replies_out_of_turn(self) -> None:
        """
        Late replies to consume and cancel are not taken for replies to other requests.
        """
        started = Probe(consume(self.channel, QUEUE, "tag", self.inbox))
        purged = Probe(self.channel.queue_purge(QUEUE))
        self.peer.send(1, Basic.QosOk(), commands.Queue.PurgeOk(3))
        self.assertEqual((started.fired, purged.outcome), (False, 3))
        self.peer.send(1, Basic.ConsumeOk("tag"))
        self.assertIsNone(started.outcome)

    def test_content_among_replies(self) -> None:
        """A message that is got is not taken for the reply to a later request."""
        got = Probe(self.channel.basic_get(QUEUE, True))
        purged = Probe(self.channel.queue_purge(QUEUE))
        self.peer.send_content(1, Basic.GetOk(7, False, "", "q", 0), b"body")
        self.peer.send(1, commands.Queue.PurgeOk(3))
        self.assertEqual((got.outcome.body, purged.outcome), (b"body", 3))

    def test_content_holds_up_no_channel(self) -> None:
        """
        While a large content comes on one channel, thousands of others pass on another.
        """
        self.consume()
        other = self.peer.channel()
        inbox = Inbox()
        Probe(consume(other, QUEUE, "other", inbox, no_ack=True))
        self.peer.send(2, Basic.ConsumeOk("other"))
        begun = header.ContentHeader(0, 4, Basic.Properties())
        self.peer.send(1, Basic.Deliver("tag", 1, False, "", "q"), begun)
        self.peer.send(1, body.ContentBody(b"la"))
        for tag in range(3000):
            self.peer.deliver(2, tag + 1, "other")
        self.assertEqual(len(inbox.bodies), 3000)
        self.peer.send(1, body.ContentBody(b"te"))
        self.assertEqual(self.inbox.bodies, [b"late"])

    def test_unsendable(self) -> None:
        """
        What cannot be sent raises an error, is not sent, and does not stop later
        writes.
        """
        for arguments in ({"k": object()}, {"k" * 256: 1}, {"k": 2**64}):
            with self.assertRaises((TypeError, ValueError)):
                self.channel.queue_bind(QUEUE, Exchange("e"), "k", arguments)
            with self.assertRaises((TypeError, ValueError)):
                publish(self.channel, DEFAULT, "q", headers=arguments)
        self.assertEqual(self.peer.names(), [])
        Probe(self.channel.queue_purge(QUEUE))
        self.assertEqual(self.peer.names(), ["Queue.Purge"])

    def test_frames_of_a_closed_channel(self) -> None:
        """Frames for a channel that has ended are refused from the first one."""
        closing = Probe(self.channel.close())
        self.peer.send(1, Channel.CloseOk())
        self.assertIsNone(closing.outcome)
        self.peer.send(1, Basic.Deliver("tag", 1, False, "", "q"))
        (reason,) = self.peer.journal.all("session_lost")
        self.assertRegex(str(reason), "channel 1, which is not open")

    def test_too_large(self) -> None:
        """A frame that is larger than agreed ends the session with a typed error."""
        self.peer.session.dataReceived(pack(">BHI", BODY, 1, 131072))
        (reason,) = self.peer.journal.all("session_lost")
        self.assertIsInstance(reason, ProtocolError)
        self.assertRegex(str(reason), "larger than 131072")
        self.peer.clock.advance(CLOSE_SECONDS)

    def test_garbage(self) -> None:
        """What is no frame ends the session at once with a typed error."""
        self.consume()
        outstanding = Probe(self.channel.queue_purge(QUEUE))
        good = frame(METHOD, 1, b"\x00\x3c\x00\x50" + bytes(9))
        self.peer.session.dataReceived(good + b"\x07")
        (reason,) = self.peer.journal.all("session_lost")
        self.assertIsInstance(reason, ProtocolError)
        self.assertIsInstance(outstanding.outcome, SessionLost)
        self.assertEqual(self.peer.names(), ["Queue.Purge", "Connection.Close"])
        self.peer.clock.advance(CLOSE_SECONDS)


class FaultsOfPamqpTests(Case):
    """What pamqp refuses, changes or overlooks."""

    def test_any_name(self) -> None:
        """Names are any UTF-8 of up to 255 bytes."""
        for name in (NAME, "a b*c?\n", "\u00fc" * 127, "x" * 255):
            Probe(self.channel.queue_declare(Queue(name), False))
            ((_, declare),) = self.peer.taken()
            self.assertEqual(declare.queue, name)

    def test_types_are_kept(self) -> None:
        """
        Numbers have the types that py-amqp sends, since headers exchanges compare
        types.
        """
        table = {"i": 1, "l": 2**40, "d": 0.1, "s": b"\xff"}
        publish(self.channel, DEFAULT, "q", confirm=False, headers=table)
        (payload,) = [each[2] for each in self.peer.frames() if each[0] == HEADER]
        for value in (b"\x01iI", b"\x01ll", b"\x01dd", b"\x01sS\x00\x00\x00\x01\xff"):
            self.assertIn(value, payload)

    def test_long_keys(self) -> None:
        """Long keys are not cut off."""
        headers = {"k" * 255: 1}
        publish(self.channel, DEFAULT, "q", confirm=False, headers=headers)
        (payload,) = [each[2] for each in self.peer.frames() if each[0] == HEADER]
        self.assertEqual(decode_properties(payload[12:])["headers"], headers)

    def test_late_times(self) -> None:
        """A time beyond 2106 is not taken for milliseconds."""
        late = datetime(2500, 1, 1, tzinfo=timezone.utc)
        delivery = self.delivered(encode_properties({"timestamp": late}))
        self.assertEqual(delivery.properties, {"timestamp": late})

    def test_never_times(self) -> None:
        """A time that is too late for a datetime stays a number."""
        delivery = self.delivered(b"\x00\x40" + b"\xff" * 8)
        self.assertEqual(delivery.properties, {"timestamp": 2**64 - 1})

    def test_cut_short(self) -> None:
        """A string that is shorter than its length is an error."""
        self.peer.session.dataReceived(
            frame(METHOD, 1, pack(">I", Channel.Close.index) + b"\x00\xc8\x09short")
        )
        (reason,) = self.peer.journal.all("session_lost")
        self.assertRegex(str(reason), "cut short")
        self.peer.clock.advance(CLOSE_SECONDS)


class ClientTests(Case):
    """Which code the bytes pass through."""

    def test_bytes_pass_through_txamqp(self) -> None:
        """What comes and goes passes through txAMQP's own client and channels."""
        came: list[bytes] = []
        sent: list[bytes] = []
        client = self.peer.session._client
        received, put = AMQClient.dataReceived, client.outgoing.put

        def receive(client: Any, data: bytes) -> Any:
            came.append(data)
            return received(client, data)

        def send(packed: bytes) -> Any:
            sent.append(packed)
            return put(packed)

        self.patch(AMQClient, "dataReceived", receive)
        self.patch(client.outgoing, "put", send)
        declared = Probe(self.channel.queue_declare(QUEUE, False))
        reply = commands.Queue.DeclareOk("q", 1, 2)
        self.peer.send(1, reply)
        self.assertEqual(declared.outcome, ("q", 1, 2))
        self.assertEqual(len(came), 1)
        self.assertIn(reply.marshal(), came[0])
        self.assertEqual(b"".join(sent), self.peer.wire.value())
        self.assertIsInstance(client, AMQClient)
        self.assertIsInstance(client.channels[1], AMQChannel)

    def test_refusal(self) -> None:
        """
        A refusal by the broker ends the channel with a typed error; its number is free.
        """
        refused = Probe(self.channel.queue_declare(QUEUE, True))
        self.peer.send(1, Channel.Close(404, "NOT_FOUND - no queue 'q'", 50, 10))
        self.assertIsInstance(refused.outcome, NotFound)
        self.assertEqual(self.peer.names()[-1], "Channel.CloseOk")
        again = self.peer.channel()
        self.assertEqual(again.number, 1)

    def test_no_reactor(self) -> None:
        """Importing it installs no reactor, and does not import the native one."""
        lines = (
            "import sys, txkombu.transport.amqp.adapters.txamqp",
            "print([m for m in sys.modules if m == 'twisted.internet.reactor'",
            "       or m == 'txkombu.transport.amqp.native'])",
        )
        done = run_python("-W", "error", "-c", "\n".join(lines), cwd=TREE)
        self.assertEqual((done.stderr, done.stdout), ("", "[]\n"))
