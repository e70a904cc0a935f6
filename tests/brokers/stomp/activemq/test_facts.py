"""
What ActiveMQ does, as far as the dialect is built on it: seen on the wire.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import count
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.activemq import READER, STRANGER, activemq, fragile_activemq
from tests.support.raw_stomp_client import LIMIT, QUIET, Raw, RawFrame, encode
from tests.transport.stomp.activemq.test_mapping import ODD
from txkombu import Exchange
from txkombu.transport.stomp.activemq import ActiveMQDialect
from txkombu.transport.stomp.activemq.mapping import (
    binding_destination,
    encode_queue,
    publish_destination,
)
from txkombu.transport.stomp.dialect import StompBinding

_counter = count(1)
PREFETCH = "activemq.prefetchSize"
DLQ = "/queue/ActiveMQ.DLQ"


class FactsCase(SynchronousTestCase):
    """What the tests of this module share."""

    def setUp(self) -> None:
        self.unique = f"fact{next(_counter)}"
        self.queue = f"/queue/{self.unique}"
        self.raw = self.connect()

    def connect(self, login: str = "guest") -> Raw:
        """One more connection, closed when the test is over."""
        raw = Raw(activemq().stomp_port, login)
        self.addCleanup(raw.close)
        return raw

    def arrived(self, minimum: int = 0, raw: Raw | None = None) -> list[RawFrame]:
        """What has come, and so much more as has to, and what comes in a moment."""
        raw = raw or self.raw
        found, raw.inbox[:] = raw.inbox[:], []
        while len(found) < minimum:
            found.append(raw.next_frame())
        while (frame := raw.next_frame_within(QUIET)) is not None:
            found.append(frame)
        return found

    def bodies(self, minimum: int, raw: Raw | None = None) -> list[bytes]:
        """As L{arrived}."""
        return [frame.body for frame in self.arrived(minimum, raw)]

    def declare(self, destination: str) -> None:
        """Make a physical queue."""
        with Raw(activemq().stomp_port) as raw:
            raw.subscribe(destination, **{PREFETCH: 0})

    def one(self, **headers: Any) -> RawFrame:
        """A message of a queue of this test, not settled."""
        self.raw.subscribe(self.queue)
        self.raw.publish(self.queue, **headers)
        return self.raw.message()

    def send(self, headers: Mapping[str, object]) -> str:
        """
        Send a message with headers.

        @return: the answer's command; C{"closed"} for a connection closed
            without one.
        """
        with Raw(activemq().stomp_port) as raw:
            try:
                pairs = {"destination": self.queue, "content-length": 1, **headers}
                return raw.request("SEND", pairs, b"x").command
            except EOFError:
                return "closed"


class NameTests(FactsCase):
    """What names mean, and that they mean nothing when they are encoded."""

    def test_comma(self) -> None:
        """A comma makes a list: the message goes to several queues."""
        self.declare(f"{self.queue}b")
        self.raw.publish(f"{self.queue}a,{self.queue}b")
        self.raw.subscribe(f"{self.queue}b")
        self.assertEqual(len(self.arrived(1)), 1)

    def test_wildcard(self) -> None:
        """A wildcard stands for other queues."""
        self.raw.subscribe(f"{self.queue}.*")
        self.raw.publish(f"{self.queue}.b")
        self.assertEqual(self.raw.message()["destination"], f"{self.queue}.b")

    def test_option(self) -> None:
        """What comes after a question mark is no part of the name."""
        self.raw.publish(f"{self.queue}?a=b")
        self.raw.subscribe(self.queue)
        self.assertEqual(len(self.arrived(1)), 1)

    def test_trimmed(self) -> None:
        """Blanks at the end are no part of the name."""
        self.raw.publish(f"{self.queue} ")
        self.raw.subscribe(self.queue)
        self.assertEqual(len(self.arrived(1)), 1)

    def test_dot(self) -> None:
        """A dot in the name of a consumer makes another virtual topic of it."""
        self.declare(f"/queue/Consumer.a.b.VirtualTopic.{self.unique}")
        self.raw.publish(f"/topic/VirtualTopic.{self.unique}")
        self.raw.subscribe(f"/queue/Consumer.a.b.VirtualTopic.{self.unique}")
        self.assertEqual(self.arrived(), [])

    def test_no_name(self) -> None:
        """A queue without a name closes the connection."""
        self.assertEqual(self.send({"destination": "/queue/"}), "closed")

    def test_unknown_prefix(self) -> None:
        """What is no destination at all is a queue of that very name."""
        self.assertEqual(self.send({"destination": "/foo/bar"}), "RECEIPT")

    def check_apart(self, names: list[str]) -> None:
        """What is sent to one of these destinations comes from this one alone."""
        for number, name in enumerate(names):
            self.raw.subscribe(name, str(number))
        for number, name in enumerate(names):
            self.raw.publish(name, b"%d" % number)
        came = self.arrived(len(names))
        found = sorted((frame["subscription"], frame.body) for frame in came)
        each = sorted((str(number), b"%d" % number) for number in range(len(names)))
        self.assertEqual(found, each)

    def test_queues(self) -> None:
        """Queues of any name are that queue and no other."""
        names = [self.unique, self.unique.upper(), f"{self.unique}.b"]
        names += [f"{self.unique}{odd}" for odd in ODD]
        names += [f"{odd}{self.unique}" for odd in ODD]
        names += [f"{self.unique}.{odd}" for odd in ODD]
        self.check_apart([f"/queue/{encode_queue(each)}" for each in set(names)])

    def test_bindings(self) -> None:
        """Bindings by any name of queue, exchange and key are that one and no other."""
        cases = []
        for odd in ODD:
            exchange = Exchange(f"{self.unique}{odd}", "direct")
            cases += [("q", exchange, "k"), ("q", exchange, odd)]
            cases += [(f"q{odd}", Exchange(f"{self.unique}x", "direct"), "k")]
        bindings = {
            binding_destination(queue, StompBinding(exchange, key, {})): (exchange, key)
            for queue, exchange, key in cases
        }
        for number, destination in enumerate(bindings):
            self.raw.subscribe(destination, str(number))
        for exchange, key in dict.fromkeys(bindings.values()):
            address = publish_destination(exchange, key)
            self.raw.publish(address, f"{exchange.name} {key}".encode())
        came = self.arrived(len(bindings))
        found = {frame["subscription"]: frame.body.decode() for frame in came}
        self.assertEqual(
            found,
            {
                str(number): f"{exchange.name} {key}"
                for number, (exchange, key) in enumerate(bindings.values())
            },
        )


def matches(pattern: list[str], key: list[str]) -> bool:
    """AMQP's rule."""
    if not pattern:
        return not key
    if pattern[0] == "#":
        return any(matches(pattern[1:], key[at:]) for at in range(len(key) + 1))
    if not key or pattern[0] not in ("*", key[0]):
        return False
    return matches(pattern[1:], key[1:])


