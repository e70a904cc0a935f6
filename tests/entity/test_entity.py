"""
Exchange, Queue and binding.
"""

from __future__ import annotations

from copy import copy
from importlib import import_module
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from txkombu.entity import Exchange, Queue, binding
from txkombu.exceptions import NotBoundError, NotFound
from txkombu.interfaces import QueueDeclareOk

kombu: Any = import_module("kombu")  # it does not export its names to mypy
MEDIA = Exchange("media", "direct", durable=True)


class RecordingChannel:
    """
    Stands for a channel: remembers what it was called with.

    @ivar calls: the name of each method called, and its arguments.
    @ivar answers: what the methods' Deferreds fire with, by name.
    """

    def __init__(self, **answers: object) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.answers = answers

    @property
    def default_channel(self) -> RecordingChannel:
        return self

    def names(self) -> list[str]:
        """The methods that were called, in order."""
        return [call[0] for call in self.calls]

    def queue_declare(self, queue: Queue, passive: bool) -> Deferred[QueueDeclareOk]:
        self.calls.append(("queue_declare", queue, passive))
        queue.name = queue.name or "amq.gen-1"
        return succeed(QueueDeclareOk(queue.name, 2, 1))

    def __getattr__(self, name: str) -> Any:
        def method(*arguments: object, **options: object) -> Deferred[Any]:
            self.calls.append((name, *arguments, *([options] if options else [])))
            answer = self.answers.get(name)
            return fail(answer) if isinstance(answer, Exception) else succeed(answer)

        return method


class Connection:
    """Stands for a connection: has a default channel."""

    def __init__(self, channel: RecordingChannel) -> None:
        self.default_channel = channel


def bound(entity: Any, channel: object) -> Any:
    """Bind to a stand-in, which mypy would not let through."""
    return entity(channel)


class BindingToChannelTests(SynchronousTestCase):
    """Calling an entity with a channel."""

    def test_copy(self) -> None:
        """The copy is bound and equal; the original stays unbound."""
        channel = RecordingChannel()
        for entity in (MEDIA, Queue("video", MEDIA, "video")):
            twin = bound(entity, channel)
            self.assertIsNot(twin, entity)
            self.assertIs(type(twin), type(entity))
            self.assertEqual(twin, entity)
            self.assertEqual((twin.is_bound, entity.is_bound), (True, False))
            self.assertIs(twin.channel, channel)

    def test_queue_binds_its_exchange(self) -> None:
        """A bound queue has a bound exchange; the original's is not."""
        queue = Queue("video", MEDIA, "video")
        twin = bound(queue, RecordingChannel())
        self.assertTrue(twin.exchange.is_bound)
        assert queue.exchange is not None
        self.assertFalse(queue.exchange.is_bound)

    def test_connection(self) -> None:
        """What takes a channel takes a connection, and uses its default channel."""
        channel = RecordingChannel()
        self.assertIs(bound(MEDIA, Connection(channel)).channel, channel)

    def test_constructor(self) -> None:
        """The channel may be given when the entity is made."""
        channel: Any = RecordingChannel()
        self.assertIs(Exchange("media", "direct", channel).channel, channel)
        queue = Queue("video", MEDIA, "video", channel)
        self.assertIs(queue.channel, channel)
        assert queue.exchange is not None
        self.assertIs(queue.exchange.channel, channel)
        self.assertFalse(MEDIA.is_bound)

    def test_maybe_bind(self) -> None:
        """An entity that is bound stays as it is, and so does one without channel."""
        channel: Any = RecordingChannel()
        twin = MEDIA.maybe_bind(channel)
        self.assertTrue(twin.is_bound)
        other: Any = RecordingChannel()
        self.assertIs(twin.maybe_bind(other), twin)
        self.assertIs(MEDIA.maybe_bind(None), MEDIA)

    def test_no_channel(self) -> None:
        """Anything else is a TypeError that says how to get a channel."""
        error = self.assertRaises(TypeError, bound, MEDIA, "amqp://")
        self.assertIn("a Channel or a BrokerConnection is needed", str(error))
        self.assertIn("await connection.channel()", str(error))

    def test_not_bound(self) -> None:
        """
        Each operation of an unbound entity raises at once, naming the method
        and the kind.
        """
        queue = Queue("video", MEDIA, "video")
        calls: list[tuple[str, str, Any, tuple[object, ...]]] = [
            ("delete", "Exchange", MEDIA.delete, ()),
            ("declare", "Exchange", MEDIA.declare, ()),
            ("bind_to", "Exchange", MEDIA.bind_to, ("other",)),
            ("unbind_from", "Exchange", MEDIA.unbind_from, ("other",)),
            ("declare", "Queue", queue.declare, ()),
            ("queue_declare", "Queue", queue.queue_declare, ()),
            ("bind_to", "Queue", queue.queue_bind, ()),
            ("bind_to", "Queue", queue.bind_to, ("media",)),
            ("unbind_from", "Queue", queue.unbind_from, ("media",)),
            ("get", "Queue", queue.get, ()),
            ("purge", "Queue", queue.purge, ()),
            ("consume", "Queue", queue.consume, ("", print)),
            ("cancel", "Queue", queue.cancel, ("tag",)),
            ("delete", "Queue", queue.delete, ()),
        ]
        for method, kind, call, arguments in calls:
            error = self.assertRaises(NotBoundError, call, *arguments)
            self.assertTrue(
                str(error).startswith(
                    f"Can't call {method} on {kind} not bound to a channel."
                ),
                str(error),
            )
        error = self.assertRaises(NotBoundError, lambda: MEDIA.channel)
        self.assertIn("Can't call channel on Exchange", str(error))

    def test_subclass(self) -> None:
        """The error names the class of the user's own."""

        class Feed(Exchange):
            pass

        error = self.assertRaises(NotBoundError, Feed("feed").delete)
        self.assertIn("Can't call delete on Feed not bound", str(error))


