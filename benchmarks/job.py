"""
What a program that measures one client of an AMQP broker is asked to do.
"""

from __future__ import annotations

import json
import sys
from typing import NamedTuple

from benchmarks.bodies import sized

HOST = "127.0.0.1"
USER = "guest"
WINDOW = 200
"""Unconfirmed messages, and unacked ones."""
PROPERTIES = {
    "content_type": "application/json",
    "content_encoding": "utf-8",
    "delivery_mode": 1,
    "priority": 0,
}
"""What every message has, beside empty headers: what ours have."""

_DISTINCT = 2000


class Job(NamedTuple):
    """The arguments of such a program, in order."""

    mode: str
    """C{publish}, C{confirm}, C{consume} or C{request}, or a client's own."""
    port: int
    queue: str
    """It exists, is empty, and for C{consume} holds C{messages}."""
    size: int
    """Of each body, in bytes."""
    messages: int
    """Of messages; at least one."""

    @classmethod
    def from_command_line(cls) -> Job:
        mode, port, queue, size, count = sys.argv[1:]
        return cls(mode, int(port), queue, int(size), int(count))

    @property
    def arguments(self) -> list[str]:
        """The command line."""
        return [str(each) for each in self]

    def payloads(self) -> list[dict[str, object]]:
        """One for each message; one comes again after 2,000 others."""
        some = [sized(number, self.size) for number in range(_DISTINCT)]
        return (some * (self.messages // _DISTINCT + 1))[: self.messages]

    def bodies(self) -> list[bytes]:
        """The same as bytes, for the clients that send those."""
        some = [json.dumps(each).encode() for each in self.payloads()[:_DISTINCT]]
        return (some * (self.messages // _DISTINCT + 1))[: self.messages]