class TopicTests(FactsCase):
    """Virtual topics."""

    def subscribe(self, pattern: str, id: str = "s") -> None:
        """Subscribe a physical queue of a virtual topic of this test."""
        name = f"Consumer.{id}.VirtualTopic.{self.unique}{pattern}"
        self.raw.subscribe(f"/queue/{name}", id)

    def test_kept(self) -> None:
        """A queue that was once declared is filled with no consumer there."""
        name = f"/queue/Consumer.q.VirtualTopic.{self.unique}"
        self.declare(name)
        self.raw.publish(f"/topic/VirtualTopic.{self.unique}", b"1")
        self.raw.subscribe(name)
        self.assertEqual(self.bodies(1), [b"1"])

    def test_declaring(self) -> None:
        """Declaring takes no message, and marks none as redelivered."""
        self.raw.publish(self.queue)
        self.declare(self.queue)
        self.raw.subscribe(self.queue)
        self.assertNotIn("redelivered", self.raw.message().headers)

    def test_without_binding(self) -> None:
        """What nothing is bound for has a receipt, and is dropped."""
        topic = f"/topic/VirtualTopic.{self.unique}"
        self.assertEqual(self.send({"destination": topic}), "RECEIPT")
        self.subscribe("")
        self.assertEqual(self.arrived(), [])

    def test_original(self) -> None:
        """A MESSAGE tells its queue, and the topic it was sent to."""
        self.subscribe(".*")
        self.raw.publish(f"/topic/VirtualTopic.{self.unique}.a%2Cb")
        frame = self.raw.message()
        queue = f"/queue/Consumer.s.VirtualTopic.{self.unique}.*"
        self.assertEqual(frame["destination"], queue)
        topic = f"/topic/VirtualTopic.{self.unique}.a%2Cb"
        self.assertEqual(frame["original-destination"], topic)

    def test_copies(self) -> None:
        """Each queue has a copy of its own, shared by its consumers."""
        other = self.connect()
        for raw, queue in ((self.raw, "a"), (self.raw, "b"), (other, "b")):
            name = f"/queue/Consumer.{queue}.VirtualTopic.{self.unique}"
            raw.subscribe(name, queue, **{PREFETCH: 1})
        for number in range(2):
            self.raw.publish(f"/topic/VirtualTopic.{self.unique}", b"%d" % number)
        arrived = [(frame["subscription"], frame.body) for frame in self.arrived(2)]
        arrived += [("b", body) for body in self.bodies(1, other)]
        self.assertEqual(sorted(arrived), [("a", b"0"), ("b", b"0"), ("b", b"1")])

    def test_patterns(self) -> None:
        """Patterns match what AMQP's match: words, stars, and a hash at the end."""
        patterns = ["", "#", "*", "a", "a.#", "a.*", "*.b", "*.*.#", "a.*.c", ".", "*."]
        patterns += ["b.#", "a.b.c.#"]
        keys = [
            "",
            "a",
            "b",
            "a.b",
            "b.b",
            "a.b.c",
            "a.x.c",
            "a.b.c.d",
            "a.",
            ".",
            ".b",
        ]
        keys += ["a..c", "*", "#", "a.*", ">"]
        exchange = Exchange(self.unique, "topic")
        for number, pattern in enumerate(patterns):
            bound = StompBinding(exchange, pattern, {})
            name = binding_destination(f"q{number}", bound)
            self.raw.subscribe(name, str(number))
        for key in keys:
            self.raw.publish(publish_destination(exchange, key), key.encode())
        expected = {
            (str(number), key.encode())
            for number, pattern in enumerate(patterns)
            for key in keys
            if matches(_split(pattern), _split(key))
        }
        came = self.arrived(len(expected))
        found = {(frame["subscription"], frame.body) for frame in came}
        self.assertEqual(found, expected)

    def test_hash_within(self) -> None:
        """What would be a hash within a pattern matches too much."""
        self.subscribe(".a.>.c")
        self.raw.publish(f"/topic/VirtualTopic.{self.unique}.a.b")
        self.assertEqual(len(self.arrived(1)), 1)

    def test_overlap(self) -> None:
        """Two bindings of a queue that match one message have it twice."""
        for number, pattern in enumerate((".a.*", ".*.b")):
            name = f"/queue/Consumer.q.VirtualTopic.{self.unique}{pattern}"
            self.raw.subscribe(name, str(number))
        self.raw.publish(f"/topic/VirtualTopic.{self.unique}.a.b")
        found = sorted(frame["subscription"] for frame in self.arrived(2))
        self.assertEqual(found, ["0", "1"])

    def test_apart(self) -> None:
        """Two patterns that exclude each other do not see each other's messages."""
        for number, pattern in enumerate((".a.*", ".*.b.>", ".c.>", ".*.c.d")):
            name = f"/queue/Consumer.q.VirtualTopic.{self.unique}{pattern}"
            self.raw.subscribe(name, str(number))
        for key in ("a.x", "b.b.c", "c.x", "b.c.d"):
            self.raw.publish(f"/topic/VirtualTopic.{self.unique}.{key}", key.encode())
        came = self.arrived(4)
        found = sorted((frame["subscription"], frame.body) for frame in came)
        each = [("0", b"a.x"), ("1", b"b.b.c"), ("2", b"c.x"), ("3", b"b.c.d")]
        self.assertEqual(found, each)


