"""
The job of a program that measures one client of an AMQP broker.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from benchmarks.bodies import compact, sized

HOST = "127.0.0.1"
USER = "guest"
WINDOW = 200
"""
How many messages may be unconfirmed, or unacked.
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

    @classmethod
    def from_command_line(cls) -> Job:
        mode, port, queue, size, count = sys.argv[1:]
        return cls(mode, int(port), queue, int(size), int(count))

    @property
    def arguments(self) -> list[str]:
        """The arguments as a command line."""
        return [str(each) for each in self]

    def payloads(self) -> list[dict[str, object]]:
        """Return an object for each message; after 2,000 they repeat."""
        some = [sized(number, self.size) for number in range(_DISTINCT)]
        return (some * (self.messages // _DISTINCT + 1))[: self.messages]

    def bodies(self) -> list[bytes]:
        """Return the objects as bytes, for the clients that send bytes."""
        some = [compact(each) for each in self.payloads()[:_DISTINCT]]
        return (some * (self.messages // _DISTINCT + 1))[: self.messages]
