"""The operations of a channel that declare, bind and delete."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.defer import Deferred, fail

from ...entity import Exchange, Queue
from ...exceptions import NotSupported
from ...interfaces import QueueDeclareOk
from . import method_ids as ids
from .channel_state import MemoryChannelState
from .queue import MemoryQueue
from .tables import carry_arguments


class TopologyChannel(MemoryChannelState):
    """The part of a channel that concerns exchanges, queues and bindings."""

    # --- exchanges -----------------------------------------------------------

    def exchange_declare(self, exchange: Exchange, passive: bool) -> Deferred[None]:
        carried = carry_arguments(exchange.arguments, exchange.name, exchange.type)
        return self._ask(
            ids.EXCHANGE_DECLARE,
            lambda: self._vhost.declare_exchange(exchange, carried, passive),
        )

    def exchange_delete(self, exchange: Exchange, if_unused: bool) -> Deferred[None]:
        return self._ask(
            ids.EXCHANGE_DELETE,
            lambda: self._vhost.delete_exchange(exchange.name, if_unused),
        )

    def exchange_bind(
        self,
        destination: Exchange,
        source: Exchange,
        routing_key: str,
        arguments: Mapping[str, object],
    ) -> Deferred[None]:
        names = (destination.name, source.name, routing_key)
        carried = carry_arguments(arguments, *names)
        return self._ask(
            ids.EXCHANGE_BIND,
            lambda: self._vhost.bind(
                lambda: self._vhost.exchange(destination.name),
                source.name,
                routing_key,
                carried,
            ),
        )

    def exchange_unbind(
        self,
        destination: Exchange,
        source: Exchange,
        routing_key: str,
        arguments: Mapping[str, object],
    ) -> Deferred[None]:
        names = (destination.name, source.name, routing_key)
        carried = carry_arguments(arguments, *names)
        return self._ask(
            ids.EXCHANGE_UNBIND,
            lambda: self._vhost.unbind(
                self._vhost.exchanges.get(destination.name),
                source.name,
                routing_key,
                carried,
                self.session,
            ),
        )

    # --- queues --------------------------------------------------------------

    def _queue(self, queue: Queue) -> MemoryQueue:
        found: MemoryQueue = self._vhost.queue(queue.name, self.session)
        return found

    def queue_declare(self, queue: Queue, passive: bool) -> Deferred[QueueDeclareOk]:
        if queue.arguments.get("x-queue-type") == "stream" and not passive:
            return fail(NotSupported("declaring a stream", "memory"))
        carried = carry_arguments(queue.arguments, queue.name)
        return self._ask(
            ids.QUEUE_DECLARE,
            lambda: self._vhost.declare_queue(queue, carried, passive, self.session),
        )

    def queue_bind(
        self,
        queue: Queue,
        exchange: Exchange,
        routing_key: str,
        arguments: Mapping[str, object],
    ) -> Deferred[None]:
        names = (queue.name, exchange.name, routing_key)
        carried = carry_arguments(arguments, *names)
        return self._ask(
            ids.QUEUE_BIND,
            lambda: self._vhost.bind(
                lambda: self._queue(queue), exchange.name, routing_key, carried
            ),
        )

    def queue_unbind(
        self,
        queue: Queue,
        exchange: Exchange,
        routing_key: str,
        arguments: Mapping[str, object],
    ) -> Deferred[None]:
        names = (queue.name, exchange.name, routing_key)
        carried = carry_arguments(arguments, *names)
        return self._ask(
            ids.QUEUE_UNBIND,
            lambda: self._vhost.unbind(
                self._vhost.queues.get(queue.name),
                exchange.name,
                routing_key,
                carried,
                self.session,
            ),
        )

    def queue_purge(self, queue: Queue) -> Deferred[int]:
        return self._ask(
            ids.QUEUE_PURGE, lambda: len(self._queue(queue).waiting.clear())
        )

    def queue_delete(
        self, queue: Queue, if_unused: bool, if_empty: bool
    ) -> Deferred[int | None]:
        return self._ask(
            ids.QUEUE_DELETE,
            lambda: self._vhost.delete_queue(
                queue.name, if_unused, if_empty, self.session
            ),
        )
