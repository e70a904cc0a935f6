"""
Publish many messages without confirms, waiting for each Deferred, and measure the
memory of this process.

The arguments are port, queue and number of messages.  The program prints the number of
published messages after each tenth of them, and a line of JSON at the end.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import monotonic

from twisted.internet.task import LoopingCall, react

from txkombu import BrokerConnection, Exchange, Producer

SIZE = 1024
TICK = 0.1
NUMBER = 8
"""
Bytes at the start of each body that have the message's number.
"""


def memory(field: str) -> int:
    """
    Read the memory of this process.

    @param field: C{VmRSS}, what is resident now; C{VmHWM}, the most that was resident.
    @return: bytes.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    [line] = [each for each in status.splitlines() if each.startswith(f"{field}:")]
    return int(line.split()[1]) * 1024


class Watcher:
    """Checks the connection and the memory ten times a second."""

    def __init__(self, connection: BrokerConnection) -> None:
        self._connection = connection
        self.before = self.maximum = memory("VmRSS")
        self.blocked = 0
        self._ticks = LoopingCall(self._look)
        self._ticks.start(TICK)

    def _look(self) -> None:
        self.maximum = max(self.maximum, memory("VmRSS"))
        if self._connection.blocked_reason:
            self.blocked += 1

    def stop(self) -> dict[str, float]:
        """Return the bytes by which the process grew, and the seconds in the alarm."""
        self._ticks.stop()
        grown = max(self.maximum, memory("VmHWM")) - self.before
        return {"grown": grown, "blocked": self.blocked * TICK}


async def main(reactor: object) -> None:
    """Publish all messages."""
    port, queue, count = sys.argv[1:]
    messages = int(count)
    connection = BrokerConnection(f"amqp://127.0.0.1:{port}")
    channel = await connection.channel()
    transient = Exchange("", delivery_mode="transient")
    producer = Producer(channel, transient, routing_key=queue)
    watcher = Watcher(connection)
    began = monotonic()
    for number in range(messages):
        if number % (messages // 10) == 0:
            print(number, flush=True)
        body = number.to_bytes(NUMBER, "big").ljust(SIZE, b".")
        await producer.publish(body, confirm=False)
    seconds = monotonic() - began
    print(json.dumps({"seconds": seconds, **watcher.stop()}))
    await connection.close()


if __name__ == "__main__":
    react(main)
