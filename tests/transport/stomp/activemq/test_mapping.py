"""
What exchanges, queues and bindings are called on ActiveMQ.
"""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from txkombu import Exchange, Queue
from txkombu.exceptions import (
    AccessRefused,
    BrokerError,
    ContentTooLarge,
    NotFound,
    NotSupported,
)
from txkombu.interfaces import Capability
from txkombu.transport.stomp.activemq import ActiveMQDialect
from txkombu.transport.stomp.activemq.mapping import (
    binding_destination,
    binding_words,
    decode,
    encode_queue,
    encode_word,
    publish_destination,
    published_to,
    queue_of,
    source_destinations,
)
from txkombu.transport.stomp.activemq.overlaps import Patterns
from txkombu.transport.stomp.dialect import (
    BoundQueue,
    ConsumeOptions,
    Source,
    StompBinding,
)

DEFAULT = Exchange("")
DIRECT = Exchange("d", "direct")
FANOUT = Exchange("f", "fanout")
TOPIC = Exchange("t", "topic")

ODD = (
    "",
    " ",
    "%",
    "%25",
    "%2C",
    "*",
    "#",
    ">",
    ".",
    "..",
    "a.b",
    "a.",
    ".a",
    "a,b",
    "a?b=c",
    "a>b",
    "a b ",
    "\ta\n",
    "a\0b",
    "a:b",
    "a/b",
    "/queue/a",
    "queue://a",
    "Consumer.a.b",
    "VirtualTopic.a",
    "grüße 日本 😀",
    "A",
    "~",
)


def bound(exchange: Exchange, key: str = "") -> StompBinding:
    """A binding."""
    return StompBinding(exchange, key, {})


class EncodingTests(SynchronousTestCase):
    """Names as parts of destinations."""

    def test_word(self) -> None:
        """Only letters, digits, dashes and underscores stay as they are."""
        self.assertEqual(encode_word("aZ09_-"), "aZ09_-")
        self.assertEqual(encode_word("a.b,c é"), "a%2Eb%2Cc%20%C3%A9")

    def test_empty(self) -> None:
        """A name without a character is a percent sign, which no other one is."""
        self.assertEqual((encode_word(""), encode_queue("")), ("%", "%"))
        self.assertEqual((encode_word("%"), encode_queue("%")), ("%25", "%25"))

    def test_queue(self) -> None:
        """A queue keeps all of its name that means nothing to ActiveMQ."""
        for name in ("orders.in", "a b", "a/b", "a:b", "日本", "a;b|c@d#e"):
            self.assertEqual(encode_queue(name), name)

    def test_odd_queue(self) -> None:
        """Wildcards, lists, options, and what is trimmed at the ends is encoded."""
        self.assertEqual(encode_queue("a,b?c*d>e%"), "a%2Cb%3Fc%2Ad%3Ee%25")
        self.assertEqual(encode_queue("  a b "), "%20%20a b%20")
        self.assertEqual(encode_queue("\na\x7f"), "%0Aa%7F")
        self.assertEqual(encode_queue("  "), "%20%20")

    def test_decoded(self) -> None:
        """Every name can be read back."""
        for name in ODD:
            self.assertEqual(decode(encode_word(name)), name)
            self.assertEqual(decode(encode_queue(name)), name)

    def test_unequal(self) -> None:
        """No two names are encoded alike."""
        self.assertEqual(len(set(map(encode_word, ODD))), len(ODD))
        self.assertEqual(len(set(map(encode_queue, ODD))), len(ODD))


