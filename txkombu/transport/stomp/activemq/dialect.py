"""
The dialect of ActiveMQ Classic.

ActiveMQ has an ACK, and a NACK that makes a dead letter of the message at once: a
persistent one goes to C{ActiveMQ.DLQ}.  Nothing puts a message back.  So a transaction
sends a copy to the queue that the message came from, at its end, and acknowledges the
message.  If the copy is refused or the connection lost, the broker takes back both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import DeferredQueue, TimeoutError
from twisted.internet.interfaces import IReactorTime

from ...._util.steady_clock import steady
from ...._util.validation import check_short_string
from ....exceptions import BrokerError, ContentTooLarge
from ....interfaces import Capability, Delivery, Properties
from ..connections import ConnectionPool, all_of
from ..dialect import (
    BoundQueue,
    ConsumeOptions,
    Dialect,
    GetResult,
    Source,
    StompBinding,
)
from ..draining import Drain
from ..protocol import StompProtocol, fence
from ..wire.frames import END, HEARTBEAT, encode_frame, encode_header, escape
from ..wire.parser import Frame
from ..wire.properties import FRAME_HEADERS, ROUTING_KEY
from . import mapping
from .overlaps import check_overlap
from .properties import (
    ORIGINAL,
    REDELIVERED,
    decode_properties,
    encode_properties,
    is_redelivered,
)

if TYPE_CHECKING:
    from ....entity import Exchange, Queue

IDLE_SECONDS: Final = 0.5
"""
When nothing has come for so long, nothing is there for us.  ActiveMQ does not tell
whether other consumers hold the rest.
"""

_NEXT_SECONDS: Final = 0.1
"""When nothing has come from one source for so long, the next one is tried."""

_AGAIN_SECONDS: Final = 2.0
"""A message that was given back to ourselves comes at once, or not at all."""

_NO_LIMIT: Final = 2**31 - 1
_AUTO_PREFETCH: Final = 1000
"""How many messages may be under way to a consumer with no_ack; ActiveMQ's default."""

_PREFETCH: Final = "activemq.prefetchSize"
_BY_THE_CLIENT: Final = ("ack", "client-individual")
_BY_ITSELF: Final = ("ack", "auto")


# One name will do: each transaction is over before the next one begins.
_TRANSACTION: Final = b"transaction:requeue\n"
_BEGIN: Final = b"BEGIN\n%b\n\0" % _TRANSACTION
_COMMIT: Final = b"COMMIT\n%b\n\0" % _TRANSACTION

_OF_THE_DELIVERY: Final = FRAME_HEADERS | {"amq-msg-type", REDELIVERED}
"""Headers that a copy does not take from the message."""