class ExchangeTests(SynchronousTestCase):
    """L{Exchange}"""

    def test_delivery_modes(self) -> None:
        """The constants are Kombu's, and the modes of AMQP."""
        for name in ("TRANSIENT_DELIVERY_MODE", "PERSISTENT_DELIVERY_MODE"):
            self.assertEqual(getattr(Exchange, name), getattr(kombu.Exchange, name))
        self.assertEqual(
            (Exchange.TRANSIENT_DELIVERY_MODE, Exchange.PERSISTENT_DELIVERY_MODE),
            (1, 2),
        )

    def test_defaults(self) -> None:
        """The defaults are Kombu's."""
        exchange, theirs = Exchange("media"), kombu.Exchange("media")
        for field in (
            "name",
            "type",
            "durable",
            "auto_delete",
            "passive",
            "no_declare",
        ):
            self.assertEqual(getattr(exchange, field), getattr(theirs, field), field)
        self.assertEqual(
            exchange.delivery_mode, kombu.Exchange.PERSISTENT_DELIVERY_MODE
        )
        self.assertEqual(exchange.arguments, {})

    def test_type(self) -> None:
        """The type is any name; an empty one is direct."""
        self.assertEqual(Exchange("x", "x-consistent-hash").type, "x-consistent-hash")
        self.assertEqual(Exchange("x", type="").type, "direct")

    def test_bad_values(self) -> None:
        """Each bad argument raises at once and is named."""
        wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
            ({"name": None}, TypeError, "exchange name must be a str"),
            ({"name": "é" * 128}, ValueError, "exchange name has 256 bytes"),
            ({"type": 5}, TypeError, "exchange type must be a str"),
            ({"durable": 1}, TypeError, "durable must be True or False"),
            ({"auto_delete": "yes"}, TypeError, "auto_delete must be True or False"),
            ({"passive": None}, TypeError, "passive must be True or False"),
            ({"no_declare": 0}, TypeError, "no_declare must be True or False"),
            ({"delivery_mode": 3}, ValueError, "delivery_mode must be 1, 2"),
            ({"arguments": [1]}, TypeError, "arguments must be a mapping"),
            ({"arguments": {1: 2}}, TypeError, "key of arguments must be a str"),
            ({"colour": "red"}, TypeError, "colour"),
            ({"channel": 5}, TypeError, "a Channel or a BrokerConnection is needed"),
        ]
        for options, kind, text in wrong:
            self.assertIn(text, str(self.assertRaises(kind, Exchange, **options)))

    def test_arguments_are_copied(self) -> None:
        """What the caller passed can change afterwards without effect."""
        mine = {"alternate-exchange": "lost"}
        exchange = Exchange("x", arguments=mine)
        mine.clear()
        self.assertEqual(exchange.arguments, {"alternate-exchange": "lost"})

    def test_equality(self) -> None:
        """All declared fields decide; a channel does not."""
        same = Exchange("x", "topic", arguments={"a": 1}, durable=False)
        twin = Exchange("x", "topic", arguments={"a": 1}, durable=False)
        self.assertEqual(same, twin)
        self.assertEqual(hash(same), hash(twin))
        different: list[dict[str, Any]] = [
            {"name": "y"},
            {"type": "direct"},
            {"arguments": {"a": 2}},
            {"durable": True},
            {"auto_delete": True},
            {"delivery_mode": 1},
            {"passive": True},
            {"no_declare": True},
        ]
        fields = same.as_dict()
        for change in different:
            options: dict[str, Any] = {**fields, **change}
            self.assertNotEqual(same, Exchange(**options), change)
        self.assertNotEqual(same, "x")
        self.assertNotEqual(Exchange("x"), Queue("x"))

    def test_declare(self) -> None:
        """C{declare} asks the channel, passive as given or as its own setting."""
        channel = RecordingChannel()
        exchange = bound(MEDIA, channel)
        self.successResultOf(exchange.declare())
        self.successResultOf(exchange.declare(passive=True))
        passive = bound(Exchange("media", passive=True), channel)
        self.successResultOf(passive.declare())
        self.successResultOf(passive.declare(passive=False))
        self.assertEqual(
            channel.calls,
            [
                ("exchange_declare", exchange, False),
                ("exchange_declare", exchange, True),
                ("exchange_declare", passive, True),
                ("exchange_declare", passive, False),
            ],
        )

    def test_declare_on_given_channel(self) -> None:
        """An unbound exchange can be declared on a channel passed in."""
        channel: Any = RecordingChannel()
        self.successResultOf(MEDIA.declare(channel=channel))
        self.assertEqual(channel.names(), ["exchange_declare"])

    def test_never_declared(self) -> None:
        """The default exchange, C{amq.*} and no_declare are not declared."""
        channel = RecordingChannel()
        for exchange in (
            Exchange(),
            Exchange("amq.topic"),
            Exchange("x", no_declare=True),
        ):
            self.successResultOf(bound(exchange, channel).declare())
        self.assertEqual(channel.calls, [])

    def test_delete(self) -> None:
        """C{delete} passes its condition on."""
        channel = RecordingChannel()
        exchange = bound(MEDIA, channel)
        self.successResultOf(exchange.delete())
        self.successResultOf(exchange.delete(if_unused=True))
        self.assertEqual(
            channel.calls,
            [("exchange_delete", exchange, False), ("exchange_delete", exchange, True)],
        )

    def test_bind_to(self) -> None:
        """Exchanges are bound to exchanges, given whole or by name."""
        channel = RecordingChannel()
        exchange = bound(MEDIA, channel)
        self.successResultOf(exchange.bind_to("news", "k", {"a": 1}))
        self.successResultOf(exchange.unbind_from(Exchange("news", "topic"), "k"))
        self.assertEqual(
            channel.calls,
            [
                ("exchange_bind", exchange, Exchange("news"), "k", {"a": 1}),
                ("exchange_unbind", exchange, Exchange("news", "topic"), "k", {}),
            ],
        )
        self.assertRaises(TypeError, exchange.bind_to, 5)

    def test_binding(self) -> None:
        """C{binding} makes one to this exchange."""
        self.assertEqual(MEDIA.binding("k", {"a": 1}), binding(MEDIA, "k", {"a": 1}))

    def test_as_dict(self) -> None:
        """C{as_dict} has the names of Kombu's, and makes an equal one again."""
        exchange = Exchange("x", "topic", arguments={"a": 1}, auto_delete=True)
        fields: dict[str, Any] = exchange.as_dict()
        self.assertEqual(fields.keys(), kombu.Exchange("x").as_dict().keys())
        self.assertEqual(Exchange(**fields), exchange)
        fields["arguments"]["a"] = 2
        self.assertEqual(exchange.arguments, {"a": 1})

    def test_repr(self) -> None:
        """The repr shows name, type, and what it is bound to."""
        self.assertEqual(repr(MEDIA), "<Exchange 'media' (direct)>")
        self.assertIn(" bound to <", repr(bound(MEDIA, RecordingChannel())))