class PublishTests(SynchronousTestCase):
    """Where messages are sent to."""

    def test_default(self) -> None:
        """The default exchange sends to the queue that the key names."""
        self.assertEqual(publish_destination(DEFAULT, "a.b"), "/queue/a.b")

    def test_direct(self) -> None:
        """A direct exchange has one virtual topic for each key."""
        name = publish_destination(DIRECT, "a.b")
        self.assertEqual(name, "/topic/VirtualTopic.d.a%2Eb")
        name = publish_destination(DIRECT, "")
        self.assertEqual(name, "/topic/VirtualTopic.d.%")

    def test_fanout(self) -> None:
        """A fanout exchange has one for all keys."""
        self.assertEqual(publish_destination(FANOUT, "any"), "/topic/VirtualTopic.f")

    def test_topic(self) -> None:
        """A topic exchange has one for each word."""
        cases = {
            "": "t",
            "a": "t.a",
            "a.b,c": "t.a.b%2Cc",
            "a..b": "t.a.%.b",
            ".": "t.%.%",
            "*.#.>": "t.%2A.%23.%3E",
        }
        for key, words in cases.items():
            destination = publish_destination(TOPIC, key)
            self.assertEqual(destination, "/topic/VirtualTopic." + words)

    def test_exchange_name(self) -> None:
        """The name of an exchange is one word, whatever is in it."""
        destination = publish_destination(Exchange("a.b", "fanout"), "")
        self.assertEqual(destination, "/topic/VirtualTopic.a%2Eb")

    def test_other_type(self) -> None:
        """Exchanges of other types are not supported."""
        for kind in ("headers", "x-delayed-message"):
            with self.assertRaisesRegex(NotSupported, f"{kind}.*ActiveMQ"):
                publish_destination(Exchange("x", kind), "a")

    def test_long_key(self) -> None:
        """A key of more than 255 bytes is refused, as AMQP would."""
        for exchange in (DEFAULT, DIRECT, FANOUT, TOPIC):
            with self.assertRaisesRegex(ValueError, "routing key has 256 bytes"):
                publish_destination(exchange, "ü" * 128)

    def test_surrogate(self) -> None:
        """A key that is no UTF-8 is refused."""
        with self.assertRaisesRegex(ValueError, "UTF-8"):
            publish_destination(TOPIC, "\udcff")

    def test_reply(self) -> None:
        """The replies of another client go where that listens."""
        name = "/remote-temp-queue/ID:host-4711-1:1:1"
        self.assertEqual(publish_destination(DEFAULT, name), name)
        many = publish_destination(DEFAULT, "/remote-temp-queue/a,/queue/b")
        self.assertEqual(many, "/queue//remote-temp-queue/a%2C/queue/b")

    def test_published_to(self) -> None:
        """A MESSAGE tells what it was published to."""
        for exchange, key in product((DIRECT, TOPIC), ODD):
            original = publish_destination(exchange, key)
            found = published_to("/queue/Consumer.q.VirtualTopic.x", original)
            self.assertEqual(found, (exchange.name, key))
        for name in ODD:
            fanout = Exchange(name or "f", "fanout")
            found = published_to("/queue/any", publish_destination(fanout, ""))
            self.assertEqual(found, (fanout.name, ""))
            found = published_to(publish_destination(DEFAULT, name), "")
            self.assertEqual(found, ("", name))

    def test_dead_letter(self) -> None:
        """A dead letter is found in the queue of these, wherever it was before."""
        found = published_to("/queue/ActiveMQ.DLQ", "/queue/Consumer.q.VirtualTopic.x")
        self.assertEqual(found, ("", "ActiveMQ.DLQ"))

    def test_topics_of_others(self) -> None:
        """What came by a topic that is no exchange is of its queue alone."""
        self.assertEqual(published_to("/queue/a", "/topic/b"), ("", "a"))
        self.assertEqual(queue_of("/topic/b"), "/topic/b")


class BindingTests(SynchronousTestCase):
    """Where queues get their messages from."""

    def test_direct(self) -> None:
        """A binding is a physical queue, of a name that ActiveMQ fills."""
        name = binding_destination("q.1", bound(DIRECT, "a.*"))
        self.assertEqual(name, "/queue/Consumer.q%2E1.VirtualTopic.d.a%2E%2A")

    def test_fanout(self) -> None:
        """The key of a binding to a fanout exchange means nothing."""
        name = "/queue/Consumer.q.VirtualTopic.f"
        self.assertEqual(binding_destination("q", bound(FANOUT, "a")), name)
        self.assertEqual(binding_destination("q", bound(FANOUT)), name)

    def test_topic(self) -> None:
        """Patterns have ActiveMQ's wildcards."""
        cases = {
            "": "t",
            "#": "t.>",
            "a.#": "t.a.>",
            "*.b": "t.*.b",
            "*.*.#": "t.*.*.>",
            "a*.#b.>": "t.a%2A.%23b.%3E",
            "a..*": "t.a.%.*",
        }
        for key, words in cases.items():
            found = ".".join(binding_words(bound(TOPIC, key)))
            self.assertEqual(found, words)

    def test_hash_within(self) -> None:
        """A hash that is not the last word is not supported, and said to be so."""
        for key in ("#.a", "a.#.b", "#.#"):
            with self.assertRaisesRegex(NotSupported, "'#' can only be the last"):
                binding_words(bound(TOPIC, key))

    def test_sources(self) -> None:
        """A consumer reads the queue itself, and each binding once."""
        bindings = [
            bound(FANOUT, "a"),
            bound(FANOUT, "b"),
            bound(TOPIC, "a.#"),
            bound(DEFAULT, "q"),
        ]
        self.assertEqual(
            source_destinations(Queue("q"), bindings),
            [
                "/queue/q",
                "/queue/Consumer.q.VirtualTopic.f",
                "/queue/Consumer.q.VirtualTopic.t.a.>",
            ],
        )


