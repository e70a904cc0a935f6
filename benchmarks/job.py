"""
The job of a program that measures one client of an AMQP broker.
"""

from __future__ import annotations

import sys
from typing import NamedTuple, TypeVar

from benchmarks.bodies import compact, sized

T = TypeVar("T")

HOST = "127.0.0.1"
USER = "guest"
WINDOW = 200
"""
How many messages may be unconfirmed, or unacked.
"""
_WINDOW_BYTES = 16 * 1024 * 1024
"""Bytes that the bodies may have which are unconfirmed."""
FEW = 10
"""
How many of them each of many consumers may have.
"""
PROPERTIES = {
    "content_type": "application/json",
    "content_encoding": "utf-8",
    "delivery_mode": 1,
    "priority": 0,
}
"""
The properties of every message, beside empty headers: those that txkombu sends.
"""

_DISTINCT = 2000
_HELD = 64 * 1024 * 1024
"""Bytes that the different bodies may have together."""


class Job(NamedTuple):
    """The arguments of such a program, in their order."""

    mode: str
    """
    C{publish}, C{confirm}, C{consume} or C{request}, or a mode of one client only.
    """
    port: int
    queue: str
    """A queue that exists; it is empty, or for C{consume} holds C{messages}."""
    size: int
    """Bytes of each body."""
    messages: int
    """How many messages; at least one."""
    consumers: int = 1
    """How many consumers share the work, for C{consume-many}."""

    @classmethod
    def from_command_line(cls) -> Job:
        mode, port, queue, *numbers = sys.argv[1:]
        return cls(mode, int(port), queue, *map(int, numbers))

    @property
    def arguments(self) -> list[str]:
        """The arguments as a command line."""
        return [str(each) for each in (self if self.consumers > 1 else self[:-1])]

    @property
    def window(self) -> int:
        """How many messages may be unconfirmed: 200, or 16 MiB."""
        return max(1, min(WINDOW, _WINDOW_BYTES // self.size))

    def payloads(self) -> list[dict[str, object]]:
        """Return an object for each message; after 2,000 or 64 MiB they repeat."""
        count = min(_DISTINCT, _HELD // self.size)
        return self._repeated([sized(number, self.size) for number in range(count)])

    def bodies(self) -> list[bytes]:
        """Return the objects as bytes, for the clients that send bytes."""
        count = min(_DISTINCT, _HELD // self.size)
        return self._repeated([compact(each) for each in self.payloads()[:count]])

    def _repeated(self, some: list[T]) -> list[T]:
        return (some * (self.messages // len(some) + 1))[: self.messages]
