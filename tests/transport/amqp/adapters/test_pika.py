"""
The pika transport, against a scripted peer: pika's faults are cured.
"""

from __future__ import annotations

import math
from decimal import Decimal
from struct import pack
from typing import Any

from pamqp import body, commands, header
from pika.adapters.twisted_connection import TwistedProtocolConnection
from pika.frame import Method
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import DEFAULT, Inbox, Probe, consume, publish
from tests.support.amqp_peer import START, Basic, Channel, Connection
from tests.support.paths import TREE
from tests.support.pika_peer import PIKA
from tests.support.processes import run_python
from txkombu.entity import Exchange, Queue
from txkombu.exceptions import NotSent, ProtocolError, Unroutable
from txkombu.transport.amqp.wire.frames import frame
from txkombu.transport.amqp.wire.properties import encode_properties
from txkombu.url import Parameters

QUEUE = Queue("q")
Peer = PIKA.peer


class FaultTests(SynchronousTestCase):
    """Faults of pika that are cured here."""

    def setUp(self) -> None:
        self.peer = Peer()
        self.peer.log_in(heartbeat=60)
        self.channel = self.peer.channel()

    def tearDown(self) -> None:
        """Nothing may be left to do."""
        self.peer.lose()
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])

    def publish(self, *keys: str) -> list[Probe]:
        """Publish a mandatory message for each key, with an id of its own."""
        return [
            Probe(publish(self.channel, DEFAULT, key, b"", True, message_id=f"m{n}"))
            for n, key in enumerate(keys)
        ]

    def give_back(self, key: str, message_id: str, content: bytes = b"") -> None:
        """Return a message."""
        parts = [
            Basic.Return(312, "NO_ROUTE", "", key),
            header.ContentHeader(
                0, len(content), Basic.Properties(message_id=message_id)
            ),
        ]
        if content:
            parts.append(body.ContentBody(content))
        self.peer.send(1, *parts)

    def test_several_returns_before_one_confirm(self) -> None:
        """
        When one confirm follows several returns, each message that came back fails and
        is shown, and the one that was routed does not fail.
        """
        probes = self.publish("a", "b", "here", "a")
        self.peer.send(1, commands.Confirm.SelectOk())
        for key, message_id in (("a", "m3"), ("b", "m1"), ("a", "m0")):
            self.give_back(key, message_id, message_id.encode())
        self.assertFalse(any(probe.fired for probe in probes))
        self.peer.send(1, Basic.Ack(4, True))
        self.assertIsNone(probes[2].outcome)
        for number in (0, 1, 3):
            error = probes[number].outcome
            self.assertIsInstance(error, Unroutable)
            self.assertEqual(error.returned.body, f"m{number}".encode())
            self.assertEqual(error.returned.properties, {"message_id": f"m{number}"})

    def test_ack_and_then_a_multiple_one(self) -> None:
        """
        A multiple confirm counts for the others, though its own number was confirmed
        before.
        """
        probes = self.publish("a", "b", "c")
        self.peer.send(1, commands.Confirm.SelectOk(), Basic.Ack(3, False))
        self.assertEqual([probe.fired for probe in probes], [False, False, True])
        self.peer.send(1, Basic.Ack(3, True))
        self.assertEqual([probe.outcome for probe in probes], [None, None, None])

    def test_publishing_on_a_closed_channel(self) -> None:
        """Publishing on a closed channel fails with NotSent; it does not raise."""
        closing = Probe(self.channel.close())
        (late,) = self.publish("while closing")
        self.assertIsInstance(late.outcome, NotSent)
        self.peer.send(1, Channel.CloseOk())
        self.assertIsNone(closing.outcome)
        (late,) = self.publish("once closed")
        self.assertIsInstance(late.outcome, NotSent)
        self.peer.session.abort()
        (late,) = self.publish("without a connection")
        self.assertIsInstance(late.outcome, NotSent)

    def test_floats_are_sent(self) -> None:
        """Headers hold floats with their fractions, and all other types of AMQP."""
        headers = {"f": 0.1, "nested": {"list": [1.5, -2.25, Decimal("1.10")]}}
        publish(self.channel, DEFAULT, "q", confirm=False, headers=headers)
        (content,) = [each[2] for each in self.peer.frames() if each[0] == 2]
        read = header.ContentHeader()
        read.unmarshal(content)
        self.assertEqual(read.properties.headers, headers)

    def received(self, listed: bytes) -> Any:
        """Deliver a message with these properties, and return its headers."""
        inbox = Inbox()
        started = Probe(consume(self.channel, QUEUE, inbox=inbox))
        self.peer.send(1, Basic.QosOk(), Basic.ConsumeOk("tag"))
        self.assertIsNone(started.outcome)
        self.peer.send(1, Basic.Deliver("tag", 1, False, "", "q"))
        sizes = b"\x00\x3c\x00\x00" + bytes(8)
        self.peer.session.dataReceived(frame(2, 1, sizes + listed))
        (delivery,) = inbox.journal.all("delivery")
        return delivery.properties["headers"]

    def test_doubles_keep_their_fraction(self) -> None:
        """Floats of double precision arrive as they were sent."""
        headers = {"a": 0.1, "nested": [{"b": -1.75}]}
        got = self.received(encode_properties({"headers": headers}))
        self.assertEqual(got, headers)

    def test_singles_keep_their_fraction(self) -> None:
        """Floats of single precision arrive as they were sent."""
        self.assertEqual(self.received(_one_header(b"f", 0.75)), {"x": 0.75})

    def test_infinity(self) -> None:
        """Infinity is read, though it cannot be sent."""
        self.assertEqual(self.received(_one_header(b"d", math.inf)), {"x": math.inf})

    def test_no_number(self) -> None:
        """NaN is read as such; it would end pika's connection."""
        got = self.received(_one_header(b"d", math.nan))
        self.assertTrue(math.isnan(got["x"]))

    def test_floats_in_arguments(self) -> None:
        """Arguments of queues and bindings hold floats, too."""
        arguments = {"x-ratio": 0.5}
        Probe(self.channel.queue_bind(QUEUE, Exchange("e"), "k", arguments))
        ((_, bind),) = self.peer.taken()
        self.assertEqual(bind.arguments, arguments)

    def test_content_that_only_clients_send(self) -> None:
        """
        A broker that publishes to us breaks the protocol, and that ends the session.
        """
        self.peer.send_content(1, Basic.Publish(routing_key="q"), b"x")
        (reason,) = self.peer.journal.all("session_lost")
        self.assertIsInstance(reason, ProtocolError)

    def test_methods_that_only_clients_send(self) -> None:
        """A broker that sends a client's method breaks the protocol."""
        for asked in (Basic.Qos(), Basic.Consume(), commands.Exchange.Declare()):
            peer = Peer()
            peer.log_in(heartbeat=0)
            peer.channel()
            peer.send(1, asked)
            (reason,) = peer.journal.all("session_lost")
            self.assertRegex(str(reason), f"{asked.name} answers nothing")
            peer.lose()

    def test_publishes_do_not_overtake_requests(self) -> None:
        """
        Requests and publishes are sent in their order, without waiting for replies.
        """
        Probe(self.channel.queue_declare(QUEUE, False))
        Probe(self.channel.queue_purge(QUEUE))
        Probe(publish(self.channel, DEFAULT, "q", confirm=False))
        Probe(self.channel.basic_get(QUEUE, False))
        Probe(self.channel.basic_get(QUEUE, False))
        self.assertEqual(
            self.peer.names(),
            ["Queue.Declare", "Queue.Purge", "Basic.Publish", "Basic.Get", "Basic.Get"],
        )