def matches(pattern: list[str], key: list[str]) -> bool:
    """AMQP's rule, for patterns whose hash comes last."""
    if pattern[-1:] == ["#"]:
        pattern = pattern[:-1]
        key = key[: len(pattern)]
    if len(pattern) != len(key):
        return False
    return all(want in ("*", word) for want, word in zip(pattern, key, strict=True))


class OverlapTests(SynchronousTestCase):
    """Patterns that match the same key."""

    def test_all(self) -> None:
        """Two overlap if and only if there is a key that both match."""
        keys = [list(key) for size in range(4) for key in product("abx", repeat=size)]
        patterns = [
            [*words, *last]
            for size in range(3)
            for words in product("ab*", repeat=size)
            for last in ([], ["#"])
        ]
        for one, other in product(patterns, repeat=2):
            both = any(matches(one, key) and matches(other, key) for key in keys)
            first, second = (bound(TOPIC, ".".join(each)) for each in (one, other))
            known = Patterns()
            known.add(first)
            found = known.overlapping(binding_words(second))
            expected = first.routing_key if both and one != other else None
            self.assertEqual(found, expected, (one, other))

    def check(self, key: str, exchange: Exchange, *others: StompBinding) -> None:
        """Check a binding beside others."""
        to = BoundQueue(Queue("q"), others)
        ActiveMQDialect().check_binding(bound(exchange, key), to)

    def test_forgotten(self) -> None:
        """What was forgotten overlaps with nothing, and leaves the others."""
        known = Patterns()
        keys = ("a.#", "a.b", "a.*", "a", "a.b.c")
        for key in keys:
            known.add(bound(TOPIC, key))
        for number, key in enumerate(keys, 1):
            known.discard(bound(TOPIC, key))
            found = known.overlapping(binding_words(bound(TOPIC, "#")))
            self.assertEqual(found in keys[number:], number < len(keys))
        self.assertEqual(known._root.next, {})

    def test_fanout_keys(self) -> None:
        """Bindings that differ only in a key which means nothing count one by one."""
        known = Patterns()
        for key in "ab":
            known.add(bound(FANOUT, key))
        known.discard(bound(FANOUT, "a"))
        self.assertEqual(known.overlapping(("f", ">")), "b")

    def test_refused(self) -> None:
        """Overlapping bindings are refused, by a text that names both and says why."""
        with self.assertRaises(NotSupported) as caught:
            self.check("a.*", TOPIC, bound(TOPIC, "x"), bound(TOPIC, "*.b"))
        text = str(caught.exception)
        for part in ("'a.*'", "'*.b'", "'q'", "'t'", "twice", "ActiveMQ"):
            self.assertIn(part, text)

    def test_same(self) -> None:
        """The same binding again is fine, and so is any key of a fanout exchange."""
        self.check("a.*", TOPIC, bound(TOPIC, "a.*"))
        self.check("a", DIRECT, bound(DIRECT, "a"))
        self.check("a", FANOUT, bound(FANOUT, "b"))

    def test_apart(self) -> None:
        """Bindings that exclude each other are fine, and so are other exchanges."""
        self.check("a.*", TOPIC, bound(TOPIC, "b.#"), bound(TOPIC, "a"))
        self.check("a", DIRECT, bound(DIRECT, "b"), bound(FANOUT, "a"))
        self.check("#", TOPIC, bound(Exchange("u", "topic"), "#"), bound(DIRECT, "a"))

    def test_direct_patterns(self) -> None:
        """What is a wildcard in a topic exchange is none in a direct one."""
        self.check("a", DIRECT, bound(DIRECT, "*"), bound(DIRECT, "#"))

    def test_hash_within(self) -> None:
        """A binding that cannot be made is refused without others, too."""
        with self.assertRaisesRegex(NotSupported, "#"):
            self.check("#.a", TOPIC)


