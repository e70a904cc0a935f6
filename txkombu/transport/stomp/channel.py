"""
A session channel on STOMP.

It has a connection of its own to publish on, and the states of that (see
L{txkombu.transport.protocol}): RabbitMQ ends a connection when it refuses a publish,
and no other channel should suffer.  Each consumer has a connection, and so has each
message that was got, until it is settled.  An operation that the broker refuses fails
alone, as it has a connection of its own, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar
from uuid import uuid4

from twisted.internet.defer import Deferred, DeferredList, fail, succeed
from twisted.logger import Logger
from zope.interface import implementer

from ..._util.awaitables import call_logged
from ..._util.operation_queue import OperationQueue, Work
from ..._util.state_machine import next_state
from ..._util.steady_clock import steady
from ..._util.waiters import Waiters
from ...exceptions import BrokerError, ChannelClosed, ContentTooLarge, NotSupported
from ...interfaces import (
    Capability,
    Delivery,
    ISessionChannel,
    ISessionChannelListener,
    Properties,
    QueueDeclareOk,
    Settlement,
)
from ..errors import closed, copy_error, ended, not_sent
from ..protocol import CLOSE_SECONDS, OPEN, OVER, TABLE, Event, State
from .connections import ConnectionPool, all_of
from .consumer import StompConsumer
from .declarations import Declarations
from .dialect import BoundQueue, ConsumeOptions, Dialect, GetResult, StompBinding
from .exclusive_queue import ExclusiveQueue, ExclusiveQueues
from .protocol import StompProtocol, fence
from .publisher import StompPublisher
from .unacked import MessageHolder, UnackedFrames

if TYPE_CHECKING:
    from ...entity import Exchange, Queue

_T = TypeVar("_T")

_WARNINGS: Final = 1000
"""Of how many queues users are warned at most."""


def _unsupported(operation: str) -> Callable[..., Deferred[Any]]:
    """Return a method that fails: no broker can do that over STOMP."""

    def method(self: StompChannel, *arguments: object) -> Deferred[Any]:
        return fail(self._dialect.unsupported(operation))

    return method


class StompChannelHost(Protocol):
    """The session of a channel."""

    dialect: Dialect
    connections: ConnectionPool
    declarations: Declarations
    exclusive_queues: ExclusiveQueues

    async def bound(self, queue: Queue, bound: StompBinding) -> None: ...
    def release(self, channel: Any) -> None: ...
    def write_paused_by(self, channel: Any) -> None: ...
    def write_resumed_by(self, channel: Any) -> None: ...


@implementer(ISessionChannel)
class StompChannel:
    """One channel of one session; see L{ISessionChannel}."""

    _log = Logger()
    _socket: StompProtocol
    _publishing: StompPublisher

    def __init__(
        self, session: StompChannelHost, listener: ISessionChannelListener
    ) -> None:
        self._session = session
        self._dialect = session.dialect
        self._pool = session.connections
        self._declarations = session.declarations
        self._exclusive_queues = session.exclusive_queues
        self._listener = listener
        self._state = State.LOGIN
        self._reason: Exception = ChannelClosed("this program closed it")
        self._operations = OperationQueue()
        self._unacked = UnackedFrames(self._dialect, self._pool)
        self.ack, self.nack = self._unacked.ack, self._unacked.nack
        self.flush, self.when_flushed = self._unacked.flush, self._unacked.when_flushed
        self._consumers: dict[str, StompConsumer] = {}
        self._closed: Waiters[None] = Waiters()

    def opened(self, socket: StompProtocol) -> StompChannel:
        """Begin to work; publish on this connection."""
        self._step(Event.LOGGED_IN)
        self._socket = socket
        seconds = self._pool.clock.seconds
        self._publishing = StompPublisher(self._dialect, socket, seconds)
        return self

    def _step(self, event: Event) -> None:
        self._state = next_state("a channel", TABLE, self._state, event)

    # --- operations ----------------------------------------------------------

    def _operate(
        self,
        work: Work[_T],
        about: str,
        declares: bool = True,
        undo: Callable[[Any], object] = lambda _: None,
        retracted: Callable[[], object] = lambda: None,
        waits: bool = True,
    ) -> Deferred[_T]:
        """
        Begin an operation when its turn comes: each has connections of its own, and a
        broker takes what comes by several connections in any order.

        @param waits: whether the broker has to see first what was published.
        """
        if self._state is not OPEN:
            return fail(closed(self._reason))

        async def named() -> _T:
            try:
                if waits:
                    await self._seen()
                return await work()
            except BrokerError as error:
                raise copy_error(error, about) from error.__cause__

        return self._operations.run_in_turn(named, declares, undo, retracted)

    async def _seen(self) -> None:
        """Wait until the broker has handled what was published and settled so far."""
        await self._unacked.given_back()
        unconfirmed = self._publishing.unconfirmed
        if unconfirmed or self._publishing.waiting:
            await fence(self._socket)
            self._publishing.fenced(unconfirmed)

    def _need(self, capability: Capability, operation: str) -> None:
        """@raise NotSupported: the broker cannot do it."""
        if capability not in self._dialect.capabilities:
            raise self._dialect.unsupported(operation)

    def _refuse_exclusive(self, queue: Queue, operation: str) -> None:
        """@raise NotSupported: only its consumer can read from an exclusive queue."""
        if queue.exclusive or self._own(queue) is not None:
            raise self._dialect.unsupported(f"{operation} an exclusive queue")

    def _own(self, queue: Queue) -> ExclusiveQueue | None:
        """Return the exclusive queue of this session that has that name."""
        if queue.name not in self._pool.own:
            return None
        return self._exclusive_queues.find(queue.name)

    def _bound(self, queue: Queue) -> BoundQueue:
        """Return a queue with what its consumer has to know."""
        if not self._dialect.reads_bindings:
            return BoundQueue(queue)
        return BoundQueue(queue, list(self._declarations.bindings(queue)))

    # --- entities ------------------------------------------------------------

    def exchange_declare(self, exchange: Exchange, passive: bool) -> Deferred[None]:
        exchange = self._declarations.exchange(exchange)
        try:
            if passive:
                what = "a passive exchange declaration"
                self._need(Capability.EXCHANGE_PASSIVE, what)
            self._dialect.check_exchange(exchange)
        except NotSupported as error:
            return fail(error)
        self._declarations.declared(exchange)

        declare = self._dialect.declare_exchange
        return self._operate(
            lambda: declare(exchange, self._pool), exchange.name, waits=False
        )

    exchange_delete = _unsupported("deleting exchanges")
    exchange_bind = _unsupported("binding an exchange to an exchange")
    exchange_unbind = _unsupported("unbinding an exchange")

    def queue_declare(self, queue: Queue, passive: bool) -> Deferred[QueueDeclareOk]:
        try:
            if passive:
                self._need(Capability.QUEUE_PASSIVE, "a passive queue declaration")
            if not queue.name:
                self._need(Capability.SERVER_NAMED_QUEUE, "a queue without a name")
                # RabbitMQ refuses names that begin with "amq.".
                queue = queue.renamed(f"txkombu.gen-{uuid4().hex}")
            self._dialect.check_queue(queue)
        except NotSupported as error:
            return fail(error)
        warning = "" if passive else self._dialect.warning_of(queue)
        warned = self._declarations.warned
        if warning and queue.name not in warned and len(warned) < _WARNINGS:
            warned.add(queue.name)
            self._log.warn("Queue {name!r}: {why}", name=queue.name, why=warning)

        async def declare() -> QueueDeclareOk:
            own = await self._exclusive_queues.find_or_end(queue.name)
            if not passive and (own is not None or queue.exclusive):
                await self._exclusive_queues.declare(queue)
            elif own is None:
                await self._dialect.declare_queue(queue, passive, self._pool)
            return QueueDeclareOk(queue.name, None, None)

        return self._operate(declare, queue.name)

    def queue_bind(
        self,
        queue: Queue,
        exchange: Exchange,
        routing_key: str,
        arguments: Mapping[str, object],
    ) -> Deferred[None]:
        exchange = self._declarations.exchange(exchange)
        bound = StompBinding(exchange, routing_key, arguments)
        dialect, known = self._dialect, self._declarations
        try:
            dialect.check_queue(queue)
            beside = known.bindings(queue) if dialect.reads_bindings else ()
            dialect.check_binding(bound, BoundQueue(queue, beside))
        except NotSupported as error:
            return fail(error)
        in_progress = known.bound(queue.name, bound, dialect.reads_bindings)

        async def bind() -> None:
            own = await self._exclusive_queues.find_or_end(queue.name)
            # As it was declared: to bind it with other properties would delete it.
            declared = queue if own is None else own.queue
            with in_progress:
                await dialect.bind_queue(declared, bound, self._pool)
            await self._session.bound(queue, bound)

        return self._operate(bind, queue.name).addErrback(in_progress.failed)

    queue_unbind = _unsupported("removing a binding")

    def queue_purge(self, queue: Queue) -> Deferred[int]:
        try:
            self._need(Capability.QUEUE_PURGE, "purging queues")
            self._refuse_exclusive(queue, "purging")
        except NotSupported as error:
            return fail(error)
        bound, purge = self._bound(queue), self._dialect.purge_queue
        return self._operate(lambda: purge(bound, self._pool), queue.name)

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
            self._declarations.deleted(queue.name)
            if not await self._exclusive_queues.delete(queue.name):
                await self._dialect.delete_queue(queue, self._pool)
            return None

        return self._operate(delete, queue.name)

    def basic_publish(
        self,
        body: bytes,
        properties: Properties,
        exchange: Exchange,
        routing_key: str,
        mandatory: bool,
        confirm: bool,
    ) -> Deferred[None]:
        if self._state is not OPEN:
            return fail(not_sent(self._reason))
        if exchange.by_name:
            exchange = self._declarations.exchange(exchange)
        publishing = self._publishing
        try:
            if mandatory:
                self._need(Capability.MANDATORY, "a mandatory message")
            publish = publishing.prepare(body, properties, exchange, routing_key)
        except (NotSupported, ContentTooLarge) as error:
            return fail(error)
        if self._operations.holds_up:
            later = self._operations.add_call
            return publishing.hold(publish, body, confirm, later)
        return publishing.send(publish, body, confirm)

    # --- consuming -----------------------------------------------------------

    def basic_consume(
        self,
        queue: Queue,
        tag: str,
        no_ack: bool,
        exclusive: bool,
        arguments: Mapping[str, object],
        prefetch_count: int,
        on_delivery: Callable[[Delivery], None],
        on_cancelled: Callable[[Exception], None],
    ) -> Deferred[None]:
        if not tag or tag in self._consumers:
            raise ValueError(f"a consumer needs a tag of its own, not {tag!r}")
        if not 0 <= prefetch_count < 2**16:
            raise ValueError(f"prefetch_count must be 0 to 65535, not {prefetch_count}")
        if self._state is not OPEN:
            return fail(closed(self._reason))
        options = ConsumeOptions(0 if no_ack else prefetch_count, no_ack)
        try:
            if exclusive:
                self._need(Capability.CONSUMER_EXCLUSIVE, "an exclusive consumer")
            if arguments:
                self._need(Capability.CONSUMER_ARGUMENTS, "arguments of a consumer")
            self._dialect.sources(self._bound(queue), options)
        except NotSupported as error:
            return fail(error)
        consumer = self._consumers[tag] = StompConsumer(
            tag=tag,
            queue=queue,
            options=options,
            on_delivery=on_delivery,
            on_cancelled=on_cancelled,
            dialect=self._dialect,
            pool=self._pool,
            unacked=self._unacked,
            connect=self._connect,
            released=self._release,
        )

        def abandon(_: object = None) -> None:
            self._release(consumer)
            consumer.cancel()

        async def start() -> None:
            await consumer.start(self._bound(queue))

        return self._operate(start, queue.name, False, abandon, abandon, waits=False)

    async def _connect(self, consumer: StompConsumer) -> StompProtocol:
        own = self._own(consumer.queue)
        if own is None:
            return await self._pool.open(consumer)
        return own.take(consumer, self._dialect)

    def _release(self, consumer: StompConsumer) -> None:
        if self._consumers.get(consumer.tag) is consumer:
            del self._consumers[consumer.tag]

    async def add_source(self, queue: Queue, bound: StompBinding) -> None:
        """Have the consumers of a queue receive what comes by a binding."""
        adding = [
            each.add_source(bound)
            for each in self._consumers.values()
            if each.queue.name == queue.name
        ]
        await all_of([Deferred.fromCoroutine(each) for each in adding])

    def basic_cancel(self, tag: str) -> Deferred[None]:
        self.flush()
        consumer = self._consumers.pop(tag, None)
        return succeed(None) if consumer is None else consumer.cancel()

    def basic_get(self, queue: Queue, no_ack: bool) -> Deferred[Delivery | None]:
        try:
            self._need(Capability.GET, "getting single messages")
            self._refuse_exclusive(queue, "getting from")
        except NotSupported as error:
            return fail(error)
        bound = self._bound(queue)

        async def get() -> Delivery | None:
            got = await self._dialect.get(bound, no_ack, self._pool)
            return None if got is None else self._got(got, no_ack)

        def undo(delivery: Delivery | None) -> None:
            if delivery is not None and not no_ack:
                self.nack(delivery.tag, False, True)

        return self._operate(get, queue.name, declares=False, undo=undo)

    def _got(self, got: GetResult, no_ack: bool) -> Delivery:
        """Keep the connection of a message until that is settled."""
        holder = MessageHolder(self._pool, got.socket)
        holder.take_no_more(lingers=True)
        if no_ack:
            number = self._unacked.next_tag()
            self._unacked.leave(holder)
        else:
            number = self._unacked.expect(holder, got.frame)
            self._pool.when_lost(got.socket, lambda _: self._unacked.lose(holder))
        return self._dialect.delivery(got.frame, number, "")

    basic_qos = _unsupported("prefetch shared by a channel")

    def basic_recover(self) -> Deferred[None]:
        if self._state is OPEN:
            self._unacked.nack(0, True, True)

        async def recovered() -> None:
            """All has been given back by now."""

        return self._operate(recovered, "", declares=False)

    def reject(self, tag: int, requeue: bool) -> Settlement:
        return self._unacked.nack(tag, False, requeue)

    # --- ProtocolOwner ------------------------------------------------------

    def socket_lost(self, reason: Exception) -> None:
        self.end(reason)

    def write_paused(self) -> None:
        self._session.write_paused_by(self)

    def write_resumed(self) -> None:
        self._session.write_resumed_by(self)

    # --- the end -------------------------------------------------------------

    def close(self) -> Deferred[None]:
        if self._state is OVER:
            return succeed(None)
        closed = self._closed.wait()
        if self._state is not OPEN:
            return closed
        self._step(Event.CLOSE)
        self.flush()
        if self._state is OVER:  # a callback has ended it
            return closed
        for holder in self._unacked.end():
            if holder.ending:
                self._unacked.leave(holder)
        for consumer in list(self._consumers.values()):
            consumer.shut()
        closing = Deferred.fromCoroutine(self._close_in_order())
        closing.addTimeout(CLOSE_SECONDS, steady(self._pool.clock))
        closing.addBoth(lambda _: self.end(self._reason, wanted=True))
        return closed

    async def _close_in_order(self) -> None:
        await self._operations.when_idle()
        await self._publishing.when_answered()
        await DeferredList([self._pool.leave(self._socket)])
        await self._unacked.when_left()

    def end(self, reason: Exception, wanted: bool = False) -> None:
        """
        End: tell the listener, and fire everything outstanding.

        @param wanted: this program ended it, or the listener hears of it otherwise.
        """
        if self.die(reason, wanted):
            self.fire(reason)

    def die(self, reason: Exception, wanted: bool) -> bool:
        """
        Take nothing more, and tell the listener; return whether L{fire} has to follow.
        """
        before = self._state
        if before is OVER:
            return False
        self._step(Event.END)
        self._reason = reason
        self._session.release(self)
        if before is OPEN and not wanted:
            call_logged("channel_lost", self._listener.channel_lost, reason)
        # Then: who publishes more on this is to know that it is over.
        self._session.write_resumed_by(self)
        return True

    def fire(self, reason: Exception) -> None:
        """Fire everything outstanding."""
        for operation in self._operations.drain():
            operation.fail(ended(reason))
        for holder in self._unacked.end():
            holder.drop()
        for consumer in list(self._consumers.values()):
            consumer.end()
        self._consumers.clear()
        self._pool.drop(self._socket)
        self._publishing.drain(reason)
        self._closed.fire(None)