class ConnectionTests(SynchronousTestCase):
    """Which code the bytes pass through."""

    def test_bytes_pass_through_pika(self) -> None:
        """What comes and goes passes through pika's own protocol and frames."""
        peer = Peer()
        peer.log_in(heartbeat=0)
        channel = peer.channel()
        protocol = peer.session._protocol
        self.assertIsInstance(protocol, TwistedProtocolConnection)
        came: list[bytes] = []
        framed: list[Any] = []
        received, marshal = TwistedProtocolConnection.dataReceived, Method.marshal

        def receive(self: Any, data: bytes) -> None:
            came.append(data)
            received(self, data)

        def pack(self: Any) -> bytes:
            framed.append(marshal(self))
            return bytes(framed[-1])

        self.patch(TwistedProtocolConnection, "dataReceived", receive)
        self.patch(Method, "marshal", pack)
        before = protocol._impl.bytes_sent
        declared = Probe(channel.queue_declare(QUEUE, False))
        reply = commands.Queue.DeclareOk("q", 1, 2)
        peer.send(1, reply)
        self.assertEqual(declared.outcome, ("q", 1, 2))
        self.assertEqual(len(came), 1)
        self.assertIn(reply.marshal(), came[0])
        self.assertEqual(b"".join(framed), peer.wire.value())
        self.assertEqual(protocol._impl.bytes_sent - before, len(peer.wire.value()))
        peer.lose()

    def test_agreement(self) -> None:
        """What pika tells the broker was agreed on by both, not by pika alone."""
        asked = Parameters(heartbeat=7, channel_max=5)
        for offer, agreed in (
            (Connection.Tune(2047, 8192, 60), (5, 8192, 7)),
            (Connection.Tune(3, 0, 2), (3, 131072, 2)),
            (Connection.Tune(0, 262144, 0), (5, 131072, 7)),
        ):
            peer = Peer(asked)
            peer.connect()
            peer.send(0, START)
            peer.taken()
            peer.send(0, offer)
            (_, told), _ = peer.taken()
            found = told.channel_max, told.frame_max, told.heartbeat
            self.assertEqual(found, agreed)
            peer.lose()