class DialectTests(SynchronousTestCase):
    """What the dialect takes, and what not."""

    def setUp(self) -> None:
        self.dialect = ActiveMQDialect()

    def test_exchanges(self) -> None:
        """Direct, fanout and topic exchanges without arguments are taken."""
        for exchange in (DIRECT, FANOUT, TOPIC):
            self.dialect.check_exchange(exchange)
        with self.assertRaisesRegex(NotSupported, "'headers'"):
            self.dialect.check_exchange(Exchange("h", "headers"))
        with self.assertRaisesRegex(NotSupported, "arguments.*'alternate-exchange'"):
            arguments = {"alternate-exchange": "x"}
            self.dialect.check_exchange(Exchange("d", arguments=arguments))

    def test_queues(self) -> None:
        """Queues are neither exclusive nor auto-delete, and have no arguments."""
        self.dialect.check_queue(Queue("q"))
        self.dialect.check_queue(Queue("q", durable=False))
        for queue, text in (
            (Queue("q", exclusive=True), "exclusive queue"),
            (Queue("q", auto_delete=True), "auto-delete queue"),
            (Queue("q", max_priority=3), "'x-max-priority'.*policies"),
        ):
            with self.assertRaisesRegex(NotSupported, text):
                self.dialect.check_queue(queue)

    def sources(self, prefetch: int, no_ack: bool = False) -> list[Source]:
        """The sources of a queue with two bindings."""
        bindings = [bound(FANOUT), bound(DIRECT, "a")]
        consuming = ConsumeOptions(prefetch, no_ack)
        return self.dialect.sources(BoundQueue(Queue("q"), bindings), consuming)

    def test_prefetch(self) -> None:
        """Each source has its share of the prefetch, and at least one."""
        for prefetch, share in ((100, 33), (3, 1), (1, 1), (0, 2**31 - 1)):
            for source in self.sources(prefetch):
                self.assertEqual(
                    source.headers,
                    (
                        ("ack", "client-individual"),
                        ("activemq.prefetchSize", str(share)),
                    ),
                )

    def test_no_ack(self) -> None:
        """What settles nothing has its messages acked one by one, too."""
        for source in self.sources(1, no_ack=True):
            self.assertEqual(
                source.headers,
                (("ack", "client-individual"), ("activemq.prefetchSize", "1000")),
            )

    def test_fanout_key(self) -> None:
        """The key of a publish to a fanout exchange goes along in a header."""
        self.assertEqual(
            self.dialect.publish_headers(FANOUT, "a:b"), b"x-txk-routing-key:a\\cb\n"
        )
        for exchange, key in (
            (FANOUT, ""),
            (DIRECT, "a"),
            (TOPIC, "a"),
            (DEFAULT, "a"),
        ):
            self.assertEqual(self.dialect.publish_headers(exchange, key), b"")

    def test_refuses(self) -> None:
        """A refusal is about the destination that it ends with, and no other."""
        for place, destination, expected in (
            ("queue://a", "/queue/a", True),
            ("queue://a", "/queue/b", False),
            ("queue://a.b", "/queue/b", False),
            ("queue://ab", "/queue/a", False),
            ("topic://a", "/queue/a", False),
            ("topic://VirtualTopic.a.b", "/topic/VirtualTopic.a.b", True),
        ):
            error = AccessRefused(f"User x is not authorized to write to: {place}")
            self.assertIs(self.dialect.refuses(error, destination), expected)

    def test_may_refuse(self) -> None:
        """Without a receipt only what is too large can be refused."""
        self.assertTrue(self.dialect.may_refuse(ContentTooLarge("no")))
        for error in (AccessRefused("no"), NotFound("no"), BrokerError("no")):
            self.assertFalse(self.dialect.may_refuse(error))

    def test_capabilities(self) -> None:
        """What ActiveMQ can do is this, and no more."""
        self.assertEqual(
            self.dialect.capabilities,
            {
                Capability.QUEUE_PURGE,
                Capability.CONFIRM,
                Capability.GET,
                Capability.MULTIPLE_ACK,
                Capability.CONSUMER_PREFETCH,
                Capability.RECOVER,
            },
        )
