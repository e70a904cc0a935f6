"""
Exclusive queues: each lives and ends with a connection, which its consumer takes over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from twisted.internet.defer import DeferredLock

from ...exceptions import (
    ConsumerCancelled,
    PreconditionFailed,
    ResourceLocked,
    SessionLost,
    broker_error,
)
from .connections import ConnectionPool, SilentOwner
from .dialect import Dialect
from .protocol import StompProtocol

if TYPE_CHECKING:
    from ...entity import Queue

_PROPERTIES: Final = {
    "exclusive": ResourceLocked.default_code,
    "arguments": PreconditionFailed.default_code,
}
"""
What another declaration has to agree in, and AMQP's code for it if it does not.  To
RabbitMQ no exclusive queue is durable, whatever its declaration says.
"""


class _Consumer(Protocol):
    @property
    def is_over(self) -> bool: ...

    def socket_lost(self, reason: Exception) -> None: ...

    def queue_gone(self, error: Exception) -> None: ...


class ExclusiveQueue(SilentOwner):
    """One exclusive queue, as it was declared; the owner of its connection."""

    def __init__(self, queue: Queue, pool: ConnectionPool) -> None:
        super().__init__()
        self.queue = queue
        self._pool = pool
        self.socket: StompProtocol | None = None
        self.consumer: _Consumer | None = None

    @property
    def is_there(self) -> bool:
        """Whether it can be used: its connection and its consumer have not ended."""
        socket, consumer = self.socket, self.consumer
        is_alive = socket is not None and socket.alive
        return is_alive and (consumer is None or not consumer.is_over)

    def take(self, consumer: _Consumer, dialect: Dialect) -> StompProtocol:
        """Give its connection to its consumer; raise NotSupported if it has one."""
        if self.consumer is not None or self.socket is None:
            raise dialect.unsupported("a second consumer of an exclusive queue")
        self.consumer = consumer
        return self.socket

    def socket_lost(self, reason: Exception) -> None:
        if isinstance(reason, SessionLost):
            super().socket_lost(reason)
        elif self.consumer is not None:
            self.consumer.socket_lost(reason)
        elif self.socket is not None:
            self._pool.drop(self.socket)


class ExclusiveQueues:
    """The exclusive queues of one session, which ends if one is lost."""

    def __init__(
        self,
        dialect: Dialect,
        pool: ConnectionPool,
        lost: Callable[[Exception], object],
    ) -> None:
        self._dialect = dialect
        self._pool = pool
        self._lost = lost
        self._queues: dict[str, ExclusiveQueue] = {}
        self._lock = DeferredLock()

    def find(self, name: str) -> ExclusiveQueue | None:
        """Return the queue of that name, if it is there."""
        found = self._queues.get(name)
        return found if found is not None and found.is_there else None

    async def declare(self, queue: Queue) -> None:
        """
        Declare a queue.  If it is there, nothing is sent: a refusal would delete it.

        @raise BrokerError: it was declared with other properties.
        """
        name, own = queue.name, self._pool.own
        async with self._lock:
            found = self.find(name)
            if found is not None:
                _check(found.queue, queue)
                return
            await self._forget(name)
            fresh = ExclusiveQueue(queue, self._pool)
            fresh.when_lost(self._lost)
            fresh.socket = socket = own[name] = await self._pool.open(fresh)
            self._pool.when_gone(socket, lambda: self._gone(fresh))
            try:
                await self._dialect.declare_queue(queue, False, self._pool)
            except BaseException:
                self._gone(fresh)
                self._pool.leave(socket)
                raise
            self._queues[name] = fresh

    def _gone(self, queue: ExclusiveQueue) -> None:
        """Forget a queue whose connection is gone."""
        name, own = queue.queue.name, self._pool.own
        if self._queues.get(name) is queue:
            del self._queues[name]
        if own.get(name) is queue.socket:
            del own[name]

    async def find_or_end(self, name: str) -> ExclusiveQueue | None:
        """Return the queue of that name, or wait until one that has ended is gone."""
        if name in self._queues and self.find(name) is None:
            async with self._lock:
                if self.find(name) is None:
                    await self._forget(name)
        return self.find(name)

    async def delete(self, name: str) -> bool:
        """Delete a queue, tell its consumer, and return whether it was there."""
        async with self._lock:
            was_there = self.find(name) is not None
            await self._forget(name)
            return was_there

    async def _forget(self, name: str) -> None:
        found = self._queues.pop(name, None)
        if found is not None and found.socket is not None:
            self._pool.own.pop(name, None)
            left = self._pool.leave(found.socket)
            if found.consumer is not None:
                text = f"queue {name!r} was deleted"
                found.consumer.queue_gone(ConsumerCancelled(text))
            await left


def _check(known: Queue, queue: Queue) -> None:
    """@raise BrokerError: a queue is declared with other properties than before."""
    for field, code in _PROPERTIES.items():
        was, wanted = getattr(known, field), getattr(queue, field)
        if was != wanted:
            raise broker_error(
                code,
                f"queue {queue.name!r} of this session was declared with "
                f"{field}={was!r}, not {wanted!r}",
                about=queue.name,
            )
