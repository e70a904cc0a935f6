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

    @ivar awaiting: these tags; who takes a delivery adds its tag.
    @ivar acked: those of them whose acks the next L{flush} writes.
    """

    __slots__ = ("acked", "awaiting")

    def __init__(self) -> None:
        # Ordered, since the first of a dict from which many were removed is far away.
        self.awaiting: OrderedDict[int, None] = OrderedDict()
        self.acked: set[int] = set()

    def ack(self, tag: int, multiple: bool) -> bool:
        """
        Note an ack, which the next flush writes.

        @param tag: the tag; with C{multiple}, 0 stands for all.
        @param multiple: whether all tags before it are acked, too.
        @return: whether any of them was unsettled.
        """
        acked = self.acked
        if not multiple:
            if tag in acked or tag not in self.awaiting:
                return False
            acked.add(tag)
            return True
        tags = self._unsettled(tag, True)
        acked.update(tags)
        return bool(tags)

    def settle(self, tag: int, multiple: bool) -> list[int]:
        """Forget the tags that a nack or reject settles, and return them."""
        tags = self._unsettled(tag, multiple)
        for each in tags:
            del self.awaiting[each]
        return tags

    def _unsettled(self, tag: int, multiple: bool) -> list[int]:
        if not multiple:
            settles = tag in self.awaiting and tag not in self.acked
            return [tag] if settles else []
        up_to = takewhile(lambda each: each <= tag or not tag, self.awaiting)
        return [each for each in up_to if each not in self.acked]

    def flush(self) -> list[tuple[int, bool]]:
        """Return the acks to write now, as (tag, multiple), and forget their tags."""
        if len(self.acked) == len(self.awaiting):  # all are acked: one ack is enough
            if not self.awaiting:
                return []
            acks = [(next(reversed(self.awaiting)), len(self.awaiting) > 1)]
            self.forget()
            return acks
        run = []
        for tag in self.awaiting:
            if tag not in self.acked:
                break
            run.append(tag)
        above = sorted(self.acked.difference(run))
        self.acked.clear()
        for tag in (*run, *above):
            del self.awaiting[tag]
        acks = [(run[-1], len(run) > 1)] if run else []
        return acks + [(tag, False) for tag in above]

    def forget(self) -> None:
        """Forget all tags: their messages were requeued; settling them is stale."""
        self.awaiting.clear()
        self.acked.clear()