def _split(key: str) -> list[str]:
    return key.split(".") if key else []


class HeaderTests(FactsCase):
    """Headers of a SEND."""

    def test_closed(self) -> None:
        """What ActiveMQ cannot make a number or a place of closes the connection."""
        for headers in (
            {"priority": "high"},
            {"priority": ""},
            {"priority": " 3"},
            {"timestamp": "now"},
            {"expires": "soon"},
            {"expires": 2**63},
            {"reply-to": "/queue/"},
            {"JMSPriority": "high"},
            {"JMSXDeliveryCount": "a"},
            {"JMSXGroupSeq": "a"},
            {"AMQ_SCHEDULED_DELAY": "a"},
            {"": "x"},
        ):
            self.assertEqual(self.send(headers), "closed", headers)

    def test_made_fit(self) -> None:
        """A priority that is too high is made one that is not."""
        self.assertEqual(self.one(priority=12)["priority"], "9")

    def test_acted_on(self) -> None:
        """Some names of headers are those of JMS, and show elsewhere or nowhere."""
        names = ("JMSType", "JMSPriority", "JMSXGroupID", "redelivered", "message-id")
        headers = self.one(**dict.fromkeys(names, "1")).headers
        self.assertEqual((headers["type"], headers["priority"]), ("1", "1"))
        self.assertFalse({"JMSType", "JMSXGroupID", "redelivered"} & headers.keys())
        self.assertNotEqual(headers["message-id"], "1")

    def test_message_type(self) -> None:
        """A kind of message that STOMP has not is refused, and nothing more."""
        for name, answer in (("map", "ERROR"), ("text", "RECEIPT")):
            self.assertEqual(self.send({"amq-msg-type": name}), answer)

    def test_added(self) -> None:
        """Every message has a priority, a time, and an expiry, which may be 0."""
        before = time.time() * 1000
        headers = self.one().headers
        self.assertEqual((headers["priority"], headers["expires"]), ("4", "0"))
        self.assertLess(abs(int(headers["timestamp"]) - before), 60_000)
        self.assertNotIn("persistent", headers)

    def test_kept(self) -> None:
        """What has a meaning is given back as it was."""
        given = {
            "persistent": "true",
            "priority": "7",
            "timestamp": "1234567890000",
            "expires": "99999999999999",
            "correlation-id": "a:b\n",
            "type": "kind",
            "reply-to": "/queue/a%2Cb",
        }
        headers = self.one(**given).headers
        self.assertEqual({name: headers[name] for name in given}, given)

    def test_custom(self) -> None:
        """Other headers are given back as they were, whatever their case."""
        given = {
            "a:b\r\n\\": "c:d\r\n\\",
            " grüße ": " 日本 😀 ",
            "empty": "",
            "Content-Length": "77",
            "Destination": "/queue/other",
            "Priority": "high",
            "content-type": "text/plain",
            "id": "1",
            "selector": "a = b",
            "x" * 255: "y",
        }
        headers = self.one(**given).headers
        for name, value in given.items():
            self.assertEqual(headers[name], value)

    def test_longest_line(self) -> None:
        """A line of more than 10 KiB ends the connection; our limit does not."""
        maximum = 10 * 1024 - len("a:\n")
        self.assertEqual(self.send({"a": "x" * maximum}), "RECEIPT")
        self.raw.send("SEND", {"destination": self.queue, "a": "x" * (maximum + 9)})
        self.assertEqual(self.raw.next_frame().command, "ERROR")
        self.assertRaises(EOFError, self.exhaust)

    def exhaust(self) -> None:
        """Read until the connection is closed."""
        while self.raw.next_frame():
            pass

    def test_most_headers(self) -> None:
        """A thousand headers end the connection; nine hundred do not."""
        many = {f"h{number}": "x" for number in range(900)}
        self.assertEqual(self.send(dict(many)), "RECEIPT")
        more = {f"h{number}": "x" for number in range(1010)}
        self.raw.send("SEND", {"destination": self.queue, **more})
        self.assertEqual(self.raw.next_frame().command, "ERROR")
        self.assertRaises(EOFError, self.exhaust)

    def test_largest_body(self) -> None:
        """A body of more than our limit ends the connection, by its length alone."""
        self.send_length(self.raw, ActiveMQDialect.max_body)
        self.assertEqual(self.arrived(), [])
        other = self.connect()
        self.send_length(other, ActiveMQDialect.max_body + 1)
        self.assertEqual(other.next_frame().command, "ERROR")
        self.assertRaises(EOFError, other.next_frame)

    def send_length(self, raw: Raw, length: int) -> None:
        """Begin a frame that has a body of some length."""
        headers = {"destination": self.queue, "content-length": length}
        raw.write(encode("SEND", headers)[:-1])

    def test_expires(self) -> None:
        """What is past its time is not delivered."""
        self.raw.publish(self.queue, b"old", expires=int(time.time() * 1000) - 1)
        self.raw.publish(self.queue, b"new", expires=int(time.time() * 1000) + 60_000)
        self.raw.subscribe(self.queue)
        self.assertEqual(self.bodies(1), [b"new"])

    def test_no_length(self) -> None:
        """What is sent without a length has none when it comes."""
        self.raw.subscribe(self.queue)
        self.raw.request("SEND", {"destination": self.queue}, b"text")
        self.assertNotIn("content-length", self.raw.message().headers)
        self.raw.publish(self.queue, b"a\0b")
        frame = self.raw.message()
        self.assertEqual((frame["content-length"], frame.body), ("3", b"a\0b"))


