"""
RabbitMQ's STOMP plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from ....exceptions import AccessRefused, BrokerError, NotFound
from ....interfaces import Capability, Delivery, Properties, QueueDeclareOk
from ..dialect import (
    Connections,
    ConsumeOptions,
    Dialect,
    GetResult,
    Source,
    StompBinding,
)
from . import recipes
from .arguments import (
    KNOWN,
    argument_headers,
    check_headers,
    lacks_dead_letter_key,
    queue_type,
)
from .mapping import (
    Route,
    binding_route,
    destination_of,
    is_mappable,
    is_native,
    origin_of,
    queue_destination,
    refused_by,
    route,
)
from .properties import ROUTING_HEADERS, vocabulary

if TYPE_CHECKING:
    from ....entity import Exchange, Queue
    from ..protocol import StompProtocol
    from ..wire.frames import Frame

_QUORUM: Final = "quorum"
CACHE_SIZE: Final = 1000

_AS_A_WHOLE: Final = "declare it by AMQP, or with the broker's own tools"


class RabbitMQDialect(Dialect):
    """
    How RabbitMQ wants it.  What is missing, and why:

     - exchanges are not declared or deleted, bound to each other, or of other types
       than direct, fanout and topic: STOMP has no commands for them, and C{amq.*}
       are the only ones that are there (see L{mapping});
     - no binding has arguments, or is removed: a SUBSCRIBE binds by key, for good;
     - no counts, no deleting if unused or empty: what a queue has is not told;
     - nothing is mandatory: a message without a queue has its receipt as others;
     - no exclusive consumers, no arguments of consumers, no prefetch for several
       consumers: a SUBSCRIBE has no header for any of them.
    """

    name: ClassVar[str] = "rabbitmq"
    product: ClassVar[str] = "RabbitMQ"
    errors_are_fatal: ClassVar[bool] = True
    length_is_last: ClassVar[bool] = True
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.EXCHANGE_PASSIVE,
            Capability.QUEUE_PASSIVE,
            Capability.QUEUE_PURGE,
            Capability.QUEUE_DELETE,
            Capability.QUEUE_ARGUMENTS,
            Capability.EXCLUSIVE_QUEUE,
            Capability.SERVER_NAMED_QUEUE,
            Capability.CONFIRM,
            Capability.GET,
            Capability.MULTIPLE_ACK,
            Capability.CONSUMER_PREFETCH,
            Capability.RECOVER,
        }
    )

    def __init__(
        self,
        version: str = "",
        userid: str = "",
        exchange_named: Callable[[str], Exchange | None] = lambda name: None,
    ) -> None:
        super().__init__(version, userid, exchange_named)
        self._vocabulary = vocabulary(userid)
        self._origins: dict[str, Route] = {}

    # --- publishing and settling ---------------------------------------------

    def destination(self, exchange: Exchange, routing_key: str) -> str:
        if not exchange.name:
            return queue_destination(routing_key)
        self.check_exchange(exchange)
        return destination_of(route(exchange, routing_key))

    def properties(self, properties: Properties, now: float) -> bytes:
        headers = properties.get("headers")
        if headers and isinstance(headers, Mapping):
            for name in ROUTING_HEADERS:
                if name in headers:
                    raise self.unsupported(
                        f"a header {name}", "it has to be a list, and STOMP has text"
                    )
            check_headers(headers)
        return self._vocabulary.encode(properties, now)

    def refuses(self, error: BrokerError, destination: str) -> bool:
        if not isinstance(error, AccessRefused | NotFound):
            return False
        return refused_by(error.text, destination)

    def delivery(self, frame: Frame, tag: int, consumer_tag: str) -> Delivery:
        headers = frame.headers
        destination = headers.get("destination", "")
        origin = self._origins.get(destination)
        if origin is None:
            origin = self._learn(destination)
        return Delivery(
            tag,
            consumer_tag,
            headers.get("redelivered") == "true",
            origin.exchange,
            origin.key,
            frame.body,
            lambda: self._vocabulary.decode(frame),
        )

    def _learn(self, destination: str) -> Route:
        if len(self._origins) >= CACHE_SIZE:
            self._origins.clear()
        origin = self._origins[destination] = origin_of(destination)
        return origin

    def ack(self, frame: Frame) -> bytes:
        return recipes.ack_frame(frame)

    def nack(self, frame: Frame, requeue: bool) -> bytes:
        return recipes.nack_frame(frame, requeue)

    def reject(self, frame: Frame, requeue: bool) -> bytes:
        return recipes.nack_frame(frame, requeue)

    # --- checking ------------------------------------------------------------

    def check_exchange(self, exchange: Exchange) -> None:
        if not exchange.name:
            return
        if is_native(exchange):
            destination_of(Route(exchange.name, ""))
            return
        if not is_mappable(exchange):
            raise self.unsupported(
                f"an exchange of type {exchange.type}",
                "one that the broker has can be used: Exchange(..., passive=True)",
            )
        if exchange.arguments:
            raise self.unsupported("an exchange with arguments", _AS_A_WHOLE)
        route(exchange, "")

    def check_queue(self, queue: Queue) -> None:
        if queue.auto_delete and not queue.exclusive:
            raise self.unsupported(
                "an auto-delete queue",
                "make it exclusive, or let it go by itself with expires=",
            )
        unknown = sorted(queue.arguments.keys() - KNOWN)
        if unknown:
            raise self.unsupported(
                f"queue argument {', '.join(unknown)}",
                f"the broker would ignore it; {_AS_A_WHOLE}",
            )
        if queue_type(queue) == "stream":
            raise self.unsupported("a stream", _AS_A_WHOLE)
        if lacks_dead_letter_key(queue, self.exchange_named):
            raise self.unsupported(
                "x-dead-letter-exchange without x-dead-letter-routing-key",
                "messages would keep the keys they have there, which are not those "
                "they were published with; give a key, or use a fanout exchange",
            )
        if queue.name:
            queue_destination(queue.name)
        argument_headers(queue, self.exchange_named)

    def warning_of(self, queue: Queue) -> str:
        if queue.durable or queue.exclusive:
            return ""
        return (
            "it is neither durable nor exclusive: RabbitMQ 4 deprecates such queues "
            "and may refuse them; make it durable, or exclusive"
        )

    def check_binding(
        self, queue: Queue, bound: StompBinding, others: Sequence[StompBinding]
    ) -> None:
        if bound.arguments:
            raise self.unsupported("a binding with arguments")
        self.check_exchange(bound.exchange)
        destination_of(binding_route(bound.exchange, bound.routing_key))

    # --- consuming -----------------------------------------------------------

    def sources(
        self, queue: Queue, bindings: Sequence[StompBinding], consuming: ConsumeOptions
    ) -> list[Source]:
        if consuming.exclusive:
            raise self.unsupported("an exclusive consumer")
        if consuming.arguments:
            raise self.unsupported("arguments of a consumer")
        return [
            Source(
                queue_destination(queue.name),
                (
                    recipes.AUTO if consuming.no_ack else recipes.INDIVIDUAL,
                    # Without it the one of the SUBSCRIBE before would be used.
                    ("prefetch-count", str(consuming.prefetch_count)),
                ),
            )
        ]

    def stop_frames(self, id: str, no_ack: bool) -> bytes | None:
        return recipes.replace_frames(id)

    def binding_source(self, queue: Queue, bound: StompBinding) -> Source:
        to = binding_route(bound.exchange, bound.routing_key)
        headers = recipes.binding_headers(queue.name, self._described(queue))
        return Source(destination_of(to), tuple(headers))

    async def catch_up(self, queue: Queue, socket: StompProtocol) -> None:
        await recipes.look_up(queue.name, socket)

    # --- recipes -------------------------------------------------------------

    def _described(self, queue: Queue) -> list[tuple[str, str]]:
        """
        Flags and arguments, which a queue is declared, bound and deleted with.

        An exclusive one ends with its socket, and not before: to the plugin each
        binding is a consumer, and an auto-delete queue goes with its last.
        """
        return [
            ("durable", _flag(queue.durable)),
            ("auto-delete", "false"),
            ("exclusive", _flag(queue.exclusive)),
            *argument_headers(queue, self.exchange_named),
        ]

    async def declare_exchange(
        self, exchange: Exchange, passive: bool, connections: Connections
    ) -> None:
        # What is mapped is always there, and the default exchange, too.
        if exchange.name and is_native(exchange):
            await recipes.look_for_exchange(exchange.name, connections)

    async def declare_queue(
        self, queue: Queue, passive: bool, connections: Connections
    ) -> QueueDeclareOk:
        if passive:
            await recipes.look_for_queue(queue.name, connections)
        else:
            await recipes.declare(queue, self._described(queue), connections)
        return QueueDeclareOk(queue.name, None, None)

    async def probe_binding(
        self, queue: Queue, bound: StompBinding, connections: Connections
    ) -> None:
        to = binding_route(bound.exchange, bound.routing_key)
        await recipes.probe_binding(queue, to, connections)

    async def bind_queue(
        self, queue: Queue, bound: StompBinding, connections: Connections
    ) -> None:
        to = binding_route(bound.exchange, bound.routing_key)
        await recipes.bind(queue, to, self._described(queue), connections)

    async def delete_queue(self, queue: Queue, connections: Connections) -> int | None:
        await recipes.delete(queue, self._described(queue), connections)
        return None

    async def purge_queue(
        self, queue: Queue, bindings: Sequence[StompBinding], connections: Connections
    ) -> int:
        return await recipes.purge(queue, connections)

    async def get(
        self,
        queue: Queue,
        bindings: Sequence[StompBinding],
        no_ack: bool,
        connections: Connections,
    ) -> GetResult | None:
        late = queue_type(queue) == _QUORUM
        return await recipes.get(queue, no_ack, late, connections)


def _flag(value: bool) -> str:
    return "true" if value else "false"
