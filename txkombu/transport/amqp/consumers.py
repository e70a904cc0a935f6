"""
The consumers of one channel.

A consumer is told to start; the broker says that it runs; it is told to end; the
broker says that it has ended.  Each step waits for the one before: RabbitMQ 3.10
breaks down over a basic.cancel that overtakes the reply to its basic.consume
(measured).  So a consumer that is cancelled before it runs is told to end as soon as it
runs, and one whose tag another consumer still has is held until that one is gone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

import attrs
from pamqp import commands
from twisted.internet.defer import Deferred, succeed

from ..._util.awaitables import call_logged
from ..._util.waiters import Waiters
from ...exceptions import ConsumerCancelled
from ...interfaces import Delivery
from ..errors import ended
from .channel_state import BaseChannel
from .requests import Request, Requests
from .topology import nothing

_Basic = commands.Basic
_MAX_PREFETCH: Final = 2**16 - 1


@attrs.define(eq=False, repr=False)
class AmqpConsumer:
    """
    One consumer.

    @ivar tag: its consumer tag.
    @ivar packet: the basic.consume that tells it to start.
    @ivar prefetch_count: how many unacked messages it may hold; C{None} if that is
        without effect.
    @ivar no_ack: its messages await no settlement.
    @ivar request: what awaits that it runs.
    @ivar started: the broker has said that it runs.
    @ivar ending: it was told to end, or will be; its deliveries still go to it.
    @ivar abandoned: its starting was cancelled; its deliveries are requeued.
    @ivar gone: fires when no more deliveries for it can come.
    """

    tag: str
    packet: bytes
    prefetch_count: int | None
    on_delivery: Callable[[Delivery], None]
    on_cancelled: Callable[[Exception], None]
    request: Request[None] = attrs.field(init=False)
    no_ack: bool = attrs.field(init=False)
    started: bool = False
    ending: bool = False
    abandoned: bool = False
    gone: Waiters[None] = attrs.Factory(Waiters)

    def __attrs_post_init__(self) -> None:
        self.no_ack = self.prefetch_count is None


class AmqpConsumers:
    """
    Starts and ends consumers.

    @ivar receivers: the consumers that deliveries are for, by their tags.
    """

    __slots__ = (
        "_channel",
        "_counts",
        "_held",
        "_limit",
        "_prefetch",
        "_requests",
        "_unlimited",
        "receivers",
    )

    def __init__(self, channel: BaseChannel, requests: Requests) -> None:
        """@param requests: those of the channel."""
        self._channel = channel
        self._requests = requests
        self.receivers: dict[str, AmqpConsumer] = {}
        self._held: dict[str, OrderedDict[AmqpConsumer, None]] = {}
        self._counts = self._unlimited = 0
        self._prefetch: int | None = 0
        self._limit = 0

    def check(self, tag: str, prefetch_count: int) -> None:
        """
        Check that a new consumer can have this tag and prefetch count.

        @raise ValueError: it cannot.
        """
        newest = self._newest(tag)
        if not tag or (newest is not None and not newest.ending):
            raise ValueError(f"a consumer needs a tag of its own, not {tag!r}")
        if not 0 <= prefetch_count <= _MAX_PREFETCH:
            raise ValueError(f"prefetch_count must be 0 to 65535, not {prefetch_count}")

    def _newest(self, tag: str) -> AmqpConsumer | None:
        held = self._held.get(tag)
        return next(reversed(held)) if held else self.receivers.get(tag)

    def limit(self, prefetch_count: int) -> None:
        """Note how many unacked messages all consumers together may hold."""
        self._limit = prefetch_count

    # --- starting ------------------------------------------------------------

    def start(self, consumer: AmqpConsumer, queue: str) -> Deferred[None]:
        """
        Start a consumer, once its tag is free.

        @param queue: the name of its queue.
        @return: fires when it runs; cancelling ends it.
        """
        consumer.request = request = Request(
            _Basic.Consume,
            queue,
            lambda _: self._started(consumer),
            retract=lambda: self._abandon(consumer),
        )
        started = request.deferred
        if consumer.tag in self.receivers:
            self._held.setdefault(consumer.tag, OrderedDict())[consumer] = None
        else:
            self._tell_to_start(consumer)
        return started

    def _tell_to_start(self, consumer: AmqpConsumer) -> None:
        channel = self._channel
        self.receivers[consumer.tag] = consumer
        self._requests.add_request(consumer.request, consumer.tag)
        channel.flush()
        if not channel.is_open:
            return
        count = consumer.prefetch_count
        packets = [consumer.packet]
        if count not in (None, self._prefetch):
            if self._limit and self._others_exceed_limit():
                # RabbitMQ forgets the channel's limit when it is told another count,
                # and would hand out to those others until it is told the limit again.
                consumer.prefetch_count = self._prefetch
            else:
                self._prefetch = count
                packets[:0] = self._qos(prefetch_count=count)
                if self._limit:
                    packets[1:1] = self._qos(prefetch_count=self._limit, global_=True)
        self._count(consumer, 1)
        channel.write_packets(packets)

    def _qos(self, **arguments: object) -> list[bytes]:
        self._channel.expect_reply(_Basic.Qos)
        return [self._channel.pack(_Basic.Qos, **arguments)]

    def _others_exceed_limit(self) -> bool:
        """Tell whether those told to start may hold more than the limit together."""
        return self._unlimited > 0 or self._counts > self._limit

    def _count(self, consumer: AmqpConsumer, sign: int) -> None:
        """Add what a consumer may hold to what all may, or subtract it."""
        if not consumer.no_ack:
            self._counts += sign * (consumer.prefetch_count or 0)
            self._unlimited += sign * (not consumer.prefetch_count)

    def _started(self, consumer: AmqpConsumer) -> None:
        consumer.started = True
        if consumer.ending:
            self._write_cancel(consumer)

    def _abandon(self, consumer: AmqpConsumer) -> None:
        """End a consumer whose start was cancelled."""
        held = self._held.get(consumer.tag)
        if held and consumer in held:
            del held[consumer]
            consumer.gone.fire(None)
        else:
            consumer.abandoned = True
            self._finish(consumer)

    # --- ending --------------------------------------------------------------

    def cancel(self, tag: str) -> Deferred[None]:
        """
        End the newest consumer with a tag.

        @return: fires when no more deliveries for it can come; never fails.
        """
        consumer = self._newest(tag)
        if consumer is None or not self._channel.is_open:
            return succeed(None)
        gone = consumer.gone.wait().addErrback(nothing)
        self._finish(consumer)
        return gone

    def cancelled_by_broker(self, method: Any) -> None:
        """
        End a consumer that the broker has cancelled.

        @param method: basic.cancel.
        """
        tag = method.consumer_tag
        consumer = self.receivers.get(tag)
        if not method.nowait:
            self._channel.write_method(_Basic.CancelOk, consumer_tag=tag)
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
        call_logged("on_cancelled", consumer.on_cancelled, error)

    def _finish(self, consumer: AmqpConsumer) -> None:
        """Tell a consumer to end, now or once it runs."""
        told, consumer.ending = consumer.ending, True
        if consumer.started and not told:
            self._write_cancel(consumer)

    def _write_cancel(self, consumer: AmqpConsumer) -> None:
        channel = self._channel
        if channel.is_open:
            channel.expect_reply(
                _Basic.Cancel, consumer.tag, lambda _: self._gone(consumer)
            )
            channel.write_method(_Basic.Cancel, consumer_tag=consumer.tag)

    def _gone(self, consumer: AmqpConsumer) -> None:
        """Start the next consumer with this tag, if there is one."""
        tag = consumer.tag
        if self.receivers.get(tag) is consumer:
            del self.receivers[tag]
            self._count(consumer, -1)
            held = self._held.get(tag)
            if held:
                self._tell_to_start(held.popitem(last=False)[0])
            else:
                self._held.pop(tag, None)
        consumer.gone.fire(None)

    def end(self, reason: Exception) -> None:
        """End all; fail the start of those that were not told to start."""
        told = list(self.receivers.values())
        held = [consumer for each in self._held.values() for consumer in each]
        self.receivers.clear()
        self._held.clear()
        for consumer in held:
            consumer.request.fail(ended(reason))
        for consumer in told + held:
            consumer.gone.fire(None)