class SettlingTests(FactsCase):
    """ACK, NACK, transactions."""

    def test_dropped(self) -> None:
        """What was not settled comes again, and only then is said to."""
        frame = self.one()
        self.assertNotIn("redelivered", frame.headers)
        self.raw.close()
        other = self.connect()
        other.subscribe(self.queue)
        self.assertEqual(other.message()["redelivered"], "true")

    def test_twice(self) -> None:
        """A second ACK is an error of that frame, and the connection lives on."""
        ack = {"id": self.one()["ack"]}
        self.assertEqual(self.raw.request("ACK", ack).command, "RECEIPT")
        answer = self.raw.request("ACK", ack)
        self.assertEqual(answer.command, "ERROR")
        self.assertIn("receipt-id", answer.headers)
        self.raw.publish(self.queue)

    def test_error_without_receipt(self) -> None:
        """An error of a frame that wants no receipt does not say of which."""
        self.raw.send("ACK", {"id": "nonsense"})
        answer = self.raw.next_frame()
        self.assertEqual(answer.command, "ERROR")
        self.assertNotIn("receipt-id", answer.headers)
        self.raw.publish(self.queue)

    def test_nack(self) -> None:
        """A NACK makes a dead letter of what is persistent, whatever else it says."""
        frame = self.one(persistent="true", mark=self.unique)
        nack = {"id": frame["ack"], "requeue": "true"}
        self.assertEqual(self.raw.request("NACK", nack).command, "RECEIPT")
        self.assertEqual(self.arrived(), [])
        self.raw.subscribe(DLQ, "dlq", selector=f"mark = '{self.unique}'")
        dead = self.raw.message()
        self.assertEqual(dead["original-destination"], self.queue)

    def test_nack_transient(self) -> None:
        """A NACK drops what is not persistent."""
        frame = self.one(mark=self.unique)
        self.raw.request("NACK", {"id": frame["ack"]})
        self.raw.subscribe(DLQ, "dlq", selector=f"mark = '{self.unique}'")
        self.assertEqual(self.arrived(), [])

    def requeue(self, raw: Raw, frame: RawFrame) -> RawFrame:
        """Put a copy into its queue, and ACK it, in one transaction."""
        within = {"transaction": "t"}
        copy = {"destination": frame["destination"], "content-length": 4, **within}
        raw.send("BEGIN", within)
        raw.send("SEND", copy, b"copy")
        raw.send("ACK", {"id": frame["ack"], **within})
        return raw.request("COMMIT", within)

    def test_transaction(self) -> None:
        """A copy sent in the transaction of its ACK takes its place."""
        frame = self.one()
        self.assertEqual(self.requeue(self.raw, frame).command, "RECEIPT")
        self.assertEqual(self.bodies(1), [b"copy"])
        self.raw.close()
        other = self.connect()
        other.subscribe(self.queue)
        self.assertEqual(self.bodies(1, other), [b"copy"])

    def test_refused_copy(self) -> None:
        """If the copy is refused the whole transaction is: nothing is lost."""
        self.raw.publish(self.queue, b"first")
        reader = self.connect(READER)
        reader.subscribe(self.queue)
        answers = [self.requeue(reader, reader.message()), reader.next_frame()]
        texts = {frame["message"]: "receipt-id" in frame.headers for frame in answers}
        self.assertEqual(sorted(texts.values()), [False, True])
        self.assertIn("marked rollback only", "".join(texts))
        reader.close()
        self.raw.subscribe(self.queue)
        self.assertEqual(self.bodies(1), [b"first"])

    def test_lost_transaction(self) -> None:
        """A transaction that was not committed did nothing."""
        frame = self.one()
        self.raw.send("BEGIN", {"transaction": "t"})
        headers = {"destination": self.queue, "transaction": "t"}
        self.raw.request("SEND", headers, b"copy")
        self.raw.request("ACK", {"id": frame["ack"], "transaction": "t"})
        self.raw.close()
        other = self.connect()
        other.subscribe(self.queue)
        self.assertEqual(self.bodies(1, other), [b"x"])

    def test_own_original(self) -> None:
        """A copy can say where its message was published to."""
        topic = "/topic/VirtualTopic.a"
        frame = self.one(**{"original-destination": topic})
        self.assertEqual(frame["original-destination"], topic)


