"""Exchanges and bindings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

from twisted.internet.defer import Deferred, succeed

from .._util.validation import (
    check_arguments,
    check_bool,
    check_delivery_mode,
    check_short_string,
)
from .base import Entity

if TYPE_CHECKING:
    from .interfaces import ChannelSource


class Exchange(Entity):
    """
    The place where messages are published, which routes them to queues.

    @param name: at most 255 bytes of UTF-8; C{""} is the default exchange,
        which routes to the queue named by the routing key.
    @param type: C{"direct"}, C{"fanout"}, C{"topic"}, C{"headers"}, or another
        type that the broker has; C{""} is C{"direct"}.
    @param channel: the channel to bind it to.
    @param durable: whether it survives a restart of the broker.
    @param auto_delete: whether the broker deletes it with its last binding.
    @param delivery_mode: the default of messages published to it: 2 or
        C{"persistent"}, 1 or C{"transient"}; by default 2.
    @param arguments: further arguments of the declaration.
    @param passive: whether C{declare} only checks that it exists.
    @param no_declare: whether C{declare} does nothing.
    @ivar by_name: whether only its name was given, so that its type and its
        properties are guesses.
    @cvar TRANSIENT_DELIVERY_MODE: the C{delivery_mode} of messages that a restart of
        the broker deletes.
    @cvar PERSISTENT_DELIVERY_MODE: the one of messages that survive it in a durable
        queue.
    """

    TRANSIENT_DELIVERY_MODE: Final = 1
    PERSISTENT_DELIVERY_MODE: Final = 2

    by_name = False

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
        channel: ChannelSource | None = None,
        *,
        durable: bool = True,
        auto_delete: bool = False,
        delivery_mode: int | str | None = None,
        arguments: Mapping[str, object] | None = None,
        passive: bool = False,
        no_declare: bool = False,
    ) -> None:
        name = check_short_string("exchange name", name)
        self.type = check_short_string("exchange type", type) or "direct"
        self.durable = check_bool("durable", durable)
        self.auto_delete = check_bool("auto_delete", auto_delete)
        self.delivery_mode = check_delivery_mode(delivery_mode) or (
            self.PERSISTENT_DELIVERY_MODE
        )
        self.arguments = check_arguments("arguments", arguments)
        self.passive = check_bool("passive", passive)
        self.no_declare = check_bool("no_declare", no_declare)
        super().__init__(name, channel)

    @property
    def is_predeclared(self) -> bool:
        """Whether every broker has it: the default exchange, and C{amq.*}."""
        return not self.name or self.name.startswith("amq.")

    def declare(
        self, passive: bool | None = None, channel: ChannelSource | None = None
    ) -> Deferred[None]:
        """
        Make sure the exchange exists (AMQP 0-9-1, exchange.declare).

        The default exchange and C{amq.*} are never declared.

        @param passive: only check that it exists; by default the exchange's setting.
        @param channel: the channel to use; by default the one this is bound to.
        @return: fails with L{txkombu.exceptions.PreconditionFailed} if it
            exists with other properties, L{txkombu.exceptions.NotFound} if
            passive and it does not exist.
        """
        to = self.channel_for("declare", channel)
        if self.no_declare or self.is_predeclared:
            return succeed(None)
        return to.exchange_declare(self, self.passive if passive is None else passive)

    def delete(self, if_unused: bool = False) -> Deferred[None]:
        """
        Delete the exchange; one that does not exist is no error.

        @param if_unused: only if nothing is bound to it.
        @return: fails with L{txkombu.exceptions.PreconditionFailed} if
            something is bound to it, L{txkombu.exceptions.AccessRefused} for
            C{amq.*}.
        """
        return self.channel_for("delete").exchange_delete(self, if_unused)

    def bind_to(
        self,
        exchange: Exchange | str,
        routing_key: str = "",
        arguments: Mapping[str, object] | None = None,
        channel: ChannelSource | None = None,
    ) -> Deferred[None]:
        """
        Receive the messages that another exchange routes by this key.

        @param exchange: the other exchange, or its name.
        @param routing_key: the key, or pattern, of the binding.
        @param arguments: what a headers exchange matches by.
        @param channel: the channel to use; by default the one this is bound to.
        @return: fails with L{txkombu.exceptions.NotFound} if one of the two
            does not exist.
        """
        return self.channel_for("bind_to", channel).exchange_bind(
            self, as_exchange(exchange), routing_key, arguments or {}
        )

    def unbind_from(
        self,
        source: Exchange | str,
        routing_key: str = "",
        arguments: Mapping[str, object] | None = None,
        channel: ChannelSource | None = None,
    ) -> Deferred[None]:
        """
        Undo L{bind_to} with the same arguments.

        @param source: the other exchange, or its name.
        @param routing_key: the key, or pattern, of the binding.
        @param arguments: those of the binding.
        @param channel: the channel to use; by default the one this is bound to.
        """
        return self.channel_for("unbind_from", channel).exchange_unbind(
            self, as_exchange(source), routing_key, arguments or {}
        )

    def binding(
        self, routing_key: str = "", arguments: Mapping[str, object] | None = None
    ) -> binding:
        """
        Make a L{binding<txkombu.binding>} to this exchange.

        @param routing_key: the key, or pattern, of the binding.
        @param arguments: what a headers exchange matches by.
        """
        return binding(self, routing_key, arguments)

    def as_dict(self, recurse: bool = False) -> dict[str, object]:
        """
        Return the declared fields by name.

        @param recurse: ignored; it is there for L{txkombu.Queue.as_dict}.
        """
        return self._values()

    @classmethod
    def named(cls, name: str, delivery_mode: int | None = None) -> Exchange:
        """
        Make an exchange of which only the name is known; see C{by_name}.

        @param name: at most 255 bytes of UTF-8.
        @param delivery_mode: the default of messages published to it; by default 2.
        """
        exchange = cls(name, delivery_mode=delivery_mode)
        exchange.by_name = True
        return exchange

    def __repr__(self) -> str:
        return self.describe(f"{self.name!r} ({self.type})")


def as_exchange(exchange: Exchange | str) -> Exchange:
    """
    Return an exchange itself; or an L{Exchange<txkombu.Exchange>} of a name.

    @param exchange: an exchange or its name.
    @raise TypeError: it is neither.
    """
    if isinstance(exchange, Exchange):
        return exchange
    if isinstance(exchange, str):
        return Exchange.named(exchange)
    raise TypeError(f"an Exchange or its name is needed, not {exchange!r}")


class Bindable(Protocol):
    """What a L{binding<txkombu.binding>} can bind: a queue, or an exchange."""

    def bind_to(
        self,
        exchange: Exchange | str,
        routing_key: str = ...,
        arguments: Mapping[str, object] | None = ...,
        channel: ChannelSource | None = ...,
    ) -> Deferred[None]:
        """Receive messages from an exchange."""

    # The exchange has another name at each of the two, so it goes by position.
    def unbind_from(
        self,
        exchange: Exchange | str,
        /,
        routing_key: str = ...,
        arguments: Mapping[str, object] | None = ...,
        channel: ChannelSource | None = ...,
    ) -> Deferred[None]:
        """Undo C{bind_to}."""


class binding:
    """
    One way into a queue: an exchange and a routing key.

    @param exchange: the exchange or its name.
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

    def as_dict(self, recurse: bool = False) -> dict[str, object]:
        """
        Return the fields by name.

        @param recurse: whether to return the exchange as a dict too.
        """
        return {
            "exchange": self.exchange.as_dict() if recurse else self.exchange,
            "routing_key": self.routing_key,
            "arguments": dict(self.arguments),
        }

    def declare(self, channel: ChannelSource) -> Deferred[None]:
        """
        Declare the exchange.

        @param channel: a channel, or a connection.
        @return: as of L{Exchange.declare<txkombu.Exchange.declare>}.
        """
        return self.exchange.declare(channel=channel)

    def bind(
        self, entity: Bindable, channel: ChannelSource | None = None
    ) -> Deferred[None]:
        """
        Bind a queue, or another exchange, as this says.

        @param entity: the queue or exchange that gets the messages.
        @param channel: the channel to use; by default the one of the entity.
        @return: as of its C{bind_to}.
        """
        return entity.bind_to(self.exchange, self.routing_key, self.arguments, channel)

    def unbind(
        self, entity: Bindable, channel: ChannelSource | None = None
    ) -> Deferred[None]:
        """
        Undo L{bind}.

        @param entity: as for L{bind}.
        @param channel: as for L{bind}.
        @return: as of its C{unbind_from}.
        """
        return entity.unbind_from(
            self.exchange, self.routing_key, self.arguments, channel
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, binding):
            return NotImplemented
        return self.as_dict() == other.as_dict()

    def __hash__(self) -> int:
        return hash((self.exchange, self.routing_key))

    def __repr__(self) -> str:
        return f"<binding {self.exchange.name!r} -> {self.routing_key!r}>"
