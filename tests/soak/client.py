"""One of the two clients of a run: its connection, its proxy, and the broker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs

from tests.support.broker_process import HOST, Node
from tests.support.fault_proxy import FaultProxy
from txkombu import BrokerConnection
from txkombu.core.lifecycle import State
from txkombu.policy import ReconnectPolicy

RECONNECT: Final = ReconnectPolicy(first=0.1, max=1)
HEARTBEAT: Final = 2
"""Seconds."""


@attrs.frozen
class Target:
    """
    A broker, and how it is reached.

    @ivar name: what a report calls it.
    @ivar node: the broker, which the run may kill and freeze.
    @ivar scheme: of the URL.
    @ivar port: the broker's port for it.
    @ivar sync: blocks until what was declared outlives the broker.
    """

    name: str
    node: Node
    scheme: str
    port: int
    sync: Callable[[], object] = bool


class Client:
    """
    A connection through a proxy of its own.

    @param on_lost: called when the connection was lost.
    @ivar proxy: all that it sends passes this.
    @ivar connection: the connection.
    """

    def __init__(
        self, reactor: Any, target: Target, on_lost: Callable[[], None]
    ) -> None:
        self._on_lost = on_lost
        self._state = State.IDLE
        self.proxy = FaultProxy(reactor, target.port)
        place = f"guest:guest@{HOST}:{self.proxy.port}"
        self.connection = BrokerConnection(
            f"{target.scheme}://{place}/?heartbeat={HEARTBEAT}",
            reactor=reactor,
            reconnect=RECONNECT,
            on_state=self._on_state,
        )

    def _on_state(self, state: State) -> None:
        before, self._state = self._state, state
        if before is State.CONNECTED and state is State.WAITING:
            self._on_lost()

    async def close(self) -> None:
        """Close the connection and the proxy."""
        await self.connection.close()
        await self.proxy.stop()
