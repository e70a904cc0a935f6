"""
The deliveries of one channel that await settlement.

Measured on RabbitMQ: a multiple ack that names a tag which awaits nothing
closes the channel; a hole inside the run it covers does no harm; tags from
before a recover are unknown afterwards.  So only tags that await settlement are
ever named, and a multiple ack covers the run of acked tags below the first
unsettled one.  Acks above that one go out singly, and are not held back.
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
        """Whether there are acks to be written."""
        return bool(self._acked)

    def delivered(self, tag: int) -> None:
        """One more awaits settlement."""
        self._awaiting[tag] = None

    def ack(self, tag: int, multiple: bool) -> bool:
        """
        Note an ack, to be written by the next flush.

        @param multiple: and all before it; 0 is all.
        @return: whether anything awaited it.
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
        """The tags that a nack or reject settles; they are forgotten."""
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
        @return: the acks to write now, as (tag, multiple).
        """
        if len(self._acked) == len(self._awaiting):
            return self._flush_all()
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

    def _flush_all(self) -> list[tuple[int, bool]]:
        """None is unsettled: one ack covers them."""
        if not self._awaiting:
            return []
        acks = [(next(reversed(self._awaiting)), len(self._awaiting) > 1)]
        self.forget()
        return acks

    def forget(self) -> None:
        """All went back to their queues: what comes for them is stale."""
        self._awaiting.clear()
        self._acked.clear()
