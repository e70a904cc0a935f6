"""
A session channel on STOMP.

It has a socket to publish on, whose end is its own: RabbitMQ ends a socket at a
refused publish, and no other channel should suffer.  Its consumers have sockets
of their own, and so have messages got, until they are settled.  An operation
that a broker refuses fails alone, as it has its own socket, too.

It ends once::

    state     event                            then      what happens
    OPEN      close()                          CLOSING   what was begun goes on
    OPEN      the publishing socket is lost    OVER      its owner is told
    CLOSING   all that was begun is over,      OVER      its sockets are left
              or that takes too long
    any       the session ends                 OVER
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from twisted.internet.defer import Deferred, DeferredList, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..._util.failures import without_frames
from ..._util.waiters import Waiters
from ...exceptions import ChannelClosed, ContentTooLarge, NotSupported
from ...interfaces import (
    Capability,
    Delivery,
    ISessionChannel,
    ISessionChannelListener,
    Properties,
    Settlement,
)
from ..closing import CLOSE_SECONDS
from ..errors import closed, ended, not_sent
from .connections import ConnectionPool, all_of, fence
from .consumer import StompConsumer
from .declarations import Declarations
from .dialect import ConsumeOptions, Dialect, GetResult
from .exclusive_queue import ExclusiveConsumer, ExclusiveGetter, ExclusiveQueue
from .operation_queue import Operation, OperationQueue, Work
from .protocol import IProtocolOwner, StompProtocol
from .publisher import StompPublisher
from .topology import StompTopologyChannel
from .unacked import MessageHolder, UnackedFrames

if TYPE_CHECKING:
    from ...entity import Exchange, Queue

_T = TypeVar("_T")


class _ChannelState(Enum):
    OPEN = "open"
    CLOSING = "closing"
    OVER = "over"


_OPEN: Final = _ChannelState.OPEN
_STALE: Final = Settlement.STALE


class StompChannelHost(Protocol):
    """The session of a channel."""

    dialect: Dialect
    connections: ConnectionPool
    known: Declarations

    async def declare_exclusive(self, queue: Queue) -> None:
        """Declare an exclusive queue on a socket that it lives on."""

    def release_exclusive(self, name: str) -> Deferred[None]:
        """Let go of an exclusive queue."""

    async def bound(self, queue: Any) -> None:
        """Have all consumers of a queue receive what was bound to it."""

    def release(self, channel: Any) -> None:
        """A channel is over."""

    def write_paused_by(self, channel: Any) -> None:
        """A channel's socket is full."""

    def write_resumed_by(self, channel: Any) -> None:
        """A channel's socket has room again, or is gone."""


