"""
The delivery tags of one channel that await settlement.

Measured on RabbitMQ: a multiple ack that names a tag which is settled already closes
the channel; settled tags inside the run that it covers do no harm; tags from before a
recover are unknown afterwards.  So only tags that await settlement are ever named, and
a multiple ack covers the run of acked tags below the first unsettled one.  Acks above
that one go out singly, and are not held back.
"""

from __future__ import annotations


class UnackedTags:
    """Tags that await settlement, in the order of delivery."""

    __slots__ = ("_acked", "_awaiting")

    def __init__(self) -> None:
        self._awaiting: dict[int, None] = {}
        self._acked: set[int] = set()

    @property
    def pending(self) -> bool:
        """Whether there are acks to write."""
        return bool(self._acked)

    def delivered(self, tag: int) -> None:
        """Note that one more tag awaits settlement."""
        self._awaiting[tag] = None

    def ack(self, tag: int, multiple: bool) -> bool:
        """
        Note an ack, which the next flush writes.

        @param multiple: also of all tags before it; 0 is all.
        @return: whether any of them awaited settlement.
        """
        acked = self._acked
        if not multiple:
            if tag in acked or tag not in self._awaiting:
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
            del self._awaiting[each]
        return tags

    def _unsettled(self, tag: int, multiple: bool) -> list[int]:
        if not multiple:
            settles = tag in self._awaiting and tag not in self._acked
            return [tag] if settles else []
        return [
            each
            for each in self._awaiting
            if (each <= tag or not tag) and each not in self._acked
        ]

    def flush(self) -> list[tuple[int, bool]]:
        """
        Forget all acked tags.

        @return: the acks to write now, as (tag, multiple).
        """
        if len(self._acked) == len(self._awaiting):  # none is unsettled: one ack does
            if not self._awaiting:
                return []
            acks = [(next(reversed(self._awaiting)), len(self._awaiting) > 1)]
            self.forget()
            return acks
        run = []
        for tag in self._awaiting:
            if tag not in self._acked:
                break
            run.append(tag)
        above = sorted(self._acked.difference(run))
        self._acked.clear()
        for tag in (*run, *above):
            del self._awaiting[tag]
        acks = [(run[-1], len(run) > 1)] if run else []
        return acks + [(tag, False) for tag in above]

    def forget(self) -> None:
        """Forget all tags: their messages were requeued, and settling them is stale."""
        self._awaiting.clear()
        self._acked.clear()
