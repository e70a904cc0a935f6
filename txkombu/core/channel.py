"""
The channel that users hold.

It survives the loss of its session channel: it opens another and starts its consumers
again.  Operations wait for that, up to their timeout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime

from .._util.limits import MAX_BODY_SIZE
from .._util.validation import check_count, refuse_options
from ..entity import Exchange, Queue
from ..exceptions import NotSupported
from ..interfaces import QueueDeclareOk, Settlement
from ..message import Message
from .channel_core import ChannelCore
from .connection_core import ConnectionCore
from .consumers import PREFETCH

_OF_REPLIES: Final = ("exchange", "routing_key", "correlation_id")
"""What a reply takes from the message that it answers."""


class ReplyProducer(Protocol):
    """What publishes replies: a L{txkombu.Producer}."""

    def publish(self, body: object, **options: Any) -> Deferred[None]:
        """Publish one message."""


class ChannelConnection(Protocol):
    """The connection of a channel: a L{txkombu.BrokerConnection}."""

    @property
    def core(self) -> ConnectionCore:
        """The parts of the connection."""

    @property
    def clock(self) -> IReactorTime:
        """The reactor; under test a C{Clock}."""

    @property
    def transport_name(self) -> str:
        """The URL scheme."""

    def close(self) -> Deferred[None]:
        """Close the connection."""

    def Producer(self, channel: Any) -> ReplyProducer:
        """Make a producer that publishes on a channel."""


class Channel:
    """
    Declare, publish and consume on one connection.

    Made by C{connection.channel()}; L{close} ends it.  Most programs use
    L{txkombu.Producer}, L{txkombu.Consumer} and bound entities, which call
    the methods here.

    Every Deferred fails with L{txkombu.exceptions.OperationTimeout} after the
    connection's C{operation_timeout} seconds, with
    L{txkombu.exceptions.ChannelClosed} or
    L{txkombu.exceptions.ConnectionClosed} after a close, and with
    L{txkombu.exceptions.SessionLost} if the session ends meanwhile.

    @param connection: the L{txkombu.BrokerConnection} it belongs to.
    @ivar connection: the same.
    @ivar core: the parts of the channel, for producers and consumers.
    """

    def __init__(self, connection: ChannelConnection) -> None:
        self.connection = connection
        self.core = ChannelCore(connection.core)
        self._replies: ReplyProducer | None = None

    # --- its state ----------------------------------------------------------

    @property
    def default_channel(self) -> Channel:
        """This channel: what takes a channel also takes a connection."""
        return self

    def lend_channel(self) -> tuple[Channel, bool]:
        """Return this channel, and that its user is not to close it."""
        return self, False

    @property
    def is_open(self) -> bool:
        """Whether there is a session channel now."""
        return self.core.opener.session_channel is not None

    @property
    def closed(self) -> bool:
        """Whether L{close} was called, here or on the connection."""
        return self.core.closed

    @property
    def last_error(self) -> Exception | None:
        """Why it is closed, or why one of its consumers does not run, if so."""
        return self.core.last_error

    @property
    def is_consuming(self) -> bool:
        """Whether every consumer that was started is running at the broker."""
        return self.core.is_consuming

    @property
    def unsettled_count(self) -> int:
        """The number of messages it handed out that await settlement."""
        return self.core.consumers.unsettled_count

    @property
    def unsettled(self) -> list[Message]:
        """The messages it handed out that await settlement, oldest first."""
        return self.core.consumers.unsettled

    def unfinished_work(self) -> list[str]:
        """Say which messages await settlement, and what waits for the broker."""
        return self.core.unfinished_work()

    def when_ready(self) -> Deferred[None]:
        """
        Wait until a message would be sent at once.

        @return: fails if the connection cannot be made or was closed.
        """
        return self.core.when_ready()

    def close(self) -> Deferred[None]:
        """
        End the consumers, wait for the verdicts on what was published, flush
        settlements, and close the channel.  No handler begins with a message any
        more.

        @return: fires when it is closed; never fails.  A channel that is being
            opened for what was published is waited for as long as an operation may
            take.  Each answer of the broker is waited for 5 s, and verdicts as long
            as an operation, if every 5 s it is found to answer at all.
        """
        return self.core.close()

    # --- exchanges and queues -----------------------------------------------

    def exchange_declare(
        self, exchange: Exchange, passive: bool = False
    ) -> Deferred[None]:
        """
        Declare an exchange; see L{Exchange.declare}.

        @param exchange: the exchange, of which a mere name is not enough.
        @param passive: only check that it exists.
        """
        return self.core.entities.declare_exchange(exchange, passive)

    def exchange_delete(
        self, exchange: Exchange, if_unused: bool = False
    ) -> Deferred[None]:
        """
        Delete an exchange; see L{Exchange.delete}.

        @param exchange: the exchange.
        @param if_unused: refuse if something is bound to it.
        """
        return self.core.entities.delete_exchange(exchange, if_unused)

    def exchange_bind(
        self,
        destination: Exchange,
        source: Exchange,
        routing_key: str = "",
        arguments: Mapping[str, object] | None = None,
    ) -> Deferred[None]:
        """
        Bind an exchange to another; see L{Exchange.bind_to}.

        @param destination: the exchange that gets messages.
        @param source: the exchange they come from.
        @param routing_key: which messages, as the type of the source has it.
        @param arguments: further ones, as for a headers exchange.
        """
        return self.core.entities.bind(destination, source, routing_key, arguments)

    def exchange_unbind(
        self,
        destination: Exchange,
        source: Exchange,
        routing_key: str = "",
        arguments: Mapping[str, object] | None = None,
    ) -> Deferred[None]:
        """
        Undo L{exchange_bind} with the same arguments.

        @param destination: as for L{exchange_bind}.
        @param source: as for L{exchange_bind}.
        @param routing_key: as for L{exchange_bind}.
        @param arguments: as for L{exchange_bind}.
        """
        return self.core.entities.unbind(destination, source, routing_key, arguments)

    def queue_declare(
        self, queue: Queue, passive: bool = False
    ) -> Deferred[QueueDeclareOk]:
        """
        Declare a queue, without its exchange and bindings; see
        L{Queue.queue_declare}.

        A queue without a name gets the one the broker made.  One of the
        broker's own names, C{amq.*}, can only be checked.

        @param queue: the queue.
        @param passive: only check that it exists.
        """
        return self.core.entities.declare_queue(queue, passive)

    def queue_bind(
        self,
        queue: Queue,
        exchange: Exchange,
        routing_key: str = "",
        arguments: Mapping[str, object] | None = None,
    ) -> Deferred[None]:
        """
        Bind a queue to an exchange; see L{Queue.bind_to}.

        @param queue: the queue that gets messages.
        @param exchange: the exchange they come from.
        @param routing_key: which messages, as the type of the exchange has it.
        @param arguments: further ones, as for a headers exchange.
        """
        return self.core.entities.bind(queue, exchange, routing_key, arguments)

    def queue_unbind(
        self,
        queue: Queue,
        exchange: Exchange,
        routing_key: str = "",
        arguments: Mapping[str, object] | None = None,
    ) -> Deferred[None]:
        """
        Undo L{queue_bind} with the same arguments.

        @param queue: as for L{queue_bind}.
        @param exchange: as for L{queue_bind}.
        @param routing_key: as for L{queue_bind}.
        @param arguments: as for L{queue_bind}.
        """
        return self.core.entities.unbind(queue, exchange, routing_key, arguments)

    def queue_purge(self, queue: Queue) -> Deferred[int]:
        """
        Delete a queue's ready messages.

        @param queue: the queue.
        @return: fires with the number of messages.
        """
        return self.core.entities.purge_queue(queue)

    def queue_delete(
        self, queue: Queue, if_unused: bool = False, if_empty: bool = False
    ) -> Deferred[int | None]:
        """
        Delete a queue; see L{Queue.delete}.

        @param queue: the queue.
        @param if_unused: refuse if it has consumers.
        @param if_empty: refuse if there are messages in it.
        @return: fires with the number of messages that were in it, C{None} where the
            broker does not tell.
        """
        return self.core.entities.delete_queue(queue, if_unused, if_empty)

    # --- receiving ----------------------------------------------------------

    def consume(
        self,
        queue: Queue,
        callback: Callable[[Message], object],
        *,
        consumer_tag: str = "",
        tag_prefix: str = "",
        no_ack: bool = False,
        exclusive: bool = False,
        arguments: Mapping[str, object] | None = None,
        prefetch_count: int = PREFETCH,
        accept: Iterable[str] | None = None,
        max_body_size: int = MAX_BODY_SIZE,
        on_cancel: Callable[[str, Exception], object] | None = None,
    ) -> Deferred[str]:
        """
        Start a consumer (AMQP 0-9-1, basic.consume); it survives losses.

        @param queue: the queue it reads.
        @param callback: called with each L{Message}.
        @param consumer_tag: made up, with C{tag_prefix}, if empty.
        @param tag_prefix: begins a tag that is made up.
        @param no_ack: each message is acknowledged when C{callback} calls
            L{Message.begin}, and can be lost then; not for streams.
        @param exclusive: be the only consumer of the queue.
        @param arguments: further ones for the broker, such as C{x-priority}.
        @param prefetch_count: how many unsettled messages it may hold; default
            100, 0 for no limit.
        @param accept: what may be decoded; see L{txkombu.Consumer}.
        @param max_body_size: what a body may become, in bytes; see
            L{txkombu.Consumer}.
        @param on_cancel: called with (tag, error) if the broker ends it, as
            when its queue is deleted; it is started again with growing waits.
        @return: fires with its tag; fails with the broker's refusal.
        @raise ValueError: the tag is taken.
        """
        return self.core.consumers.consume(
            queue,
            callback,
            consumer_tag=consumer_tag,
            tag_prefix=tag_prefix,
            no_ack=no_ack,
            exclusive=exclusive,
            arguments=arguments,
            prefetch_count=prefetch_count,
            accept=accept,
            max_body_size=max_body_size,
            on_cancel=on_cancel,
        )

    def basic_cancel(self, consumer_tag: str) -> Deferred[None]:
        """
        End a consumer; the messages it holds can still be settled.

        @param consumer_tag: its tag; one that is not known is ignored.
        @return: fires when no more of its messages come; never fails.
        """
        return self.core.consumers.cancel(consumer_tag)

    def basic_get(
        self,
        queue: Queue,
        no_ack: bool = False,
        accept: Iterable[str] | None = None,
        max_body_size: int = MAX_BODY_SIZE,
    ) -> Deferred[Message | None]:
        """
        Take one message, or C{None} if none is ready (AMQP 0-9-1, basic.get).

        @param queue: the queue to take it from.
        @param no_ack: the message needs no ack, and can be lost.
        @param accept: what may be decoded; see L{txkombu.Consumer}.
        @param max_body_size: what its body may become, in bytes; see
            L{txkombu.Consumer}.
        """
        return self.core.get(queue, no_ack, accept, max_body_size)

    def basic_qos(self, prefetch_count: int) -> Deferred[None]:
        """
        Bound the unsettled messages of all consumers here together.  The limit
        holds until the session channel is lost.

        @param prefetch_count: the number of messages; 0 is no limit.
        """
        check_count("prefetch_count", prefetch_count, 0, 65535)
        return self.core.opener.call(
            "qos", lambda channel: channel.basic_qos(prefetch_count)
        )

    def basic_recover(self, requeue: bool = True) -> Deferred[None]:
        """
        Hand all unsettled messages of this channel back to their queues.

        @param requeue: must be true: brokers cannot send them again to the same
            consumers.
        @return: fails with NotSupported for C{requeue=False}.
        """
        if not requeue:
            name = self.core.connection.settings.transport_name
            return fail(NotSupported("recover(requeue=False)", name))
        return self.core.consumers.recover()

    def flush(self) -> Deferred[Settlement]:
        """
        Write all settlements so far.

        @return: fires when they were handed to the socket.
        """
        return self.core.consumers.flush()

    # --- replying -----------------------------------------------------------

    def respond(self, message: Message, body: object, **options: Any) -> Deferred[None]:
        """
        Publish a reply to a message; see L{Message.respond}.

        @param message: the message, which has a C{reply_to}.
        @param body: the reply.
        @param options: as for L{txkombu.Producer.publish}.
        @return: as of L{txkombu.Producer.publish}.
        @raise ValueError: the message has no C{reply_to}.
        @raise TypeError: an option is one that is taken from the message.
        """
        refuse_options("respond()", options, _OF_REPLIES)
        if not message.reply_to:
            raise ValueError(f"{message!r} has no reply_to: nobody awaits a reply")
        if self._replies is None:
            self._replies = self.connection.Producer(self)
        return self._replies.publish(
            body,
            exchange="",
            routing_key=message.reply_to,
            correlation_id=message.correlation_id,
            **options,
        )

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open" if self.is_open else "not open"
        return f"<Channel of {self.core.connection.current_uri()}, {state}>"
