"""
Exchanges, keys and queues as destinations of RabbitMQ's STOMP plugin.
"""

from __future__ import annotations

from urllib.parse import quote

from twisted.trial.unittest import SynchronousTestCase

from txkombu.entity import Exchange
from txkombu.transport.stomp.rabbitmq.mapping import (
    Route,
    decode_word,
    destination_of,
    encode_word,
    is_native,
    origin_of,
    queue_destination,
    refused_by,
    route,
)

NAMES = (
    "media",
    "a.b",
    "a/b c",
    "~41",
    "%41",
    "#",
    "*",
    "ärger über 'ß' & \x01 日本",
    "txkombu.media",
    "_-",
)
KEYS = (
    "",
    "video",
    "a.b",
    ".",
    "..a",
    "a/b",
    "/",
    "a%b",
    "%41",
    "ä ß",
    " a ",
    "*.#",
    "a:b\nc\\d",
)


def as_rabbitmq_tells(route: Route) -> str:
    """The destination that a MESSAGE has, from the broker's exchange and key."""
    exchange, key = (quote(part, safe=" ~:\\*#'&") for part in route)
    if not route.exchange:
        return f"/queue/{key}"
    if route.exchange == "amq.topic":
        return f"/topic/{key}"
    return f"/exchange/{exchange}/{key}" if route.key else f"/exchange/{exchange}"


class WordTests(SynchronousTestCase):
    """A name as one word of a key."""

    def test_there_and_back(self) -> None:
        """Every name becomes one word, and is found again."""
        for name in NAMES:
            word = encode_word(name)
            self.assertRegex(word, r"^[A-Za-z0-9_~-]+$")
            self.assertEqual(decode_word(word), name)

    def test_no_word_of_ours(self) -> None:
        """What cannot come from a name stands for none."""
        for word in ("", "~", "~4", "~4g", "~e9", "a b", "~FF", "~C3", "ä", "a\n"):
            self.assertIsNone(decode_word(word), word)


class RouteTests(SynchronousTestCase):
    """Where messages go."""

    def test_mapped(self) -> None:
        """An exchange goes through one that is always there, by its type."""
        for kind, expected in (
            ("direct", Route("amq.direct", "txkombu.a~2Eb.k.l")),
            ("topic", Route("amq.topic", "txkombu.a~2Eb.k.l")),
            ("fanout", Route("amq.topic", "txkombu.a~2Eb.k.l")),
        ):
            self.assertEqual(route(Exchange("a.b", kind), "k.l"), expected)

    def test_no_key(self) -> None:
        """An empty key has no words, but is a key of a direct exchange."""
        self.assertEqual(route(Exchange("e", "topic"), "").key, "txkombu.e")
        self.assertEqual(route(Exchange("e", "fanout"), "").key, "txkombu.e")
        self.assertEqual(route(Exchange("e", "direct"), "").key, "txkombu.e.")

    def test_fanout_is_bound_to_all(self) -> None:
        """A queue bound to a fanout exchange gets what has any key."""
        bound = route(Exchange("e", "fanout"), "ignored", binds=True)
        self.assertEqual(bound, Route("amq.topic", "txkombu.e.#"))
        native = Exchange("e", "fanout", passive=True)
        self.assertEqual(route(native, "k", binds=True), Route("e", "k"))
        topic = route(Exchange("e", "topic"), "a.*", binds=True)
        self.assertEqual(topic, Route("amq.topic", "txkombu.e.a.*"))

    def test_native(self) -> None:
        """Exchanges that the broker has are used as they are."""
        for exchange in (
            Exchange("amq.direct"),
            Exchange("amq.fanout", "fanout"),
            Exchange("there", "topic", passive=True),
            Exchange("there", "x-custom", no_declare=True),
        ):
            self.assertTrue(is_native(exchange))
            self.assertEqual(route(exchange, "k"), Route(exchange.name, "k"))
        self.assertFalse(is_native(Exchange("there")))

    def test_no_foreign_keys(self) -> None:
        """Keys of mapped exchanges cannot be used with those they go through."""
        for name in ("amq.direct", "amq.topic"):
            for binds in (False, True):
                error = self.assertRaises(
                    ValueError, route, Exchange(name), "txkombu.e.k", binds
                )
                self.assertIn("'txkombu.e.k' cannot be used with " + name, str(error))
        self.assertEqual(
            route(Exchange("amq.fanout"), "txkombu.e.k"),
            Route("amq.fanout", "txkombu.e.k"),
        )

    def test_other_types(self) -> None:
        """Of other types there are only those that the broker has."""
        for kind in ("headers", "x-delayed-message"):
            self.assertRaises(ValueError, route, Exchange("e", kind), "k")

    def test_too_long(self) -> None:
        """Exchange and key have to fit into one key of 255 bytes."""
        fits = "k" * (255 - len("txkombu.e."))
        self.assertEqual(len(route(Exchange("e"), fits).key), 255)
        error = self.assertRaises(ValueError, route, Exchange("e"), fits + "k")
        self.assertIn(
            "the exchange 'e' and the routing key take 256 bytes as one routing key",
            str(error),
        )
        self.assertRaises(ValueError, route, Exchange("ü" * 127), "")
        native = Exchange("e", passive=True)
        self.assertEqual(route(native, "k" * 255).key, "k" * 255)
        self.assertRaises(ValueError, route, native, "ü" * 128)


