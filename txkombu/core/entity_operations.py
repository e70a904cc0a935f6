"""Declare, bind, purge and delete exchanges and queues, and record it."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.defer import Deferred

from .._util.validation import check_arguments, check_short_string
from ..entity import Exchange, Queue
from ..interfaces import ISessionChannel, QueueDeclareOk
from .opener import ChannelOpener
from .queue_names import check_named
from .recorded_bindings import RecordedBinding
from .topology import Topology


class EntityOperations:
    """
    The operations of one channel on exchanges and queues; see L{txkombu.Channel}.

    @param opener: runs each operation.
    @param topology: the record.
    """

    def __init__(self, opener: ChannelOpener, topology: Topology) -> None:
        self._opener = opener
        self._topology = topology

    def declare_exchange(self, exchange: Exchange, passive: bool) -> Deferred[None]:
        """Declare an exchange, or only check that it exists."""
        topology = self._topology
        note = topology.note_present if passive else topology.exchange_declared

        def declared(_: object) -> Deferred[None] | None:
            note(exchange)
            if topology.lapsed_bindings(exchange.name):
                return self._bind_again(exchange.name)
            return None

        return self._opener.call(
            f"declaring exchange {exchange.name!r}",
            lambda channel: channel.exchange_declare(exchange, passive),
            [exchange.name],
        ).addCallback(declared)

    def _bind_again(self, exchange: str) -> Deferred[None]:
        """Restore what the broker lost with an exchange, so that messages arrive."""
        connection, bind_again = self._opener.connection, self._topology.bind_again
        return self._opener.call(
            f"binding {exchange!r} again",
            lambda _: connection.when_up().addCallback(bind_again, exchange),
        )

    def delete_exchange(self, exchange: Exchange, if_unused: bool) -> Deferred[None]:
        """Delete an exchange."""
        return self._opener.call(
            f"deleting exchange {exchange.name!r}",
            lambda channel: channel.exchange_delete(exchange, if_unused),
            [exchange.name],
        ).addCallback(lambda _: self._topology.exchange_deleted(exchange.name))

    def declare_queue(self, queue: Queue, passive: bool) -> Deferred[QueueDeclareOk]:
        """
        Declare a queue, or only check that it exists.

        A queue without a name gets the one that the broker made.  A name of the
        broker's own, C{amq.*}, can only be checked.
        """
        passive = passive or queue.name.startswith("amq.")

        def declared(result: QueueDeclareOk) -> QueueDeclareOk:
            server_named = not queue.name
            queue.rename(result.queue)
            if passive:
                self._topology.note_present(queue)
            else:
                self._topology.queue_declared(queue, server_named)
            return result

        return self._opener.call(
            f"declaring queue {queue.name!r}",
            lambda channel: channel.queue_declare(queue, passive),
            [queue.name] if queue.name else [],
        ).addCallback(declared)

    def delete_queue(
        self, queue: Queue, if_unused: bool, if_empty: bool
    ) -> Deferred[int | None]:
        """Delete a queue; fires with the number of messages that were in it."""

        def deleted(count: int | None) -> int | None:
            self._topology.queue_deleted(queue.name)
            return count

        def delete(channel: ISessionChannel) -> Deferred[int | None]:
            check_named(queue)
            return channel.queue_delete(queue, if_unused, if_empty)

        what = f"deleting queue {queue.name!r}"
        deleting = self._opener.call(what, delete, [queue.name])
        return deleting.addCallback(deleted)

    def purge_queue(self, queue: Queue) -> Deferred[int]:
        """Delete a queue's ready messages; fires with their number."""

        def purge(channel: ISessionChannel) -> Deferred[int]:
            check_named(queue)
            return channel.queue_purge(queue)

        what = f"purging queue {queue.name!r}"
        return self._opener.call(what, purge, [queue.name])

    def bind(
        self,
        destination: Queue | Exchange,
        source: Exchange,
        routing_key: str,
        arguments: Mapping[str, object] | None,
    ) -> Deferred[None]:
        """Bind a queue or an exchange to an exchange."""
        binding = _binding(destination, source, routing_key, arguments)
        return self._opener.call(
            f"binding {_kind(destination)} {destination.name!r} to {source.name!r}",
            binding.bind,
            [destination.name, source.name],
        ).addCallback(lambda _: self._topology.bound(binding))

    def unbind(
        self,
        destination: Queue | Exchange,
        source: Exchange,
        routing_key: str,
        arguments: Mapping[str, object] | None,
    ) -> Deferred[None]:
        """Undo L{bind} with the same arguments."""
        binding = _binding(destination, source, routing_key, arguments)
        return self._opener.call(
            f"unbinding {_kind(destination)} {destination.name!r} from {source.name!r}",
            binding.unbind,
            [destination.name, source.name],
        ).addCallback(lambda _: self._topology.unbound(binding))


def _kind(entity: Queue | Exchange) -> str:
    return "queue" if isinstance(entity, Queue) else "exchange"


def _binding(
    destination: Queue | Exchange,
    source: Exchange,
    routing_key: str,
    arguments: Mapping[str, object] | None,
) -> RecordedBinding:
    """Return a checked binding, with arguments of its own."""
    check_short_string("routing key", routing_key)
    copied = check_arguments("arguments", arguments)
    return RecordedBinding(destination, source, routing_key, copied)
