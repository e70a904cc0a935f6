"""
What a channel does with exchanges and queues, and records for the next session.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from .._util.validation import check_arguments, check_short_string
from ..entity import Exchange, Queue
from ..exceptions import NotFound
from ..interfaces import ISessionChannel, QueueDeclareOk
from .interfaces import ChannelHost
from .topology import RecordedBinding

T = TypeVar("T")


class EntityOperations(ABC):
    """
    Declares, binds, purges and deletes; the part of L{txkombu.core.channel.Channel}
    that bound entities call.
    """

    connection: ChannelHost

    @abstractmethod
    def call(
        self, what: str, operate: Callable[[ISessionChannel], Deferred[T]]
    ) -> Deferred[T]:
        """
        Run an operation on the session channel, or on the next one.

        @param what: names it in an L{txkombu.exceptions.OperationTimeout}.
        """

    def call_about(
        self,
        names: Sequence[str],
        what: str,
        operate: Callable[[ISessionChannel], Deferred[T]],
    ) -> Deferred[T]:
        """
        Run an operation as L{call} does; what the broker does not find is recorded.

        @param names: of the queues and exchanges that the operation is about.
        """

        def failed(failure: Failure) -> Failure:
            if failure.check(NotFound):
                for name in names:
                    self.connection.topology.not_found(name)
            return failure

        return self.call(what, operate).addErrback(failed)

    def exchange_declare(
        self, exchange: Exchange, passive: bool = False
    ) -> Deferred[None]:
        """Declare an exchange, or only check it; see L{Exchange.declare}."""
        topology = self.connection.topology
        note = topology.note_present if passive else topology.exchange_declared
        return self.call_about(
            [exchange.name],
            f"declaring exchange {exchange.name!r}",
            lambda channel: channel.exchange_declare(exchange, passive),
        ).addCallback(lambda _: note(exchange))

    def exchange_delete(
        self, exchange: Exchange, if_unused: bool = False
    ) -> Deferred[None]:
        """Delete an exchange; see L{Exchange.delete}."""
        return self.call_about(
            [exchange.name],
            f"deleting exchange {exchange.name!r}",
            lambda channel: channel.exchange_delete(exchange, if_unused),
        ).addCallback(
            lambda _: self.connection.topology.exchange_deleted(exchange.name)
        )

    def exchange_bind(
        self,
        destination: Exchange,
        source: Exchange,
        routing_key: str = "",
        arguments: Mapping[str, object] | None = None,
    ) -> Deferred[None]:
        """Bind an exchange to another; see L{Exchange.bind_to}."""
        bound = _bound(destination, source, routing_key, arguments)
        return self.call_about(
            [destination.name, source.name],
            f"binding exchange {destination.name!r} to {source.name!r}",
            lambda channel: channel.exchange_bind(destination, *bound[1:]),
        ).addCallback(lambda _: self.connection.topology.bound(bound))

    def exchange_unbind(
        self,
        destination: Exchange,
        source: Exchange,
        routing_key: str = "",
        arguments: Mapping[str, object] | None = None,
    ) -> Deferred[None]:
        """Undo L{exchange_bind} with the same arguments."""
        bound = _bound(destination, source, routing_key, arguments)
        return self.call_about(
            [destination.name, source.name],
            f"unbinding exchange {destination.name!r} from {source.name!r}",
            lambda channel: channel.exchange_unbind(destination, *bound[1:]),
        ).addCallback(lambda _: self.connection.topology.unbound(bound))

    def queue_declare(
        self, queue: Queue, passive: bool = False
    ) -> Deferred[QueueDeclareOk]:
        """
        Declare a queue, or only look it up; see L{Queue.queue_declare}.

        A queue without a name gets the one the broker made.  One of the
        broker's own names, C{amq.*}, can only be looked up.
        """

        passive = passive or queue.name.startswith("amq.")

        def declared(result: QueueDeclareOk) -> QueueDeclareOk:
            server_named = not queue.name
            queue.name = result.queue
            topology = self.connection.topology
            if passive:
                topology.note_present(queue)
            else:
                topology.queue_declared(queue, server_named)
            return result

        return self.call_about(
            [queue.name] if queue.name else [],
            f"declaring queue {queue.name!r}",
            lambda channel: channel.queue_declare(queue, passive),
        ).addCallback(declared)

    def queue_bind(
        self,
        queue: Queue,
        exchange: Exchange,
        routing_key: str = "",
        arguments: Mapping[str, object] | None = None,
    ) -> Deferred[None]:
        """Bind a queue to an exchange; see L{Queue.bind_to}."""
        bound = _bound(queue, exchange, routing_key, arguments)
        return self.call_about(
            [queue.name, exchange.name],
            f"binding queue {queue.name!r} to {exchange.name!r}",
            lambda channel: channel.queue_bind(queue, *bound[1:]),
        ).addCallback(lambda _: self.connection.topology.bound(bound))

    def queue_unbind(
        self,
        queue: Queue,
        exchange: Exchange,
        routing_key: str = "",
        arguments: Mapping[str, object] | None = None,
    ) -> Deferred[None]:
        """Undo L{queue_bind} with the same arguments."""
        bound = _bound(queue, exchange, routing_key, arguments)
        return self.call_about(
            [queue.name, exchange.name],
            f"unbinding queue {queue.name!r} from {exchange.name!r}",
            lambda channel: channel.queue_unbind(queue, *bound[1:]),
        ).addCallback(lambda _: self.connection.topology.unbound(bound))

    def queue_purge(self, queue: Queue) -> Deferred[int]:
        """Throw away a queue's ready messages; fires with their number."""
        return self.call_about(
            [queue.name],
            f"purging queue {queue.name!r}",
            lambda channel: channel.queue_purge(queue),
        )

    def queue_delete(
        self, queue: Queue, if_unused: bool = False, if_empty: bool = False
    ) -> Deferred[int | None]:
        """Delete a queue; see L{Queue.delete}."""

        def deleted(count: int | None) -> int | None:
            self.connection.topology.queue_deleted(queue.name)
            return count

        return self.call_about(
            [queue.name],
            f"deleting queue {queue.name!r}",
            lambda channel: channel.queue_delete(queue, if_unused, if_empty),
        ).addCallback(deleted)


def _bound(
    destination: Queue | Exchange,
    source: Exchange,
    routing_key: str,
    arguments: Mapping[str, object] | None,
) -> RecordedBinding:
    """A binding to make or undo, checked, with arguments of its own."""
    check_short_string("routing key", routing_key)
    copied = check_arguments("arguments", arguments)
    return RecordedBinding(destination, source, routing_key, copied)
