"""
The unsettled delivery tags of one channel, and the acks that wait to be written.

RabbitMQ was measured to behave so:

  - if an ack with the flag C{multiple} names a tag that is settled already, the broker
    closes the channel;
  - if that ack only covers such tags, and names another, they do no harm;
  - after a basic.recover the broker does not know the tags from before it.

So an ack never names a tag that the broker has as settled.  One ack with C{multiple} is
written for the acked tags up to the first unsettled one.  Acked tags beyond that are
written one by one; they do not wait for it.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import takewhile


class UnackedTags:
    """
    The tags that the broker has as unsettled, in the order of delivery.

    @ivar awaiting: these tags, but for those whose acks wait; who takes a delivery adds
        its tag.
    @ivar acked: the tags whose acks the next L{flush} writes.
    """

    __slots__ = ("acked", "awaiting")

    def __init__(self) -> None:
        # Ordered, since the first of a dict from which many were removed is far away.
        self.awaiting: OrderedDict[int, None] = OrderedDict()
        self.acked: list[int] = []

    def ack(self, tag: int, multiple: bool) -> bool:
        """
        Note an ack, which the next flush writes.

        @param tag: the tag; with C{multiple}, 0 stands for all.
        @param multiple: whether all tags before it are acked, too.
        @return: whether any of them was unsettled.
        """
        if not multiple:
            if tag not in self.awaiting:
                return False
            del self.awaiting[tag]
            self.acked.append(tag)
            return True
        tags = self.settle(tag, True)
        self.acked += tags
        return bool(tags)

    def settle(self, tag: int, multiple: bool) -> list[int]:
        """Forget the tags that a nack or reject settles, and return them."""
        if multiple:
            up_to = takewhile(lambda each: each <= tag or not tag, self.awaiting)
            tags = list(up_to)
        else:
            tags = [tag] if tag in self.awaiting else []
        for each in tags:
            del self.awaiting[each]
        return tags

    def flush(self) -> list[tuple[int, bool]]:
        """Return the acks to write now, as (tag, multiple), and forget their tags."""
        acked = self.acked
        if not acked:
            return []
        self.acked = []
        first = next(iter(self.awaiting), None)
        if first is None:  # all are acked: one ack is enough
            return [(max(acked), len(acked) > 1)]
        run = [tag for tag in acked if tag < first]
        acks = [(max(run), len(run) > 1)] if run else []
        return acks + [(tag, False) for tag in sorted(acked) if tag > first]

    def forget(self) -> None:
        """Forget all tags: their messages were requeued; settling them is stale."""
        self.awaiting.clear()
        self.acked.clear()
