"""
How one kind of broker expresses AMQP's entities in STOMP.

A dialect writes and reads what its broker understands, and keeps no state of a
connection.  Its caller limits the time of a recipe, and adds to an error what the
operation was about.

Everything here raises L{NotSupported<txkombu.exceptions.NotSupported>}, ValueError or
TypeError before anything is sent.  What is sent and refused fails with the error that
the connection makes of the ERROR frame.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from ...exceptions import BrokerError, ChannelError, NotSupported
from ...interfaces import Capability, Delivery, Properties
from .wire.parser import BODY_MOST, Frame

if TYPE_CHECKING:
    from ...entity import Exchange, Queue
    from .connections import ConnectionPool
    from .protocol import StompProtocol


class StompBinding(NamedTuple):
    """One binding of a queue; the type of its exchange is known."""

    exchange: Exchange
    routing_key: str
    arguments: Mapping[str, object]

    def is_same(self, other: StompBinding) -> bool:
        """Tell whether both are one binding to the broker."""
        mine, theirs = self.exchange.name, other.exchange.name
        return (mine, *self[1:]) == (theirs, *other[1:])


class BoundQueue(NamedTuple):
    """A queue, and its bindings that the session knows, if the dialect reads them."""

    queue: Queue
    bindings: Iterable[StompBinding] = ()


class ConsumeOptions(NamedTuple):
    """What a consumer asks for; a prefetch count of 0 is no limit."""

    prefetch_count: int = 0
    no_ack: bool = False


class Source(NamedTuple):
    """One SUBSCRIBE: its destination, not escaped, and its headers but for the id."""

    destination: str
    headers: tuple[tuple[str, str], ...]


class GetResult(NamedTuple):
    """A message that was got, and the connection on which it must be settled."""

    frame: Frame
    socket: StompProtocol


class Dialect(ABC):
    """
    What differs between brokers.  Each session has an instance.

    @cvar name: the value of a URL's option C{dialect} that asks for it.
    @cvar errors_are_fatal: an ERROR frame ends its connection.
    @cvar length_is_last: a C{content-length} is always the last header of a frame.
    @cvar reads_bindings: a consumer, a get and a purge need a queue's bindings.
    @cvar settles_by_itself: the broker settles what it sends to a consumer with
        no_ack; otherwise the library acknowledges it as it hands it out.
    @ivar version: the broker's version; C{""} if it hides that.
    @ivar userid: the user who is logged in.
    @ivar exchange_named: returns an exchange that was declared in this session.
    """

    name: ClassVar[str]
    product: ClassVar[str]
    errors_are_fatal: ClassVar[bool]
    length_is_last: ClassVar[bool] = False
    capabilities: ClassVar[frozenset[Capability]]
    reads_bindings: ClassVar[bool] = False
    settles_by_itself: ClassVar[bool] = True
    max_body: ClassVar[int] = BODY_MOST

    def __init__(
        self,
        version: str = "",
        userid: str = "",
        exchange_named: Callable[[str], Exchange | None] = lambda name: None,
    ) -> None:
        self.version = version
        self.userid = userid
        self.exchange_named = exchange_named

    def unsupported(self, operation: str, hint: str = "") -> NotSupported:
        """Return the error for an operation, and a hint what to do instead."""
        return NotSupported(
            operation, "stomp", f"not with {self.product}{hint and f'; {hint}'}"
        )

    @abstractmethod
    def destination(self, exchange: Exchange, routing_key: str) -> str:
        """Return the destination of a SEND, not escaped.  The caller caches it."""

    def publish_headers(self, exchange: Exchange, routing_key: str) -> bytes:
        """Return further header lines of a SEND, encoded; cached as the destination."""
        return b""

    @abstractmethod
    def properties(self, properties: Properties, now: float) -> bytes:
        """
        Return the header lines of a SEND for the properties of a message, encoded.
        """

    def refuses(self, error: BrokerError, destination: str) -> bool:
        """Tell whether the error that ended a connection is about a destination."""
        return False

    def may_refuse(self, error: BrokerError) -> bool:
        """
        Tell whether the error that ended a connection can be about a SEND that asked
        for a receipt, and then proves that the broker does not have the message.
        """
        return isinstance(error, ChannelError)

    @abstractmethod
    def delivery(self, frame: Frame, tag: int, consumer_tag: str) -> Delivery:
        """Return the delivery for a MESSAGE.  Never raises."""

    @abstractmethod
    def ack(self, frame: Frame) -> bytes:
        """Return the frames that acknowledge a MESSAGE, on its own connection."""

    @abstractmethod
    def nack(self, frame: Frame, requeue: bool) -> bytes:
        """Return the frames that give back or reject a MESSAGE."""

    @abstractmethod
    def check_exchange(self, exchange: Exchange) -> None:
        """Check an exchange."""

    @abstractmethod
    def check_queue(self, queue: Queue) -> None:
        """Check a queue."""

    @abstractmethod
    def check_binding(self, bound: StompBinding, to: BoundQueue) -> None:
        """Check a binding to be added to a queue."""

    def warning_of(self, queue: Queue) -> str:
        """Return what users should know of a queue that can be declared, or C{""}."""
        return ""

    @abstractmethod
    def sources(self, bound: BoundQueue, options: ConsumeOptions) -> list[Source]:
        """Return what a consumer of a queue has to subscribe to."""

    def added_source(
        self, queue: Queue, bound: StompBinding, options: ConsumeOptions, others: int
    ) -> Source:
        """
        Return what a consumer has to subscribe to in addition for a binding that was
        added later; only a dialect that reads bindings has such sources.

        @param others: how many sources the consumer has subscribed to.
        """
        raise NotImplementedError  # no binding adds a source in other dialects

    def stop_frames(self, id: str) -> bytes | None:
        """
        Return what ends a subscription so that its messages can still be settled, and
        that messages under way come before the receipt of a frame behind.

        @return: C{None} if only the end of the connection ends a subscription so.
        """
        return None

    @abstractmethod
    async def declare_exchange(self, exchange: Exchange, pool: ConnectionPool) -> None:
        """Make sure that an exchange is there, as far as the broker knows exchanges."""

    @abstractmethod
    async def declare_queue(
        self, queue: Queue, passive: bool, pool: ConnectionPool
    ) -> None:
        """Make sure that a queue is there.  It has a name."""

    @abstractmethod
    async def bind_queue(
        self, queue: Queue, bound: StompBinding, pool: ConnectionPool
    ) -> None:
        """Bind a queue.  Whatever is refused, the queue loses no message."""

    async def delete_queue(self, queue: Queue, pool: ConnectionPool) -> None:
        """Delete a queue that is not exclusive; it need not exist."""
        raise self.unsupported("deleting queues")

    @abstractmethod
    async def purge_queue(self, bound: BoundQueue, pool: ConnectionPool) -> int:
        """Remove all messages that are not in flight, and return how many."""

    @abstractmethod
    async def get(
        self, bound: BoundQueue, no_ack: bool, pool: ConnectionPool
    ) -> GetResult | None:
        """
        Take one message.

        @return: it, on a connection that is left open to settle it, with C{no_ack}
            too; C{None} if none is ready, and then no connection is left open.
        """