class DestinationTests(SynchronousTestCase):
    """What is written."""

    def test_destination(self) -> None:
        """A slash is encoded, and nothing else; an empty key leaves no slash."""
        for exchange, key, expected in (
            ("amq.direct", "k", "/exchange/amq.direct/k"),
            ("a/b", "c/d%e ä", "/exchange/a%2Fb/c%2Fd%e ä"),
            ("e", "", "/exchange/e"),
        ):
            self.assertEqual(destination_of(Route(exchange, key)), expected)

    def test_queue(self) -> None:
        """A queue is named so that sending to it declares nothing."""
        self.assertEqual(queue_destination("a/b"), "/amq/queue/a%2Fb")
        self.assertEqual(queue_destination("a/b", declaring=True), "/queue/a%2Fb")

    def test_no_queue(self) -> None:
        """A queue needs a name, of at most 255 bytes and in one line."""
        for name in ("", "ü" * 128, "a\nb", "a\rb"):
            self.assertRaises(ValueError, queue_destination, name)
        self.assertIn("q" * 255, queue_destination("q" * 255))

    def test_line_ends(self) -> None:
        """
        An exchange of the broker's is in one line, too, or RabbitMQ would bind to
        another; keys and mapped exchanges have what they have.
        """
        for name in ("feed\r", "\nfeed", "fe\r\ned"):
            error = self.assertRaises(ValueError, destination_of, Route(name, "k"))
            self.assertIn(f"an exchange cannot be called {name!r}", str(error))
            self.assertIn("%0D", route(Exchange("feed\r"), name).key.replace("~", "%"))
            self.assertIn(name, destination_of(Route("feed", name)))

    def test_cannot_be_expressed(self) -> None:
        """What the plugin would take for a slash is refused; what not, is not."""
        for make in (
            lambda: queue_destination("a%2Fb"),
            lambda: destination_of(Route("a%2Fb", "k")),
            lambda: destination_of(Route("e", "a%2Fb")),
        ):
            error = self.assertRaises(ValueError, make)
            self.assertIn("'a%2Fb' cannot be expressed", str(error))
        self.assertEqual(queue_destination("a%2fb"), "/amq/queue/a%2fb")
        self.assertEqual(route(Exchange("a%2Fb"), "k").key, "txkombu.a~252Fb.k")


class OriginTests(SynchronousTestCase):
    """What is read."""

    def test_there_and_back(self) -> None:
        """A message has the exchange and the key it was published with."""
        for name in NAMES:
            for kind in ("direct", "topic", "fanout"):
                for key in KEYS:
                    sent = route(Exchange(name, kind), key)
                    self.assertEqual(
                        origin_of(as_rabbitmq_tells(sent)), Route(name, key)
                    )

    def test_native(self) -> None:
        """So has one that went through an exchange that the broker has."""
        for name in (*NAMES, "amq.direct", "amq.topic"):
            for key in KEYS:
                sent = route(Exchange(name, passive=True), key)
                self.assertEqual(origin_of(as_rabbitmq_tells(sent)), (name, key))

    def test_default_exchange(self) -> None:
        """So has one sent to a queue by its name."""
        for name in NAMES:
            told = as_rabbitmq_tells(Route("", name))
            self.assertEqual(origin_of(told), Route("", name))

    def test_keys_of_others(self) -> None:
        """What an AMQP producer sent by a key like ours but wrong stays as it is."""
        for key in ("txkombu.~zz.k", "txkombu.", "txkombu", "txkombu..k"):
            told = as_rabbitmq_tells(Route("amq.direct", key))
            self.assertEqual(origin_of(told), Route("amq.direct", key))
        told = as_rabbitmq_tells(Route("amq.fanout", "txkombu.e.k"))
        self.assertEqual(origin_of(told), Route("amq.fanout", "txkombu.e.k"))

    def test_anything_else(self) -> None:
        """A destination of another kind is better than no word at all."""
        for text in ("/temp-queue/x", "/reply-queue/x", "", "/", "nonsense"):
            self.assertEqual(origin_of(text), Route("", text))

    def test_not_utf8(self) -> None:
        """A key of bytes that are no UTF-8 does not stop anyone."""
        self.assertEqual(origin_of("/exchange/e/%FF"), Route("e", "\ufffd"))


class RefusalTests(SynchronousTestCase):
    """Which sends a refusal is about."""

    def test_by_exchange(self) -> None:
        """It is about what went to the exchange it names, and nothing else."""
        for text in (
            "NOT_FOUND - no exchange 'a/b' in vhost '/'",
            "ACCESS_REFUSED - access to exchange 'a/b' in vhost '/' refused for user "
            "'x'",
        ):
            for destination, expected in (
                ("/exchange/a%2Fb/k", True),
                ("/exchange/a%2Fb", True),
                ("/exchange/a%2Fbc/k", False),
                ("/exchange/a", False),
                ("/amq/queue/a%2Fb", False),
            ):
                self.assertIs(refused_by(text, destination), expected, destination)

    def test_by_topic(self) -> None:
        """A key that a user may not use is refused, and no other of the exchange."""
        text = (
            "ACCESS_REFUSED - access to topic 'b.c' in exchange 'amq.topic' in vhost "
            "'/' refused for user 'x'"
        )
        self.assertTrue(refused_by(text, "/exchange/amq.topic/b.c"))
        self.assertFalse(refused_by(text, "/exchange/amq.topic/b.d"))
        self.assertFalse(refused_by(text, "/exchange/amq.topic"))

    def test_default_exchange(self) -> None:
        """The default exchange has a name in refusals."""
        text = (
            "ACCESS_REFUSED - access to exchange 'amq.default' in vhost '/' refused "
            "for user 'x'"
        )
        self.assertTrue(refused_by(text, "/amq/queue/q"))
        self.assertFalse(refused_by(text, "/exchange/e/q"))

    def test_about_something_else(self) -> None:
        """One that names no exchange says nothing of any."""
        self.assertFalse(refused_by("NOT_FOUND - no queue 'q'", "/amq/queue/q"))