@implementer(ISessionChannel, IProtocolOwner)
class StompChannel(StompTopologyChannel):
    """One channel of one session; see L{ISessionChannel}."""

    _log = Logger()

    def __init__(
        self, session: StompChannelHost, listener: ISessionChannelListener
    ) -> None:
        self._session = session
        self._listener = listener
        self._dialect = session.dialect
        self._connections = session.connections
        self._declarations = session.known
        self._state = _ChannelState.CLOSING
        self._reason: Exception = ChannelClosed("this program closed it")
        self._operations = OperationQueue()
        self._unacked = UnackedFrames(self._dialect, self._connections)
        self._consumers: dict[str, StompConsumer] = {}
        self._closed: Waiters[None] = Waiters()

    def opened(self, socket: StompProtocol) -> StompChannel:
        """It may be used, and publishes on this socket."""
        self._state = _ChannelState.OPEN
        self._socket = socket
        self._publishing = StompPublisher(
            self._dialect, socket, self._connections.clock.seconds
        )
        return self

    # --- operations ----------------------------------------------------------

    def _operate(
        self,
        work: Work[_T],
        about: str,
        declares: bool = False,
        undo: Callable[[_T], object] | None = None,
        at_once: bool = False,
    ) -> Deferred[_T]:
        async def in_order() -> _T:
            if not at_once:
                await self._seen()
            return await work()

        return self._begin(Operation(in_order, about, undo, declares))

    def _begin(self, operation: Operation[_T]) -> Deferred[_T]:
        if self._state is not _OPEN:
            return fail(closed(self._reason))
        return self._operations.run_in_turn(operation)

    async def _seen(self) -> None:
        """Wait until the broker has seen what was published and settled so far."""
        await self._unacked.given_back()
        if self._publishing.is_unanswered:
            unconfirmed = self._publishing.unconfirmed
            await fence(self._socket)
            self._publishing.fenced(unconfirmed)

    # --- publishing ----------------------------------------------------------

    def basic_publish(
        self,
        body: bytes,
        properties: Properties,
        exchange: Exchange,
        routing_key: str,
        mandatory: bool,
        confirm: bool,
    ) -> Deferred[None]:
        if self._state is not _OPEN:
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
        consuming = ConsumeOptions(
            0 if no_ack else prefetch_count, no_ack, exclusive, arguments
        )
        consumer = self._make_consumer(tag, queue, consuming, on_delivery, on_cancelled)
        if self._state is not _OPEN:
            return fail(closed(self._reason))
        try:
            self._check_consuming(consuming)
            consumer.sources(self._bindings_of(queue))
        except NotSupported as error:
            return fail(error)
        return self._start(consumer)

    def _make_consumer(
        self,
        tag: str,
        queue: Queue,
        consuming: ConsumeOptions,
        on_delivery: Callable[[Delivery], None],
        on_cancelled: Callable[[Exception], None],
    ) -> StompConsumer:
        owned = queue.exclusive or queue.name in self._connections.owners
        return (ExclusiveConsumer if owned else StompConsumer)(
            tag,
            queue,
            consuming,
            on_delivery,
            on_cancelled,
            dialect=self._dialect,
            connections=self._connections,
            holdings=self._unacked,
            released=self._release,
        )

    def _check_consuming(self, consuming: ConsumeOptions) -> None:
        if consuming.exclusive:
            self._need(Capability.CONSUMER_EXCLUSIVE, "an exclusive consumer")
        if consuming.arguments:
            self._need(Capability.CONSUMER_ARGUMENTS, "arguments of a consumer")

    def _start(self, consumer: StompConsumer) -> Deferred[None]:
        """Start a consumer when its turn comes."""
        self._consumers[consumer.tag] = consumer
        return self._begin(
            Operation(
                lambda: consumer.start(self._bindings_of(consumer.queue)),
                consumer.queue.name,
                lambda _: self._abandon(consumer),
                retracted=lambda: self._abandon(consumer),
            )
        )

    def _abandon(self, consumer: StompConsumer) -> None:
        self._release(consumer)
        consumer.cancel()

    def _release(self, consumer: StompConsumer) -> None:
        if self._consumers.get(consumer.tag) is consumer:
            del self._consumers[consumer.tag]

    async def _declare_exclusive(self, queue: Queue) -> None:
        await self._session.declare_exclusive(queue)

    def _release_exclusive(self, queue: Queue) -> Deferred[None]:
        return self._session.release_exclusive(queue.name)

    async def _bound(self, queue: Queue) -> None:
        await self._session.bound(queue)

    async def add_sources(self, queue: Queue) -> None:
        """Have the consumers of a queue receive what was bound to it."""
        adding = [
            each.add_sources(self._bindings_of(each.queue))
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
        except NotSupported as error:
            return fail(error)
        bindings = self._bindings_of(queue)

        async def get() -> Delivery | None:
            owner = self._connections.owners.get(queue.name)
            if owner is not None:
                return await self._get_from(owner, queue, no_ack)
            got = await self._dialect.get(queue, bindings, no_ack, self._connections)
            return None if got is None else self._got(got, no_ack)

        def undo(delivery: Delivery | None) -> None:
            if delivery is not None and not no_ack:
                self.nack(delivery.tag, False, True)

        return self._operate(get, queue.name, undo=undo)

    async def _get_from(
        self, owner: ExclusiveQueue, queue: Queue, no_ack: bool
    ) -> Delivery | None:
        """Take what is kept on the socket of an exclusive queue."""
        frame = await owner.get(queue, self._dialect)
        if frame is None:
            return None
        if no_ack:
            owner.socket.write(self._dialect.ack(frame))
            owner.free()
            number = self._unacked.next_tag()
        else:
            number = self._unacked.expect(
                ExclusiveGetter(self._connections, owner), frame
            )
        return self._dialect.delivery(frame, number, "")

    def _got(self, got: GetResult, no_ack: bool) -> Delivery:
        """Keep the socket until the message is settled."""
        holder = MessageHolder(self._connections)
        holder.socket = got.socket
        holder.ending = holder.lingers = True
        if no_ack:
            number = self._unacked.next_tag()
            self._unacked.leave(holder)
        else:
            number = self._unacked.expect(holder, got.frame)
            self._connections.when_lost(got.socket, lambda _: self._lost(holder))
        return self._dialect.delivery(got.frame, number, "")

    def _lost(self, holder: MessageHolder) -> None:
        """The socket of a message is gone: the broker has it again."""
        holder.drop()
        self._unacked.forget(holder)

    def basic_qos(self, prefetch_count: int) -> Deferred[None]:
        return fail(self._dialect.unsupported("prefetch shared by a channel"))

    def basic_recover(self) -> Deferred[None]:
        if self._state is _OPEN:
            self._unacked.recover()

        async def recovered() -> None:
            """All has been given back by now."""

        return self._operate(recovered, "")

    # --- settling ------------------------------------------------------------

    def ack(self, tag: int, multiple: bool) -> Settlement:
        return self._unacked.ack(tag, multiple)

    def nack(self, tag: int, multiple: bool, requeue: bool) -> Settlement:
        return self._unacked.nack(tag, multiple, requeue)

    def reject(self, tag: int, requeue: bool) -> Settlement:
        return self._unacked.reject(tag, requeue)

    def flush(self) -> None:
        self._unacked.flush()

    def when_flushed(self) -> Deferred[Settlement]:
        return self._unacked.when_flushed()

    # --- ISocketOwner --------------------------------------------------------

    def socket_lost(self, reason: Exception) -> None:
        """The socket it publishes on is gone."""
        self.end(reason)

    def write_paused(self) -> None:
        self._session.write_paused_by(self)

    def write_resumed(self) -> None:
        self._session.write_resumed_by(self)

    # --- the end -------------------------------------------------------------

    def close(self) -> Deferred[None]:
        if self._state is _ChannelState.OVER:
            return succeed(None)
        closed = self._closed.wait()
        self.shut()
        return closed

    def shut(self) -> None:
        """Take no more operations; let what was begun come to its end."""
        if self._state is not _OPEN:
            return
        self._state = _ChannelState.CLOSING
        self.flush()
        self._begin_closing()

    def _begin_closing(self) -> None:
        if self._state is not _ChannelState.CLOSING:
            return  # a callback has ended it
        self._leave_all()
        closing = Deferred.fromCoroutine(self._close_in_order())
        closing.addTimeout(CLOSE_SECONDS, self._connections.clock)
        closing.addBoth(lambda _: self.end(self._reason, wanted=True))

    def _leave_all(self) -> None:
        for holder in self._unacked.end():
            if holder.ending:
                self._unacked.leave(holder)
        for consumer in list(self._consumers.values()):
            consumer.shut()

    async def _close_in_order(self) -> None:
        await self._operations.when_idle()
        await self._publishing.when_answered()
        await DeferredList([self._connections.leave(self._socket)])
        await self._unacked.when_left()

    def end(self, reason: Exception, wanted: bool = False) -> None:
        """It is over: tell the owner, and fire everything outstanding."""
        if self.die(reason, wanted):
            self.fire(reason)

    def die(self, reason: Exception, wanted: bool) -> bool:
        """
        Take nothing more, and tell the owner.

        @return: whether L{fire} has to follow; it ended before otherwise.
        """
        before = self._state
        if before is _ChannelState.OVER:
            return False
        self._state, self._reason = _ChannelState.OVER, reason
        self._session.release(self)
        if before is _OPEN and not wanted:
            self._tell(self._listener.channel_lost, reason)
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
        self._unacked.give_up()
        self._connections.drop(self._socket)
        self._publishing.drain(reason)
        self._closed.fire(None)

    def _tell(self, callback: Callable[[Exception], object], what: Exception) -> None:
        """Call someone else's code, whose errors are not ours."""
        try:
            callback(what)
        except Exception:
            self._log.failure(
                "{callback} failed", without_frames(Failure()), callback=callback
            )
