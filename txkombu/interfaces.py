"""
The contract between the channel that users hold and a transport.

A transport's author works from this document.  There are two layers of channels.  A
I{session} is one live login at a broker; its I{session channels} end once and know
nothing of recovery.  The L{txkombu.core.channel.Channel} that users hold survives: it
replaces its session channel after a loss.  Reconnecting, restoring and retrying are
above this contract; nothing of them belongs in a transport.

These rules hold for every method here:

I{Entities cross whole.}  An operation takes L{txkombu.Exchange} and L{txkombu.Queue}
objects, not names: STOMP needs an exchange's type to publish and a queue's arguments to
bind.  A transport reads them and keeps no reference to what may change in them.  An
exchange of which the user gave only the name is C{by_name}: a transport that needs the
type takes it from the declaration it saw in this session, and raises ValueError if it
saw none.

I{Order.}  Operations begun on one session channel take effect at the broker in the
order in which they were begun.  A transport may pipeline them: it does not wait for one
answer before it writes the next request.  An operation that the broker refuses ends the
channel where the wire has it so (AMQP); an operation with a connection of its own
(STOMP) fails alone.

I{Never raise.}  A method that returns a Deferred fails it instead of raising, except
for TypeError and ValueError, which are mistakes of the layer above.

I{Fire once, remove first.}  A transport removes state before it fires a Deferred or
calls back, since every callback may close, cancel, publish or drop the connection.
After each callback it checks again whether it still lives.  An exception of a callback
is logged and never leaves C{dataReceived}.

I{The end.}  When a session channel ends, its listener hears of it first, by
C{channel_lost}, so that the layers above are past the loss when a Deferred tells
somebody of it; when the whole session ends, C{session_lost} comes before that.  Then
everything outstanding fires, in the same reactor turn, typed.  The operation that the
broker refused fails with the broker's error (L{txkombu.exceptions.BrokerError}); the
others fail with L{txkombu.exceptions.ChannelClosed}, whose cause is that error, or with
L{txkombu.exceptions.SessionLost}.  A publish that awaits its verdict fails with
L{txkombu.exceptions.OutcomeUnknown}, one never written with
L{txkombu.exceptions.NotSent}; when the broker refused an exchange by name (404, 403),
the outstanding publishes to that exchange fail with that refusal.  C{close()} and
C{basic_cancel()} succeed.

I{Use after the end} fails with L{txkombu.exceptions.ChannelClosed}, a publish with
L{txkombu.exceptions.NotSent}; settling returns L{Settlement.STALE}.

I{Cancelling.}  Every Deferred may be cancelled.  A request that was not written is
removed, and the Deferred fails with CancelledError in that call; that of a publish may
tell so by L{NotWritten}, which is one.  Otherwise the reply, when it comes, is
I{undone} as well: a message that was got is handed back with nack and requeue; a
consumer is cancelled and its deliveries are handed back; an opened channel is closed; a
connection is aborted.  A cancelled publish that was written has an unknown outcome; its
confirm is ignored.  What cannot be taken back goes on: to cancel the Deferred of a
C{close()} or C{basic_cancel()} stops only the waiting.  Cancelling never misaligns the
replies of other operations.

I{NotSupported.}  What a transport cannot do fails with
L{txkombu.exceptions.NotSupported}, which names the operation and the scheme, before
anything is sent, and is missing from C{ISession.capabilities}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from zope.interface import Attribute, Interface

from ._types import (
    Capability,
    Delivery,
    NotWritten,
    Properties,
    QueueDeclareOk,
    Returned,
    Settlement,
)

if TYPE_CHECKING:
    from .entity import Exchange, Queue
    from .url.parameters import Parameters

__all__ = [
    "Capability",
    "Delivery",
    "IBrokerTransport",
    "IRenewableSession",
    "ISession",
    "ISessionChannel",
    "ISessionChannelListener",
    "ISessionListener",
    "NotWritten",
    "Properties",
    "QueueDeclareOk",
    "Returned",
    "Settlement",
]


class IBrokerTransport(Interface):
    """A way to reach brokers: one URL scheme, or one memory broker."""

    def connect(
        parameters: Parameters,
        endpoint: IStreamClientEndpoint | None,
        clock: IReactorTime,
        listener: ISessionListener,
    ) -> Deferred[ISession]:
        """
        Connect, log in, and hand over a live session.

        All of TCP, TLS and handshake is bounded by C{parameters.connect_timeout}
        seconds.

        @param parameters: the broker's address, credentials, virtual host and limits.
        @param endpoint: where to connect instead of the host and port of
            C{parameters}; C{None} makes the transport build its own.  If the
            parameters ask for TLS, the transport wraps the endpoint in that.
        @param clock: the reactor; under test a C{Clock}.
        @param listener: the L{ISessionListener} that hears of the session's end.
        @return: fires with the L{ISession}; fails, once all is closed, with
            L{txkombu.exceptions.AuthenticationFailed},
            L{txkombu.exceptions.ConnectError} with its cause, or
            L{txkombu.exceptions.OperationTimeout}.  To cancel it aborts at once.
        """


class ISession(Interface):
    """
    One live login at a broker.

    Owned by the connection, which calls C{close} or C{abort} when it wants it gone.
    """

    product: str = Attribute("The broker's name as it tells it, such as 'RabbitMQ'.")
    version: str = Attribute("The broker's version as it tells it; for people only.")
    capabilities: frozenset[Capability] = Attribute("What this session can do.")

    def open_channel(
        listener: ISessionChannelListener,
    ) -> Deferred[ISessionChannel]:
        """
        Open a channel.

        @param listener: the L{ISessionChannelListener} that hears of the channel's end.
        @return: fires with the L{ISessionChannel}; fails with
            L{txkombu.exceptions.SessionLost}, or with
            L{txkombu.exceptions.ResourceError} when no channel number is left.  If it
            is cancelled, the channel is closed once it is open.
        """

    def close() -> Deferred[None]:
        """
        Close in order: flush, tell the broker, wait for its answer, close TCP; each
        wait is bounded, and followed by an abort.

        @return: fires when the connection is gone, also if it was lost or closed
            before; never fails.  C{session_lost} is not called.
        """

    def abort() -> None:
        """
        Drop the connection now.  Everything outstanding fires in this call; neither
        C{channel_lost} nor C{session_lost} is called.
        """


class IRenewableSession(ISession):
    """A session whose broker can be told of new credentials while it lives."""

    def update_secret(secret: str, reason: str) -> Deferred[None]:
        """
        Give the broker a new password or token before the old one expires (RabbitMQ,
        connection.update-secret).

        @param secret: the new password or token.
        @param reason: for the broker's log.
        @return: fires when the broker has taken it; fails with the broker's refusal,
            which ends the session, or with L{txkombu.exceptions.SessionLost}.
        """


class ISessionListener(Interface):
    """
    What a session tells its owner.  Called from the reactor, never from within
    C{connect}, and never after C{session_lost}.
    """

    def session_lost(reason: Exception) -> None:
        """
        Learn that the session is over though its owner did not end it.  Called once,
        before its channels' C{channel_lost} and before anything outstanding fires.

        @param reason: the broker's hard error, if it sent one, else
            L{txkombu.exceptions.SessionLost}.
        """

    def blocked(reason: str) -> None:
        """
        Learn that the broker takes no publishes for now (RabbitMQ, connection.blocked).

        @param reason: the broker's, for people.
        """

    def unblocked() -> None:
        """Learn that the broker takes publishes again."""

    def write_paused() -> None:
        """Learn that the socket's buffer is full: publish no more for now."""

    def write_resumed() -> None:
        """Learn that the socket's buffer has room: publish again."""