class BindingTests(SynchronousTestCase):
    """L{binding}"""

    def test_values(self) -> None:
        """It has an exchange, a key and arguments."""
        found = binding("media", "k", {"x-match": "any"})
        self.assertEqual(found.exchange, Exchange("media"))
        self.assertEqual(
            (found.routing_key, found.arguments), ("k", {"x-match": "any"})
        )
        self.assertEqual(repr(found), "<binding 'media' -> 'k'>")

    def test_equality(self) -> None:
        """All three decide; those that are equal have one hash."""
        self.assertEqual(binding(MEDIA, "k"), binding(MEDIA, "k", {}))
        self.assertEqual(hash(binding(MEDIA, "k")), hash(binding(MEDIA, "k", {})))
        self.assertNotEqual(binding(MEDIA, "k"), binding(MEDIA, "l"))
        self.assertNotEqual(binding(MEDIA, "k"), binding("other", "k"))
        self.assertNotEqual(binding(MEDIA, "k"), binding(MEDIA, "k", {"a": 1}))
        self.assertNotEqual(binding(MEDIA, "k"), "k")

    def test_bad_values(self) -> None:
        """Each bad argument raises at once."""
        wrong: Any = 5
        self.assertRaises(TypeError, binding, wrong)
        self.assertRaises(TypeError, binding, MEDIA, wrong)
        self.assertRaises(ValueError, binding, MEDIA, "k" * 256)
        self.assertRaises(TypeError, binding, MEDIA, "k", wrong)

    def test_as_dict(self) -> None:
        """C{as_dict} keeps the exchange, or makes a dict of it too."""
        found = binding(MEDIA, "k", {"a": 1})
        self.assertIs(found.as_dict()["exchange"], MEDIA)
        self.assertEqual(found.as_dict(recurse=True)["exchange"], MEDIA.as_dict())


FULL: dict[str, Any] = {
    "name": "video",
    "exchange": MEDIA,
    "routing_key": "k",
    "durable": False,
    "exclusive": True,
    "auto_delete": True,
    "queue_arguments": {"x-a": 1},
    "binding_arguments": {"b": 2},
    "consumer_arguments": {"x-priority": 3},
    "no_ack": True,
    "alias": "v",
    "no_declare": True,
    "expires": 20,
    "message_ttl": 30.3,
    "max_length": 10,
    "max_length_bytes": 1000,
    "max_priority": 5,
    "queue_type": "classic",
}


