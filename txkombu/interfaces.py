"""
The contract between the channel that users hold and a transport.

This is the document a transport's author works from.  It has two layers of
channels.  A I{session} is one live login at a broker; its I{session channels}
die once and know nothing of recovery.  The L{txkombu.core.channel.Channel} that
users hold survives: it replaces its session channel after a loss.  Everything
about reconnecting, replaying and retrying is above this contract; nothing of
it belongs in a transport.

The rules that hold for every method here:

I{Entities cross whole.}  An operation takes L{txkombu.Exchange} and
L{txkombu.Queue} objects, not names: STOMP needs an exchange's type to publish
and a queue's arguments to bind.  A transport reads them and keeps no
reference that it changes.  An exchange of which the user gave only the name
is C{by_name}: a transport that needs its type takes that of the declaration it
saw in this session, and raises ValueError if it saw none.

I{Order.}  Operations begun on one session channel take effect at the broker
in the order they were begun.  A transport may pipeline them: it does not wait
for one answer before it writes the next request.  One that the broker refuses
ends the channel where the wire has it so (AMQP); one with a connection of its
own (STOMP) fails alone.

I{Never raise.}  A method that returns a Deferred fails it instead of raising,
but for TypeError and ValueError, which are mistakes of the layer above.

I{Fire once, remove first.}  State is removed before a Deferred or a callback
fires, since every callback may close, cancel, publish or drop the connection.
After each callback a transport checks again whether it still lives.  An
exception of a callback is logged and never leaves C{dataReceived}.

I{Death.}  When a session channel dies, its listener hears of it first, by
C{channel_lost}, so that whoever hears of it from a Deferred finds the layers
above past the loss already; when the whole session dies, C{session_lost} comes
before that.  Then everything outstanding fires, in the same reactor turn,
typed: the operation the broker refused with the broker's
error (L{txkombu.exceptions.BrokerError}); the others with
L{txkombu.exceptions.ChannelClosed}, whose cause is that error, or with
L{txkombu.exceptions.SessionLost}.  A publish that awaits its verdict fails with
L{txkombu.exceptions.OutcomeUnknown}, one never written with
L{txkombu.exceptions.NotSent}; when the broker refused an exchange by name
(404, 403), the outstanding publishes to that exchange fail with that refusal.
C{close()} and C{basic_cancel()} succeed.

I{Use after death} fails with L{txkombu.exceptions.ChannelClosed}, a publish
with L{txkombu.exceptions.NotSent}; settling is L{Settlement.STALE}.

I{Cancelling.}  Every Deferred may be cancelled.  What was not written is
removed, and the Deferred fails with CancelledError in that call; otherwise
also the reply, when it comes, is I{undone}: a message got is
handed back with nack and requeue; a consumer is cancelled and its deliveries
are handed back; an opened channel is closed; a connection is aborted.  A
cancelled publish that was written has an unknown outcome; its confirm is
swallowed.  What cannot be taken back goes on: cancelling the Deferred of a
C{close()} or C{basic_cancel()} stops only the waiting.  Cancelling never
misaligns the replies of other operations.

I{NotSupported.}  What a transport cannot do fails with
L{txkombu.exceptions.NotSupported}, which names the operation and the scheme,
before anything is sent, and is missing from C{ISession.capabilities}.
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
    "Properties",
    "QueueDeclareOk",
    "Returned",
    "Settlement",
]


class IBrokerTransport(Interface):
    """
    A way to reach brokers: one URL scheme, or one memory broker.
    """

    def connect(
        parameters: Parameters,
        endpoint: IStreamClientEndpoint | None,
        clock: IReactorTime,
        listener: ISessionListener,
    ) -> Deferred[ISession]:
        """
        Connect, log in, and hand over a live session.

        The whole of it, TCP, TLS and handshake, is bounded by
        C{parameters.connect_timeout} seconds.

        @param endpoint: where to connect instead of the host and port of
            C{parameters}; C{None} makes the transport build its own.  If the
            parameters ask for TLS, the transport wraps it in that.
        @param clock: the reactor; under test a C{Clock}.
        @return: fires with the session; fails with
            L{txkombu.exceptions.AuthenticationFailed},
            L{txkombu.exceptions.ConnectError} with its cause,
            or L{txkombu.exceptions.OperationTimeout}.  Whatever was opened
            is closed by then.  Cancelling aborts, and fails it in that turn.
        """


class ISession(Interface):
    """
    One live login at a broker.

    Made by L{IBrokerTransport.connect}; owned by the connection, which calls
    C{close} or C{abort} exactly when it wants it gone.
    """

    product: str = Attribute("The broker's name as it tells it, such as 'RabbitMQ'.")
    version: str = Attribute("The broker's version as it tells it; for people only.")
    capabilities: frozenset[Capability] = Attribute("What this session can do.")

    def open_channel(
        listener: ISessionChannelListener,
    ) -> Deferred[ISessionChannel]:
        """
        Open a channel.

        @return: fires with the channel; fails with
            L{txkombu.exceptions.SessionLost}, or
            L{txkombu.exceptions.ResourceError} when no number is left.
            Cancelling closes the channel once it is open.
        """

    def close() -> Deferred[None]:
        """
        Close in order: flush, tell the broker, wait for its word, close TCP;
        each wait bounded, then abort.

        @return: fires when the connection is gone; never fails, and fires
            also if it was lost or closed before.  C{session_lost} is not
            called for it.
        """

    def abort() -> None:
        """
        Drop the connection now.  Everything outstanding fires in this call;
        neither C{channel_lost} nor C{session_lost} is called for it.
        """


class IRenewableSession(ISession):
    """A session whose broker can be told of new credentials while it lives."""

    def update_secret(secret: str, reason: str) -> Deferred[None]:
        """
        Give the broker a new password or token before the old one expires
        (RabbitMQ's connection.update-secret).

        @param reason: for the broker's log.
        @return: fires when it was taken; fails with the broker's refusal, which
            ends the session, or with L{txkombu.exceptions.SessionLost}.
        """


class ISessionListener(Interface):
    """
    What a session tells its owner.  Called from the reactor, never from
    within C{connect}, and never after C{session_lost}.
    """

    def session_lost(reason: Exception) -> None:
        """
        The session is over, by no wish of ours: with the broker's hard error,
        if it told one, else with L{txkombu.exceptions.SessionLost}.  Called
        once, before its channels' C{channel_lost} and before anything
        outstanding fires.
        """

    def blocked(reason: str) -> None:
        """The broker takes no publishes for now (RabbitMQ's connection.blocked)."""

    def unblocked() -> None:
        """It takes them again."""

    def write_paused() -> None:
        """The socket's buffer is full: publish no more until C{write_resumed}."""

    def write_resumed() -> None:
        """The socket has room again."""


class ISessionChannel(Interface):
    """
    One channel of a session.  It dies once; see the rules of this module.
    """

    def exchange_declare(exchange: Exchange, passive: bool) -> Deferred[None]:
        """
        Make sure an exchange exists as described (AMQP 0-9-1, 1.6.2.1).

        @param passive: only ask whether it exists.
        """

    def exchange_delete(exchange: Exchange, if_unused: bool) -> Deferred[None]:
        """Delete an exchange; one that does not exist is no error."""

    def exchange_bind(
        destination: Exchange,
        source: Exchange,
        routing_key: str,
        arguments: Mapping[str, object],
    ) -> Deferred[None]:
        """Send what C{source} has for this key on to C{destination} too."""

    def exchange_unbind(
        destination: Exchange,
        source: Exchange,
        routing_key: str,
        arguments: Mapping[str, object],
    ) -> Deferred[None]:
        """Undo C{exchange_bind} with the same arguments."""

    def queue_declare(queue: Queue, passive: bool) -> Deferred[QueueDeclareOk]:
        """
        Make sure a queue exists as described (AMQP 0-9-1, 1.7.2.1).

        Bindings are no part of it: the layer above calls C{queue_bind}.
        """

    def queue_bind(
        queue: Queue,
        exchange: Exchange,
        routing_key: str,
        arguments: Mapping[str, object],
    ) -> Deferred[None]:
        """Put what C{exchange} has for this key into C{queue}."""

    def queue_unbind(
        queue: Queue,
        exchange: Exchange,
        routing_key: str,
        arguments: Mapping[str, object],
    ) -> Deferred[None]:
        """Undo C{queue_bind} with the same arguments."""

    def queue_purge(queue: Queue) -> Deferred[int]:
        """
        Throw away all messages that await no settlement.

        @return: fires with their number.
        """

    def queue_delete(
        queue: Queue, if_unused: bool, if_empty: bool
    ) -> Deferred[int | None]:
        """
        Delete a queue; one that does not exist is no error.

        @return: fires with the number of messages lost with it; C{None} if the
            broker does not tell.
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

        The layer above holds publishes back while C{blocked} or
        C{write_paused}; a transport never queues one for later, unless it must
        not overtake a declaration that is under way on another connection, and
        never delivers to a consumer from within this call.  TypeError and ValueError
        are raised for properties that the wire cannot carry.

        @return: with C{confirm}, fires when the broker has taken the message
            over, and fails with L{txkombu.exceptions.Unroutable} (mandatory),
            L{txkombu.exceptions.Nacked}, a refusal, or as under I{Death}.
            Verdicts may come out of order.  Without it, fires at once;
            an unroutable mandatory message comes by C{returned}.
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

        @param tag: unique on this channel while the consumer lives, and not
            empty; ValueError otherwise.
        @param prefetch_count: how many unsettled messages this consumer may
            hold; 0 is no limit; without effect with C{no_ack}.
        @param on_delivery: called from the reactor with each L{Delivery},
            perhaps before the returned Deferred fires, never after
            C{basic_cancel}'s has, never from within this call.
        @param on_cancelled: called once if the broker ends the consumer by
            itself, with L{txkombu.exceptions.ConsumerCancelled}: messages it
            holds can still be settled.  A consumer that has a connection of
            its own may lose it, and hears L{txkombu.exceptions.SessionLost}
            or the broker's error: messages it held are STALE.  Not called
            when the channel dies.
        """

    def basic_cancel(tag: str) -> Deferred[None]:
        """
        End a consumer.  Messages it holds stay unsettled and can be settled.

        @return: fires when no more deliveries for it can come; never fails,
            and fires at once if there is no such consumer.
        """

    def basic_get(queue: Queue, no_ack: bool) -> Deferred[Delivery | None]:
        """Take one message, or C{None} if none is ready (AMQP 0-9-1, 1.8.3.10)."""

    def basic_qos(prefetch_count: int) -> Deferred[None]:
        """
        Bound the unsettled messages of all consumers of this channel together
        (RabbitMQ's basic.qos with the global flag); 0 is no limit.

        It holds for consumers that are started afterwards, each beside its own
        prefetch count.  On AMQP one that starts while others, by theirs, may hold
        more than the limit gets their prefetch count instead of its own.
        """

    def basic_recover() -> Deferred[None]:
        """Hand all unsettled messages of this channel back to their queues."""

    def ack(tag: int, multiple: bool) -> Settlement:
        """
        Settle a delivery: it was handled.  Acks of one reactor turn may be
        coalesced.  Each tag is settled at most once; that is the caller's
        promise.

        @param multiple: also all unsettled ones with a lower tag.
        """

    def nack(tag: int, multiple: bool, requeue: bool) -> Settlement:
        """
        Settle a delivery: it was not attempted.  Requeued, it keeps its place
        if it can; else it is dropped or dead-lettered.
        """

    def reject(tag: int, requeue: bool) -> Settlement:
        """Settle a delivery: handling it failed (AMQP 0-9-1, 1.8.3.14)."""

    def flush() -> None:
        """Write coalesced settlements now."""

    def when_flushed() -> Deferred[Settlement]:
        """
        @return: a fresh Deferred that fires with L{Settlement.SENT} when
            every settlement so far has been handed to the socket, or with
            L{Settlement.STALE} if the channel dies before; never fails.
        """

    def close() -> Deferred[None]:
        """
        Flush settlements and close the channel.

        @return: fires when it is closed; never fails.  C{channel_lost} is
            not called for it.
        """


class ISessionChannelListener(Interface):
    """What a session channel tells its owner."""

    def channel_lost(error: Exception) -> None:
        """
        The channel is over, by no wish of ours; called once, before anything
        outstanding on it fires.
        """

    def returned(message: Returned) -> None:
        """A mandatory message that was published without confirm came back."""