class ImportTests(SynchronousTestCase):
    """What is imported when."""

    def run_lines(self, *lines: str) -> list[str]:
        """Run these lines in a process of their own, and return what they printed."""
        done = run_python("-W", "error", "-c", "\n".join(lines), cwd=TREE)
        self.assertEqual(done.stderr, "")
        return done.stdout.splitlines()

    def test_no_reactor_and_no_pika(self) -> None:
        """Importing the library, and this transport, imports neither."""
        printed = self.run_lines(
            "import sys, txkombu, txkombu.transport.amqp.adapters.pika",
            "from txkombu import BrokerConnection",
            "from txkombu.transport import transport_for",
            "transport_for('pika')",
            "print([m for m in ('pika', 'twisted.internet.reactor')"
            " if m in sys.modules])",
        )
        self.assertEqual(printed, ["[]"])

    def test_not_installed(self) -> None:
        """Without pika connecting fails, and says what to install."""
        printed = self.run_lines(
            "import sys",
            "class Hide:",
            "    def find_spec(self, name, path=None, target=None):",
            "        if name.partition('.')[0] == 'pika':",
            "            raise ModuleNotFoundError("
            '"No module named \'pika\'", name="pika")',
            "sys.meta_path.insert(0, Hide())",
            "from twisted.internet.task import Clock",
            "from txkombu import BrokerConnection",
            "connecting = BrokerConnection('pika://', reactor=Clock()).connect()",
            "connecting.addErrback(lambda reason: print(reason.value))",
        )
        self.assertEqual(
            printed,
            [
                "the pika transport is not available here: No module named 'pika'; "
                "pip install txkombu[pika]"
            ],
        )


def _one_header(kind: bytes, value: float) -> bytes:
    """Return properties with the header C{x}, a float of that type."""
    table = b"\x01x" + kind + pack(f">{kind.decode()}", value)
    return b"\x20\x00" + pack(">I", len(table)) + table