class ActiveMQDialect(Dialect):
    """
    How ActiveMQ Classic wants it: exchanges are virtual topics, see L{mapping}.

    A program that knows only some bindings of a queue never sees what came by the
    others; the messages of a binding that no program knows any more pile up.
    """

    name = "activemq"
    product = mapping.PRODUCT
    errors_are_fatal = False
    reads_bindings = True
    settles_by_itself = False
    # The rest of a larger one would be read as frames.
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

    def may_refuse(self, error: BrokerError) -> bool:
        # Any other refusal names the receipt; that of this is never read.
        return isinstance(error, ContentTooLarge)

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
        return b"ACK\n%b\n\0" % _ack_id(frame)

    def nack(self, frame: Frame, requeue: bool) -> bytes:
        if not requeue:
            return b"NACK\n%b\n\0" % _ack_id(frame)
        ack = b"ACK\n%b%b\n\0" % (_ack_id(frame), _TRANSACTION)
        return b"".join((_BEGIN, _copy(frame), ack, _COMMIT))

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

    def check_binding(self, bound: StompBinding, to: BoundQueue) -> None:
        self.check_exchange(bound.exchange)
        check_overlap(to.queue.name, bound, to.bindings)

    def sources(self, bound: BoundQueue, options: ConsumeOptions) -> list[Source]:
        """
        Return the queue of that very name, and one source for each binding.

        Each has its share of the prefetch, and at least 1: with 0 nothing comes.
        """
        destinations = mapping.source_destinations(*bound)
        headers = _source_headers(options, len(destinations))
        return [Source(destination, headers) for destination in destinations]

    def added_source(
        self, queue: Queue, bound: StompBinding, options: ConsumeOptions, others: int
    ) -> Source:
        destination = mapping.binding_destination(queue.name, bound)
        return Source(destination, _source_headers(options, others + 1))

    async def declare_exchange(self, exchange: Exchange, pool: ConnectionPool) -> None:
        """Do nothing: a virtual topic needs no declaration."""

    async def declare_queue(
        self, queue: Queue, passive: bool, pool: ConnectionPool
    ) -> None:
        await _declare(mapping.queue_destination(queue.name), pool)

    async def bind_queue(
        self, queue: Queue, bound: StompBinding, pool: ConnectionPool
    ) -> None:
        await _declare(mapping.binding_destination(queue.name, bound), pool)

    async def purge_queue(self, bound: BoundQueue, pool: ConnectionPool) -> int:
        destinations = mapping.source_destinations(*bound)
        async with pool.declaring() as socket:
            drain = Drain(socket, pool.clock, IDLE_SECONDS)
            headers = _BY_ITSELF, (_PREFETCH, str(_AUTO_PREFETCH))
            begun = [
                socket.consume(each, *headers, on_message=drain.take)
                for each in destinations
            ]
            await all_of([done for _, done in begun])
            await drain.run()
            ids = [id for id, _ in begun]
            ended = [socket.request("UNSUBSCRIBE", ("id", id)) for id in ids]
            await all_of(ended)
            # What was under way then is gone, too.
            await fence(socket)
            for id in ids:
                socket.unsubscribe(id)
            return drain.number

    async def get(
        self, bound: BoundQueue, no_ack: bool, pool: ConnectionPool
    ) -> GetResult | None:
        destinations = mapping.source_destinations(*bound)
        frame = None
        while frame is None:
            socket = await pool.open()
            try:
                first = await _first_of(destinations, socket, pool.clock)
                if first is not None:
                    frame = await _keep_alone(first, socket, pool.clock)
            except BaseException:
                pool.drop(socket)
                raise
            if frame is None:
                await pool.leave(socket)
            if first is None:
                return None
        if no_ack:
            socket.write(self.ack(frame))
        return GetResult(frame, socket)


