"""What a run is to do, and what came of it."""

from __future__ import annotations

from collections import Counter
from typing import Final

import attrs

SLACK: Final = 2.0
"""Seconds, beyond the longest wait between two attempts, to consume again within."""


@attrs.frozen
class Plan:
    """
    What a run is to do at least.

    @ivar messages: how many messages it publishes.
    @ivar cuts: how many losses by a cut each of the two clients sees.
    @ivar kills: how often the broker is killed and started again.
    @ivar freezes: how often the broker is frozen for longer than two heartbeats.
    @ivar may_refuse: whether the broker may refuse messages.
    """

    messages: int
    cuts: int
    kills: int = 0
    freezes: int = 0
    may_refuse: bool = False


@attrs.define
class Figures:
    """
    What was counted in a run.

    @ivar seed: with which the faults were chosen.
    @ivar published: how many publishes were confirmed.
    @ivar failed: how many publishes failed, by the text of their error.
    @ivar refused: how many publishes were refused, and were made again.
    @ivar received: how many different messages arrived.
    @ivar lost: how many confirmed messages did not arrive.
    @ivar doubled: how many messages arrived that had arrived before.
    @ivar unflagged: how many of those had another message_id and said nothing of a
        redelivery.
    @ivar made: how many faults of each kind were made.
    @ivar cuts: how many losses by a cut each client saw.
    @ivar kills: how many times both clients lost a killed broker.
    @ivar freezes: how many times both clients gave up a frozen broker.
    @ivar longest: the most seconds from the end of a fault until consuming again.
    @ivar seconds: how long all of it took.
    """

    seed: int
    published: int = 0
    failed: Counter[str] = attrs.field(factory=Counter)
    refused: int = 0
    received: int = 0
    lost: int = 0
    doubled: int = 0
    unflagged: int = 0
    made: Counter[str] = attrs.field(factory=Counter)
    cuts: Counter[str] = attrs.field(factory=Counter)
    kills: int = 0
    freezes: int = 0
    longest: float = 0.0
    seconds: float = 0.0

    def faults(self, plan: Plan, longest_wait: float) -> list[str]:
        """
        Say what did not go as it should have.

        @param longest_wait: the most seconds between two attempts to connect.
        """
        limit = longest_wait + SLACK
        wrong = {
            f"{self.lost} lost": self.lost,
            f"publishes failed: {dict(self.failed)}": self.failed,
            f"{self.refused} refused": self.refused and not plan.may_refuse,
            f"{self.unflagged} doubled unflagged": self.unflagged,
            f"consuming again only after {self.longest:.1f} s": self.longest > limit,
            "published too few": self.published < plan.messages,
            f"cuts seen: {dict(self.cuts)}": not self.has_cuts(plan.cuts),
            f"{self.kills} kills": self.kills < plan.kills,
            f"{self.freezes} freezes": self.freezes < plan.freezes,
        }
        return [what for what, is_wrong in wrong.items() if is_wrong]

    def has_cuts(self, count: int) -> bool:
        """Return whether each client saw so many cuts."""
        return min(self.cuts["publisher"], self.cuts["consumer"]) >= count

    def __str__(self) -> str:
        return (
            f"published {self.published:,}, refused {self.refused:,}, "
            f"received {self.received:,}, lost {self.lost}, "
            f"doubled {self.doubled:,} ({self.unflagged} unflagged), "
            f"cuts {self.cuts.total():,}, kills {self.kills}, freezes {self.freezes}, "
            f"consuming again after {self.longest:.1f} s at most, "
            f"{self.seconds:.0f} s; seed {self.seed}"
        )
