"""
Exchange, Queue and binding: declarations, as values.

Making one does no I/O.  Calling one with a channel gives a copy bound to that
channel; the original stays as it was.  Two are equal when all their declared
fields are, whatever they are bound to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from typing import TYPE_CHECKING, ClassVar, TypeVar

from twisted.internet.defer import Deferred, inlineCallbacks, succeed

from .exceptions import NotBoundError
from .validation import (
    check_arguments,
    check_bool,
    check_count,
    check_delivery_mode,
    check_short_string,
    milliseconds,
)

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from .channel import Channel, Channelish
    from .interfaces import QueueDeclareOk
    from .message import Message

_E = TypeVar("_E", bound="Entity")

TRANSIENT = 1
PERSISTENT = 2


class Entity:
    """
    What exchanges and queues share: a channel they may be bound to.

    @cvar fields: the names of the declared fields; they decide equality.
    """

    fields: ClassVar[tuple[str, ...]] = ()
    _channel: Channel | None = None

    name: str

    def __call__(self: _E, channel: Channelish) -> _E:
        """Return a copy bound to a channel; the same as L{bind}."""
        return self.bind(channel)

    def bind(self: _E, channel: Channelish) -> _E:
        """
        Return a copy bound to a channel, or to a connection's default channel.
        """
        bound = copy(self)
        bound._channel = _channel_of(channel)
        return bound

    def maybe_bind(self: _E, channel: Channelish | None) -> _E:
        """Return this if it is bound or there is no channel, else a bound copy."""
        return self if channel is None or self.is_bound else self.bind(channel)

    @property
    def is_bound(self) -> bool:
        """Whether operations can be called on this one."""
        return self._channel is not None

    @property
    def channel(self) -> Channel:
        """
        The channel this is bound to.

        @raise NotBoundError: it is bound to none.
        """
        return self._channel_for("channel")

    def _channel_for(self, method: str, channel: Channelish | None = None) -> Channel:
        if channel is not None:
            return _channel_of(channel)
        if self._channel is None:
            kind = type(self).__name__
            raise NotBoundError(
                f"Can't call {method} on {kind} not bound to a channel. "
                f"Call the {kind.lower()} with a channel to get a bound copy."
            )
        return self._channel

    def _key(self) -> tuple[object, ...]:
        return tuple(getattr(self, field) for field in self.fields)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        assert isinstance(other, Entity)
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.name))

    def __copy__(self: _E) -> _E:
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def _describe(self, text: str) -> str:
        bound = f" bound to {self._channel!r}" if self._channel else ""
        return f"<{type(self).__name__} {text}{bound}>"


def _channel_of(channel: Channelish) -> Channel:
    """A channel is its own default channel; a connection has one."""
    default = getattr(channel, "default_channel", None)
    if default is None:
        raise TypeError(
            f"a Channel or a BrokerConnection is needed, not {channel!r}; "
            "`await connection.channel()` gives a channel"
        )
    return default  # type: ignore[no-any-return]  # read by name from either class


class Exchange(Entity):
    """
    A place messages are published to, which routes them to queues.

    @param name: at most 255 bytes of UTF-8; C{""} is the default exchange,
        which routes to the queue named by the routing key.
    @param type: C{"direct"}, C{"fanout"}, C{"topic"}, C{"headers"}, or one of
        the broker's own; C{""} is C{"direct"}.
    @param channel: bind it at once.
    @param durable: survives a restart of the broker.
    @param auto_delete: goes when its last binding does.
    @param delivery_mode: what messages published to it have by default:
        2 or C{"persistent"}, 1 or C{"transient"}.
    @param arguments: further arguments of the declaration.
    @param passive: C{declare} only checks that it exists.
    @param no_declare: C{declare} does nothing.
    """

    fields = (
        "name",
        "type",
        "durable",
        "auto_delete",
        "delivery_mode",
        "arguments",
        "passive",
        "no_declare",
    )

    def __init__(
        self,
        name: str = "",
        type: str = "",
        channel: Channelish | None = None,
        *,
        durable: bool = True,
        auto_delete: bool = False,
        delivery_mode: int | str | None = None,
        arguments: Mapping[str, object] | None = None,
        passive: bool = False,
        no_declare: bool = False,
    ) -> None:
        self.name = check_short_string("exchange name", name)
        self.type = check_short_string("exchange type", type) or "direct"
        self.durable = check_bool("durable", durable)
        self.auto_delete = check_bool("auto_delete", auto_delete)
        self.delivery_mode = check_delivery_mode(delivery_mode) or PERSISTENT
        self.arguments = check_arguments("arguments", arguments)
        self.passive = check_bool("passive", passive)
        self.no_declare = check_bool("no_declare", no_declare)
        if channel is not None:
            self._channel = _channel_of(channel)

    @property
    def is_predeclared(self) -> bool:
        """Whether the broker has it by itself: the default one, and C{amq.*}."""
        return not self.name or self.name.startswith("amq.")

    def declare(
        self, passive: bool | None = None, channel: Channelish | None = None
    ) -> Deferred[None]:
        """
        Make sure the exchange exists (AMQP 0-9-1, exchange.declare).

        The default exchange and C{amq.*} are never declared.

        @param passive: only check; default is the exchange's own setting.
        @return: fails with L{txkombu.exceptions.PreconditionFailed} if it
            exists with other properties, L{txkombu.exceptions.NotFound} if
            passive and it does not exist.
        """
        to = self._channel_for("declare", channel)
        if self.no_declare or self.is_predeclared:
            return succeed(None)
        return to.exchange_declare(self, self.passive if passive is None else passive)

    def delete(self, if_unused: bool = False) -> Deferred[None]:
        """Delete the exchange; with C{if_unused} only if nothing is bound to it."""
        return self._channel_for("delete").exchange_delete(self, if_unused)

    def bind_to(
        self,
        exchange: Exchange | str,
        routing_key: str = "",
        arguments: Mapping[str, object] | None = None,
        channel: Channelish | None = None,
    ) -> Deferred[None]:
        """Receive what another exchange routes by this key."""
        return self._channel_for("bind_to", channel).exchange_bind(
            self, as_exchange(exchange), routing_key, arguments or {}
        )

    def unbind_from(
        self,
        source: Exchange | str,
        routing_key: str = "",
        arguments: Mapping[str, object] | None = None,
        channel: Channelish | None = None,
    ) -> Deferred[None]:
        """Undo L{bind_to} with the same arguments."""
        return self._channel_for("unbind_from", channel).exchange_unbind(
            self, as_exchange(source), routing_key, arguments or {}
        )

    def binding(
        self, routing_key: str = "", arguments: Mapping[str, object] | None = None
    ) -> binding:
        """Make a L{binding} to this exchange."""
        return binding(self, routing_key, arguments)

    def as_dict(self) -> dict[str, object]:
        """The declared fields by name."""
        return {field: getattr(self, field) for field in self.fields}

    def __repr__(self) -> str:
        return self._describe(f"{self.name!r} ({self.type})")


def as_exchange(exchange: Exchange | str) -> Exchange:
    """Take an exchange or its name."""
    if isinstance(exchange, Exchange):
        return exchange
    if isinstance(exchange, str):
        return Exchange(exchange)
    raise TypeError(f"an Exchange or its name is needed, not {exchange!r}")


class binding:
    """
    One way into a queue: an exchange and a routing key.

    @param exchange: an exchange or its name.
    @param routing_key: the key, or pattern, of the binding.
    @param arguments: what a headers exchange matches by.
    """

    __slots__ = ("arguments", "exchange", "routing_key")

    def __init__(
        self,
        exchange: Exchange | str,
        routing_key: str = "",
        arguments: Mapping[str, object] | None = None,
    ) -> None:
        self.exchange = as_exchange(exchange)
        self.routing_key = check_short_string("routing key", routing_key)
        self.arguments = check_arguments("arguments", arguments)

    def as_dict(self) -> dict[str, object]:
        """The fields by name, the exchange as a dict."""
        return {
            "exchange": self.exchange.as_dict(),
            "routing_key": self.routing_key,
            "arguments": self.arguments,
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, binding):
            return NotImplemented
        return (self.exchange, self.routing_key, self.arguments) == (
            other.exchange,
            other.routing_key,
            other.arguments,
        )

    def __hash__(self) -> int:
        return hash((self.exchange, self.routing_key))

    def __repr__(self) -> str:
        return f"<binding {self.exchange.name!r} -> {self.routing_key!r}>"


class Queue(Entity):
    """
    A queue, and the bindings that fill it.

    Durations are seconds and reach the broker as whole milliseconds.  A named
    option wins over the same key in C{queue_arguments}.

    @param name: at most 255 bytes of UTF-8; C{""} lets the broker choose one
        when it is declared.
    @param exchange: an L{Exchange}, its name, or a list of L{binding}s.
    @param routing_key: the key of the binding to C{exchange}.
    @param channel: bind it at once.
    @param bindings: L{binding}s; with them C{exchange} is not used.
    @param on_declared: called with (name, message_count, consumer_count)
        each time the queue has been declared.
    @param key: an alias of C{routing_key}.
    @param durable: survives a restart of the broker.
    @param exclusive: only for the declaring connection; implies C{auto_delete}.
    @param auto_delete: goes when its last consumer does.
    @param queue_arguments: further arguments of the declaration.
    @param binding_arguments: arguments of the binding to C{exchange}.
    @param consumer_arguments: arguments of its consumers.
    @param no_ack: consumers of this queue settle nothing.
    @param alias: a name of your own for it.
    @param no_declare: C{declare} does nothing.
    @param expires: seconds without use after which the broker deletes it.
    @param message_ttl: seconds after which a message in it expires.
    @param max_length: how many ready messages it holds at most.
    @param max_length_bytes: how many bytes of bodies it holds at most.
    @param max_priority: makes it a priority queue, of 1 to 255.
    @param queue_type: C{"classic"}, C{"quorum"} or C{"stream"} (RabbitMQ).
    """

    fields = (
        "name",
        "exchange",
        "routing_key",
        "bindings",
        "durable",
        "exclusive",
        "auto_delete",
        "queue_arguments",
        "binding_arguments",
        "consumer_arguments",
        "no_ack",
        "alias",
        "no_declare",
        "expires",
        "message_ttl",
        "max_length",
        "max_length_bytes",
        "max_priority",
        "queue_type",
    )

    exchange: Exchange | None

    def __init__(
        self,
        name: str = "",
        exchange: Exchange | str | Iterable[binding] | None = None,
        routing_key: str = "",
        channel: Channelish | None = None,
        bindings: Iterable[binding] | None = None,
        on_declared: Callable[[str, int, int], object] | None = None,
        *,
        key: str = "",
        durable: bool = True,
        exclusive: bool = False,
        auto_delete: bool = False,
        queue_arguments: Mapping[str, object] | None = None,
        binding_arguments: Mapping[str, object] | None = None,
        consumer_arguments: Mapping[str, object] | None = None,
        no_ack: bool = False,
        alias: str | None = None,
        no_declare: bool = False,
        expires: float | None = None,
        message_ttl: float | None = None,
        max_length: int | None = None,
        max_length_bytes: int | None = None,
        max_priority: int | None = None,
        queue_type: str | None = None,
    ) -> None:
        if key and routing_key and key != routing_key:
            raise ValueError(
                f"key={key!r} and routing_key={routing_key!r} are the same thing; "
                "give one of them"
            )
        self.name = check_short_string("queue name", name)
        self.exchange, self.bindings = _exchange_and_bindings(exchange, bindings)
        self.routing_key = check_short_string("routing key", routing_key or key)
        self.on_declared = on_declared
        self.durable = check_bool("durable", durable)
        self.exclusive = check_bool("exclusive", exclusive)
        self.auto_delete = check_bool("auto_delete", auto_delete) or exclusive
        self.queue_arguments = check_arguments("queue_arguments", queue_arguments)
        self.binding_arguments = check_arguments("binding_arguments", binding_arguments)
        self.consumer_arguments = check_arguments(
            "consumer_arguments", consumer_arguments
        )
        self.no_ack = check_bool("no_ack", no_ack)
        self.alias = alias
        self.no_declare = check_bool("no_declare", no_declare)
        self.expires = expires
        self.message_ttl = message_ttl
        self.max_length = check_count("max_length", max_length)
        self.max_length_bytes = check_count("max_length_bytes", max_length_bytes)
        self.max_priority = check_count("max_priority", max_priority, 1, 255)
        self.queue_type = queue_type
        self.arguments = self._all_arguments()
        if channel is not None:
            self._attach(_channel_of(channel))

    def _all_arguments(self) -> dict[str, object]:
        named: dict[str, object] = {
            "x-expires": milliseconds("expires", self.expires, least=1),
            "x-message-ttl": milliseconds("message_ttl", self.message_ttl),
            "x-max-length": self.max_length,
            "x-max-length-bytes": self.max_length_bytes,
            "x-max-priority": self.max_priority,
            "x-queue-type": self.queue_type,
        }
        given = {key: value for key, value in named.items() if value is not None}
        return {**self.queue_arguments, **given}

    def bind(self, channel: Channelish) -> Queue:
        """Return a copy bound to a channel, its exchange bound too."""
        bound = copy(self)
        bound._attach(_channel_of(channel))
        return bound

    def _attach(self, channel: Channel) -> None:
        self._channel = channel
        if self.exchange is not None:
            self.exchange = self.exchange.bind(channel)

    def all_bindings(self) -> list[binding]:
        """The bindings that C{declare} makes; none to the default exchange."""
        main = []
        if self.exchange is not None and self.exchange.name:
            main = [binding(self.exchange, self.routing_key, self.binding_arguments)]
        return main + list(self.bindings)

    @inlineCallbacks
    def declare(
        self, channel: Channelish | None = None
    ) -> Generator[Deferred[Any], Any, str]:
        """
        Declare the exchanges, the queue, and the bindings between them.

        @return: fires with the queue's name, which for a queue without one is
            the name that the broker made and this object has from now on.
            Fails with L{txkombu.exceptions.PreconditionFailed} if something
            exists with other properties.
        """
        to = self._channel_for("declare", channel)
        if self.no_declare:
            return self.name
        for bound in self.all_bindings():
            yield bound.exchange.declare(channel=to)
        yield self.queue_declare(channel=to)
        for bound in self.all_bindings():
            yield to.queue_bind(
                self, bound.exchange, bound.routing_key, bound.arguments
            )
        return self.name

    @inlineCallbacks
    def queue_declare(
        self, passive: bool = False, channel: Channelish | None = None
    ) -> Generator[Deferred[Any], Any, QueueDeclareOk]:
        """
        Declare only the queue (AMQP 0-9-1, queue.declare).

        @param passive: only check that it exists, and count.
        @return: fires with (queue, message_count, consumer_count).
        """
        to = self._channel_for("queue_declare", channel)
        result: QueueDeclareOk = yield to.queue_declare(self, passive)
        if self.on_declared is not None:
            self.on_declared(*result)
        return result

    def queue_bind(self, channel: Channelish | None = None) -> Deferred[None]:
        """Bind to the queue's own exchange (AMQP 0-9-1, queue.bind)."""
        return self.bind_to(
            self.exchange or "", self.routing_key, self.binding_arguments, channel
        )

    def bind_to(
        self,
        exchange: Exchange | str = "",
        routing_key: str = "",
        arguments: Mapping[str, object] | None = None,
        channel: Channelish | None = None,
    ) -> Deferred[None]:
        """Bind to an exchange; nothing is sent for the default exchange."""
        to = self._channel_for("bind_to", channel)
        source = as_exchange(exchange)
        if not source.name:
            return succeed(None)
        return to.queue_bind(self, source, routing_key, arguments or {})

    def unbind_from(
        self,
        exchange: Exchange | str = "",
        routing_key: str = "",
        arguments: Mapping[str, object] | None = None,
        channel: Channelish | None = None,
    ) -> Deferred[None]:
        """Undo L{bind_to} with the same arguments."""
        to = self._channel_for("unbind_from", channel)
        return to.queue_unbind(
            self, as_exchange(exchange), routing_key, arguments or {}
        )

    def get(
        self, no_ack: bool | None = None, accept: Iterable[str] | None = None
    ) -> Deferred[Message | None]:
        """Take one message, or C{None} if none is ready."""
        to = self._channel_for("get")
        return to.basic_get(self, self.no_ack if no_ack is None else no_ack, accept)

    def purge(self) -> Deferred[int]:
        """Throw away all ready messages; fires with their number."""
        return self._channel_for("purge").queue_purge(self)

    def consume(
        self,
        consumer_tag: str = "",
        callback: Callable[[Message], object] | None = None,
        no_ack: bool | None = None,
    ) -> Deferred[str]:
        """
        Start a plain consumer, which calls C{callback} with each Message.

        @return: fires with its tag, made up if none is given.
        """
        to = self._channel_for("consume")
        if callback is None:
            raise TypeError("consume needs a callback, which is called with a Message")
        return to.consume(
            self,
            callback,
            consumer_tag=consumer_tag,
            no_ack=self.no_ack if no_ack is None else no_ack,
        )

    def cancel(self, consumer_tag: str) -> Deferred[None]:
        """End a consumer that L{consume} started; never fails."""
        return self._channel_for("cancel").basic_cancel(consumer_tag)

    def delete(self, if_unused: bool = False, if_empty: bool = False) -> Deferred[int]:
        """
        Delete the queue.

        @return: fires with the number of messages lost with it; fails with
            L{txkombu.exceptions.PreconditionFailed} if a condition fails.
        """
        return self._channel_for("delete").queue_delete(self, if_unused, if_empty)

    def as_dict(self) -> dict[str, object]:
        """The declared fields by name; L{from_dict} takes them again."""
        fields = {field: getattr(self, field) for field in self.fields}
        fields["exchange"] = self.exchange.as_dict() if self.exchange else None
        fields["bindings"] = [each.as_dict() for each in self.bindings]
        return fields

    @classmethod
    def from_dict(cls, queue: str | Mapping[str, object], **options: Any) -> Queue:
        """
        Make a queue from what L{as_dict} gave, or from Kombu's flat form: a
        name with options such as C{exchange}, C{exchange_type},
        C{routing_key} (or C{binding_key}), C{exchange_durable},
        C{queue_durable}.

        @raise TypeError: an option is not known.
        """
        from .entitydict import queue_from_dict

        return queue_from_dict(cls, queue, options)

    def __repr__(self) -> str:
        if self.bindings:
            return self._describe(f"{self.name!r} -> {list(self.bindings)!r}")
        source = self.exchange.name if self.exchange is not None else ""
        return self._describe(f"{self.name!r} -> {source!r} -> {self.routing_key!r}")


def _exchange_and_bindings(
    exchange: Exchange | str | Iterable[binding] | None,
    bindings: Iterable[binding] | None,
) -> tuple[Exchange | None, tuple[binding, ...]]:
    """Sort out Kombu's two ways to give bindings; with any, no exchange is used."""
    listed = list(bindings or ())
    if exchange is not None and not isinstance(exchange, Exchange | str):
        listed += exchange
        exchange = None
    for each in listed:
        if not isinstance(each, binding):
            raise TypeError(f"a binding is needed, not {each!r}")
    if listed:
        return None, tuple(dict.fromkeys(listed))
    return (None if exchange is None else as_exchange(exchange)), ()
