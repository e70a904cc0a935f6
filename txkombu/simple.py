"""SimpleQueue and SimpleBuffer: queues seen as Python's C{queue.Queue}."""

from __future__ import annotations

from collections.abc import Mapping
from queue import Empty
from types import MappingProxyType, TracebackType
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from ._util.timeouts import with_timeout
from .core.lending import ChannelLender
from .entity import Exchange, Queue
from .exceptions import NotSupported, OperationTimeout
from .message import Message
from .messaging.consumer import Consumer
from .messaging.producer import Producer

__all__ = ["Empty", "SimpleBuffer", "SimpleQueue"]

_NOT_FOR_QUEUES: Final = (
    "queue_opts, queue_args and exchange_opts are for a queue given by its name; give "
    "such options to the Queue and its Exchange"
)


class SimpleQueue:
    """
    Put messages into one queue, and get them out of it.

    A queue that is given by its name is bound to a direct exchange of the same name.

    Subclasses may set C{no_ack}, C{queue_opts}, C{queue_args} and C{exchange_opts} as
    class attributes; of the last three, options that are given replace single ones.

    @param channel: a channel, or a connection, on which it opens its own.
    @param name: a queue's name, or a L{Queue}.
    @param no_ack: messages need no ack, and can be lost; by default as the queue says.
    @param queue_opts: arguments of the L{Queue} that is made if only a name is given.
    @param queue_args: its C{queue_arguments}.
    @param exchange_opts: arguments of the L{Exchange} that is made with it.
    @param serializer: the default for L{put}.
    @param compression: the default for L{put}.
    @param accept: what may be decoded; see L{Consumer}.
    @param max_body_size: what a body may become, in bytes; see L{Consumer}.
    """

    Empty = Empty
    no_ack: bool | None = None
    queue_opts: Mapping[str, Any] = MappingProxyType({})
    queue_args: Mapping[str, object] = MappingProxyType({})
    exchange_opts: Mapping[str, Any] = MappingProxyType({"type": "direct"})

    def __init__(
        self,
        channel: ChannelLender,
        name: str | Queue,
        no_ack: bool | None = None,
        queue_opts: Mapping[str, Any] | None = None,
        queue_args: Mapping[str, object] | None = None,
        exchange_opts: Mapping[str, Any] | None = None,
        serializer: str | None = None,
        compression: str | None = None,
        accept: list[str] | None = None,
        max_body_size: int | None = None,
    ) -> None:
        if not isinstance(name, Queue):
            queue = Queue(
                name,
                Exchange(name, **{**self.exchange_opts, **(exchange_opts or {})}),
                routing_key=name,
                queue_arguments={**self.queue_args, **(queue_args or {})},
                **{**self.queue_opts, **(queue_opts or {})},
            )
        elif queue_opts or queue_args or exchange_opts:
            raise TypeError(_NOT_FOR_QUEUES)
        else:
            queue = name
        self._consumer = Consumer(
            channel,
            queue,
            no_ack=self.no_ack if no_ack is None else no_ack,
            accept=accept,
            max_body_size=max_body_size,
        )
        self.channel = self._consumer.channel
        [self.queue] = self._consumer.queues  # type: ignore[misc]  # a list by now
        self._producer = Producer(
            self.channel,
            self.queue.exchange,
            routing_key=self.queue.routing_key,
            serializer=serializer,
            compression=compression,
        )

    def put(self, message: object, **options: Any) -> Deferred[None]:
        """
        Publish to the queue, which is declared if need be.

        @param message: the body.
        @param options: as for L{Producer.publish}.
        @return: as L{Producer.publish}.
        """
        further = options.pop("declare", None) or ()
        declare = [self.queue, *further]
        return self._producer.publish(message, declare=declare, **options)

    def get(
        self, block: bool = True, timeout: float | None = None
    ) -> Deferred[Message]:
        """
        Take one message out.

        @param block: whether to wait for one.
        @param timeout: seconds to wait; C{None} waits for ever.
        @return: fires with it; fails with C{queue.Empty} if there is none.
        """
        if not block:
            return self.get_nowait()
        waiting = self._consumer.consume().addCallback(lambda _: self._consumer.take())
        if timeout is None:
            return waiting
        clock = self.channel.core.connection.clock
        return with_timeout(waiting, clock, timeout, "get").addErrback(_as_empty)

    def get_nowait(self) -> Deferred[Message]:
        """Take one message out if there is one now; else fail with C{queue.Empty}."""
        waiting = self._consumer.take_now()
        if waiting is not None:
            return succeed(waiting)
        return self._consumer.get().addCallback(_or_empty)

    def clear(self) -> Deferred[int]:
        """
        Delete the ready messages.

        @return: fires with their number; fails as L{Queue.declare} does.
        """
        declaring = self._producer.maybe_declare(self.queue)
        return declaring.addCallback(lambda _: self.queue.purge())

    def qsize(self) -> Deferred[int | None]:
        """
        Count the ready messages.

        @return: fires with their number, or with C{None} if the broker does not tell
            it; fails as L{Queue.declare} does.
        """
        declaring = self._producer.maybe_declare(self.queue)
        return declaring.addCallback(
            lambda _: self.queue.queue_declare(passive=True)
        ).addCallbacks(lambda ok: ok.message_count, _untold)

    def close(self) -> Deferred[None]:
        """Requeue what was taken and is not settled, and end; never fails."""
        return self._producer.close().addCallback(lambda _: self._consumer.close())

    async def __aenter__(self) -> SimpleQueue:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class SimpleBuffer(SimpleQueue):
    """
    A L{SimpleQueue} for messages that may be lost.

    The queue belongs to its connection, and is deleted with it or with its last
    consumer.  Messages need no ack.  Queue, exchange and messages do not survive a
    restart of the broker.
    """

    no_ack = True
    queue_opts = MappingProxyType(
        {"durable": False, "auto_delete": True, "exclusive": True}
    )
    exchange_opts = MappingProxyType(
        {
            "durable": False,
            "auto_delete": True,
            "delivery_mode": Exchange.TRANSIENT_DELIVERY_MODE,
        }
    )


def _or_empty(message: Message | None) -> Message:
    if message is None:
        raise Empty
    return message


def _untold(failure: Failure) -> None:
    """Give no number where the transport cannot check a queue."""
    failure.trap(NotSupported)


def _as_empty(failure: Failure) -> Failure:
    if failure.check(OperationTimeout):
        raise Empty from failure.value
    return failure
