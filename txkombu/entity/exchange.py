"""
Exchanges, and the bindings that lead from one to a queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed

from .._util.validation import (
    check_arguments,
    check_bool,
    check_delivery_mode,
    check_short_string,
)
from .base import Entity, channel_of

if TYPE_CHECKING:
    from .interfaces import ChannelSource

PERSISTENT = 2


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
    @ivar by_name: it was made of a mere name: its type and properties are
        guesses.
    """

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
        self.name = check_short_string("exchange name", name)
        self.type = check_short_string("exchange type", type) or "direct"
        self.durable = check_bool("durable", durable)
        self.auto_delete = check_bool("auto_delete", auto_delete)
        self.delivery_mode = check_delivery_mode(delivery_mode) or PERSISTENT
        self.arguments = check_arguments("arguments", arguments)
        self.passive = check_bool("passive", passive)
        self.no_declare = check_bool("no_declare", no_declare)
        if channel is not None:
            self._channel = channel_of(channel)

    @property
    def is_predeclared(self) -> bool:
        """Whether the broker has it by itself: the default one, and C{amq.*}."""
        return not self.name or self.name.startswith("amq.")

    def declare(
        self, passive: bool | None = None, channel: ChannelSource | None = None
    ) -> Deferred[None]:
        """
        Make sure the exchange exists (AMQP 0-9-1, exchange.declare).

        The default exchange and C{amq.*} are never declared.

        @param passive: only check; default is the exchange's own setting.
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
            something is, L{txkombu.exceptions.AccessRefused} for C{amq.*}.
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
        Receive what another exchange routes by this key.

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
        """Undo L{bind_to} with the same arguments."""
        return self.channel_for("unbind_from", channel).exchange_unbind(
            self, as_exchange(source), routing_key, arguments or {}
        )

    def binding(
        self, routing_key: str = "", arguments: Mapping[str, object] | None = None
    ) -> binding:
        """Make a L{binding} to this exchange."""
        return binding(self, routing_key, arguments)

    def as_dict(self, recurse: bool = False) -> dict[str, object]:
        """
        The declared fields by name.

        @param recurse: without effect here; L{txkombu.Queue.as_dict} has it.
        """
        return self._values()

    def __repr__(self) -> str:
        return self.describe(f"{self.name!r} ({self.type})")


def as_exchange(exchange: Exchange | str) -> Exchange:
    """Take an exchange or its name."""
    if isinstance(exchange, Exchange):
        return exchange
    if isinstance(exchange, str):
        named = Exchange(exchange)
        named.by_name = True
        return named
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

    def as_dict(self, recurse: bool = False) -> dict[str, object]:
        """
        The fields by name.

        @param recurse: give the exchange as a dict too.
        """
        return {
            "exchange": self.exchange.as_dict() if recurse else self.exchange,
            "routing_key": self.routing_key,
            "arguments": dict(self.arguments),
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