class ConsumingTests(FactsCase):
    """Subscriptions."""

    def fill(self, number: int) -> None:
        """Put messages into the queue of this test."""
        for body in range(number):
            self.raw.publish(self.queue, b"%d" % body)

    def test_prefetch(self) -> None:
        """A subscription has no more than its prefetch unsettled."""
        self.fill(5)
        self.raw.subscribe(self.queue, **{PREFETCH: 2})
        first, _ = self.raw.messages(2)
        self.raw.request("ACK", {"id": first["ack"]})
        self.assertEqual(self.bodies(1), [b"2"])

    def test_no_prefetch(self) -> None:
        """With a prefetch of 0 nothing is ever delivered."""
        self.fill(1)
        self.raw.subscribe(self.queue, **{PREFETCH: 0})
        self.assertEqual(self.arrived(), [])

    def fill_fast(self) -> None:
        """Put more messages into the queue than ActiveMQ hands out in one go."""
        for _ in range(2999):
            self.raw.send("SEND", {"destination": self.queue, "content-length": 0})
        self.raw.publish(self.queue)

    def test_page(self) -> None:
        """
        Whatever the prefetch, what waits comes some hundreds at a time: the next
        when something is settled.
        """
        self.fill_fast()
        self.raw.subscribe(self.queue, **{PREFETCH: 2**31 - 1})
        frames = self.arrived(200)
        self.assertTrue(200 <= len(frames) < 3000, len(frames))
        for frame in frames:
            self.raw.send("ACK", {"id": frame["ack"]})
        rest = self.arrived(201)
        self.assertGreater(len(rest), 200)

    def test_any_prefetch(self) -> None:
        """There is a prefetch that is no limit, for who settles what comes."""
        self.fill_fast()
        self.raw.subscribe(self.queue, **{PREFETCH: 2**31 - 1})
        for _ in range(3000):
            self.raw.send("ACK", {"id": self.raw.message()["ack"]})
        self.assertEqual(self.arrived(), [])

    def test_auto(self) -> None:
        """What settles nothing is given all, whatever its prefetch."""
        self.fill_fast()
        self.raw.subscribe(self.queue, ack="auto", **{PREFETCH: 1})
        self.assertEqual(len(self.arrived(3000)), 3000)

    def test_unsubscribed(self) -> None:
        """What was unsubscribed gives its messages back, and settles none of them."""
        frame = self.one()
        self.raw.request("UNSUBSCRIBE", {"id": "s"})
        answer = self.raw.request("ACK", {"id": frame["ack"]})
        self.assertEqual(answer.command, "RECEIPT")
        self.raw.subscribe(self.queue, "again")
        self.assertEqual(self.raw.message()["redelivered"], "true")

    def test_browser(self) -> None:
        """A browser sees all, also what others hold, and is told that it has."""
        self.fill(3)
        self.raw.subscribe(self.queue, **{PREFETCH: 2})
        self.raw.messages(2)
        other = self.connect()
        other.subscribe(self.queue, ack="auto", browser="true")
        *seen, end = self.arrived(4, other)
        self.assertEqual([frame.body for frame in seen], [b"0", b"1", b"2"])
        self.assertEqual(end["browser"], "end")

    def test_browser_of_nothing(self) -> None:
        """A browser of an empty queue is told so, and can be unsubscribed."""
        self.raw.subscribe(self.queue, ack="auto", browser="true")
        (end,) = self.arrived(1)
        self.assertEqual(end["browser"], "end")
        answer = self.raw.request("UNSUBSCRIBE", {"id": "s"})
        self.assertEqual(answer.command, "RECEIPT")

    def test_forbidden(self) -> None:
        """Who may not read is told so, by the receipt of the SUBSCRIBE."""
        answer = self.connect(STRANGER).request(
            "SUBSCRIBE", {"destination": self.queue, "id": "s"}
        )
        self.assertEqual(answer.command, "ERROR")
        self.assertIn("receipt-id", answer.headers)
        self.assertIn("not authorized", answer["message"])

    def test_everything_below(self) -> None:
        """A consumer of all bindings at once would be one more binding."""
        topic = f"VirtualTopic.{self.unique}"
        self.declare(f"/queue/Consumer.{self.unique}.{topic}")
        self.raw.subscribe(f"/queue/Consumer.{self.unique}.>")
        self.raw.publish(f"/topic/{topic}")
        self.assertEqual(len(self.arrived(2)), 2)


