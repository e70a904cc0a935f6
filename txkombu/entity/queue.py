"""Queues, with the bindings that fill them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from twisted.internet.defer import (
    Deferred,
    inlineCallbacks,
    maybeDeferred,
    succeed,
)

from .._util.awaitables import call_logged
from .._util.timeouts import all_done
from .._util.validation import (
    check_arguments,
    check_bool,
    check_callable,
    check_count,
    check_short_string,
    milliseconds,
)
from .base import Entity, channel_of
from .exchange import Exchange, as_exchange, binding
from .from_dict import queue_from_dict

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from .._types import QueueDeclareOk
    from ..message import Message
    from .interfaces import ChannelSource, EntityChannel


class Queue(Entity):
    """
    A queue, and the bindings that fill it.

    The broker gets durations as whole milliseconds.  A named option wins over the
    same key in C{queue_arguments}.

    @param name: at most 255 bytes of UTF-8; with C{""} the broker chooses a name
        when the queue is declared, and until then its other operations fail with
        ValueError.
    @param exchange: an L{Exchange}, its name, or a list of L{binding}s; by default the
        default exchange, which reaches every queue by its name.
    @param routing_key: the key of the binding to C{exchange}; for the default
        exchange by default the queue's name.
    @param channel: the channel to bind it to.
    @param bindings: L{binding}s; with them C{exchange} is not used.
    @param on_declared: called with (name, message_count, consumer_count) after
        each declaration of the queue.  After a loss it is declared again; if the
        broker chose its name, the name is then another.  The counts are C{None}
        if the broker does not tell them.
    @param key: an alias of C{routing_key}.
    @param durable: whether it survives a restart of the broker.
    @param exclusive: whether only the connection that declared it may use it;
        implies C{auto_delete}.
    @param auto_delete: whether the broker deletes it with its last consumer.
    @param queue_arguments: further arguments of the declaration.
    @param binding_arguments: arguments of the binding to C{exchange}.
    @param consumer_arguments: arguments of its consumers.
    @param no_ack: whether its consumers acknowledge each message when its handler
        begins, so that programs settle nothing.
    @param alias: a further name for the program's own use.
    @param no_declare: whether C{declare} does nothing.
    @param expires: seconds without use after which the broker deletes it.
    @param message_ttl: seconds after which a message in it expires.
    @param max_length: the maximum number of ready messages.
    @param max_length_bytes: the maximum bytes of the bodies of ready messages.
    @param max_priority: its highest priority, 1 to 255; makes it a priority queue.
    @param queue_type: C{"classic"}, C{"quorum"} or C{"stream"} (RabbitMQ).
    """

    name: str  # which the broker may give

    fields = (
        "name",
        "exchange",
        "routing_key",
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

    def __init__(
        self,
        name: str = "",
        exchange: Exchange | str | Iterable[binding] | None = None,
        routing_key: str = "",
        channel: ChannelSource | None = None,
        bindings: Iterable[binding] | None = None,
        on_declared: Callable[[str, int | None, int | None], object] | None = None,
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
        name = check_short_string("queue name", name)
        self.exchange, self.bindings = _exchange_and_bindings(exchange, bindings)
        self._routing_key = check_short_string("routing key", routing_key or key)
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
        self.alias = None if alias is None else check_short_string("alias", alias)
        self.no_declare = check_bool("no_declare", no_declare)
        self.expires = expires
        self.message_ttl = message_ttl
        self.max_length = check_count("max_length", max_length)
        self.max_length_bytes = check_count("max_length_bytes", max_length_bytes)
        self.max_priority = check_count("max_priority", max_priority, 1, 255)
        if queue_type is not None and not check_short_string("queue_type", queue_type):
            raise ValueError("queue_type must not be empty")
        self.queue_type = queue_type
        self.arguments = self._all_arguments()
        super().__init__(name, channel)
        if channel is not None:
            self.exchange = self.exchange.bind(channel)

    @property
    def routing_key(self) -> str:
        """The key of the binding to C{exchange}; see the parameter."""
        return self._routing_key or ("" if self.exchange.name else self.name)

    def _all_arguments(self) -> dict[str, object]:
        named: dict[str, object] = {
            "x-expires": milliseconds("expires", self.expires, minimum=1),
            "x-message-ttl": milliseconds("message_ttl", self.message_ttl),
            "x-max-length": self.max_length,
            "x-max-length-bytes": self.max_length_bytes,
            "x-max-priority": self.max_priority,
            "x-queue-type": self.queue_type,
        }
        given = {key: value for key, value in named.items() if value is not None}
        return {**self.queue_arguments, **given}

    def bind(self, channel: ChannelSource) -> Queue:
        """
        Return a copy bound to a channel, and its exchange with it.

        @param channel: a channel, or a connection, which stands for its default
            channel.
        """
        exchange = self.exchange.bind(channel)
        return self._with(_channel=channel_of(channel), exchange=exchange)

    def unbound(self) -> Queue:
        """Return a copy bound to no channel, and its exchanges with it."""
        bindings = (
            binding(each.exchange.unbound(), each.routing_key, each.arguments)
            for each in self.bindings
        )
        return self._with(
            _channel=None, exchange=self.exchange.unbound(), bindings=tuple(bindings)
        )

    def renamed(self, name: str) -> Queue:
        """
        Return a copy with another name.

        @param name: C{""} for a queue that the broker names.
        """
        return self._with(name=name)

    def rename(self, name: str) -> None:
        """
        Take the name that the broker gave the queue, or give it up.

        @param name: the name that the broker chose; C{""} to be given another.
        """
        self.name = name

    def all_bindings(self) -> list[binding]:
        """Return the bindings that C{declare} makes; none to the default exchange."""
        if self.bindings:
            return [each for each in self.bindings if each.exchange.name]
        if not self.exchange.name:
            return []
        return [binding(self.exchange, self.routing_key, self.binding_arguments)]

    def declare(self, channel: ChannelSource | None = None) -> Deferred[str]:
        """
        Declare the exchanges, the queue, and the bindings between them.

        @param channel: the channel to use; by default the one this is bound to.
        @return: fires with the queue's name; if the queue had none, it now has the
            one that the broker chose.  Fails with
            L{txkombu.exceptions.PreconditionFailed} if the queue or an exchange
            exists with other properties.
        """
        to = self.channel_for("declare", channel)
        return succeed(self.name) if self.no_declare else self._declare(to)

    @inlineCallbacks
    def _declare(self, to: EntityChannel) -> Generator[Deferred[Any], Any, str]:
        bindings = self.all_bindings()
        yield all_done([maybeDeferred(each.declare, to) for each in bindings])
        yield self.queue_declare(channel=to)
        yield all_done([maybeDeferred(each.bind, self, to) for each in bindings])
        return self.name

    def queue_declare(
        self, passive: bool = False, channel: ChannelSource | None = None
    ) -> Deferred[QueueDeclareOk]:
        """
        Declare only the queue (AMQP 0-9-1, queue.declare).

        @param passive: only check that it exists, and count.
        @param channel: the channel to use; by default the one this is bound to.
        @return: fires with (queue, message_count, consumer_count); fails with
            L{txkombu.exceptions.PreconditionFailed} if it exists with other
            properties, L{txkombu.exceptions.NotFound} if passive and it does
            not exist, L{txkombu.exceptions.ResourceLocked} if it is exclusive
            to another connection.
        """
        to = self.channel_for("queue_declare", channel)
        return to.queue_declare(self, passive).addCallback(self.declared)

    def declared(self, result: QueueDeclareOk) -> QueueDeclareOk:
        """
        Call C{on_declared}, and log what it raises.

        @param result: the broker's answer.
        @return: the same.
        """
        if self.on_declared is not None:
            call_logged("on_declared", self.on_declared, *result)
        return result

    def queue_bind(self, channel: ChannelSource | None = None) -> Deferred[None]:
        """
        Bind to the queue's own exchange (AMQP 0-9-1, queue.bind).

        @param channel: the channel to use; by default the one this is bound to.
        @return: as of L{bind_to}.
        """
        return self.bind_to(
            self.exchange, self.routing_key, self.binding_arguments, channel
        )

    def queue_unbind(
        self,
        arguments: Mapping[str, object] | None = None,
        channel: ChannelSource | None = None,
    ) -> Deferred[None]:
        """
        Undo L{queue_bind} (AMQP 0-9-1, queue.unbind).

        @param arguments: those of the binding; by default C{binding_arguments}.
        @param channel: the channel to use; by default the one this is bound to.
        @return: as of L{unbind_from}.
        """
        given = self.binding_arguments if arguments is None else arguments
        return self.unbind_from(self.exchange, self.routing_key, given, channel)

    def bind_to(
        self,
        exchange: Exchange | str = "",
        routing_key: str = "",
        arguments: Mapping[str, object] | None = None,
        channel: ChannelSource | None = None,
    ) -> Deferred[None]:
        """
        Bind to an exchange; nothing is sent for the default exchange.

        @param exchange: the exchange or its name.
        @param routing_key: the key, or pattern, of the binding.
        @param arguments: what a headers exchange matches by.
        @param channel: the channel to use; by default the one this is bound to.
        @return: fails with L{txkombu.exceptions.NotFound} if one of the two
            does not exist.
        """
        to = self.channel_for("bind_to", channel)
        source = as_exchange(exchange)
        if not source.name:
            return succeed(None)
        return to.queue_bind(self, source, routing_key, arguments or {})

    def unbind_from(
        self,
        exchange: Exchange | str = "",
        routing_key: str = "",
        arguments: Mapping[str, object] | None = None,
        channel: ChannelSource | None = None,
    ) -> Deferred[None]:
        """
        Undo L{bind_to} with the same arguments.

        @param exchange: the exchange or its name.
        @param routing_key: the key, or pattern, of the binding.
        @param arguments: those of the binding.
        @param channel: the channel to use; by default the one this is bound to.
        """
        to = self.channel_for("unbind_from", channel)
        source = as_exchange(exchange)
        if not source.name:
            return succeed(None)
        return to.queue_unbind(self, source, routing_key, arguments or {})

    def get(
        self,
        no_ack: bool | None = None,
        accept: Iterable[str] | None = None,
        max_body_size: int | None = None,
    ) -> Deferred[Message | None]:
        """
        Take one message (AMQP 0-9-1, basic.get).

        @param no_ack: whether there is nothing to settle; by default the queue's
            setting.
        @param accept: the content types to decode; see L{txkombu.Consumer}.
        @param max_body_size: bytes that its body may become when it is decoded; see
            L{txkombu.Consumer}.
        @return: fires with a L{Message}, or with C{None} if none is ready;
            fails with L{txkombu.exceptions.NotFound} or
            L{txkombu.exceptions.ResourceLocked}.
        """
        to = self.channel_for("get")
        wanted = self.no_ack if no_ack is None else no_ack
        if max_body_size is None:
            return to.basic_get(self, wanted, accept)
        check_count("max_body_size", max_body_size, 1)
        return to.basic_get(self, wanted, accept, max_body_size)

    def purge(self) -> Deferred[int]:
        """
        Delete all ready messages.

        @return: fires with their number; fails with
            L{txkombu.exceptions.NotFound}.
        """
        return self.channel_for("purge").queue_purge(self)

    def consume(
        self,
        consumer_tag: str = "",
        callback: Callable[[Message], object] | None = None,
        no_ack: bool | None = None,
        on_cancel: Callable[[str, Exception], object] | None = None,
    ) -> Deferred[str]:
        """
        Start a plain consumer, which calls a function with each message.

        @param consumer_tag: its name at the broker; by default a new one.
        @param callback: called with each L{Message}.
        @param no_ack: whether there is nothing to settle; by default the queue's
            setting.
        @param on_cancel: called with (tag, error) when the broker ends the consumer,
            which is then started again with growing waits.
        @return: fires with the consumer tag; fails with
            L{txkombu.exceptions.NotFound}, L{txkombu.exceptions.AccessRefused}
            or L{txkombu.exceptions.ResourceLocked}.
        """
        to = self.channel_for("consume")
        if callback is None:
            raise TypeError("consume needs a callback, which is called with a Message")
        settles_nothing = self.no_ack if no_ack is None else no_ack

        def begin_and_call(message: Message) -> object:
            message.begin()
            return callback(message)

        on_message = begin_and_call if settles_nothing else callback
        options: dict[str, Any] = {"consumer_tag": consumer_tag}
        if on_cancel is not None:
            options["on_cancel"] = check_callable("on_cancel", on_cancel, 2)
        return to.consume(self, on_message, no_ack=settles_nothing, **options)

    def cancel(self, consumer_tag: str) -> Deferred[None]:
        """
        Cancel a consumer that L{consume} started.

        @param consumer_tag: what L{consume} fired with.
        @return: fires when the broker has ended it; never fails.
        """
        return self.channel_for("cancel").basic_cancel(consumer_tag)

    def delete(
        self, if_unused: bool = False, if_empty: bool = False
    ) -> Deferred[int | None]:
        """
        Delete the queue, and the messages in it.

        @param if_unused: only if it has no consumers.
        @param if_empty: only if it has no messages.
        @return: fires with the number of messages deleted, or C{None} if the
            broker does not tell; fails with
            L{txkombu.exceptions.PreconditionFailed} if a condition is not met.
        """
        return self.channel_for("delete").queue_delete(self, if_unused, if_empty)

    def as_dict(self, recurse: bool = False) -> dict[str, object]:
        """
        Return the declared fields by name, as L{from_dict} takes them.

        @param recurse: whether to return exchanges and bindings as dicts too.
        """
        fields = {**self._values(), "bindings": list(self.bindings)}
        if recurse:
            fields["exchange"] = self.exchange.as_dict()
            fields["bindings"] = [each.as_dict(recurse) for each in self.bindings]
        return fields

    def _key(self) -> tuple[object, ...]:
        """Compare bindings without their order."""
        return (*super()._key(), frozenset(self.bindings))

    @classmethod
    def from_dict(cls, queue: str | Mapping[str, object], **options: Any) -> Queue:
        """
        Make a queue from what L{as_dict} returned, or from Kombu's flat options.

        @param queue: a dict, or the queue's name.
        @param options: such as C{exchange}, C{exchange_type}, C{routing_key} (or
            C{binding_key}), C{exchange_durable}, C{queue_durable}; they win over
            those in a dict.
        @raise TypeError: an option is not known.
        """
        return queue_from_dict(cls, queue, options)

    def __repr__(self) -> str:
        if self.bindings:
            return self.describe(f"{self.name!r} -> {list(self.bindings)!r}")
        source = self.exchange.name
        return self.describe(f"{self.name!r} -> {source!r} -> {self.routing_key!r}")


def _listed(what: str, bindings: object) -> list[binding]:
    """
    Check a collection of bindings.

    @raise TypeError: it is none.
    """
    if bindings is None:
        return []
    if not isinstance(bindings, Iterable) or isinstance(bindings, str):
        raise TypeError(f"{what} must be a list of bindings, not {bindings!r}")
    found = list(bindings)
    for each in found:
        if not isinstance(each, binding):
            raise TypeError(f"a binding is needed in {what}, not {each!r}")
    return found


def _exchange_and_bindings(
    exchange: Exchange | str | Iterable[binding] | None,
    bindings: Iterable[binding] | None,
) -> tuple[Exchange, tuple[binding, ...]]:
    """Read Kombu's two ways to give bindings; with bindings no exchange is used."""
    listed = _listed("bindings", bindings)
    if exchange is not None and not isinstance(exchange, Exchange | str):
        listed += _listed("exchange", exchange)
        exchange = None
    if listed:
        return Exchange(), tuple(dict.fromkeys(listed))
    return as_exchange(exchange or ""), ()