def _source_headers(
    options: ConsumeOptions, sources: int
) -> tuple[tuple[str, str], ...]:
    """Return the headers to consume from one source of so many."""
    prefetch = _NO_LIMIT
    if options.no_ack:
        prefetch = _AUTO_PREFETCH
    elif options.prefetch_count:
        prefetch = max(1, options.prefetch_count // sources)
    return _BY_THE_CLIENT, (_PREFETCH, str(prefetch))


def _ack_id(frame: Frame) -> bytes:
    return _line("id", frame.headers.get("ack", ""))


def _copy(frame: Frame) -> bytes:
    """Return a SEND of the same message, which expires with it and tells its origin."""
    headers = frame.headers
    lines = [
        b"SEND\n",
        _line("destination", headers.get("destination", "")),
        _TRANSACTION,
        _line(REDELIVERED, "true"),
    ]
    for name, value in headers.items():
        if name not in _OF_THE_DELIVERY:
            lines.append(_line(name, value))
    if "content-length" in headers:
        lines.append(b"content-length:%d\n" % len(frame.body))
    return b"".join((*lines, b"\n", frame.body, END))


def _line(name: str, value: str) -> bytes:
    """Return a header as it came, even if it is not valid."""
    return f"{escape(name)}:{escape(value)}\n".encode("utf-8", "surrogateescape")


def _names(entity: Exchange | Queue) -> str:
    return ", ".join(sorted(map(repr, entity.arguments)))


async def _declare(destination: str, pool: ConnectionPool) -> None:
    """Make sure of a physical queue: a subscription makes it, and it stays."""
    async with pool.declaring() as socket:
        id, done = socket.consume(destination, _BY_THE_CLIENT, (_PREFETCH, "0"))
        await done
        socket.unsubscribe(id)
        socket.write(encode_frame("UNSUBSCRIBE", [("id", id)]))


async def _first_of(
    destinations: Sequence[str], socket: StompProtocol, clock: IReactorTime
) -> Frame | None:
    """
    Take one message, or C{None}, from one source after the other: a second message that
    comes beside it would be given back, and be marked as redelivered.
    """
    arrivals = _Arrivals(socket, clock)
    for number, destination in enumerate(destinations, 1):
        await arrivals.subscribe([destination], 1, _BY_THE_CLIENT)
        is_last = number == len(destinations)
        frame = await arrivals.next(IDLE_SECONDS if is_last else _NEXT_SECONDS)
        if frame is not None:
            break
    arrivals.end(keep=frame)
    return frame


async def _keep_alone(
    frame: Frame, socket: StompProtocol, clock: IReactorTime
) -> Frame | None:
    """
    Take a message once more, by a subscription that nothing else can come by; return
    C{None} if it went elsewhere.  To settle it by its first one would make room for the
    next message there, which would have to be given back, and be marked.

    It is given back to ourselves, as the consumer that comes before all others.  The
    broker hands out by lists of consumers that may be a moment old, so the subscription
    has to be answered before.
    """
    name = frame.headers.get("message-id", "").replace("'", "''")
    only = ("selector", f"JMSMessageID='{name}'")
    first = ("activemq.priority", "127")
    arrivals = _Arrivals(socket, clock)
    source = frame.headers.get("destination", "")
    await arrivals.subscribe([source], 1, _BY_THE_CLIENT, only, first)
    ended = ("id", frame.headers["subscription"])
    socket.write(encode_frame("UNSUBSCRIBE", [ended]))
    again = await arrivals.next(_AGAIN_SECONDS)
    arrivals.end(keep=again)
    if again is not None and "redelivered" not in frame.headers:
        again.headers.pop("redelivered", None)
    return again


class _Arrivals:
    """The messages that come by several subscriptions of one connection."""

    def __init__(self, socket: StompProtocol, clock: IReactorTime) -> None:
        self._socket = socket
        self._clock = steady(clock)
        self._ids: list[str] = []
        self._come: DeferredQueue[Any] = DeferredQueue()
        # A receipt that nothing asks for: it fails when the connection ends.
        _, self._end = socket.receipt()
        self._end.addErrback(self._come.put)

    async def subscribe(
        self, to: Sequence[str], prefetch: int, *headers: tuple[str, str]
    ) -> None:
        """Subscribe; so many messages of each may be under way."""
        limit, put = (_PREFETCH, str(prefetch)), self._come.put
        consume = self._socket.consume
        begun = [consume(each, limit, *headers, on_message=put) for each in to]
        self._ids += [id for id, _ in begun]
        await all_of([done for _, done in begun])
        # ActiveMQ holds back what follows until its system has an acknowledgement,
        # which a system sends at once only along with something that is written.
        self._socket.write(HEARTBEAT)

    async def next(self, seconds: float) -> Frame | None:
        """Return the next message, or C{None} if none comes in so many seconds."""
        try:
            coming = self._come.get().addTimeout(seconds, self._clock)
            frame: Frame = await coming
        except TimeoutError:
            return None
        return frame

    def end(self, keep: Frame | None = None) -> None:
        """Wait for no more, and end all subscriptions but that of a message."""
        self._end.cancel()
        kept = "" if keep is None else keep.headers["subscription"]
        for id in self._ids:
            self._socket.unsubscribe(id)
            if id != kept:
                self._socket.write(encode_frame("UNSUBSCRIBE", [("id", id)]))
