"""A session channel on AMQP 0-9-1: publishing, consuming and settling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from pamqp import commands
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from ..._util.awaitables import call_logged
from ..._util.failures import without_frames
from ...exceptions import BrokerError, DecodeError, ProtocolError
from ...interfaces import (
    Delivery,
    ISessionChannel,
    ISessionChannelListener,
    Properties,
    QueueDeclareOk,
    Returned,
    Settlement,
)
from ..errors import closed, copy_error, not_sent, outcome_unknown
from .channel_state import OPEN, BaseChannel, State
from .confirms import Confirms
from .consumers import AmqpConsumer, AmqpConsumers
from .interfaces import AmqpChannelHost
from .requests import Request
from .topology import nothing
from .unacked import UnackedTags
from .wire.content import Content, ContentAssembler
from .wire.delivery_reader import delivery_of
from .wire.errors import Target, refused_targets
from .wire.properties import decode_properties

if TYPE_CHECKING:
    from ...entity import Exchange, Queue

_Basic = commands.Basic
_Confirm = commands.Confirm
_MAX_WARNINGS: Final = 1000
"""How many queues a warning is logged about."""
_SENT: Final = Settlement.SENT
_STALE: Final = Settlement.STALE


@implementer(ISessionChannel)
class AmqpSessionChannel(BaseChannel):
    """One channel of one session; see L{ISessionChannel}."""

    def __init__(
        self, session: AmqpChannelHost, number: int, listener: ISessionChannelListener
    ) -> None:
        super().__init__(session, number, listener)
        self._pack_publish = session.publisher(number)
        self._put_soon = session.write_soon
        self._confirms = Confirms()
        self._unacked = UnackedTags()
        self._consumers = AmqpConsumers(self, self._requests)
        self._receivers = self._consumers.receivers
        self._assembler = ContentAssembler(session.decode, session.max_message_size)
        self._recovering = 0
        self._unflushed: list[Deferred[Settlement]] = []

    # --- declaring -----------------------------------------------------------

    def queue_declare(self, queue: Queue, passive: bool) -> Deferred[QueueDeclareOk]:
        declaring = super().queue_declare(queue, passive)
        name, warned = queue.name, self._session.warned
        plain = not (passive or queue.durable or queue.exclusive)
        if plain and name not in warned and len(warned) < _MAX_WARNINGS:
            warned.add(name)
            self._log.warn(
                "Queue {name!r} is neither durable nor exclusive: RabbitMQ 4 "
                "deprecates such queues and may refuse them; make it durable, or "
                "exclusive",
                name=name,
            )
        return declaring

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
        packet = self._pack_publish(
            body, properties, exchange.name, routing_key, mandatory
        )
        if self._state is not OPEN:
            return fail(not_sent(self._reason))
        confirms = self._confirms
        if not confirm:
            confirms.count()
            self._put_soon(packet)
            return succeed(None)
        select = None if confirms.selected else self._select()
        verdict = confirms.expect_confirm(exchange.name, routing_key)
        if mandatory:
            confirms.may_return(properties.get("message_id"))
        if select is None:
            self._put_soon(packet)
        else:
            self._put(select + packet)
        return verdict

    def note_unwritten(self) -> None:
        """Note that the last publish, or one more before it, was not written."""
        self._confirms.note_unwritten()

    def _select(self) -> bytes:
        """Return what tells the broker to confirm what is published."""
        self._confirms.select()
        self.expect_reply(_Confirm.Select, read=self._confirms.note_selected)
        return self.pack(_Confirm.Select)

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
        self._consumers.check(tag, prefetch_count)
        packet = self.pack(
            _Basic.Consume,
            queue=queue.name,
            consumer_tag=tag,
            no_ack=no_ack,
            exclusive=exclusive,
            arguments=arguments,
        )
        if self._state is not OPEN:
            return fail(closed(self._reason))
        consumer = AmqpConsumer(
            tag, packet, None if no_ack else prefetch_count, on_delivery, on_cancelled
        )
        return self._consumers.start(consumer, queue.name)

    def basic_cancel(self, tag: str) -> Deferred[None]:
        self.flush()
        return self._consumers.cancel(tag)

    def basic_get(self, queue: Queue, no_ack: bool) -> Deferred[Delivery | None]:
        def read(reply: object) -> Delivery | None:
            if not isinstance(reply, Delivery):
                return None
            if not (no_ack or self._recovering):
                self._unacked.awaiting[reply.tag] = None
            return reply

        def undo(delivery: Delivery | None) -> None:
            if delivery is not None:
                self.nack(delivery.tag, False, True)

        request = Request(_Basic.Get, queue.name, read, undo)
        return self._send(
            request, self.pack(_Basic.Get, queue=queue.name, no_ack=no_ack)
        )

    def basic_qos(self, prefetch_count: int) -> Deferred[None]:
        self.flush()
        limiting = self.request(
            _Basic.Qos, "", nothing, prefetch_count=prefetch_count, global_=True
        )
        self._consumers.limit(prefetch_count)
        return limiting

    def basic_recover(self) -> Deferred[None]:
        packet = self.pack(_Basic.Recover, requeue=True)
        self.flush()
        if self._state is OPEN:
            self._unacked.forget()
            self._recovering += 1

        def recovered(_: object) -> None:
            self._recovering -= 1

        return self._send(Request(_Basic.Recover, "", recovered), packet)

    # --- settling ------------------------------------------------------------

    def ack(self, tag: int, multiple: bool) -> Settlement:
        unacked = self._unacked
        is_first = not unacked.acked
        if self._state is not OPEN or not unacked.ack(tag, multiple):
            return _STALE
        if is_first:  # for others the session was asked before
            self._session.flush_soon(self)
        return _SENT

    def nack(self, tag: int, multiple: bool, requeue: bool) -> Settlement:
        tags = self._take(tag, multiple)
        if not tags:
            return _STALE
        self._put_nack(tags[-1], len(tags) > 1, requeue)
        return _SENT

    def reject(self, tag: int, requeue: bool) -> Settlement:
        if not self._take(tag, False):
            return _STALE
        self._put_reject(tag, requeue)
        return _SENT

    def _take(self, tag: int, multiple: bool) -> list[int]:
        """Write the acks so far; return the tags that a nack or reject settles."""
        if self._state is not OPEN:
            return []
        self.flush()
        return self._unacked.settle(tag, multiple)

    def flush(self) -> None:
        if self._state is not OPEN:
            return
        acks = self._unacked.flush()
        if acks:
            self._put_acks(acks)
        self._tell_flushed(_SENT)

    # A session may have ways to write these that cost less.

    def _put_acks(self, acks: list[tuple[int, bool]]) -> None:
        for tag, multiple in acks:
            self.write_method(_Basic.Ack, delivery_tag=tag, multiple=multiple)

    def _put_nack(self, tag: int, multiple: bool, requeue: bool) -> None:
        self.write_method(
            _Basic.Nack, delivery_tag=tag, multiple=multiple, requeue=requeue
        )

    def _put_reject(self, tag: int, requeue: bool) -> None:
        self.write_method(_Basic.Reject, delivery_tag=tag, requeue=requeue)

    def when_flushed(self) -> Deferred[Settlement]:
        if self._state is not OPEN:
            return succeed(_STALE)
        if not self._unacked.acked:
            return succeed(_SENT)
        waiter: Deferred[Settlement] = Deferred()
        self._unflushed.append(waiter)
        return waiter

    def _tell_flushed(self, settlement: Settlement) -> None:
        waiters = self._unflushed
        if waiters:
            self._unflushed = []
            for waiter in waiters:
                waiter.callback(settlement)

    # --- what comes ----------------------------------------------------------

    def handle_frame(self, kind: int, payload: Any) -> None:
        """
        Take one frame; see L{ContentAssembler.handle_frame}.

        @raise ProtocolError: it was not due.
        """
        found = self._assembler.handle_frame(kind, payload)
        if isinstance(found, Content):
            self._take_content(found)
        elif found is not None:
            self.take_method(found)

    def _take_content(self, content: Content) -> None:
        method = content.method
        if isinstance(method, _Basic.Deliver):
            self.take_delivery(delivery_of(content))
        elif self._state is State.DRAINING:
            return
        elif isinstance(method, _Basic.GetOk):
            self._requests.answer(method, delivery_of(content))
        else:
            self._take_returned(content)

    def take_delivery(self, delivery: Delivery) -> None:
        """
        Hand a delivery to its consumer.

        @raise ProtocolError: it came in the midst of a content.
        """
        if self._assembler.content is not None:
            raise ProtocolError("a method came in the midst of a content")
        if self._state is not OPEN:
            return
        consumer = self._receivers.get(delivery.consumer_tag)
        if consumer is None or not consumer.no_ack:
            if self._recovering:
                return  # the broker has it back already
            self._unacked.awaiting[delivery.tag] = None
            if consumer is None or consumer.abandoned:
                self.nack(delivery.tag, False, True)
                return
        elif consumer.abandoned:
            return
        try:
            consumer.on_delivery(delivery)
        except Exception:
            self._log.failure(
                "{callback} failed",
                without_frames(Failure()),
                callback=consumer.on_delivery,
            )

    def _take_returned(self, content: Content) -> None:
        """
        Find the publish that a message came back from, or tell the owner.

        @raise ProtocolError: its properties cannot be understood.
        """
        assert content.listed is not None
        try:
            properties = decode_properties(content.listed)
        except DecodeError as error:
            raise ProtocolError(str(error)) from error
        method = content.method
        message = Returned(
            method.reply_code,
            method.reply_text,
            method.exchange,
            method.routing_key,
            content.body,
            properties,
        )
        if not self._confirms.give_back(message):
            call_logged("returned", self._listener.returned, message)

    def _take_event(self, method: Any) -> bool:
        if isinstance(method, _Basic.Ack):
            self._confirms.settle(method.delivery_tag, method.multiple, True)
        elif isinstance(method, _Basic.Nack):
            self._confirms.settle(method.delivery_tag, method.multiple, False)
        elif isinstance(method, _Basic.Cancel):
            self._consumers.cancelled_by_broker(method)
        else:
            return False
        return True

    # --- the end -------------------------------------------------------------

    def _stop(self) -> None:
        self._unacked.forget()
        self._tell_flushed(_STALE)
        self._consumers.end(self._reason)

    def _fail_outstanding(self, reason: Exception) -> None:
        confirms = self._confirms
        refused = refused_targets(reason, confirms.targets(), confirms.all_waited)

        def verdict(target: Target, written: bool) -> Exception:
            if not written:
                return not_sent(reason)
            if target in refused:
                assert isinstance(reason, BrokerError)
                return copy_error(reason)
            return outcome_unknown(reason)

        confirms.drain(verdict)
