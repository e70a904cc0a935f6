"""
What differs between brokers: how AMQP's entities are expressed in STOMP.

A dialect writes and reads what a broker understands, and keeps no state of a
connection.  Sessions, sockets, order, cancelling and the end are not its
business: it is told on which socket, and whoever runs its recipes bounds their
time, names in an error what the operation was about, and hands out what came.

Everything here raises L{NotSupported<txkombu.exceptions.NotSupported>},
ValueError or TypeError before anything is sent; what is sent and refused fails
with what the socket makes of the ERROR frame.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ...exceptions import BrokerError, NotSupported
from ...interfaces import Capability, Delivery, Properties, QueueDeclareOk
from .wire.frames import Frame
from .wire.parser import BODY_MOST

if TYPE_CHECKING:
    from ...entity import Exchange, Queue
    from .protocol import StompProtocol

__all__ = [
    "Connections",
    "ConsumeOptions",
    "Dialect",
    "GetResult",
    "Source",
    "StompBinding",
]


class StompBinding(NamedTuple):
    """One binding of a queue; the type of its exchange is known."""

    exchange: Exchange
    routing_key: str
    arguments: Mapping[str, object]


@attrs.frozen
class ConsumeOptions:
    """
    What a consumer asks for.

    @ivar prefetch_count: unsettled messages it may hold; 0 is no limit.
    @ivar no_ack: it settles nothing.
    @ivar exclusive: it wants the queue for itself.
    @ivar arguments: further arguments, the queue's own among them.
    """

    prefetch_count: int = 0
    no_ack: bool = False
    exclusive: bool = False
    arguments: Mapping[str, object] = attrs.field(factory=dict)


class Source(NamedTuple):
    """
    One SUBSCRIBE frame, but for its C{id} and C{receipt}.

    @ivar destination: as the broker spells it, not escaped.
    @ivar headers: the others, C{ack} and the prefetch among them.
    """

    destination: str
    headers: tuple[tuple[str, str], ...]


class GetResult(NamedTuple):
    """A message got, and the socket that it must be settled on."""

    frame: Frame
    socket: StompProtocol


class Connections(Protocol):
    """
    Where a recipe gets its sockets; all lead to where the session is.

    @ivar clock: for what has to be waited for.
    """

    @property
    def clock(self) -> IReactorTime: ...

    def short(self) -> AbstractAsyncContextManager[StompProtocol]:
        """
        A socket for as long as the context lasts.

        Leaving disconnects it and waits for the broker's word; leaving by
        being cancelled drops it.
        """

    def declaring(self, name: str = "") -> AbstractAsyncContextManager[StompProtocol]:
        """
        As L{short}, but it may have served others, and may serve more: nothing
        may come by it, and nothing that others would notice may be left on it.

        @param name: it did not serve this before.
        """

    def of(self, queue: Queue) -> AbstractAsyncContextManager[StompProtocol]:
        """
        The socket that owns an exclusive queue, which lives on; for any other
        queue as L{declaring}, for its name.
        """

    def open(self) -> Deferred[StompProtocol]:
        """
        A socket that whoever asks has to L{leave} or L{drop}, unless it hands it
        on in a L{GetResult}.
        """

    def leave(self, socket: StompProtocol) -> Deferred[None]:
        """
        Disconnect a socket.

        @return: fires when it is gone; never fails.
        """

    def drop(self, socket: StompProtocol) -> None:
        """Drop a socket now."""


class Dialect(ABC):
    """
    How one kind of broker wants it.  There is one for each session.

    @cvar name: the value of the C{dialect} option of a URL that asks for it.
    @cvar product: the broker's name, for people.
    @cvar errors_are_fatal: an ERROR frame ends its socket.
    @cvar length_is_last: see L{StompFrameParser<.wire.parser.StompFrameParser>}.
    @cvar capabilities: what works.
    @cvar reads_bindings: a consumer, a get and a purge have to know the
        bindings of the queue; otherwise they are given none.
    @cvar max_body: the most bytes of a body.
    @cvar settles_by_itself: the broker settles what it sends to a consumer with
        no_ack; otherwise that is acked when it is handed out.
    @cvar keeps: what a consumer holds has to be kept, by L{keep}, when its
        subscriptions end; otherwise it can be settled after L{stop_frames}.
    @ivar version: the broker's, as it tells it; C{""} if it hides it.
    @ivar userid: who logs in.
    @ivar exchange_named: gives an exchange that was declared in this session.
    """

    name: ClassVar[str]
    product: ClassVar[str]
    errors_are_fatal: ClassVar[bool]
    length_is_last: ClassVar[bool] = False
    capabilities: ClassVar[frozenset[Capability]]
    reads_bindings: ClassVar[bool] = False
    settles_by_itself: ClassVar[bool] = True
    keeps: ClassVar[bool] = False
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
        """
        The error for what cannot be done.

        @param operation: such as C{"headers exchange"}.
        @param hint: what to do about it.
        """
        return NotSupported(
            operation, "stomp", f"not with {self.product}{hint and f'; {hint}'}"
        )

    # --- publishing and settling: called for each message --------------------

    @abstractmethod
    def destination(self, exchange: Exchange, routing_key: str) -> str:
        """
        The destination of a SEND, not escaped.  Its caller caches it.

        @raise ValueError: a name cannot be expressed.
        """

    def publish_headers(self, exchange: Exchange, routing_key: str) -> bytes:
        """
        Header lines that a SEND has beside its destination, encoded; cached with
        it.
        """
        return b""

    @abstractmethod
    def properties(self, properties: Properties, now: float) -> bytes:
        """
        The header lines of a SEND for the properties of a message, encoded.

        @param now: seconds since the epoch.
        @raise ValueError: one is out of range, or cannot be expressed.
        @raise TypeError: one is not known, or of another type.
        @raise NotSupported: the broker does not take one.
        """

    def refuses(self, error: BrokerError, destination: str) -> bool:
        """
        Whether an error that ended a socket is about what was sent to a
        destination.  What was the only thing under way is not asked about.
        """
        return False

    @abstractmethod
    def delivery(self, frame: Frame, tag: int, consumer_tag: str) -> Delivery:
        """
        Make a delivery of a MESSAGE; its properties are decoded when asked for.
        Never raises.
        """

    @abstractmethod
    def ack(self, frame: Frame) -> bytes:
        """The frames that settle a MESSAGE, on the socket it came by."""

    @abstractmethod
    def nack(self, frame: Frame, requeue: bool) -> bytes:
        """The frames that give a MESSAGE back, which was not attempted."""

    @abstractmethod
    def reject(self, frame: Frame, requeue: bool) -> bytes:
        """The frames that reject a MESSAGE, which could not be handled."""

    # --- what a consumer holds that ends, if it can be kept -------------------

    def keep(self, frame: Frame) -> bytes:
        """The frames that keep a MESSAGE though its subscription ends."""
        raise self.unsupported("keeping messages")

    def ack_kept(self, frame: Frame) -> bytes:
        """As L{ack}, for one that was kept."""
        raise self.unsupported("keeping messages")

    def give_back_kept(self, frame: Frame) -> bytes:
        """As L{nack} with C{requeue}, for one that was kept."""
        raise self.unsupported("keeping messages")

    async def reject_kept(
        self, frame: Frame, socket: StompProtocol, clock: IReactorTime
    ) -> None:
        """As L{reject} without C{requeue}, for one that was kept; one by one."""
        raise self.unsupported("keeping messages")

    # --- checking, before anything is sent -----------------------------------

    @abstractmethod
    def check_exchange(self, exchange: Exchange) -> None:
        """
        @raise NotSupported: there can be no such exchange.
        @raise ValueError: a name cannot be expressed.
        """

    @abstractmethod
    def check_queue(self, queue: Queue) -> None:
        """
        @raise NotSupported: there can be no such queue.
        @raise ValueError: a name or an argument cannot be expressed.
        """

    def warning_of(self, queue: Queue) -> str:
        """
        What its owner should know of a queue that can be declared; C{""} is
        nothing.  It is told once.
        """
        return ""

    @abstractmethod
    def check_binding(
        self, queue: Queue, bound: StompBinding, others: Sequence[StompBinding]
    ) -> None:
        """
        @param others: the bindings that the queue has by what this session knows.
        @raise NotSupported: there can be no such binding beside the others.
        @raise ValueError: a key or an argument cannot be expressed.
        """

    # --- consuming -----------------------------------------------------------

    @abstractmethod
    def sources(
        self, queue: Queue, bindings: Sequence[StompBinding], consuming: ConsumeOptions
    ) -> list[Source]:
        """
        What a consumer of a queue has to subscribe to.

        @param bindings: all that this session knows, if C{reads_bindings}.  One
            that is added later adds the sources that this gives in addition.
        @raise NotSupported: there can be no such consumer.
        @raise ValueError: an argument cannot be expressed.
        """

    def stop_frames(self, id: str, no_ack: bool) -> bytes | None:
        """
        What stops a subscription so that what came by it can still be settled,
        and all that still comes does so before the receipt of a frame behind.

        @return: C{None} if only the end of its socket stops it.
        """
        return None

    async def probe_binding(
        self, queue: Queue, bound: StompBinding, connections: Connections
    ) -> None:
        """
        Find out whether a binding would be refused, before L{binding_source} is
        subscribed to; a refusal there may cost the queue.
        """
        raise self.unsupported("an exclusive queue")

    def binding_source(self, queue: Queue, bound: StompBinding) -> Source:
        """
        What binds an exclusive queue, on the socket that owns it; no message is
        taken by it.  Only where exclusive queues work.
        """
        raise self.unsupported("an exclusive queue")

    async def catch_up(self, queue: Queue, socket: StompProtocol) -> None:
        """
        Wait until all has come that an exclusive queue may hand out by now, on the
        socket that owns it.
        """
        raise self.unsupported("an exclusive queue")

    # --- recipes -------------------------------------------------------------
    # Entities were checked, and what is missing in C{capabilities} refused.

    @abstractmethod
    async def declare_exchange(
        self, exchange: Exchange, passive: bool, connections: Connections
    ) -> None:
        """Make sure of an exchange, as far as the broker knows exchanges."""

    @abstractmethod
    async def declare_queue(
        self, queue: Queue, passive: bool, connections: Connections
    ) -> QueueDeclareOk:
        """Make sure of a queue.  It has a name."""

    @abstractmethod
    async def bind_queue(
        self, queue: Queue, bound: StompBinding, connections: Connections
    ) -> None:
        """
        Bind a queue that is not exclusive.  No message of the queue may be lost
        by it, whatever is refused.
        """

    @abstractmethod
    async def delete_queue(self, queue: Queue, connections: Connections) -> int | None:
        """Delete a queue that is not exclusive; one that is not there is no error."""

    @abstractmethod
    async def purge_queue(
        self, queue: Queue, bindings: Sequence[StompBinding], connections: Connections
    ) -> int:
        """
        Throw away all messages that await no settlement.

        @return: how many.
        """

    @abstractmethod
    async def get(
        self,
        queue: Queue,
        bindings: Sequence[StompBinding],
        no_ack: bool,
        connections: Connections,
    ) -> GetResult | None:
        """
        Take one message.

        @return: it, on a socket that is left open for its settlement, with
            C{no_ack} too; C{None} if none is ready, and no socket is left open.
        """