class DurabilityTests(SynchronousTestCase):
    """What is there after a loss of power."""

    def restarted(self, number: int, *destinations: str) -> list[bytes]:
        """
        Kill the broker, start it, and send to the virtual topic of these tests.

        @return: the messages in physical queues, of which there are so many.
        """
        fragile_activemq().kill()
        with Raw(fragile_activemq().stomp_port) as raw:
            raw.publish("/topic/VirtualTopic.durable", b"new")
            for id, destination in enumerate(destinations):
                raw.subscribe(destination, str(id))
            return sorted(frame.body for frame in raw.messages(number))

    def test_messages(self) -> None:
        """Persistent messages are, others not."""
        with Raw(fragile_activemq().stomp_port) as raw:
            raw.publish("/queue/durable", b"kept", persistent="true")
            raw.publish("/queue/durable", b"lost")
        self.assertEqual(self.restarted(1, "/queue/durable"), [b"kept"])

    def test_used_queue(self) -> None:
        """A queue that has a persistent message is."""
        queue = "/queue/Consumer.used.VirtualTopic.durable"
        with Raw(fragile_activemq().stomp_port) as raw:
            raw.subscribe(queue, **{PREFETCH: 0})
            raw.publish("/topic/VirtualTopic.durable", b"old", persistent="true")
        self.assertEqual(self.restarted(2, queue), [b"new", b"old"])

    def test_new_queue(self) -> None:
        """A queue that never had a message is, after the store's next checkpoint."""
        queue = "/queue/Consumer.new.VirtualTopic.durable"
        with Raw(fragile_activemq().stomp_port) as raw:
            raw.subscribe(queue, **{PREFETCH: 0})
        self.wait_for_checkpoint()
        self.assertEqual(self.restarted(1, queue), [b"new"])

    def wait_for_checkpoint(self) -> None:
        """Wait until a checkpoint that began after this has been written."""
        limit = time.monotonic() + LIMIT
        # One may be under way.  Each writes its log, and then its pages.
        for name in ("db.redo", "db.data") * 2:
            path = fragile_activemq().folder / "data" / "kahadb" / name
            before = path.stat().st_mtime_ns
            while path.stat().st_mtime_ns == before:
                self.assertLess(time.monotonic(), limit, "no checkpoint")
                time.sleep(0.005)
