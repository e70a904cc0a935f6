"""
Take all messages that a queue has, though more may come all the time.

No broker tells over STOMP how many there are, and none marks where they end.  But they
hand out what is there as fast as they can.  So when little comes for some time, all
that was there before has come.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from ..._util.steady_clock import steady
from .protocol import StompProtocol, fence
from .wire.parser import Frame

_FEW: Final = 100
_FEW_BYTES: Final = 256 * 1024
"""What is less than that, in messages and in bytes, is little."""

_ENOUGH: Final = 3
"""
How often little has to come, one time after the other: a busy broker may falter.
"""

MOST_SECONDS: Final = 20.0
"""For how long messages are taken from a queue to which very many come."""


class Drain:
    """
    Takes messages, and counts them.

    @ivar number: how many have come.
    """

    def __init__(
        self, socket: StompProtocol, clock: IReactorTime, seconds: float
    ) -> None:
        """@param seconds: when nothing has come for so long, nothing is there."""
        self.number = 0
        self._bytes = 0
        self._socket = socket
        self._clock = steady(clock)
        self._seconds = seconds

    def take(self, frame: Frame) -> None:
        """Take a message."""
        self.number += 1
        self._bytes += len(frame.body)

    async def run(self) -> None:
        """Wait until all that was there at the beginning has come."""
        await self._seen()
        end = self._clock.seconds() + MOST_SECONDS
        in_a_row = 0
        while in_a_row < _ENOUGH and self._clock.seconds() < end:
            number, size = self.number, self._bytes
            await deferLater(self._clock, self._seconds)
            await self._seen()
            if self.number == number < _FEW:
                return
            is_little = self.number - number < _FEW and self._bytes - size < _FEW_BYTES
            in_a_row = in_a_row + 1 if is_little else 0

    async def _seen(self) -> None:
        """Wait until what was handed out by now has come, however long that takes."""
        # RabbitMQ handles all frames of one read before it looks at messages, so the
        # second fence has to come in another read.
        for _ in range(2):
            await fence(self._socket)