class BindingOperationTests(SynchronousTestCase):
    """What a L{binding} does on a channel."""

    def setUp(self) -> None:
        """Make a binding with arguments, and a channel."""
        self.channel: Any = RecordingChannel()
        self.binding = binding(MEDIA, "video", {"x-match": "all", "format": "avi"})

    def test_declare(self) -> None:
        """C{declare} declares the exchange, but never the default one."""
        self.successResultOf(self.binding.declare(self.channel))
        self.successResultOf(binding("").declare(self.channel))
        self.assertEqual(self.channel.names(), ["exchange_declare"])
        self.assertEqual(self.channel.calls[0][1], MEDIA)

    def test_queue(self) -> None:
        """C{bind} and C{unbind} send the same exchange, key and arguments."""
        queue = bound(Queue("video"), self.channel)
        self.successResultOf(self.binding.bind(queue))
        self.successResultOf(self.binding.unbind(queue))
        self.assertEqual(self.channel.names(), ["queue_bind", "queue_unbind"])
        for call in self.channel.calls:
            self.assertEqual(
                call[1:],
                (queue, MEDIA, "video", {"x-match": "all", "format": "avi"}),
            )

    def test_exchange(self) -> None:
        """They bind an exchange, too."""
        target = Exchange("archive", "fanout")
        self.successResultOf(self.binding.bind(target, self.channel))
        self.successResultOf(self.binding.unbind(target, channel=self.channel))
        self.assertEqual(self.channel.names(), ["exchange_bind", "exchange_unbind"])

    def test_channel(self) -> None:
        """A channel that is given is used instead of the entity's."""
        other: Any = RecordingChannel()
        self.successResultOf(self.binding.bind(bound(Queue("q"), self.channel), other))
        self.assertEqual((self.channel.names(), other.names()), ([], ["queue_bind"]))

    def test_not_bound(self) -> None:
        """Without any channel the error names the entity."""
        for call in (self.binding.bind, self.binding.unbind):
            error = self.assertRaises(NotBoundError, call, Queue("q"))
            self.assertIn("on Queue not bound", str(error))

    def test_refused(self) -> None:
        """The broker's refusal is the Deferred's failure."""
        refusing: Any = RecordingChannel(queue_bind=NotFound("no exchange"))
        failing = self.binding.bind(Queue("q"), refusing)
        self.failureResultOf(failing, NotFound)


