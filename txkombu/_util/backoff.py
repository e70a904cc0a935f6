"""Growing waits between attempts."""

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
    How long to wait before the next attempt, after a connection, channel or consumer
    was lost or refused.

    @ivar first: seconds before the first attempt; more than 0.  A lost channel is
        opened again at once the first time.
    @ivar max: the maximum seconds of a wait; also the wait after a refusal that
        somebody has to mend, such as a wrong password.
    @ivar factor: how many times as long as the last wait the next one is; at least 1.
    @ivar jitter: up to which part of each wait, from 0 to 1, is subtracted at random,
        so that many clients do not come back at the same moment.
    @ivar stable_after: how many seconds a connection, channel or consumer has to last
        before the waits begin with C{first} again.
    @raise TypeError: an argument is not a number.
    @raise ValueError: an argument is out of range.
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
    The growing waits between attempts.

    @param eager: whether the first wait is 0 seconds.
    @param jitter: returns random numbers from 0 to 1.
    @param policy: how the waits grow.
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
        """Return how many seconds to wait before the next attempt."""
        policy, base = self.policy, self._next
        self._next = min(policy.max, max(policy.first, base * policy.factor))
        return base * (1 - policy.jitter * self._jitter())

    def reset(self) -> None:
        """Begin with the first wait again."""
        self._next = 0.0 if self._eager else self.policy.first

    def reset_if_stable(self, clock: IReactorTime, since: float) -> None:
        """
        Reset if something has lasted long enough to count as stable.

        @param since: when it began, in seconds of the monotonic clock; see L{steady}.
        """
        if steady(clock).seconds() - since >= self.policy.stable_after:
            self.reset()
