"""The operations of a channel that declare, bind and delete."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pamqp import commands
from pamqp.base import Frame as Method
from twisted.internet.defer import Deferred

from ...interfaces import QueueDeclareOk

if TYPE_CHECKING:
    from ...entity import Exchange, Queue

_T = TypeVar("_T")
_Exchange = commands.Exchange
_Queue = commands.Queue


def nothing(_: object) -> None:
    """Read a reply that says no more than that it was done."""


def message_count(reply: Any) -> int:
    """Read how many messages are gone."""
    return int(reply.message_count)


def declared(reply: Any) -> QueueDeclareOk:
    """Read a queue's name and counts."""
    return QueueDeclareOk(reply.queue, reply.message_count, reply.consumer_count)


class TopologyOperations:
    """What a channel does by L{request}, which it provides; see L{ISessionChannel}."""

    @abstractmethod
    def request(
        self,
        kind: type[Method],
        about: str,
        read: Callable[[Any], _T],
        **arguments: object,
    ) -> Deferred[_T]:
        """
        Send a method that has a reply.

        @param kind: the class of the method.
        @param about: the name of what it is about, for errors.
        @param read: makes the result of the reply.
        @param arguments: those of the method; others are zero or empty.
        """

    def exchange_declare(self, exchange: Exchange, passive: bool) -> Deferred[None]:
        return self.request(
            _Exchange.Declare,
            exchange.name,
            nothing,
            exchange=exchange.name,
            exchange_type=exchange.type,
            passive=passive,
            durable=exchange.durable,
            auto_delete=exchange.auto_delete,
            arguments=exchange.arguments,
        )

    def exchange_delete(self, exchange: Exchange, if_unused: bool) -> Deferred[None]:
        return self.request(
            _Exchange.Delete,
            exchange.name,
            nothing,
            exchange=exchange.name,
            if_unused=if_unused,
        )

    def exchange_bind(
        self,
        destination: Exchange,
        source: Exchange,
        routing_key: str,
        arguments: Mapping[str, object],
    ) -> Deferred[None]:
        return self._bind(_Exchange.Bind, destination, source, routing_key, arguments)

    def exchange_unbind(
        self,
        destination: Exchange,
        source: Exchange,
        routing_key: str,
        arguments: Mapping[str, object],
    ) -> Deferred[None]:
        return self._bind(_Exchange.Unbind, destination, source, routing_key, arguments)

    def queue_declare(self, queue: Queue, passive: bool) -> Deferred[QueueDeclareOk]:
        return self.request(
            _Queue.Declare,
            queue.name,
            declared,
            queue=queue.name,
            passive=passive,
            durable=queue.durable,
            exclusive=queue.exclusive,
            auto_delete=queue.auto_delete,
            arguments=queue.arguments,
        )

    def queue_bind(
        self,
        queue: Queue,
        exchange: Exchange,
        routing_key: str,
        arguments: Mapping[str, object],
    ) -> Deferred[None]:
        return self._bind(_Queue.Bind, queue, exchange, routing_key, arguments)

    def queue_unbind(
        self,
        queue: Queue,
        exchange: Exchange,
        routing_key: str,
        arguments: Mapping[str, object],
    ) -> Deferred[None]:
        return self._bind(_Queue.Unbind, queue, exchange, routing_key, arguments)

    def _bind(
        self,
        kind: type[Method],
        bound: Exchange | Queue,
        source: Exchange,
        routing_key: str,
        arguments: Mapping[str, object],
    ) -> Deferred[None]:
        """Bind or unbind an exchange or queue; each kind names the two in its way."""
        of_queue = kind in (_Queue.Bind, _Queue.Unbind)
        names = ("queue", "exchange") if of_queue else ("destination", "source")
        return self.request(
            kind,
            bound.name,
            nothing,
            routing_key=routing_key,
            arguments=arguments,
            **dict(zip(names, (bound.name, source.name), strict=True)),
        )

    def queue_purge(self, queue: Queue) -> Deferred[int]:
        return self.request(_Queue.Purge, queue.name, message_count, queue=queue.name)

    def queue_delete(
        self, queue: Queue, if_unused: bool, if_empty: bool
    ) -> Deferred[int | None]:
        return self.request(
            _Queue.Delete,
            queue.name,
            message_count,
            queue=queue.name,
            if_unused=if_unused,
            if_empty=if_empty,
        )
