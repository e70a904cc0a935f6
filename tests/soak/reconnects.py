"""What a client holds more after many reconnects: it should be nothing."""

from __future__ import annotations

import json
import sys
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from tests.soak.client import Target
from tests.soak.reconnecting_client import Held
from tests.support.broker_process import HOST
from tests.support.fault_proxy import FaultProxy
from tests.support.processes import Guard, environment

GROWTH: Final = 2 * 2**20
"""Bytes by which the client may grow."""


@attrs.frozen
class Growth:
    """
    What a client held after some reconnects, and after many.

    @ivar reconnects: after how many each was measured.
    @ivar before: at the first of them.
    @ivar after: at the second.
    """

    reconnects: tuple[int, int]
    before: Held
    after: Held

    def faults(self) -> list[str]:
        """Say what grew."""
        grown = self.after.memory - self.before.memory
        wrong = [f"{grown:,} bytes more"] if grown >= GROWTH else []
        for what in ("descriptors", "calls"):
            pair = getattr(self.before, what), getattr(self.after, what)
            if pair[0] != pair[1]:
                wrong.append(f"{pair[0]} {what}, and then {pair[1]}")
        return wrong

    def __str__(self) -> str:
        grown = (self.after.memory - self.before.memory) / 1024
        return (
            f"from reconnect {self.reconnects[0]:,} to {self.reconnects[1]:,}: "
            f"{grown:+,.0f} KiB, descriptors {self.before.descriptors} and "
            f"{self.after.descriptors}, delayed calls {self.before.calls} and "
            f"{self.after.calls}"
        )


class _Watcher(ProcessProtocol):
    """Cuts the connection of the program as often as that asks for it."""

    def __init__(self, proxy: FaultProxy) -> None:
        self._proxy = proxy
        self._rest = b""
        self._errors = b""
        self.result: Deferred[list[Held]] = Deferred()
        self._last = b"[]"

    def outReceived(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._last = line
            if line == b"cut":
                self._proxy.cut()

    def errReceived(self, data: bytes) -> None:
        self._errors += data

    def processEnded(self, reason: Failure) -> None:
        if self._errors or getattr(reason.value, "exitCode", None):
            text = self._errors.decode("utf-8", "replace")
            self.result.errback(RuntimeError(f"{reason.value}: {text}"))
        else:
            self.result.callback([Held(*each) for each in json.loads(self._last)])


async def reconnect(reactor: Any, target: Target, first: int, last: int) -> Growth:
    """
    Run a client in a process of its own, cut its connection many times, and measure.

    @param first: after how many reconnects to measure for the first time.
    @param last: after how many to end.
    """
    proxy = FaultProxy(reactor, target.port)
    url = f"{target.scheme}://guest:guest@{HOST}:{proxy.port}"
    program = ["-m", "tests.soak.reconnecting_client", url, str(first), str(last)]
    watcher = _Watcher(proxy)
    process = reactor.spawnProcess(
        watcher, sys.executable, [sys.executable, *program], environment()
    )
    guard = Guard(process.pid)
    try:
        before, after = await watcher.result
    finally:
        guard.leave()
        await proxy.stop()
    return Growth((first, last), before, after)
