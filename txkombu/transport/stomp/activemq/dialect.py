"""
The dialect of ActiveMQ Classic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from twisted.internet.interfaces import IReactorTime

from ...._util.validation import check_short_string
from ....exceptions import BrokerError
from ....interfaces import Capability, Delivery, Properties, QueueDeclareOk
from ..dialect import (
    Connections,
    ConsumeOptions,
    Dialect,
    GetResult,
    Source,
    StompBinding,
)
from ..wire.frames import Frame, encode_header
from ..wire.properties import ROUTING_KEY
from . import acks as settling
from . import mapping, recipes
from .properties import ORIGINAL, decode_properties, encode_properties, is_redelivered

if TYPE_CHECKING:
    from ....entity import Exchange, Queue
    from ..protocol import StompProtocol

_NO_LIMIT: Final = 2**31 - 1


class ActiveMQDialect(Dialect):
    """
    How ActiveMQ Classic wants it: exchanges are virtual topics, see L{mapping}.

    A queue is known by its name and its bindings: who knows only some of these
    never sees what came by the others, and what comes by a binding that nobody
    knows any more piles up.
    """

    name = "activemq"
    product = mapping.PRODUCT
    errors_are_fatal = False
    reads_bindings = True
    settles_by_itself = False
    keeps = True
    # What is beyond it would be read as frames.
    max_body = 100 * 1024 * 1024
    capabilities = frozenset(
        {
            Capability.QUEUE_PURGE,
            Capability.CONFIRM,
            Capability.GET,
            Capability.MULTIPLE_ACK,
            Capability.CONSUMER_PREFETCH,
            Capability.RECOVER,
        }
    )

    # --- publishing and settling ---------------------------------------------

    def destination(self, exchange: Exchange, routing_key: str) -> str:
        return mapping.publish_destination(exchange, routing_key)

    def publish_headers(self, exchange: Exchange, routing_key: str) -> bytes:
        if exchange.name and exchange.type == "fanout" and routing_key:
            return encode_header(ROUTING_KEY, routing_key)
        return b""

    def properties(self, properties: Properties, now: float) -> bytes:
        return encode_properties(properties, now)

    def refuses(self, error: BrokerError, destination: str) -> bool:
        _, kind, name = destination.split("/", 2)
        return error.text.endswith(f" {kind}://{name}")

    def delivery(self, frame: Frame, tag: int, consumer_tag: str) -> Delivery:
        headers = frame.headers
        exchange, routing_key = mapping.published_to(
            headers.get("destination", ""), headers.get(ORIGINAL, "")
        )
        if exchange:
            routing_key = headers.get(ROUTING_KEY, routing_key)
        return Delivery(
            tag,
            consumer_tag,
            is_redelivered(frame),
            exchange,
            routing_key,
            frame.body,
            lambda: decode_properties(frame),
        )

    def ack(self, frame: Frame) -> bytes:
        return settling.ack(frame)

    def nack(self, frame: Frame, requeue: bool) -> bytes:
        return settling.requeue(frame) if requeue else settling.dead_letter(frame)

    def reject(self, frame: Frame, requeue: bool) -> bytes:
        return self.nack(frame, requeue)

    def keep(self, frame: Frame) -> bytes:
        return settling.keep(frame)

    def ack_kept(self, frame: Frame) -> bytes:
        return settling.ack_kept(frame)

    def give_back_kept(self, frame: Frame) -> bytes:
        return settling.give_back_kept(frame)

    async def reject_kept(
        self, frame: Frame, socket: StompProtocol, clock: IReactorTime
    ) -> None:
        await recipes.dead_letter_kept(frame, socket, clock)

    # --- checking ------------------------------------------------------------

    def check_exchange(self, exchange: Exchange) -> None:
        mapping.check_type(exchange)
        if exchange.arguments:
            raise self.unsupported(f"arguments of exchanges, {_names(exchange)}")

    def check_queue(self, queue: Queue) -> None:
        check_short_string("queue name", queue.name)
        if queue.exclusive or queue.auto_delete:
            kind = "exclusive" if queue.exclusive else "auto-delete"
            raise self.unsupported(
                f"an {kind} queue", "its queues stay; declare it without"
            )
        if queue.arguments:
            raise self.unsupported(
                f"arguments of queues, {_names(queue)}",
                "whoever runs the broker sets such things by policies",
            )

    def check_binding(
        self, queue: Queue, bound: StompBinding, others: Sequence[StompBinding]
    ) -> None:
        mapping.check_overlap(queue.name, bound, others)

    # --- consuming -----------------------------------------------------------

    def sources(
        self, queue: Queue, bindings: Sequence[StompBinding], consuming: ConsumeOptions
    ) -> list[Source]:
        """
        One for each binding, and the queue of that very name.

        Each has its share of the prefetch, and at least 1, since with 0 nothing is
        ever delivered.
        """
        destinations = mapping.source_destinations(queue.name, bindings)
        if consuming.no_ack:
            ack, prefetch = recipes.BY_THE_CLIENT, recipes.AUTO_PREFETCH
        else:
            ack, prefetch = recipes.BY_THE_CLIENT, _NO_LIMIT
            if consuming.prefetch_count:
                prefetch = max(1, consuming.prefetch_count // len(destinations))
        headers = (ack, (recipes.PREFETCH, str(prefetch)))
        return [Source(destination, headers) for destination in destinations]

    # --- recipes -------------------------------------------------------------

    async def declare_exchange(
        self, exchange: Exchange, passive: bool, connections: Connections
    ) -> None:
        """A virtual topic needs no declaration."""

    async def declare_queue(
        self, queue: Queue, passive: bool, connections: Connections
    ) -> QueueDeclareOk:
        await recipes.declare(mapping.queue_destination(queue.name), connections)
        return QueueDeclareOk(queue.name, None, None)

    async def bind_queue(
        self, queue: Queue, bound: StompBinding, connections: Connections
    ) -> None:
        await recipes.declare(
            mapping.binding_destination(queue.name, bound), connections
        )

    async def delete_queue(self, queue: Queue, connections: Connections) -> int | None:
        raise self.unsupported("deleting queues")

    async def purge_queue(
        self, queue: Queue, bindings: Sequence[StompBinding], connections: Connections
    ) -> int:
        destinations = mapping.source_destinations(queue.name, bindings)
        return await recipes.purge(destinations, connections)

    async def get(
        self,
        queue: Queue,
        bindings: Sequence[StompBinding],
        no_ack: bool,
        connections: Connections,
    ) -> GetResult | None:
        destinations = mapping.source_destinations(queue.name, bindings)
        return await recipes.get(destinations, no_ack, connections)


def _names(entity: Exchange | Queue) -> str:
    return ", ".join(sorted(map(repr, entity.arguments)))