class QueueTests(SynchronousTestCase):
    """L{Queue} as a value."""

    def test_defaults(self) -> None:
        """The defaults are Kombu's."""
        queue, theirs = Queue("q"), kombu.Queue("q")
        for field in ("name", "durable", "exclusive", "auto_delete"):
            self.assertEqual(getattr(queue, field), getattr(theirs, field), field)
        for field in ("no_ack", "alias", "expires", "message_ttl", "max_priority"):
            self.assertEqual(getattr(queue, field), getattr(theirs, field), field)

    def test_own_exchange(self) -> None:
        """Without an exchange it is the default one's, which reaches it by its name."""
        queue = Queue("q")
        self.assertEqual(queue.exchange, Exchange(""))
        self.assertEqual(queue.exchange.name, kombu.Queue("q").exchange.name)
        self.assertEqual(queue.routing_key, "q")
        self.assertEqual(Queue("q", "", "else").routing_key, "else")
        self.assertEqual(Queue("q", MEDIA).routing_key, "")
        self.assertEqual(queue.all_bindings(), [])

    def test_own_exchange_of_a_nameless_one(self) -> None:
        """A queue that the broker names is reached by the name it has got."""
        queue = Queue("", exclusive=True)
        self.assertEqual(queue.routing_key, "")
        queue.name = "amq.gen-1"
        self.assertEqual(queue.routing_key, "amq.gen-1")

    def test_positional(self) -> None:
        """Name, exchange and routing key come in Kombu's order."""
        queue = Queue("feed", MEDIA, "importer")
        self.assertEqual((queue.exchange, queue.routing_key), (MEDIA, "importer"))
        self.assertEqual(Queue("feed", "media").exchange, Exchange("media"))

    def test_key(self) -> None:
        """C{key} is an alias of C{routing_key}; two different ones are refused."""
        self.assertEqual(Queue("q", MEDIA, key="k"), Queue("q", MEDIA, "k"))
        self.assertEqual(Queue("q", MEDIA, "k", key="k").routing_key, "k")
        error = self.assertRaises(ValueError, Queue, "q", MEDIA, "k", key="l")
        self.assertIn("key='l' and routing_key='k' are the same thing", str(error))

    def test_exclusive(self) -> None:
        """An exclusive queue is deleted with its last consumer."""
        self.assertTrue(Queue("q", exclusive=True).auto_delete)

    def test_bindings(self) -> None:
        """Bindings can be given as the exchange, or by name; doubles are dropped."""
        first, second = binding(MEDIA, "a"), binding(MEDIA, "b")
        for queue in (
            Queue("q", [first, second, binding(MEDIA, "a")]),
            Queue("q", bindings=iter([first, second])),
            Queue("q", [second], bindings=(first,)),
            Queue("q", MEDIA, "ignored", bindings=[first, second]),
        ):
            self.assertEqual(queue.exchange, Exchange(""))
            self.assertEqual(set(queue.bindings), {first, second})
            self.assertEqual(len(queue.bindings), 2)
        self.assertEqual(Queue("q", []).exchange, Exchange(""))

    def test_arguments(self) -> None:
        """Named options become the broker's arguments, durations in milliseconds."""
        self.assertEqual(
            Queue(**FULL).arguments,
            {
                "x-a": 1,
                "x-expires": 20000,
                "x-message-ttl": 30300,
                "x-max-length": 10,
                "x-max-length-bytes": 1000,
                "x-max-priority": 5,
                "x-queue-type": "classic",
            },
        )

    def test_arguments_like_kombu(self) -> None:
        """The arguments are those that Kombu sends for the same options."""
        from kombu.transport.base import to_rabbitmq_queue_arguments

        for options in (
            {"expires": 20, "message_ttl": 30.3},
            {"expires": 0.001, "message_ttl": 0},
            {"max_length": 0, "max_length_bytes": 2**40, "max_priority": 255},
            {"message_ttl": None, "max_length": None},
        ):
            theirs = to_rabbitmq_queue_arguments({"x-a": 1}, **options)
            given: Any = options
            ours = Queue("q", queue_arguments={"x-a": 1}, **given).arguments
            self.assertEqual(ours, theirs)

    def test_named_option_wins(self) -> None:
        """A named option wins over the same key in C{queue_arguments}."""
        queue = Queue("q", expires=1, queue_arguments={"x-expires": 5, "x-b": 2})
        self.assertEqual(queue.arguments, {"x-expires": 1000, "x-b": 2})

    def test_bad_values(self) -> None:
        """Each bad argument raises at once and is named."""
        wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
            ({"name": 5}, TypeError, "queue name must be a str"),
            ({"name": "é" * 128}, ValueError, "queue name has 256 bytes"),
            ({"exchange": 5}, TypeError, "exchange must be a list of bindings, not 5"),
            ({"exchange": [MEDIA]}, TypeError, "a binding is needed in exchange"),
            ({"bindings": ["k"]}, TypeError, "a binding is needed in bindings"),
            ({"bindings": "k"}, TypeError, "bindings must be a list of bindings"),
            ({"bindings": binding(MEDIA)}, TypeError, "bindings must be a list of"),
            ({"routing_key": "k" * 256}, ValueError, "routing key has 256 bytes"),
            ({"key": 5}, TypeError, "routing key must be a str"),
            ({"durable": None}, TypeError, "durable must be True or False"),
            ({"exclusive": 1}, TypeError, "exclusive must be True or False"),
            ({"auto_delete": 1}, TypeError, "auto_delete must be True or False"),
            ({"no_ack": "no"}, TypeError, "no_ack must be True or False"),
            ({"no_declare": None}, TypeError, "no_declare must be True or False"),
            ({"queue_arguments": 1}, TypeError, "queue_arguments must be a mapping"),
            (
                {"binding_arguments": 1},
                TypeError,
                "binding_arguments must be a mapping",
            ),
            ({"consumer_arguments": 1}, TypeError, "consumer_arguments must be a"),
            ({"alias": 5}, TypeError, "alias must be a str"),
            ({"expires": 0}, ValueError, "expires must be at least 1 ms, not 0 s"),
            ({"expires": "20"}, TypeError, "expires must be a number of seconds"),
            ({"message_ttl": -1}, ValueError, "message_ttl must be at least 0 seconds"),
            ({"message_ttl": True}, TypeError, "message_ttl must be a number"),
            ({"max_length": -1}, ValueError, "max_length must be at least 0"),
            ({"max_length_bytes": 1.5}, TypeError, "max_length_bytes must be an int"),
            ({"max_priority": 0}, ValueError, "max_priority must be 1 to 255, not 0"),
            ({"max_priority": 256}, ValueError, "max_priority must be 1 to 255"),
            ({"queue_type": ""}, ValueError, "queue_type must not be empty"),
            ({"queue_type": 1}, TypeError, "queue_type must be a str"),
            ({"colour": "red"}, TypeError, "colour"),
            ({"channel": 5}, TypeError, "a Channel or a BrokerConnection is needed"),
        ]
        for options, kind, text in wrong:
            self.assertIn(text, str(self.assertRaises(kind, Queue, **options)))

    def test_equality(self) -> None:
        """Every declared field decides; equal queues have one hash."""
        queue = Queue(**FULL)
        self.assertEqual(queue, Queue(**FULL))
        self.assertEqual(hash(queue), hash(Queue(**FULL)))
        changes: dict[str, object] = {
            "name": "other",
            "exchange": Exchange("other"),
            "routing_key": "l",
            "durable": True,
            "exclusive": False,
            "queue_arguments": {},
            "binding_arguments": None,
            "consumer_arguments": {"x-priority": 4},
            "no_ack": False,
            "alias": None,
            "no_declare": False,
            "expires": 21,
            "message_ttl": 30,
            "max_length": None,
            "max_length_bytes": 1,
            "max_priority": 6,
            "queue_type": "quorum",
        }
        for field, value in changes.items():
            self.assertNotEqual(queue, Queue(**{**FULL, field: value}), field)
        self.assertNotEqual(Queue("q", auto_delete=True), Queue("q"))

    def test_bindings_have_no_order(self) -> None:
        """Queues with the same bindings in another order are equal."""
        first, second = binding(MEDIA, "a"), binding(MEDIA, "b")
        self.assertEqual(Queue("q", [first, second]), Queue("q", [second, first]))
        self.assertNotEqual(Queue("q", [first, second]), Queue("q", [first]))

    def test_copy(self) -> None:
        """A copy is equal and another object."""
        queue = Queue(**FULL)
        twin = copy(queue)
        self.assertEqual(twin, queue)
        twin.name = "other"
        self.assertEqual(queue.name, "video")

    def test_repr(self) -> None:
        """The repr shows where its messages come from."""
        self.assertEqual(repr(Queue("q", MEDIA, "k")), "<Queue 'q' -> 'media' -> 'k'>")
        self.assertEqual(
            repr(Queue("q", [binding(MEDIA, "k")])),
            "<Queue 'q' -> [<binding 'media' -> 'k'>]>",
        )


