"""The faults of a run, chosen at random from a seed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from random import Random
from typing import Any, Final

from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.soak.client import HEARTBEAT, Client, Target
from tests.soak.figures import Figures, Plan
from tests.support.fault_proxy import FaultProxy

FROZEN: Final = 3.5 * HEARTBEAT
"""Seconds; a client gives a silent broker up after two heartbeats, three at most."""
SOON: Final = 0.02
"""Seconds between two looks."""


class Faults:
    """
    Cuts connections all the time; kills and freezes the broker as the run proceeds.

    @param clients: by the name that the figures have for them.
    @param received: tells how many messages have arrived.
    @ivar is_broker_away: whether the broker is killed or frozen just now.
    """

    def __init__(
        self,
        reactor: Any,
        target: Target,
        plan: Plan,
        figures: Figures,
        clients: dict[str, Client],
        received: Callable[[], int],
    ) -> None:
        self._reactor = reactor
        self._node = target.node
        self._plan = plan
        self._figures = figures
        self._clients = clients
        self._received = received
        self._random = Random(figures.seed)
        self._stopped = False
        self._outages_are_over = False
        self.is_broker_away = False
        self._healed_at: float = reactor.seconds()

    @property
    def healed_at(self) -> float:
        """When the last fault was over that the consumer may have seen."""
        proxy = self._clients["consumer"].proxy
        is_to_come = any(way.cut_after is not None for way in proxy.ways)
        if self.is_broker_away or is_to_come:
            self._healed_at = self._reactor.seconds()
        return self._healed_at

    @property
    def are_done(self) -> bool:
        """Whether all faults of the plan have happened."""
        return self._outages_are_over and self._figures.has_cuts(self._plan.cuts)

    def programs(self) -> Iterator[Coroutine[Any, Any, None]]:
        """Give what makes the faults, side by side."""
        yield from map(self.cut, self._clients)
        yield self.break_broker()

    def stop(self) -> None:
        """Make no further cut."""
        self._stopped = True

    async def _pause(self, seconds: float) -> None:
        await deferLater(self._reactor, seconds)

    # --- cuts ---------------------------------------------------------------

    async def cut(self, name: str) -> None:
        """Cut the links of that client until L{stop}, in one way and another."""
        proxy = self._clients[name].proxy
        while True:
            await self._pause(self._random.uniform(0.2, 1.0))
            if self._stopped:
                return
            # A frozen broker is to be found out by its silence.
            if proxy.links and not self.is_broker_away:
                self._cut_once(proxy)
                if name == "consumer":
                    self._healed_at = self._reactor.seconds()

    def _cut_once(self, proxy: FaultProxy) -> None:
        chance = self._random
        for each in proxy.ways:
            each.cut_after = None
        way = chance.choice(proxy.ways)
        kind = chance.choice(("reset", "reset of one", "end", "half close", "in frame"))
        if kind == "reset":
            proxy.cut()
        elif kind == "reset of one":
            chance.choice(proxy.links).cut()
        elif kind == "end":
            for link in proxy.links:
                link.cut(flush=True)
        elif kind == "half close":
            proxy.half_close(way)
        else:
            way.cut_after = chance.randrange(1, 2000)
        self._figures.made[kind] += 1

    # --- outages ------------------------------------------------------------

    async def break_broker(self) -> None:
        """Kill and freeze the broker as often as planned, while messages arrive."""
        outages = [self._kill] * self._plan.kills + [self._freeze] * self._plan.freezes
        self._random.shuffle(outages)
        for number, outage in enumerate(outages, 1):
            await self._progress(self._plan.messages * number // (len(outages) + 1))
            self.is_broker_away = True
            await outage()
            self._healed_at = self._reactor.seconds()
            self.is_broker_away = False
        self._outages_are_over = True

    async def _progress(self, wanted: int) -> None:
        """Wait until so many messages have arrived, and both clients are connected."""
        while self._received() < wanted or self._connected() < len(self._clients):
            await self._pause(SOON)

    def _connected(self) -> int:
        return sum(each.connection.connected for each in self._clients.values())

    async def _kill(self) -> None:
        await deferToThread(self._node.kill)
        while self._connected():
            await self._pause(SOON)
        self._figures.kills += 1
        await deferToThread(self._node.start)

    async def _freeze(self) -> None:
        self._node.freeze()
        try:
            await self._pause(FROZEN)
            self._figures.freezes += not self._connected()
        finally:
            self._node.thaw()
