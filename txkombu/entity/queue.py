"""
Queues.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, inlineCallbacks, succeed

from .._util.awaitables import call_logged
from .._util.validation import (
    check_arguments,
    check_bool,
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

    Durations are seconds and reach the broker as whole milliseconds.  A named
    option wins over the same key in C{queue_arguments}.

    @param name: at most 255 bytes of UTF-8; C{""} lets the broker choose one
        when it is declared.
    @param exchange: an L{Exchange}, its name, or a list of L{binding}s; by default the
        default exchange, which reaches every queue by its name.
    @param routing_key: the key of the binding to C{exchange}; by default the queue's
        name where that is the default exchange.
    @param channel: bind it at once.
    @param bindings: L{binding}s; with them C{exchange} is not used.
    @param on_declared: called with (name, message_count, consumer_count)
        each time the queue has been declared, also when that was done again
        after a loss: then a queue that the broker names has another name.
        The counts are C{None} where the broker does not tell them.
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

    exchange: Exchange

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
        self.name = check_short_string("queue name", name)
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
        self.queue_type = _queue_type(queue_type)
        self.arguments = self._all_arguments()
        if channel is not None:
            self._attach(channel_of(channel))

    @property
    def routing_key(self) -> str:
        """By which its exchange reaches it; the default one does by its name."""
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
        """Return a copy bound to a channel, its exchange bound too."""
        bound = copy(self)
        bound._attach(channel_of(channel))
        return bound

    def unbound(self) -> Queue:
        """Return a copy bound to no channel, its exchanges neither."""
        twin = super().unbound()
        twin.exchange = self.exchange.unbound()
        twin.bindings = tuple(
            binding(each.exchange.unbound(), each.routing_key, each.arguments)
            for each in self.bindings
        )
        return twin

    def _attach(self, channel: EntityChannel) -> None:
        self._channel = channel
        self.exchange = self.exchange.bind(channel)

    def all_bindings(self) -> list[binding]:
        """The bindings that C{declare} makes; none to the default exchange."""
        if self.bindings:
            return [each for each in self.bindings if each.exchange.name]
        if not self.exchange.name:
            return []
        return [binding(self.exchange, self.routing_key, self.binding_arguments)]

    def declare(self, channel: ChannelSource | None = None) -> Deferred[str]:
        """
        Declare the exchanges, the queue, and the bindings between them.

        @return: fires with the queue's name, which for a queue without one is
            the name that the broker made and this object has from now on.
            Fails with L{txkombu.exceptions.PreconditionFailed} if something
            exists with other properties.
        """
        to = self.channel_for("declare", channel)
        return succeed(self.name) if self.no_declare else self._declare(to)

    @inlineCallbacks
    def _declare(self, to: EntityChannel) -> Generator[Deferred[Any], Any, str]:
        for bound in self.all_bindings():
            yield bound.exchange.declare(channel=to)
        yield self.queue_declare(channel=to)
        for bound in self.all_bindings():
            yield to.queue_bind(
                self, bound.exchange, bound.routing_key, bound.arguments
            )
        return self.name

    def queue_declare(
        self, passive: bool = False, channel: ChannelSource | None = None
    ) -> Deferred[QueueDeclareOk]:
        """
        Declare only the queue (AMQP 0-9-1, queue.declare).

        @param passive: only check that it exists, and count.
        @return: fires with (queue, message_count, consumer_count); fails with
            L{txkombu.exceptions.PreconditionFailed} if it exists with other
            properties, L{txkombu.exceptions.NotFound} if passive and it does
            not exist, L{txkombu.exceptions.ResourceLocked} if it is exclusive
            to another connection.
        """
        to = self.channel_for("queue_declare", channel)
        return to.queue_declare(self, passive).addCallback(self.declared)

    def declared(self, result: QueueDeclareOk) -> QueueDeclareOk:
        """Call C{on_declared}; what it raises is logged."""
        if self.on_declared is not None:
            call_logged("on_declared", self.on_declared, *result)
        return result

    def queue_bind(self, channel: ChannelSource | None = None) -> Deferred[None]:
        """
        Bind to the queue's own exchange (AMQP 0-9-1, queue.bind).

        @return: as that of L{bind_to}.
        """
        return self.bind_to(
            self.exchange, self.routing_key, self.binding_arguments, channel
        )

    def bind_to(
        self,
        exchange: Exchange | str = "",
        routing_key: str = "",
        arguments: Mapping[str, object] | None = None,
        channel: ChannelSource | None = None,
    ) -> Deferred[None]:
        """
        Bind to an exchange; nothing is sent for the default exchange.

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
        """Undo L{bind_to} with the same arguments."""
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
        Take one message.

        @param no_ack: instead of the queue's own setting.
        @param accept: what may be decoded; see L{txkombu.Consumer}.
        @param max_body_size: what its body may become; see L{txkombu.Consumer}.
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
        Throw away all ready messages.

        @return: fires with their number; fails with
            L{txkombu.exceptions.NotFound}.
        """
        return self.channel_for("purge").queue_purge(self)

    def consume(
        self,
        consumer_tag: str = "",
        callback: Callable[[Message], object] | None = None,
        no_ack: bool | None = None,
    ) -> Deferred[str]:
        """
        Start a plain consumer, which calls C{callback} with each Message.

        @return: fires with its tag, made up if none is given; fails with
            L{txkombu.exceptions.NotFound}, L{txkombu.exceptions.AccessRefused}
            or L{txkombu.exceptions.ResourceLocked}.
        """
        to = self.channel_for("consume")
        if callback is None:
            raise TypeError("consume needs a callback, which is called with a Message")
        settles_nothing = self.no_ack if no_ack is None else no_ack
        return to.consume(
            self,
            _begin_with(callback) if settles_nothing else callback,
            consumer_tag=consumer_tag,
            no_ack=settles_nothing,
        )

    def cancel(self, consumer_tag: str) -> Deferred[None]:
        """End a consumer that L{consume} started; never fails."""
        return self.channel_for("cancel").basic_cancel(consumer_tag)

    def delete(
        self, if_unused: bool = False, if_empty: bool = False
    ) -> Deferred[int | None]:
        """
        Delete the queue.

        @return: fires with the number of messages lost with it, C{None} if the
            broker does not tell; fails with
            L{txkombu.exceptions.PreconditionFailed} if a condition fails.
        """
        return self.channel_for("delete").queue_delete(self, if_unused, if_empty)

    def as_dict(self, recurse: bool = False) -> dict[str, object]:
        """
        The declared fields by name; L{from_dict} takes them again.

        @param recurse: give exchanges and bindings as dicts too.
        """
        fields = {**self._values(), "bindings": list(self.bindings)}
        if recurse:
            fields["exchange"] = self.exchange.as_dict()
            fields["bindings"] = [each.as_dict(recurse) for each in self.bindings]
        return fields

    def _key(self) -> tuple[object, ...]:
        """Bindings have no order."""
        return (*super()._key(), frozenset(self.bindings))

    @classmethod
    def from_dict(cls, queue: str | Mapping[str, object], **options: Any) -> Queue:
        """
        Make a queue from what L{as_dict} gave, or from Kombu's flat form: a
        name with options such as C{exchange}, C{exchange_type},
        C{routing_key} (or C{binding_key}), C{exchange_durable},
        C{queue_durable}.

        @raise TypeError: an option is not known.
        """
        return queue_from_dict(cls, queue, options)

    def __repr__(self) -> str:
        if self.bindings:
            return self.describe(f"{self.name!r} -> {list(self.bindings)!r}")
        source = self.exchange.name
        return self.describe(f"{self.name!r} -> {source!r} -> {self.routing_key!r}")


def _begin_with(callback: Callable[[Message], object]) -> Callable[[Message], object]:
    """Begin with each message of a consumer that has nothing to settle."""

    def handle(message: Message) -> object:
        message.begin()
        return callback(message)

    return handle


def _queue_type(value: object) -> str | None:
    if value is None:
        return None
    if not check_short_string("queue_type", value):
        raise ValueError("queue_type must not be empty")
    return str(value)


def _listed(what: str, bindings: object) -> list[binding]:
    """@raise TypeError: it is no collection of bindings."""
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
    """Sort out Kombu's two ways to give bindings; with any, no exchange is used."""
    listed = _listed("bindings", bindings)
    if exchange is not None and not isinstance(exchange, Exchange | str):
        listed += _listed("exchange", exchange)
        exchange = None
    if listed:
        return Exchange(), tuple(dict.fromkeys(listed))
    return as_exchange(exchange or ""), ()
