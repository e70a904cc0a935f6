"""
Reconnect many times, and measure what this process holds.

The arguments are a URL and the numbers of reconnects after which to measure.  Each line
that the program prints asks for the connection to be cut, until the last one, which is
a list of L{Held} as JSON.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from contextlib import suppress
from typing import Any, NamedTuple
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react

from benchmarks.rss_publish import memory
from txkombu import BrokerConnection, Consumer, Exchange, Message, Producer, Queue
from txkombu.core.lifecycle import State
from txkombu.exceptions import NotSupported
from txkombu.policy import ReconnectPolicy

SETTLING = 0.5
"""Seconds from a round trip until all that it needed is gone again."""


class Held(NamedTuple):
    """What a process holds."""

    memory: int
    """Bytes that are resident."""
    descriptors: int
    """Open files and sockets."""
    calls: int
    """Calls that the reactor is to make later."""


def held(reactor: Any) -> Held:
    """Measure what this process holds now."""
    gc.collect()
    descriptors = len(os.listdir("/proc/self/fd"))
    return Held(memory("VmRSS"), descriptors, len(reactor.getDelayedCalls()))


class Program:
    """A consumer, and a producer with a declared queue, on one connection."""

    def __init__(self, reactor: Any, url: str) -> None:
        self._reactor = reactor
        self._lost: Deferred[None] = Deferred()
        self._came: Deferred[None] = Deferred()
        self._wanted = -1
        self.connection = BrokerConnection(
            url,
            reactor=reactor,
            reconnect=ReconnectPolicy(first=0.005, max=0.005),
            on_state=self._on_state,
        )
        name = f"reconnects-{uuid4().hex}"
        self.queue = Queue(name, Exchange(name, "direct"), name, auto_delete=False)
        self._producer = Producer(
            self.connection, self.queue.exchange, routing_key=name
        )

    def _on_state(self, state: State) -> None:
        if state is State.WAITING and not self._lost.called:
            self._lost.callback(None)

    def _handle(self, number: int, message: Message) -> object:
        if number == self._wanted and not self._came.called:
            self._came.callback(None)
        return message.ack()

    async def run(self, marks: list[int]) -> list[Held]:
        """Reconnect, and measure after so many reconnects."""
        found = []
        await Consumer(self.connection, self.queue, callbacks=[self._handle]).consume()
        for number in range(max(marks) + 1):
            await self._round_trip(number)
            if number in marks:
                await deferLater(self._reactor, SETTLING)
                found.append(held(self._reactor))
            if number % 20 == 0:
                gc.collect()  # so that garbage that piles up is no growth
            if number < max(marks):
                await self._loss()
        with suppress(NotSupported):
            await self.queue(self.connection).delete()
            await self.queue.exchange(self.connection).delete()
        await self.connection.close()
        return found

    async def _round_trip(self, number: int) -> None:
        self._wanted = number
        self._came = Deferred()
        await self._producer.publish(number, declare=[self.queue], retry=True)
        await self._came

    async def _loss(self) -> None:
        self._lost = Deferred()
        print("cut", flush=True)
        await self._lost


async def main(reactor: Any, url: str, *marks: str) -> None:
    """Run the program, and print what was measured."""
    print(json.dumps(await Program(reactor, url).run([int(each) for each in marks])))


if __name__ == "__main__":
    react(lambda *given: Deferred.fromCoroutine(main(*given)), sys.argv[1:])
