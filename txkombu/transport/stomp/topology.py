"""
What a STOMP session channel does with exchanges and queues.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import uuid4

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger

from ...exceptions import NotSupported
from ...interfaces import Capability, QueueDeclareOk
from .connections import ConnectionPool
from .declarations import Declarations
from .dialect import Dialect, StompBinding
from .operation_queue import Work

if TYPE_CHECKING:
    from ...entity import Exchange, Queue

_T = TypeVar("_T")

_WARNINGS: Final = 1000


class StompTopologyChannel(ABC):
    """The part of a session channel that knows entities, but no messages."""

    _log = Logger()

    _dialect: Dialect
    _connections: ConnectionPool
    _declarations: Declarations

    @abstractmethod
    def _operate(
        self,
        work: Work[_T],
        about: str,
        declares: bool = False,
        undo: Callable[[_T], object] | None = None,
        at_once: bool = False,
    ) -> Deferred[_T]:
        """
        Do something when what was begun before is over.

        @param at_once: no matter whether the broker has seen what was published.
        """

    @abstractmethod
    async def _declare_exclusive(self, queue: Queue) -> None:
        """Declare an exclusive queue on a socket that it lives on, if it has none."""

    @abstractmethod
    def _release_exclusive(self, queue: Queue) -> Deferred[None]:
        """Let go of an exclusive queue, which deletes it; never fails."""

    @abstractmethod
    async def _bound(self, queue: Queue) -> None:
        """Have the consumers of a queue receive what was bound to it."""

    def _need(self, capability: Capability, operation: str) -> None:
        """@raise NotSupported: the broker cannot do it."""
        if capability not in self._dialect.capabilities:
            raise self._dialect.unsupported(operation)

    # --- exchanges -----------------------------------------------------------

    def exchange_declare(self, exchange: Exchange, passive: bool) -> Deferred[None]:
        exchange = self._declarations.exchange(exchange)
        try:
            if passive:
                self._need(
                    Capability.EXCHANGE_PASSIVE, "a passive exchange declaration"
                )
            self._dialect.check_exchange(exchange)
        except NotSupported as error:
            return fail(error)
        self._declarations.declared(exchange)
        return self._operate(
            lambda: self._dialect.declare_exchange(
                exchange, passive, self._connections
            ),
            exchange.name,
            declares=True,
            at_once=True,
        )

    def exchange_delete(self, exchange: Exchange, if_unused: bool) -> Deferred[None]:
        return fail(self._dialect.unsupported("deleting exchanges"))

    def exchange_bind(
        self,
        destination: Exchange,
        source: Exchange,
        routing_key: str,
        arguments: Mapping[str, object],
    ) -> Deferred[None]:
        return fail(self._dialect.unsupported("binding an exchange to an exchange"))

    def exchange_unbind(
        self,
        destination: Exchange,
        source: Exchange,
        routing_key: str,
        arguments: Mapping[str, object],
    ) -> Deferred[None]:
        return fail(self._dialect.unsupported("unbinding an exchange"))

    # --- queues --------------------------------------------------------------

    def queue_declare(self, queue: Queue, passive: bool) -> Deferred[QueueDeclareOk]:
        dialect = self._dialect
        try:
            if passive:
                self._need(Capability.QUEUE_PASSIVE, "a passive queue declaration")
            queue = self._named(queue)
            dialect.check_queue(queue)
        except NotSupported as error:
            return fail(error)
        if not passive:
            self._warn_of(queue)

        async def declare() -> QueueDeclareOk:
            owned = queue.name in self._connections.owners
            if not passive and (owned or queue.exclusive):
                await self._declare_exclusive(queue)
            elif not owned:
                return await dialect.declare_queue(queue, passive, self._connections)
            return QueueDeclareOk(queue.name, None, None)

        return self._operate(declare, queue.name, declares=True)

    def _warn_of(self, queue: Queue) -> None:
        warning, warned = self._dialect.warning_of(queue), self._declarations.warned
        if warning and queue.name not in warned and len(warned) < _WARNINGS:
            warned.add(queue.name)
            self._log.warn("Queue {name!r}: {why}", name=queue.name, why=warning)

    def _named(self, queue: Queue) -> Queue:
        """The queue with a name, made up if it has none."""
        if queue.name:
            return queue
        self._need(Capability.SERVER_NAMED_QUEUE, "a queue without a name")
        named = copy(queue)
        # RabbitMQ refuses names that begin with "amq.".
        named.name = f"txkombu.gen-{uuid4().hex}"
        return named

    def queue_bind(
        self,
        queue: Queue,
        exchange: Exchange,
        routing_key: str,
        arguments: Mapping[str, object],
    ) -> Deferred[None]:
        bound = StompBinding(
            self._declarations.exchange(exchange), routing_key, arguments
        )
        others = self._bindings_of(queue)
        try:
            self._dialect.check_exchange(bound.exchange)
            self._dialect.check_queue(queue)
            self._dialect.check_binding(queue, bound, others)
        except NotSupported as error:
            return fail(error)
        self._declarations.declared(bound.exchange)
        news = self._declarations.bound(queue.name, bound)

        async def bind() -> None:
            try:
                await self._bind(queue, bound)
            except BaseException:
                if news:
                    self._declarations.refused(queue.name, bound)
                raise
            await self._bound(queue)

        return self._operate(bind, queue.name, declares=True)

    async def _bind(self, queue: Queue, bound: StompBinding) -> None:
        owner = self._connections.owners.get(queue.name)
        if owner is None:
            await self._dialect.bind_queue(queue, bound, self._connections)
        else:
            # As it was declared: other properties would cost the queue.
            await self._dialect.probe_binding(owner.queue, bound, self._connections)
            await owner.subscribe(self._dialect.binding_source(owner.queue, bound))

    def queue_unbind(
        self,
        queue: Queue,
        exchange: Exchange,
        routing_key: str,
        arguments: Mapping[str, object],
    ) -> Deferred[None]:
        return fail(self._dialect.unsupported("removing a binding"))

    def queue_purge(self, queue: Queue) -> Deferred[int]:
        try:
            self._need(Capability.QUEUE_PURGE, "purging queues")
        except NotSupported as error:
            return fail(error)
        bindings = self._bindings_of(queue)

        async def purge() -> int:
            owner = self._connections.owners.get(queue.name)
            if owner is None:
                return await self._dialect.purge_queue(
                    queue, bindings, self._connections
                )
            kept = owner.purge(self._dialect)
            purged = await self._dialect.purge_queue(queue, bindings, self._connections)
            # What was kept made room for others.
            more: int = owner.purge(self._dialect)
            return int(kept) + purged + more

        return self._operate(purge, queue.name, declares=True)

    def queue_delete(
        self, queue: Queue, if_unused: bool, if_empty: bool
    ) -> Deferred[int | None]:
        try:
            self._need(Capability.QUEUE_DELETE, "deleting queues")
            if if_unused or if_empty:
                wanted = "deleting a queue only if unused or empty"
                self._need(Capability.QUEUE_DELETE_CONDITIONAL, wanted)
        except NotSupported as error:
            return fail(error)

        async def delete() -> int | None:
            if queue.name in self._connections.owners:
                await self._release_exclusive(queue)
                return None
            self._declarations.deleted(queue.name)
            return await self._dialect.delete_queue(queue, self._connections)

        return self._operate(delete, queue.name, declares=True)

    def _bindings_of(self, queue: Queue) -> list[StompBinding]:
        """What a consumer of a queue has to know."""
        return (
            self._declarations.bindings(queue) if self._dialect.reads_bindings else []
        )
