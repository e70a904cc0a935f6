"""
The dialect of RabbitMQ's STOMP plugin, which has no command for most of what it is used
for here.

What the plugin does, found by experiment, and why the recipes are as they are:

 - A SEND declares its queue, also within a transaction that is aborted, but each queue
   only once on a connection.  A refusal comes late; even the receipt of a DISCONNECT
   may come before it, but not that of a SUBSCRIBE behind the SEND.

 - B{A SUBSCRIBE that binds a queue and is refused deletes the queue, with all
   messages}, whoever declared it: if the exchange is missing, if the user may not read
   the exchange or this key of it, may not write or read the queue, or if a consumer has
   the queue exclusively.  So all of that is tried before: the queue is read, and a
   helper queue is bound.

 - Such a SUBSCRIBE takes messages from the queue, as does one that only looks for a
   queue.  They go back, but as redelivered, and a quorum queue counts that.  With a
   C{prefetch-count} below 0 it takes none: the plugin passes the number on, and a
   consumer without positive credit gets nothing; 0 itself is no limit.  That holds for
   3.10, 4.0 and 4.3, and for quorum queues.

 - Ending a subscription while messages are under way is an error for each of them.  So
   it is replaced, in one write, by one of the same id where nothing comes.  A message
   has the same id in C{ack} and in C{message-id}, if it has both.

The name of a helper queue begins with the queue's, so that permissions by its beginning
cover both.  Helper queues are exclusive, keep no message, and go with their connection:
to make one takes longer than all the rest.  RabbitMQ 4.3 nacks what is on its way to a
queue that goes, whatever other queues have it, and the plugin then ends the publisher's
connection; so a helper is bound by a key of its own where that is possible, and else it
goes at once, before the queue is bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from ...._util.steady_clock import steady
from ...._util.validation import SHORT_STRING_BYTES
from ....exceptions import AccessRefused, BrokerError, NotFound
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
from ..wire.frames import encode_frame, encode_header
from ..wire.parser import Frame
from .headers import (
    KNOWN,
    ROUTING_HEADERS,
    argument_headers,
    check_headers,
    lacks_dead_letter_key,
    queue_type,
    vocabulary,
)
from .mapping import (
    MAPPABLE,
    Route,
    destination_of,
    is_native,
    origin_of,
    queue_destination,
    refused_by,
    route,
)

if TYPE_CHECKING:
    from ....entity import Exchange, Queue

_Headers = Iterable[tuple[str, str]]

CACHE_SIZE: Final = 1000
IDLE_SECONDS: Final = 0.2
"""
A queue from which nothing has come for so long is empty.  Classic queues need no such
wait; quorum queues hand out later than they answer.
"""

_AS_A_WHOLE: Final = "declare it by AMQP, or with the broker's own tools"
_CONSUMED_ALONE: Final = " in exclusive use"
_MARK: Final = ".txkombu-"
_KEYS_ALIKE: Final = "amq.direct"
"""Who may bind to it may bind by any key; topic exchanges have permissions by key."""
_REPLIES: Final = queue_destination("amq.rabbitmq.reply-to")
"""Replies to requests that nobody made.  To consume from it needs no permission."""

_INDIVIDUAL: Final = ("ack", "client-individual")
_AUTO: Final = ("ack", "auto")
_NONE: Final = ("prefetch-count", "-1")
_FLEETING: Final = (
    ("durable", "false"),
    ("auto-delete", "true"),
    ("exclusive", "true"),
    ("x-max-length", "0"),
)


class RabbitMQDialect(Dialect):
    """How RabbitMQ wants it; docs/explained/transports.rst has the reasons."""

    name = "rabbitmq"
    product = "RabbitMQ"
    errors_are_fatal = True
    length_is_last = True
    capabilities = frozenset(
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
            if len(self._origins) >= CACHE_SIZE:
                self._origins.clear()
            origin = self._origins[destination] = origin_of(destination)
        return Delivery(
            tag,
            consumer_tag,
            headers.get("redelivered") == "true",
            origin.exchange,
            origin.key,
            frame.body,
            lambda: self._vocabulary.decode(frame),
        )

    def ack(self, frame: Frame) -> bytes:
        return b"ACK\n%b\n\0" % encode_header("id", _ack_id(frame))

    def nack(self, frame: Frame, requeue: bool) -> bytes:
        return encode_frame(
            "NACK", [("id", _ack_id(frame)), ("requeue", _flag(requeue))]
        )

    def check_exchange(self, exchange: Exchange) -> None:
        if not exchange.name:
            return
        is_mappable = exchange.type in MAPPABLE
        if not ((is_mappable and not exchange.arguments) or is_native(exchange)):
            if is_mappable:
                raise self.unsupported("an exchange with arguments", _AS_A_WHOLE)
            raise self.unsupported(
                f"an exchange of type {exchange.type}",
                "one that the broker has can be used: Exchange(..., passive=True)",
            )
        destination_of(route(exchange, ""))

    def check_queue(self, queue: Queue) -> None:
        if queue.auto_delete and not queue.exclusive:
            raise self.unsupported(
                "an auto-delete queue",
                "make it exclusive, or let it go by itself with expires=",
            )
        if queue.name:
            queue_destination(queue.name)
        if not queue.arguments:
            return
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
        argument_headers(queue, self.exchange_named)

    def warning_of(self, queue: Queue) -> str:
        if queue.durable or queue.exclusive:
            return ""
        return (
            "it is neither durable nor exclusive: RabbitMQ 4 deprecates such queues "
            "and may refuse them; make it durable, or exclusive"
        )

    def check_binding(self, bound: StompBinding, to: BoundQueue) -> None:
        if bound.arguments:
            raise self.unsupported("a binding with arguments")
        self.check_exchange(bound.exchange)
        destination_of(route(bound.exchange, bound.routing_key, binds=True))

    def sources(self, bound: BoundQueue, options: ConsumeOptions) -> list[Source]:
        # Without a prefetch that of the SUBSCRIBE before would be used.
        prefetch = ("prefetch-count", str(options.prefetch_count))
        ack = _AUTO if options.no_ack else _INDIVIDUAL
        return [Source(queue_destination(bound.queue.name), (ack, prefetch))]

    def stop_frames(self, id: str) -> bytes:
        headers = [("destination", _REPLIES), ("id", id), _AUTO]
        return _unsubscribe(id) + encode_frame("SUBSCRIBE", headers)

    # --- declaring -----------------------------------------------------------

    def _described(self, queue: Queue) -> list[tuple[str, str]]:
        """Return the flags and arguments to declare, bind and delete a queue with."""
        # An exclusive one ends with its connection, and not with its last consumer: to
        # the plugin each binding is one.
        flags = [
            ("durable", _flag(queue.durable)),
            ("auto-delete", "false"),
            ("exclusive", _flag(queue.exclusive)),
        ]
        if queue.arguments:
            flags += argument_headers(queue, self.exchange_named)
        return flags

    async def declare_exchange(self, exchange: Exchange, pool: ConnectionPool) -> None:
        # What is mapped is always there, and so is the default exchange.
        if not exchange.name or not is_native(exchange):
            return
        async with pool.declaring() as socket:
            # No queue's name may begin with "amq.".
            helper = helper_name(exchange.name.removeprefix("amq."))
            id, done = _bind(socket, Route(exchange.name, helper), helper, _FLEETING)
            with _explained(helper):
                await done
            await _end(socket, id)

    async def declare_queue(
        self, queue: Queue, passive: bool, pool: ConnectionPool
    ) -> None:
        if passive:
            await self._look_for(queue.name, pool)
            return
        within = ("transaction", "declare")
        to = ("destination", queue_destination(queue.name, declaring=True))
        declaration = (
            encode_frame("BEGIN", [within])
            + encode_frame("SEND", [to, within, *self._described(queue)])
            + encode_frame("ABORT", [within])
        )
        async with pool.of(queue) as socket:
            id, done = socket.consume(_REPLIES, _AUTO, before=declaration)
            await done
            socket.unsubscribe(id)
            socket.write(_unsubscribe(id))

    async def _look_for(self, name: str, pool: ConnectionPool) -> None:
        try:
            async with pool.declaring() as socket:
                id, done = socket.consume(queue_destination(name), _INDIVIDUAL, _NONE)
                await done
                await _end(socket, id)
        except AccessRefused as error:
            # A refusal for an exclusive consumer proves that the queue exists.
            if not error.text.endswith(_CONSUMED_ALONE):
                raise

    async def bind_queue(
        self, queue: Queue, bound: StompBinding, pool: ConnectionPool
    ) -> None:
        to = route(bound.exchange, bound.routing_key, binds=True)
        async with pool.declaring() as socket:
            at = pool.own.get(queue.name, socket)
            is_own = at is not socket
            to_end, helpers = await self._try_to_bind(queue, to, socket, is_own)
            # Before: RabbitMQ 4.3 routes to them for a moment after they have gone.
            ending = [_end(socket, each) for each in helpers]
            if is_own:  # bound on another connection, which does not wait for this one
                await all_of(ending)
            id, done = _bind(at, to, queue.name, self._described(queue))
            await all_of([*ending, done])
            # Only now: if the binding is refused this is, too, and may be told first.
            await all_of([_end(at, id), *(_end(socket, each) for each in to_end)])

    async def _try_to_bind(
        self, queue: Queue, to: Route, socket: StompProtocol, is_own: bool
    ) -> tuple[list[str], list[str]]:
        """
        Try all that may be refused when a queue is bound.

        @param is_own: whether it is an exclusive queue of this session, which is there.
        @return: the subscriptions that have to end before the connection serves others;
            until then they keep others from consuming the queue exclusively; and those
            of helpers, which have to end before the queue is bound.
        """
        to_end, waiting, helpers = [], [], []
        if not is_own:
            source = queue_destination(queue.name)
            id, done = socket.consume(source, _INDIVIDUAL, _NONE)
            to_end.append(id)
            waiting.append(done)
        if to.exchange == _KEYS_ALIKE:
            helper = helper_name(queue.name, socket.name)
            id, done = _bind(socket, Route(_KEYS_ALIKE, helper), helper, _FLEETING)
            # The first one keeps the helper there.
            if helper in socket.declared:
                helpers.append(id)
            socket.declared.add(helper)
        else:
            helper = helper_name(queue.name)
            id, done = _bind(socket, to, helper, _FLEETING)
            helpers.append(id)
        with _explained(helper):
            await all_of([*waiting, done])
        return to_end, helpers

    # --- deleting, emptying, getting -----------------------------------------

    async def delete_queue(self, queue: Queue, pool: ConnectionPool) -> None:
        # The plugin deletes the queue of a durable subscription to a topic with that.
        async with pool.declaring() as socket:
            headers = _binding_headers(queue.name, self._described(queue))
            id, done = socket.consume(f"/topic/{uuid4().hex}", *headers)
            await done
            before = _unsubscribe(id, ("durable", "true"), ("x-queue-name", queue.name))
            dead_end = queue_destination(helper_name(queue.name), declaring=True)
            about = (("destination", dead_end), ("id", id), _INDIVIDUAL, _NONE)
            await socket.request("SUBSCRIBE", *about, *_FLEETING, before=before)
            await _end(socket, id)

    async def purge_queue(self, bound: BoundQueue, pool: ConnectionPool) -> int:
        async with pool.declaring() as socket:
            drain = Drain(socket, pool.clock, IDLE_SECONDS)
            id, done = socket.consume(
                queue_destination(bound.queue.name),
                _AUTO,
                ("prefetch-count", "0"),
                on_message=drain.take,
            )
            await done
            await drain.run()
            await self._replace(socket, id)
            socket.unsubscribe(id)
            socket.write(_unsubscribe(id))
        return drain.number

    async def get(
        self, bound: BoundQueue, no_ack: bool, pool: ConnectionPool
    ) -> GetResult | None:
        queue = bound.queue
        found: list[Frame] = []
        socket = await pool.open()
        try:
            id, done = socket.consume(
                queue_destination(queue.name),
                _INDIVIDUAL,
                ("prefetch-count", "1"),
                on_message=found.append,
            )
            await done
            if queue_type(queue) == "quorum" and not found:
                await deferLater(steady(pool.clock), IDLE_SECONDS)
            await self._replace(socket, id)
        except BaseException:
            pool.drop(socket)
            raise
        if not found:
            await pool.leave(socket)
            return None
        if no_ack:
            socket.write(self.ack(found[0]))
        return GetResult(found[0], socket)

    async def _replace(self, socket: StompProtocol, id: str) -> None:
        """End a subscription; all that was under way has come then."""
        about = (("destination", _REPLIES), ("id", id), _AUTO)
        await socket.request("SUBSCRIBE", *about, before=_unsubscribe(id))
        await fence(socket)


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _ack_id(frame: Frame) -> str:
    # A message that came late, by a replaced subscription, has no "ack".
    return frame.headers.get("message-id", "")


def helper_name(queue: str, unique: str = "") -> str:
    """Return the name of a helper queue, which begins as the queue's does."""
    tail = f"{_MARK}{unique or uuid4().hex}"
    head = queue.encode()[: SHORT_STRING_BYTES - len(tail)]
    return head.decode("utf-8", "ignore") + tail


def _unsubscribe(id: str, *headers: tuple[str, str]) -> bytes:
    return encode_frame("UNSUBSCRIBE", [("id", id), *headers])


def _end(socket: StompProtocol, id: str) -> Deferred[None]:
    """End a subscription that takes no messages."""
    socket.unsubscribe(id)
    return socket.request("UNSUBSCRIBE", ("id", id))


def _bind(
    socket: StompProtocol, to: Route, name: str, described: _Headers
) -> tuple[str, Deferred[None]]:
    """Bind a queue, and declare it, by a subscription that takes no messages."""
    return socket.consume(destination_of(to), *_binding_headers(name, described))


def _binding_headers(name: str, described: _Headers) -> list[tuple[str, str]]:
    return [_INDIVIDUAL, _NONE, ("x-queue-name", name), *described]


@contextmanager
def _explained(helper: str) -> Iterator[None]:
    """Say what a helper queue is for, if that is what the broker refuses."""
    try:
        yield
    except AccessRefused as error:
        if helper not in error.text:
            raise
        raise AccessRefused(
            f"{error.text} (it was to try a binding, since the plugin deletes a queue "
            "when binding it fails: permissions have to cover it)"
        ) from error