class QueueDictTests(SynchronousTestCase):
    """C{Queue.as_dict} and C{Queue.from_dict}."""

    def test_names(self) -> None:
        """The fields are Kombu's, and C{queue_type}."""
        theirs = kombu.Queue("q").as_dict().keys()
        self.assertEqual(Queue("q").as_dict().keys(), theirs | {"queue_type"})

    def test_round_trip(self) -> None:
        """What C{as_dict} gives, nested or not, makes an equal queue."""
        for queue in (
            Queue("q"),
            Queue("q", exclusive=True),
            Queue(**FULL),
            Queue("q", [binding(MEDIA, "a", {"x": 1}), binding(MEDIA, "b")]),
        ):
            for recurse in (False, True):
                fields = queue.as_dict(recurse=recurse)
                self.assertEqual(Queue.from_dict(fields), queue)
                self.assertEqual(Queue.from_dict("other", **fields).name, "other")

    def test_not_shared(self) -> None:
        """Changing the dict does not change the queue."""
        queue = Queue(**FULL)
        fields: dict[str, Any] = queue.as_dict(recurse=True)
        fields["queue_arguments"]["x-a"] = 9
        fields["exchange"]["arguments"]["y"] = 9
        self.assertEqual(queue, Queue(**FULL))

    def test_kombus_dict(self) -> None:
        """A dict from Kombu's own C{as_dict} is understood."""
        theirs = kombu.Queue(
            "video",
            kombu.Exchange("media", "topic", durable=False),
            routing_key="k",
            expires=20,
            queue_arguments={"x-a": 1},
        )
        wanted = Queue(
            "video",
            Exchange("media", "topic", durable=False),
            "k",
            expires=20,
            queue_arguments={"x-a": 1},
        )
        self.assertEqual(Queue.from_dict(theirs.as_dict(recurse=True)), wanted)
        several = kombu.Queue("q", [kombu.binding(kombu.Exchange("media"), "k")])
        self.assertEqual(
            Queue.from_dict(several.as_dict(recurse=True)),
            Queue("q", [binding("media", "k")]),
        )

    def test_flat_options_like_kombu(self) -> None:
        """Kombu's flat options give what Kombu makes of them."""
        cases: list[dict[str, Any]] = [
            {"exchange": "x", "exchange_type": "topic", "routing_key": "k"},
            {"exchange": "x", "binding_key": "b", "routing_key": "k"},
            {"exchange": "x", "binding_key": "", "routing_key": "k"},
            {"exchange": "x", "durable": False},
            {"exchange": "x", "durable": False, "queue_durable": True},
            {"exchange": "x", "durable": False, "exchange_durable": True},
            {"exchange": "x", "auto_delete": True},
            {"exchange": "x", "queue_auto_delete": True},
            {"exchange": "x", "exchange_auto_delete": True},
            {"exchange": "x", "exchange_arguments": {"a": 1}, "delivery_mode": 1},
            {"exchange": "x", "queue_arguments": {"x-a": 1}, "exclusive": True},
            {"exchange": "x", "binding_arguments": {"b": 2}, "no_ack": True},
            {"exchange": "x", "expires": 5, "max_priority": 3, "alias": "a"},
        ]
        for options in cases:
            ours: Any = Queue.from_dict("q", **options)
            theirs = kombu.Queue.from_dict("q", **options)
            for field in ("name", "routing_key", "durable", "auto_delete", "exclusive"):
                found, wanted = getattr(ours, field), getattr(theirs, field)
                self.assertEqual(found, wanted, (options, field))
            for field in ("name", "type", "durable", "auto_delete"):
                found = getattr(ours.exchange, field)
                wanted = getattr(theirs.exchange, field)
                self.assertEqual(found, wanted, (options, field))
            for field in ("queue_arguments", "binding_arguments", "no_ack", "alias"):
                found, wanted = getattr(ours, field), getattr(theirs, field)
                self.assertEqual(found or None, wanted or None, (options, field))
            self.assertEqual(ours.expires, theirs.expires)

    def test_exchange_object(self) -> None:
        """The exchange may be an L{Exchange}, which is taken as it is."""
        queue = Queue.from_dict("q", exchange=MEDIA, durable=False)
        self.assertIs(queue.exchange, MEDIA)
        self.assertFalse(queue.durable)

    def test_unknown(self) -> None:
        """An option that does not exist is a TypeError, nested ones too."""
        for fields in (
            {"colour": "red"},
            {"exchange": {"name": "x", "colour": "red"}},
            {"bindings": [{"exchange": "x", "colour": "red"}]},
        ):
            given: Any = fields
            error = self.assertRaises(TypeError, Queue.from_dict, "q", **given)
            self.assertIn("colour", str(error))
        given = {"bindings": [5]}
        self.assertRaises(TypeError, Queue.from_dict, "q", **given)


