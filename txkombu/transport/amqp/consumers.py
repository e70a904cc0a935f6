"""
The consumers of one channel.

A consumer is told to start; the broker says that it runs; it is told to end; the
broker says that it has.  Each step waits for the one before: RabbitMQ 3.10 breaks
down over a basic.cancel that overtakes the reply to its basic.consume (measured).
So one that is to end before it runs ends when it does, and one whose tag another
still has starts when that one is gone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ..._util.waiters import Waiters
from ...interfaces import Delivery
from .requests import Request


class AmqpConsumer:
    """
    One consumer.

    @ivar request: what tells it to start.
    @ivar packet: how it is told.
    @ivar prefetch_count: how many unsettled messages it may hold; C{None} if
        that is without effect.
    @ivar no_ack: its messages await no settlement.
    @ivar started: the broker has said that it runs.
    @ivar ending: it was told to end, or will be; its deliveries still go to it.
    @ivar abandoned: nobody wants it any more; its deliveries are handed back.
    @ivar gone: fires when it gets no more.
    """

    __slots__ = (
        "abandoned",
        "ending",
        "gone",
        "no_ack",
        "on_cancelled",
        "on_delivery",
        "packet",
        "prefetch_count",
        "request",
        "started",
        "tag",
    )

    request: Request[None]

    def __init__(
        self,
        tag: str,
        packet: bytes,
        prefetch_count: int | None,
        on_delivery: Callable[[Delivery], None],
        on_cancelled: Callable[[Exception], None],
    ) -> None:
        self.tag = tag
        self.packet = packet
        self.prefetch_count = prefetch_count
        self.no_ack = prefetch_count is None
        self.on_delivery = on_delivery
        self.on_cancelled = on_cancelled
        self.started = self.ending = self.abandoned = False
        self.gone: Waiters[None] = Waiters()


class AmqpConsumers:
    """
    Who gets the deliveries of which tag: the first of those that want it.
    """

    __slots__ = ("_by_tag",)

    def __init__(self) -> None:
        self._by_tag: dict[str, deque[AmqpConsumer]] = {}

    def check(self, tag: str) -> None:
        """
        @raise ValueError: no consumer can be given this tag.
        """
        newest = self.newest(tag)
        if not tag or (newest is not None and not newest.ending):
            raise ValueError(f"a consumer needs a tag of its own, not {tag!r}")

    def add_consumer(self, consumer: AmqpConsumer) -> bool:
        """
        @return: whether it may start now.
        """
        known = self._by_tag.setdefault(consumer.tag, deque())
        known.append(consumer)
        return known[0] is consumer

    def newest(self, tag: str) -> AmqpConsumer | None:
        """The one that was added last."""
        known = self._by_tag.get(tag)
        return known[-1] if known else None

    def receiver(self, tag: str) -> AmqpConsumer | None:
        """The one that a delivery is for."""
        known = self._by_tag.get(tag)
        return known[0] if known else None

    def others_exceed(self, consumer: AmqpConsumer, limit: int) -> bool:
        """Whether other consumers may hold more than a limit by their own counts."""
        counts = [
            known[0].prefetch_count or 0
            for known in self._by_tag.values()
            if known[0] is not consumer and not known[0].no_ack
        ]
        return 0 in counts or sum(counts) > limit

    def remove(self, consumer: AmqpConsumer) -> AmqpConsumer | None:
        """
        It gets no more, if it did.

        @return: who may start now.
        """
        known = self._by_tag.get(consumer.tag)
        if known is None or known[0] is not consumer:
            return None
        known.popleft()
        if known:
            return known[0]
        del self._by_tag[consumer.tag]
        return None

    def discard(self, consumer: AmqpConsumer) -> bool:
        """
        Forget it, if it was not told to start yet.

        @return: whether it was forgotten.
        """
        known = self._by_tag.get(consumer.tag)
        if not known or consumer not in known or known[0] is consumer:
            return False
        known.remove(consumer)
        return True

    def drain(self) -> tuple[list[AmqpConsumer], list[AmqpConsumer]]:
        """
        None gets any more.

        @return: those that were told to start, and those that were not.
        """
        known = list(self._by_tag.values())
        self._by_tag.clear()
        told = [each[0] for each in known]
        held = [consumer for each in known for consumer in list(each)[1:]]
        return told, held
