"""
A session channel on AMQP 0-9-1: publishing, consuming and settling.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from pamqp import commands
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from ..._util.failures import without_frames
from ...exceptions import BrokerError, ConsumerCancelled
from ...interfaces import (
    Delivery,
    ISessionChannel,
    ISessionChannelListener,
    Properties,
    QueueDeclareOk,
    Returned,
    Settlement,
)
from ..errors import closed, copy_error, ended, not_sent, outcome_unknown
from .channel_state import OPEN, ChannelState
from .confirms import Confirms
from .consumers import AmqpConsumer, AmqpConsumers
from .interfaces import AmqpChannelHost
from .requests import Request
from .topology import nothing
from .unacked import UnackedTags
from .wire.errors import refuses

if TYPE_CHECKING:
    from ...entity import Exchange, Queue

_Basic = commands.Basic
_Confirm = commands.Confirm
_WARNINGS: Final = 1000
_SENT: Final = Settlement.SENT
_STALE: Final = Settlement.STALE


@implementer(ISessionChannel)
class AmqpSessionChannel(ChannelState):
    """One channel of one session; see L{ISessionChannel}."""

    def __init__(
        self, session: AmqpChannelHost, number: int, listener: ISessionChannelListener
    ) -> None:
        super().__init__(session, number, listener)
        self._pack_publish = session.publisher(number)
        self._confirms = Confirms()
        self._ledger = UnackedTags()
        self._consumers = AmqpConsumers()
        self._prefetch = 0
        self._limit = 0
        self._recovering = 0
        self._paused = False
        self._unflushed: list[Deferred[Settlement]] = []

    # --- declaring -----------------------------------------------------------

    def queue_declare(self, queue: Queue, passive: bool) -> Deferred[QueueDeclareOk]:
        declaring = super().queue_declare(queue, passive)
        if not (passive or queue.durable or queue.exclusive):
            self._warn_of(queue.name)
        return declaring

    def _warn_of(self, name: str) -> None:
        warned = self._session.warned
        if name in warned or len(warned) >= _WARNINGS:
            return
        warned.add(name)
        self._log.warn(
            "Queue {name!r} is neither durable nor exclusive: RabbitMQ 4 deprecates "
            "such queues and may refuse them; make it durable, or exclusive",
            name=name,
        )

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
            self._put(packet)
            return succeed(None)
        select = None if confirms.selected else self._select()
        verdict = confirms.expect_confirm(exchange.name, routing_key)
        if mandatory:
            confirms.may_return(properties.get("message_id"))
        if select is None:
            self._put(packet)
        else:
            self._put(select + packet)
        return verdict

    def _select(self) -> bytes:
        """Prepare to tell the broker that it is to confirm what is published."""
        self._confirms.selected = True
        self._quietly(_Confirm.Select)
        return self._pack(_Confirm.Select)

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
        self._consumers.check(tag)
        if not 0 <= prefetch_count < 2**16:
            raise ValueError(f"prefetch_count must be 0 to 65535, not {prefetch_count}")
        packet = self._pack(
            _Basic.Consume,
            queue=queue.name,
            consumer_tag=tag,
            no_ack=no_ack,
            exclusive=exclusive,
            arguments=arguments,
        )
        if not self._open:
            return fail(closed(self._reason))
        consumer = AmqpConsumer(
            tag, packet, None if no_ack else prefetch_count, on_delivery, on_cancelled
        )
        consumer.request = request = Request(
            _Basic.Consume,
            queue.name,
            lambda _: self._started(consumer),
            retract=lambda: self._abandon(consumer),
        )
        deferred = request.deferred
        assert deferred is not None
        if self._consumers.add_consumer(consumer):
            self._start(consumer)
        return deferred

    def _start(self, consumer: AmqpConsumer) -> None:
        self._requests.add_request(consumer.request, consumer.tag)
        self.flush()
        if not self._open:
            return
        count = consumer.prefetch_count
        packets = [consumer.packet]
        if count not in (None, self._prefetch):
            if self._limit and self._consumers.others_exceed(consumer, self._limit):
                # RabbitMQ forgets the channel's limit when it is told another count,
                # and would hand out to those others until it is told the limit again.
                consumer.prefetch_count = self._prefetch
            else:
                packets[:0] = self._prefetch_packets(count)
        self._put(b"".join(packets))

    def _prefetch_packets(self, count: int) -> list[bytes]:
        """Tell the prefetch count of the next consumers, and the limit again."""
        self._prefetch = count
        self._quietly(_Basic.Qos)
        packets = [self._pack(_Basic.Qos, prefetch_count=count)]
        if self._limit:
            self._quietly(_Basic.Qos)
            packets.append(
                self._pack(_Basic.Qos, prefetch_count=self._limit, global_=True)
            )
        return packets

    def _started(self, consumer: AmqpConsumer) -> None:
        consumer.started = True
        if consumer.ending and self._open:
            self._write_cancel(consumer)

    def _abandon(self, consumer: AmqpConsumer) -> None:
        if self._consumers.discard(consumer):
            consumer.gone.fire(None)
            return
        consumer.abandoned = True
        self._finish(consumer)

    def _finish(self, consumer: AmqpConsumer) -> None:
        """Tell a consumer to end, now or once it runs."""
        told, consumer.ending = consumer.ending, True
        if consumer.started and not told and self._open:
            self._write_cancel(consumer)

    def _write_cancel(self, consumer: AmqpConsumer) -> None:
        self._quietly(_Basic.Cancel, consumer.tag, lambda _: self._gone(consumer))
        self._write(_Basic.Cancel, consumer_tag=consumer.tag)

    def _gone(self, consumer: AmqpConsumer) -> None:
        successor = self._consumers.remove(consumer)
        if successor is not None:
            self._start(successor)
        consumer.gone.fire(None)

    def basic_cancel(self, tag: str) -> Deferred[None]:
        self.flush()
        consumer = self._consumers.newest(tag)
        if consumer is None or not self._open:
            return succeed(None)
        gone = consumer.gone.wait().addErrback(nothing)
        self._finish(consumer)
        return gone

    def basic_get(self, queue: Queue, no_ack: bool) -> Deferred[Delivery | None]:
        def read(reply: object) -> Delivery | None:
            if not isinstance(reply, Delivery):
                return None
            if not no_ack:
                self._expect(reply.tag)
            return reply

        def undo(delivery: Delivery | None) -> None:
            if delivery is not None:
                self.nack(delivery.tag, False, True)

        request = Request(_Basic.Get, queue.name, read, undo)
        return self._send(
            request, self._pack(_Basic.Get, queue=queue.name, no_ack=no_ack)
        )

    def basic_qos(self, prefetch_count: int) -> Deferred[None]:
        self.flush()
        limiting = self.request(
            _Basic.Qos, "", nothing, prefetch_count=prefetch_count, global_=True
        )
        self._limit = prefetch_count
        return limiting

    def basic_recover(self) -> Deferred[None]:
        packet = self._pack(_Basic.Recover, requeue=True)
        self.flush()
        if self._open:
            self._ledger.forget()
            self._recovering += 1
        return self._send(Request(_Basic.Recover, "", self._recovered), packet)

    def _recovered(self, _: object) -> None:
        self._recovering -= 1

    def pause_delivery(self) -> None:
        if self._open and not self._paused:
            self._paused = True
            self._session.pause_reading()

    def resume_delivery(self) -> None:
        if self._paused:
            self._paused = False
            self._session.resume_reading()

    # --- settling ------------------------------------------------------------

    def ack(self, tag: int, multiple: bool) -> Settlement:
        if self._state is not OPEN or not self._ledger.ack(tag, multiple):
            return _STALE
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
        """The tags to settle otherwise than by ack; acks go out before."""
        if not self._open:
            return []
        self.flush()
        return self._ledger.settle(tag, multiple)

    def flush(self) -> None:
        if self._state is not OPEN:
            return
        acks = self._ledger.flush()
        if acks:
            self._put_acks(acks)
        self._tell_flushed(_SENT)

    def _put_acks(self, acks: list[tuple[int, bool]]) -> None:
        for tag, multiple in acks:
            self._write(_Basic.Ack, delivery_tag=tag, multiple=multiple)

    def _put_nack(self, tag: int, multiple: bool, requeue: bool) -> None:
        self._write(_Basic.Nack, delivery_tag=tag, multiple=multiple, requeue=requeue)

    def _put_reject(self, tag: int, requeue: bool) -> None:
        self._write(_Basic.Reject, delivery_tag=tag, requeue=requeue)

    def when_flushed(self) -> Deferred[Settlement]:
        if self._state is not OPEN:
            return succeed(_STALE)
        if not self._ledger.pending:
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

    def _deliver(self, delivery: Delivery) -> None:
        consumer = self._consumers.receiver(delivery.consumer_tag)
        if consumer is None or consumer.abandoned:
            if consumer is None or not consumer.no_ack:
                self._hand_back(delivery.tag)
            return
        if not consumer.no_ack and not self._expect(delivery.tag):
            return
        try:
            consumer.on_delivery(delivery)
        except Exception:
            self._log.failure(
                "{callback} failed",
                without_frames(Failure()),
                callback=consumer.on_delivery,
            )

    def _hand_back(self, tag: int) -> None:
        if self._expect(tag):
            self.nack(tag, False, True)

    def _expect(self, tag: int) -> bool:
        """
        Await the settlement of a delivery.

        @return: whether it can be settled: what comes between a recover and
            its reply has gone back to its queue already.
        """
        if self._recovering:
            return False
        self._ledger.delivered(tag)
        return True

    def _give_back(self, message: Returned) -> None:
        if not self._confirms.give_back(message):
            self._tell(self._listener.returned, message)

    def _take_event(self, method: Any) -> bool:
        if isinstance(method, _Basic.Ack):
            self._confirms.settle(method.delivery_tag, method.multiple, True)
        elif isinstance(method, _Basic.Nack):
            self._confirms.settle(method.delivery_tag, method.multiple, False)
        elif isinstance(method, _Basic.Cancel):
            self._cancelled(method)
        else:
            return False
        return True

    def _cancelled(self, method: Any) -> None:
        tag = method.consumer_tag
        consumer = self._consumers.receiver(tag)
        if not method.nowait:
            self._write(_Basic.CancelOk, consumer_tag=tag)
        if consumer is None:
            return
        if consumer.ending:
            self._gone(consumer)
            return
        # RabbitMQ 4.3 keeps the tag of a consumer that was too slow until told.
        self._finish(consumer)
        error = ConsumerCancelled(
            f"the broker cancelled consumer {tag!r}: its queue is gone, or it was "
            "too slow to settle its messages"
        )
        self._tell(consumer.on_cancelled, error)

    # --- the end -------------------------------------------------------------

    def _stop(self) -> None:
        self.resume_delivery()
        self._ledger.forget()
        told, held = self._consumers.drain()
        self._tell_flushed(_STALE)
        for consumer in held:
            consumer.request.fail(ended(self._reason))
        for consumer in told + held:
            consumer.gone.fire(None)

    def _end(self, reason: Exception) -> None:
        self._confirms.drain(self._verdict)

    def _verdict(self, exchange: str, alone: bool) -> Exception:
        reason = self._reason
        if isinstance(reason, BrokerError) and refuses(reason, exchange, alone):
            return copy_error(reason)
        return outcome_unknown(reason)
