"""
The consumers of one channel.
"""

from __future__ import annotations

from collections.abc import Callable

from ...interfaces import Delivery


class Consumer:
    """
    One consumer.

    @ivar started: the broker has said that it runs.
    @ivar ending: it was told to end; its deliveries still go to it.
    @ivar abandoned: nobody wants it any more; its deliveries are handed back.
    @ivar previous: one of the same tag that is about to end.
    """

    __slots__ = (
        "abandoned",
        "ending",
        "no_ack",
        "on_cancelled",
        "on_delivery",
        "previous",
        "started",
        "tag",
    )

    def __init__(
        self,
        tag: str,
        no_ack: bool,
        on_delivery: Callable[[Delivery], None],
        on_cancelled: Callable[[Exception], None],
    ) -> None:
        self.tag = tag
        self.no_ack = no_ack
        self.on_delivery = on_delivery
        self.on_cancelled = on_cancelled
        self.started = self.ending = self.abandoned = False
        self.previous: Consumer | None = None


class Consumers:
    """
    Who gets the deliveries of which tag.

    A tag may be used again as soon as its consumer was told to end: until the
    new one has started, deliveries are those of the old one.
    """

    __slots__ = ("_by_tag",)

    def __init__(self) -> None:
        self._by_tag: dict[str, Consumer] = {}

    def check(self, tag: str) -> None:
        """
        @raise ValueError: no consumer can be given this tag.
        """
        known = self._by_tag.get(tag)
        if not tag or (known is not None and not known.ending):
            raise ValueError(f"a consumer needs a tag of its own, not {tag!r}")

    def add(self, consumer: Consumer) -> None:
        """It was told to start."""
        consumer.previous = self._by_tag.get(consumer.tag)
        self._by_tag[consumer.tag] = consumer

    def started(self, consumer: Consumer) -> None:
        """The broker said that it runs."""
        consumer.started = True
        consumer.previous = None

    def newest(self, tag: str) -> Consumer | None:
        """The one that was told to start last."""
        return self._by_tag.get(tag)

    def receiver(self, tag: str) -> Consumer | None:
        """The one that a delivery of now is for."""
        consumer = self._by_tag.get(tag)
        if consumer is not None and consumer.previous is not None:
            return consumer.previous
        return consumer

    def ended(self, consumer: Consumer) -> None:
        """It gets no more."""
        newest = self._by_tag.get(consumer.tag)
        if newest is consumer:
            del self._by_tag[consumer.tag]
        elif newest is not None and newest.previous is consumer:
            newest.previous = None

    def clear(self) -> None:
        """None gets any more."""
        self._by_tag.clear()