class QueueOperationTests(SynchronousTestCase):
    """The operations of a bound L{Queue}."""

    def test_declare(self) -> None:
        """C{declare} declares the exchange and the queue, then binds them."""
        channel = RecordingChannel()
        queue = bound(Queue("video", MEDIA, "k", binding_arguments={"b": 1}), channel)
        self.assertEqual(self.successResultOf(queue.declare()), "video")
        self.assertEqual(
            channel.calls,
            [
                ("exchange_declare", MEDIA, False),
                ("queue_declare", queue, False),
                ("queue_bind", queue, MEDIA, "k", {"b": 1}),
            ],
        )

    def test_declare_with_bindings(self) -> None:
        """All exchanges are declared, then the queue; then each binding is made."""
        channel = RecordingChannel()
        other = Exchange("other", "topic")
        queue = bound(
            Queue("q", [binding(MEDIA, "a"), binding(other, "b", {"c": 1})]), channel
        )
        self.successResultOf(queue.declare())
        self.assertEqual(
            channel.calls,
            [
                ("exchange_declare", MEDIA, False),
                ("exchange_declare", other, False),
                ("queue_declare", queue, False),
                ("queue_bind", queue, MEDIA, "a", {}),
                ("queue_bind", queue, other, "b", {"c": 1}),
            ],
        )

    def test_default_exchange_is_not_bound(self) -> None:
        """Nothing is bound to the default exchange: every queue is, by its name."""
        for queue in (
            Queue("q"),
            Queue("q", Exchange(), "k"),
            Queue("q", [binding("", "k")]),
        ):
            channel = RecordingChannel()
            self.successResultOf(bound(queue, channel).declare())
            self.assertEqual(channel.names(), ["queue_declare"])
            self.successResultOf(bound(queue, channel).queue_bind())
            self.successResultOf(bound(queue, channel).bind_to("", "k"))
            self.successResultOf(bound(queue, channel).unbind_from("", "k"))
            self.assertEqual(channel.names(), ["queue_declare"])

    def test_predeclared_exchange_is_bound(self) -> None:
        """A queue is bound to C{amq.*} without declaring that."""
        channel = RecordingChannel()
        self.successResultOf(bound(Queue("q", "amq.topic", "k"), channel).declare())
        self.assertEqual(channel.names(), ["queue_declare", "queue_bind"])

    def test_no_declare(self) -> None:
        """With C{no_declare} C{declare} does nothing."""
        channel = RecordingChannel()
        queue = bound(Queue("q", MEDIA, no_declare=True), channel)
        self.assertEqual(self.successResultOf(queue.declare()), "q")
        self.assertEqual(channel.calls, [])

    def test_declare_stops_at_failure(self) -> None:
        """When one step is refused, the others are not tried."""
        refusal = NotFound("no exchange", about="media")
        channel = RecordingChannel(exchange_declare=refusal)
        failed = bound(Queue("q", MEDIA, "k"), channel).declare()
        self.assertIs(self.failureResultOf(failed).value, refusal)
        self.assertEqual(channel.names(), ["exchange_declare"])

    def test_server_named(self) -> None:
        """A queue without a name has the broker's after C{declare}."""
        channel = RecordingChannel()
        original = Queue("", MEDIA, "k")
        queue = bound(original, channel)
        self.assertEqual(self.successResultOf(queue.declare()), "amq.gen-1")
        self.assertEqual((queue.name, original.name), ("amq.gen-1", ""))

    def test_queue_declare(self) -> None:
        """C{queue_declare} declares only the queue, and tells C{on_declared}."""
        told: list[tuple[str, int, int]] = []
        queue = Queue("q", MEDIA, on_declared=lambda *each: told.append(each))
        channel = RecordingChannel()
        result = self.successResultOf(bound(queue, channel).queue_declare(passive=True))
        self.assertEqual(result, ("q", 2, 1))
        self.assertEqual(channel.calls, [("queue_declare", queue, True)])
        self.assertEqual(told, [("q", 2, 1)])

    def test_given_channel(self) -> None:
        """Declaring and binding work unbound on a channel passed in."""
        channel: Any = RecordingChannel()
        queue = Queue("q", MEDIA, "k")
        self.successResultOf(queue.declare(channel=channel))
        self.successResultOf(queue.queue_declare(channel=channel))
        self.successResultOf(queue.queue_bind(channel=channel))
        self.successResultOf(queue.bind_to("x", channel=channel))
        self.successResultOf(queue.unbind_from("x", channel=channel))
        self.assertEqual(
            channel.names(),
            [
                "exchange_declare",
                "queue_declare",
                "queue_bind",
                "queue_declare",
                "queue_bind",
                "queue_bind",
                "queue_unbind",
            ],
        )

    def test_bind(self) -> None:
        """C{bind_to} and C{unbind_from} take an exchange or its name."""
        channel = RecordingChannel()
        queue = bound(Queue("q"), channel)
        self.successResultOf(queue.bind_to("media", "k", {"a": 1}))
        self.successResultOf(queue.unbind_from(MEDIA, "k", {"a": 1}))
        self.assertEqual(
            channel.calls,
            [
                ("queue_bind", queue, Exchange("media"), "k", {"a": 1}),
                ("queue_unbind", queue, MEDIA, "k", {"a": 1}),
            ],
        )

    def test_get(self) -> None:
        """C{get} takes C{no_ack} from the queue unless told otherwise."""
        channel = RecordingChannel(basic_get="a message")
        queue = bound(Queue("q", no_ack=True), channel)
        self.assertEqual(self.successResultOf(queue.get()), "a message")
        self.successResultOf(queue.get(no_ack=False, accept=["json"]))
        self.assertEqual(
            channel.calls,
            [("basic_get", queue, True, None), ("basic_get", queue, False, ["json"])],
        )

    def test_queue_unbind(self) -> None:
        """It undoes C{queue_bind}, with the same arguments unless others are given."""
        channel: Any = RecordingChannel()
        queue = bound(
            Queue("q", MEDIA, "video", binding_arguments={"format": "avi"}), channel
        )
        self.successResultOf(queue.queue_bind())
        self.successResultOf(queue.queue_unbind())
        self.successResultOf(queue.queue_unbind({"format": "mpeg"}))
        bind, unbind, other = channel.calls
        self.assertEqual(bind[1:], (queue, MEDIA, "video", {"format": "avi"}))
        self.assertEqual(unbind, ("queue_unbind", *bind[1:]))
        self.assertEqual(other[-1], {"format": "mpeg"})

    def test_queue_unbind_elsewhere(self) -> None:
        """It takes a channel, and needs nothing for the default exchange."""
        channel: Any = RecordingChannel()
        self.successResultOf(Queue("q", MEDIA, "a").queue_unbind(channel=channel))
        self.successResultOf(Queue("q").queue_unbind(channel=channel))
        self.assertEqual(channel.names(), ["queue_unbind"])
        error = self.assertRaises(NotBoundError, Queue("q").queue_unbind)
        self.assertIn("on Queue not bound", str(error))

    def test_consume_on_cancel(self) -> None:
        """C{on_cancel} goes to the channel; it has to take the tag and the error."""
        channel: Any = RecordingChannel(consume="tag")
        queue = bound(Queue("q"), channel)
        ended: list[object] = []

        def note(tag: str, error: Exception) -> None:
            ended.append(tag)

        self.successResultOf(queue.consume("tag", print, on_cancel=note))
        self.assertIs(channel.calls[0][-1]["on_cancel"], note)
        error = self.assertRaises(
            TypeError, queue.consume, "tag", print, on_cancel=lambda tag: None
        )
        self.assertIn("on_cancel is called with 2 arguments", str(error))

    def test_purge_and_delete(self) -> None:
        """They fire with the number of messages."""
        channel = RecordingChannel(queue_purge=3, queue_delete=4)
        queue = bound(Queue("q"), channel)
        self.assertEqual(self.successResultOf(queue.purge()), 3)
        self.assertEqual(self.successResultOf(queue.delete(True, True)), 4)
        self.assertEqual(channel.calls[-1], ("queue_delete", queue, True, True))

    def test_consume_and_cancel(self) -> None:
        """C{consume} needs a callback, and takes C{no_ack} from the queue."""
        channel = RecordingChannel(consume="tag")
        queue = bound(Queue("q", no_ack=True), channel)
        self.assertRaises(TypeError, queue.consume)
        self.assertEqual(self.successResultOf(queue.consume("tag", print)), "tag")
        tag = queue.consume("other", print, no_ack=False)
        self.assertEqual(self.successResultOf(tag), "tag")
        self.successResultOf(queue.cancel("tag"))
        without_acks, with_acks, cancelled = channel.calls
        self.assertEqual(without_acks[3], {"consumer_tag": "tag", "no_ack": True})
        options = {"consumer_tag": "other", "no_ack": False}
        self.assertEqual(with_acks, ("consume", queue, print, options))
        self.assertEqual(cancelled, ("basic_cancel", "tag"))