class ISessionChannel(Interface):
    """One channel of a session.  It ends once; see the rules of this module."""

    def exchange_declare(exchange: Exchange, passive: bool) -> Deferred[None]:
        """
        Make sure that an exchange exists as described (AMQP 0-9-1, 1.6.2.1).

        @param exchange: the L{txkombu.Exchange} to declare.
        @param passive: whether to check only that an exchange of that name exists.
        @return: fires when it exists; fails with the broker's refusal.
        """

    def exchange_delete(exchange: Exchange, if_unused: bool) -> Deferred[None]:
        """
        Delete an exchange; it is no error if it does not exist.

        @param exchange: the L{txkombu.Exchange} to delete.
        @param if_unused: whether the broker is to refuse while it has bindings.
        @return: fires when it is gone; fails with the broker's refusal.
        """

    def exchange_bind(
        destination: Exchange,
        source: Exchange,
        routing_key: str,
        arguments: Mapping[str, object],
    ) -> Deferred[None]:
        """
        Route what one exchange gets to another one, too.

        @param destination: the L{txkombu.Exchange} that the messages go to.
        @param source: the L{txkombu.Exchange} that they come from.
        @param routing_key: the key or pattern of the messages that are routed.
        @param arguments: what a headers exchange matches by.
        @return: fires when it is bound; fails with the broker's refusal.
        """

    def exchange_unbind(
        destination: Exchange,
        source: Exchange,
        routing_key: str,
        arguments: Mapping[str, object],
    ) -> Deferred[None]:
        """
        Undo L{exchange_bind}; it is no error if there is no such binding.

        @param destination: as it was bound.
        @param source: as it was bound.
        @param routing_key: as it was bound.
        @param arguments: as it was bound.
        @return: fires when it is not bound; fails with the broker's refusal.
        """

    def queue_declare(queue: Queue, passive: bool) -> Deferred[QueueDeclareOk]:
        """
        Make sure that a queue exists as described (AMQP 0-9-1, 1.7.2.1).  The layer
        above binds it, by L{queue_bind}.

        @param queue: the L{txkombu.Queue} to declare; the broker names it if its name
            is empty.
        @param passive: whether to check only that a queue of that name exists.
        @return: fires with a L{QueueDeclareOk}; fails with the broker's refusal.
        """

    def queue_bind(
        queue: Queue,
        exchange: Exchange,
        routing_key: str,
        arguments: Mapping[str, object],
    ) -> Deferred[None]:
        """
        Route what an exchange gets to a queue.

        @param queue: the L{txkombu.Queue} that the messages go to.
        @param exchange: the L{txkombu.Exchange} that they come from.
        @param routing_key: the key or pattern of the messages that are routed.
        @param arguments: what a headers exchange matches by.
        @return: fires when it is bound; fails with the broker's refusal.
        """

    def queue_unbind(
        queue: Queue,
        exchange: Exchange,
        routing_key: str,
        arguments: Mapping[str, object],
    ) -> Deferred[None]:
        """
        Undo L{queue_bind}; it is no error if there is no such binding.

        @param queue: as it was bound.
        @param exchange: as it was bound.
        @param routing_key: as it was bound.
        @param arguments: as it was bound.
        @return: fires when it is not bound; fails with the broker's refusal.
        """

    def queue_purge(queue: Queue) -> Deferred[int]:
        """
        Drop the messages of a queue, except those that are unacked.

        @param queue: the L{txkombu.Queue} to empty.
        @return: fires with their number; fails with the broker's refusal.
        """

    def queue_delete(
        queue: Queue, if_unused: bool, if_empty: bool
    ) -> Deferred[int | None]:
        """
        Delete a queue; it is no error if it does not exist.

        @param queue: the L{txkombu.Queue} to delete.
        @param if_unused: whether the broker is to refuse while it has consumers.
        @param if_empty: whether the broker is to refuse while it has messages.
        @return: fires with the number of messages lost with it, or with C{None} if the
            broker does not tell; fails with the broker's refusal.
        """

    def basic_publish(
        body: bytes,
        properties: Properties,
        exchange: Exchange,
        routing_key: str,
        mandatory: bool,
        confirm: bool,
    ) -> Deferred[None]:
        """
        Write one message to the broker, at once.

        The layer above holds publishes back while C{blocked} or C{write_paused}.  A
        transport never queues a message for later, unless it must not overtake a
        declaration that is under way on another connection; and it never delivers to a
        consumer from within this call.

        @param body: the message's bytes.
        @param properties: AMQP's properties by name, such as C{content_type}; the
            application's headers are C{headers}.
        @param exchange: the L{txkombu.Exchange} to publish to; the default exchange if
            its name is empty.
        @param routing_key: what the exchange routes the message by.
        @param mandatory: whether the message comes back if no queue receives it.
        @param confirm: whether to wait for the broker's verdict.
        @return: with C{confirm}, fires when the broker has taken the message over, and
            fails with L{txkombu.exceptions.Unroutable} (C{mandatory}),
            L{txkombu.exceptions.Nacked}, the broker's refusal, or as under I{The end}.
            Verdicts may come out of order.  Without C{confirm}, fires when the message
            is written, which is at once unless it waits for a declaration; a
            mandatory message that no queue receives comes by C{returned}.
        @raise TypeError: a property is unknown, or the wire cannot carry its type.
        @raise ValueError: a property or the routing key is out of range.
        """

    def basic_consume(
        queue: Queue,
        tag: str,
        no_ack: bool,
        exclusive: bool,
        arguments: Mapping[str, object],
        prefetch_count: int,
        on_delivery: Callable[[Delivery], None],
        on_cancelled: Callable[[Exception], None],
    ) -> Deferred[None]:
        """
        Start a consumer; on AMQP qos and consume leave in one write.

        @param queue: the L{txkombu.Queue} to consume from.
        @param tag: the consumer's name, unique on this channel while it lives.
        @param no_ack: whether the broker forgets each message as it delivers it.
        @param exclusive: whether the broker is to refuse other consumers of the queue.
        @param arguments: the broker's options of consumers, such as C{x-priority}.
        @param prefetch_count: how many unsettled messages this consumer may hold; 0 is
            no limit; without effect with C{no_ack}.
        @param on_delivery: called from the reactor with each L{Delivery}, perhaps
            before the returned Deferred fires, never after that of C{basic_cancel} has,
            and never from within this call.
        @param on_cancelled: called once if the broker ends the consumer by itself, with
            L{txkombu.exceptions.ConsumerCancelled}: messages it holds can still be
            settled.  A consumer that has a connection of its own may lose it; then this
            is called with L{txkombu.exceptions.SessionLost} or the broker's error, and
            messages it held are STALE.  Not called when the channel ends.
        @return: fires when the consumer has started; fails with the broker's refusal.
        @raise ValueError: C{tag} is empty or taken, or a value is out of range.
        """

    def basic_cancel(tag: str) -> Deferred[None]:
        """
        End a consumer.  Messages it holds stay unsettled and can be settled.

        @param tag: the consumer's.
        @return: fires when no more deliveries for it can come, at once if there is no
            such consumer; never fails.
        """

    def basic_get(queue: Queue, no_ack: bool) -> Deferred[Delivery | None]:
        """
        Take one message (AMQP 0-9-1, 1.8.3.10).

        @param queue: the L{txkombu.Queue} to take it from.
        @param no_ack: whether the broker forgets the message as it delivers it.
        @return: fires with the L{Delivery}, or with C{None} if no message is ready;
            fails with the broker's refusal.
        """

    def basic_qos(prefetch_count: int) -> Deferred[None]:
        """
        Bound the unsettled messages of all consumers of this channel together
        (RabbitMQ's basic.qos with the global flag).

        The limit holds for consumers that are started afterwards, each beside its own
        prefetch count.  On AMQP, a consumer that starts while others may hold more than
        the limit gets their prefetch count instead of its own.

        @param prefetch_count: how many messages; 0 is no limit.
        @return: fires when the limit holds; fails with the broker's refusal.
        """

    def basic_recover() -> Deferred[None]:
        """
        Hand all unsettled messages of this channel back to their queues.

        @return: fires when they are handed back.
        """

    def ack(tag: int, multiple: bool) -> Settlement:
        """
        Settle a delivery that was handled.  Acks of one reactor turn may be coalesced.
        The caller settles each tag at most once.

        @param tag: the delivery tag.
        @param multiple: whether to settle all unsettled ones with a lower tag, too.
        @return: whether the broker is told, or the delivery is stale.
        """

    def nack(tag: int, multiple: bool, requeue: bool) -> Settlement:
        """
        Settle a delivery that nobody has tried to handle.

        @param tag: the delivery tag.
        @param multiple: as of L{ack}.
        @param requeue: whether the message goes back into its queue, at its place if
            the broker can; else it is dropped or dead-lettered.
        @return: whether the broker is told, or the delivery is stale.
        """

    def reject(tag: int, requeue: bool) -> Settlement:
        """
        Settle a delivery whose handling failed (AMQP 0-9-1, 1.8.3.14).

        @param tag: the delivery tag.
        @param requeue: as of L{nack}.
        @return: whether the broker is told, or the delivery is stale.
        """

    def flush() -> None:
        """Write coalesced settlements now."""

    def when_flushed() -> Deferred[Settlement]:
        """
        Wait until the settlements so far are written.

        @return: a fresh Deferred that fires with L{Settlement.SENT} when all of them
            have been handed to the socket, or with L{Settlement.STALE} if the channel
            ends before, or the connection of one that no earlier call has waited for;
            never fails.
        """

    def close() -> Deferred[None]:
        """
        Flush settlements and close the channel.

        @return: fires when it is closed; never fails.  C{channel_lost} is not called.
        """


class ISessionChannelListener(Interface):
    """What a session channel tells its owner."""

    def channel_lost(error: Exception) -> None:
        """
        Learn that the channel is over though its owner did not close it.  Called once,
        before anything outstanding on it fires.

        @param error: the broker's error, or that of the lost session.
        """

    def returned(message: Returned) -> None:
        """
        Learn that a mandatory message published without C{confirm} came back.

        @param message: the L{Returned} message, with the broker's reason.
        """
