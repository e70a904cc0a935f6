"""
Growing waits between attempts.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

import attrs
from twisted.internet.interfaces import IReactorTime

from .steady_clock import steady
from .validation import check_seconds


def _seconds(policy: object, field: attrs.Attribute[float], value: object) -> None:
    check_seconds(field.name, value)


def _number(policy: object, field: attrs.Attribute[float], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{field.name} must be a number, not {value!r}")


@attrs.frozen
class ReconnectPolicy:
    """
    How long to wait before what was lost or refused is tried again: a connection,
    a channel, a consumer, and what a service starts.

    @ivar first: seconds before the first attempt; more than 0.  A lost channel is
        opened again at once the first time.
    @ivar max: seconds that no wait exceeds, and those between attempts whose refusal
        somebody has to mend, such as a wrong password.
    @ivar factor: how many times as long each wait is as the one before; at least 1.
    @ivar jitter: the part of each wait, from 0 to 1, of which a random share is taken
        off, so that many clients do not come back at the same moment.
    @ivar stable_after: seconds that what came back has to last for the waits to begin
        anew.
    @raise TypeError: one of them is no number.
    @raise ValueError: one of them is out of range.
    """

    first: float = attrs.field(default=1.0, validator=_seconds)
    max: float = attrs.field(default=30.0, validator=_seconds)
    factor: float = attrs.field(default=2.0, validator=_number)
    jitter: float = attrs.field(default=0.25, validator=_number)
    stable_after: float = attrs.field(default=5.0, validator=_seconds)

    def __attrs_post_init__(self) -> None:
        if not self.first:
            raise ValueError("first must be more than 0 seconds")
        if self.max < self.first:
            raise ValueError(
                f"max must be at least as long as first, {self.first:g} s, "
                f"not {self.max:g} s"
            )
        if not 1 <= self.factor < float("inf"):
            raise ValueError(f"factor must be at least 1, not {self.factor}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter must be from 0 to 1, not {self.jitter}")


DEFAULT: Final = ReconnectPolicy()
"""1 s doubling to 30 s, each with up to a quarter taken off at random."""


class Backoff:
    """
    Growing waits between attempts, as a policy has them; 0 at first if allowed.

    @param eager: whether the first wait is none at all.
    @param jitter: gives numbers from 0 to 1.
    """

    def __init__(
        self,
        eager: bool = False,
        jitter: Callable[[], float] = random.random,
        policy: ReconnectPolicy = DEFAULT,
    ) -> None:
        self._eager = eager
        self._jitter = jitter
        self.policy = policy
        self._next = 0.0
        self.reset()

    def delay(self) -> float:
        """@return: how many seconds to wait before the next attempt."""
        policy, base = self.policy, self._next
        self._next = min(policy.max, max(policy.first, base * policy.factor))
        return base * (1 - policy.jitter * self._jitter())

    def reset(self) -> None:
        """Begin anew, since things went well for some time."""
        self._next = 0.0 if self._eager else self.policy.first

    def reset_if_stable(self, clock: IReactorTime, since: float) -> None:
        """
        Reset if what began at C{since} lived long enough to count as stable.

        @param since: seconds of the monotonic clock; see L{steady}.
        """
        if steady(clock).seconds() - since >= self.policy.stable_after:
            self.reset()
