"""Producer: publishes messages."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Callable,
    Generator,
    Iterable,
    Mapping,
    Sequence,
)
from functools import partial
from itertools import count
from types import TracebackType
from typing import Any
from uuid import uuid4

from twisted.internet.defer import Deferred, fail, inlineCallbacks, succeed
from twisted.python.failure import Failure

from .._util.awaitables import call_logged
from .._util.validation import (
    check_arguments,
    check_auto_declare,
    check_bool,
    check_count,
    check_delivery_mode,
    check_seconds,
    check_short_string,
    milliseconds,
)
from .._util.waiters import Waiters
from ..compression import compress, is_beyond_ratio, may_be_true
from ..core.lending import ChannelLender, lent_channel
from ..core.publish_queue import PublishRequest
from ..core.repeating import Repetition, repeat
from ..entity import Exchange, Queue, as_exchange
from ..exceptions import (
    ChannelClosed,
    KombuError,
    NotSupported,
    SessionLost,
    Unroutable,
)
from ..interfaces import Returned
from ..message import Message
from ..serialization.serializers import encode
from .flow_control import FlowControl, Pausable
from .middleware import PublishMiddleware, around_publish
from .properties import check_properties, forwarded_properties
from .publish_batch import END, PublishBatch, each_body
from .publish_retry import max_retries

_NOWHERE = (
    "the default exchange puts a message into the queue that the routing key names: "
    "give a routing_key, or an exchange"
)
PUBLISH_TIMEOUT = 30.0
"""Seconds from the call to the broker's verdict, by default."""

OnReturn = Callable[[Exception, str, str, Returned], object]
"""Called with (error, exchange, routing_key, message) for each returned message."""


class Producer:
    """
    Publish messages to an exchange.

    Subclasses may set C{exchange}, C{routing_key}, C{serializer},
    C{compression}, C{auto_declare}, C{on_return}, C{mandatory} and C{middleware} as
    class attributes.

    @param channel: a channel to publish on, or a connection, on which the producer
        opens a channel of its own.
    @param exchange: an L{Exchange} or its name; the default one if not given.
    @param routing_key: the default for L{publish}.
    @param serializer: the default for L{publish}; C{None} sends str and bytes
        as they are and the rest as json.
    @param auto_declare: whether the first publish declares the exchange:
        C{True} (default), C{False}, or C{"passive"} to only check it.
    @param compression: the default for L{publish}.
    @param on_return: called with (error, exchange, routing_key, message) for
        each mandatory message that was routed to no queue.
    @param mandatory: the default for L{publish}.
    @param middleware: functions around each publish, the first outermost, each called
        with (publish, body, options): the options are the other arguments by name,
        which it may change; it returns what C{publish(body, options)} returns, a
        Deferred, or awaits it.  L{forward} passes them by.
    """

    exchange: Exchange | str | None = None
    routing_key: str = ""
    serializer: str | None = None
    compression: str | None = None
    auto_declare: bool | str = True
    on_return: OnReturn | None = None
    mandatory: bool = False
    middleware: Sequence[PublishMiddleware] = ()

    def __init__(
        self,
        channel: ChannelLender,
        exchange: Exchange | str | None = None,
        routing_key: str | None = None,
        serializer: str | None = None,
        auto_declare: bool | str | None = None,
        compression: str | None = None,
        on_return: OnReturn | None = None,
        mandatory: bool | None = None,
        *,
        middleware: Sequence[PublishMiddleware] | None = None,
    ) -> None:
        self.channel, self._owned = lent_channel(channel)
        given = self.exchange if exchange is None else exchange
        self._exchange = as_exchange(given or "").bind(self.channel)
        self.exchange = self._exchange
        if routing_key is not None:
            self.routing_key = check_short_string("routing_key", routing_key)
        self.serializer = serializer or self.serializer
        self.compression = compression or self.compression
        self.on_return = on_return or self.on_return
        if mandatory is not None:
            self.mandatory = check_bool("mandatory", mandatory)
        if auto_declare is not None:
            self.auto_declare = auto_declare
        check_auto_declare(self.auto_declare)
        exchange = self._exchange
        undeclarable = exchange.is_predeclared or exchange.no_declare
        self._declares = bool(self.auto_declare) and not undeclarable
        self._core = self.channel.core
        self._topology = self._core.connection.topology
        self._present_at = -1
        self._declaring: Waiters[None] = Waiters()
        self._flow_control: FlowControl | None = None
        if middleware is not None:
            self.middleware = middleware
        if self.middleware:
            # Only then is it another call for each message.
            self.publish = around_publish(self.middleware, self.publish)  # type: ignore[method-assign]
        self._message_ids = map(f"{uuid4().hex}-{{}}".format, count(1))
        if self.on_return is not None:
            self._core.add_on_return(
                self, lambda message: self._tell(Unroutable(message))
            )

    # --- publishing ---------------------------------------------------------

    def publish(
        self,
        body: object,
        routing_key: str | None = None,
        delivery_mode: int | str | None = None,
        mandatory: bool | None = None,
        immediate: bool = False,
        priority: int = 0,
        content_type: str | None = None,
        content_encoding: str | None = None,
        serializer: str | None = None,
        headers: Mapping[str, object] | None = None,
        compression: str | None = None,
        exchange: Exchange | str | None = None,
        retry: bool = False,
        retry_policy: Mapping[str, object] | None = None,
        declare: Iterable[Exchange | Queue] | None = None,
        expiration: float | str | None = None,
        timeout: float | None = None,
        confirm: bool = True,
        **properties: object,
    ) -> Deferred[None]:
        """
        Publish one message.  The arguments are not changed; changing them afterwards
        does not change the message.

        @param body: str and bytes are sent as they are; other values are serialized.
        @param routing_key: default is the producer's.
        @param delivery_mode: 2 or C{"persistent"}, 1 or C{"transient"};
            default is the exchange's.
        @param mandatory: have the broker return the message if no queue gets it;
            default is the producer's.
        @param immediate: not supported, since brokers have dropped it.
        @param priority: 0 to 255; for queues with C{max_priority}.
        @param content_type: the MIME type of a body that is str or bytes, and is sent
            as it is.
        @param content_encoding: the encoding of such a body.
        @param serializer: default is the producer's.
        @param headers: the application's own.  A header C{compression}, perhaps copied
            from a received message, is left out if the body is not compressed that
            way.
        @param compression: such as C{"gzip"}; default is the producer's.
        @param exchange: publish to this one instead of the producer's; it is not
            declared.
        @param retry: whether to send the message again if the session is lost before
            the broker's verdict: with the same message_id, in its old place, until the
            C{timeout}.  The broker may have it twice then.
        @param retry_policy: Kombu's dict; with C{retry}, its C{max_retries} says how
            often to send the message again.  The waits are those of the connection's
            C{reconnect}.
        @param declare: exchanges and queues to declare first.
        @param expiration: seconds after which a queue may drop it; as a str, as
            received messages have it, milliseconds.
        @param timeout: seconds from this call to the broker's verdict; default 30.
        @param confirm: whether to wait for the broker's verdict; otherwise the
            Deferred fires when the message was handed to the socket.
        @param properties: further properties of AMQP 0-9-1: correlation_id, reply_to,
            message_id, timestamp, type, user_id, app_id, cluster_id.
        @return: fires when the broker has confirmed the message.  Fails with
            L{txkombu.exceptions.Unroutable}, L{txkombu.exceptions.Nacked} or
            the broker's refusal; with L{txkombu.exceptions.NotSent} if the first
            attempt to connect fails, no channel can be opened, or the channel is closed
            before the message was sent; with L{txkombu.exceptions.OutcomeUnknown} if
            the session is lost after that, unless C{retry} is given; with
            L{txkombu.exceptions.OperationTimeout} after C{timeout} seconds, whose text
            says whether the message was sent (if not, it never will be); with
            L{txkombu.exceptions.BackpressureError} if too many messages wait; with
            L{txkombu.exceptions.EncodeError} if the body cannot be serialized.  A
            message that was not sent before a loss waits for the next session.
        @raise TypeError: a property is unknown, or an argument has a wrong type.
        @raise ValueError: an argument is out of range or too long.
        """
        if immediate:
            name = self._core.connection.settings.transport_name
            return fail(NotSupported("immediate", name))
        if mandatory is None:
            mandatory = self.mandatory
        retries = 0.0
        if retry or retry_policy is not None:
            allowed = max_retries(retry_policy)
            retries = allowed if retry else 0.0
        if expiration is not None:
            as_received = isinstance(expiration, str) and expiration.isdecimal()
            properties["expiration"] = (
                expiration
                if as_received
                else str(milliseconds("expiration", expiration))
            )
        if (mandatory or retries) and properties.get("message_id") is None:
            properties["message_id"] = next(self._message_ids)
        reply_to = None
        if properties:
            reply_to = properties.get("reply_to")
            check_properties(properties)
        if routing_key is None:
            routing_key = self.routing_key
        else:
            check_short_string("routing_key", routing_key)
        if priority != 0:
            priority = check_count("priority", priority, 0, 255) or 0
        if content_type is not None:
            check_short_string("content_type", content_type)
            check_short_string("content_encoding", content_encoding or "")
        target = self._exchange if exchange is None else self._target(exchange)
        if not (target.name or routing_key):
            raise ValueError(_NOWHERE)
        mode = target.delivery_mode
        if delivery_mode is not None:
            mode = check_delivery_mode(delivery_mode) or mode
        limit = (
            PUBLISH_TIMEOUT if timeout is None else check_seconds("timeout", timeout)
        )
        sent_headers = {} if headers is None else check_arguments("headers", headers)
        entities = [] if declare is None else _checked_entities(declare)
        compressed_as = sent_headers.pop("compression", None) if sent_headers else None
        try:
            kind, encoding, data = encode(
                body, serializer or self.serializer, content_type, content_encoding
            )
            method = self.compression if compression is None else compression
            if method:
                data, compressed_as = _compressed(data, method)
            elif compressed_as is not None and not may_be_true(compressed_as, data):
                compressed_as = None
        except KombuError:
            return fail(Failure())
        if compressed_as is not None:
            sent_headers["compression"] = compressed_as
        sent = {
            "content_type": kind,
            "content_encoding": encoding,
            "headers": sent_headers,
            "delivery_mode": mode,
            "priority": priority,
        }
        if properties:
            sent.update(properties)
        held = bool(entities) or (
            self._declares
            and self._present_at != self._topology.lapses
            and not self._is_present()
        )
        message = PublishRequest(
            data,
            sent,
            target,
            routing_key,
            mandatory,
            confirm,
            limit,
            held,
            reply_to if isinstance(reply_to, Queue) else None,
            retries,
        )
        return self._send(message, entities)

    def _send(
        self, message: PublishRequest, entities: list[Exchange | Queue]
    ) -> Deferred[None]:
        done = self._core.publish(message)
        if message.held and not done.called:
            self._declare_for(message, entities)
        if self._flow_control is not None:
            self._flow_control.check()
        return done.addErrback(self._told_on_return) if message.mandatory else done

    def forward(
        self,
        message: Message,
        exchange: Exchange | str | None = None,
        routing_key: str | None = None,
        headers: Mapping[str, object] | None = None,
        *,
        with_deaths: bool = True,
        with_expiration: bool = True,
        mandatory: bool | None = None,
        retry: bool = False,
        timeout: float | None = None,
    ) -> Deferred[None]:
        """
        Publish a received message as it is: its body undecoded, its content type and
        encoding, headers and other properties, C{expiration} included.

        The property C{user_id} is left out, since the broker compares it with the user
        who publishes, and so is the header C{CC}, which would send further copies to
        the queues that have one.

        @param message: the message.
        @param exchange: where to publish it; default is the producer's.
        @param routing_key: default is the one the message came with.
        @param headers: further headers, or others in the place of its own; C{None}
            leaves one out.
        @param with_deaths: whether to keep the headers in which a broker tells why it
            dead-lettered the message.
        @param with_expiration: whether the message may still expire.
        @param mandatory: have it returned if it is routed to no queue; default is the
            producer's.
        @param retry: whether to send it again after a loss, as for L{publish}.
        @param timeout: seconds from this call to the broker's verdict; default 30.
        @return: as of L{publish}.
        """
        properties = forwarded_properties(
            message, headers, with_deaths, with_expiration
        )
        if mandatory is None:
            mandatory = self.mandatory
        if (mandatory or retry) and properties.get("message_id") is None:
            properties["message_id"] = next(self._message_ids)
        key = message.routing_key if routing_key is None else routing_key
        check_short_string("routing_key", key)
        limit = (
            PUBLISH_TIMEOUT if timeout is None else check_seconds("timeout", timeout)
        )
        target = self._exchange if exchange is None else self._target(exchange)
        if not (target.name or key):
            raise ValueError(_NOWHERE)
        held = exchange is None and self._declares and not self._is_present()
        body = message.raw_body
        request = PublishRequest(
            body,
            properties,
            target,
            key,
            mandatory,
            True,
            limit,
            held,
            retries=max_retries(None) if retry else 0.0,
        )
        return self._send(request, [])

    def send(self, body: object, *args: Any, **options: Any) -> Deferred[None]:
        """
        Publish one message: another name of L{publish}.

        @param body: as for L{publish}.
        @param args: as for L{publish}.
        @param options: as for L{publish}.
        """
        return self.publish(body, *args, **options)

    def _target(self, exchange: Exchange | str) -> Exchange:
        """
        Return the exchange to publish to.

        If only a name is given, the delivery mode is that of the producer's exchange.
        """
        if not isinstance(exchange, str):
            return as_exchange(exchange)
        if exchange == self._exchange.name:
            return self._exchange
        return Exchange.named(exchange, self._exchange.delivery_mode)

    # --- declaring ----------------------------------------------------------

    def declare(self) -> Deferred[None]:
        """
        Declare the exchange now, or check that it exists, as C{auto_declare} says.

        @return: fails as L{Exchange.declare} does.
        """
        return self._exchange.declare(passive=self.auto_declare == "passive" or None)

    def maybe_declare(
        self, entity: Exchange | Queue, retry: bool = False, **retry_policy: Any
    ) -> Deferred[bool]:
        """
        Declare an exchange or a queue, unless the broker is known to have it.

        @param entity: what to declare, on the producer's channel.
        @param retry: whether to declare again when that fails with the connection.
        @param retry_policy: how often and how soon, as for
            L{txkombu.BrokerConnection.ensure}.
        @return: fires with whether it was declared now; fails as L{Queue.declare} does.
        @raise TypeError: it is neither; or an argument of the policy is not known.
        """
        [checked] = _checked_entities([entity])
        if not retry:
            return self._declare_unknown(checked)
        policy = Repetition(**retry_policy)
        declare = partial(self._declare_unknown, checked)
        return repeat(self._core.connection, declare, policy)

    @inlineCallbacks
    def _declare_unknown(
        self, entity: Exchange | Queue
    ) -> Generator[Deferred[Any], Any, bool]:
        if not self.channel.is_open:
            yield self._core.opener.when_open()  # what was declared is restored by then
        if self._topology.knows(entity):
            return False
        yield entity.declare(channel=self.channel)
        return True

    def _declare_for(
        self, message: PublishRequest, entities: list[Exchange | Queue]
    ) -> None:
        """Declare what a message needs; a loss meanwhile begins it anew."""
        core = self._core

        def failed(failure: Failure) -> None:
            lost = failure.check(SessionLost, ChannelClosed) and not core.closed
            if lost and core.publisher.is_held(message):
                self._declare_for(message, entities)
            else:
                core.publisher.refuse(message, failure)

        self._declare_all(entities).addCallbacks(
            lambda _: core.publisher.release(message), failed
        )

    @inlineCallbacks
    def _declare_all(
        self, entities: list[Exchange | Queue]
    ) -> Generator[Deferred[Any], Any, None]:
        if not self.channel.is_open:
            yield self._core.opener.when_open()  # what was declared is restored by then
        if self._declares and not self._is_present():
            yield self._when_declared()
        for entity in entities:
            yield self._declare_unknown(entity)

    def _is_present(self) -> bool:
        """
        Return whether the exchange need not be declared.

        If so, L{publish} asks again only when C{topology.lapses} has grown.
        """
        exchange, topology = self._exchange, self._topology
        if self.auto_declare == "passive" or exchange.passive or exchange.by_name:
            present = topology.is_present(exchange)
        else:
            present = topology.knows(exchange)
        if present:
            self._present_at = topology.lapses
        return present

    def _when_declared(self) -> Deferred[None]:
        """Declare the exchange once, however many publishes wait for it."""
        first = not self._declaring
        waiter = self._declaring.wait()
        if first:

            def failed(failure: Failure) -> None:
                error = failure.value
                assert isinstance(error, Exception)
                self._declaring.fail(error)

            self.declare().addCallbacks(self._declaring.fire, failed)
        return waiter

    # --- what came back -----------------------------------------------------

    def _told_on_return(self, failure: Failure) -> Failure:
        error = failure.value
        if isinstance(error, Unroutable):
            self._tell(error)
        return failure

    def _tell(self, error: Unroutable) -> None:
        if self.on_return is None:
            return
        message = error.returned
        call_logged(
            "on_return",
            self.on_return,
            error,
            message.exchange,
            message.routing_key,
            message,
        )

    # --- room ---------------------------------------------------------------

    def when_ready(self) -> Deferred[None]:
        """
        Wait until a message would be sent at once.

        @return: fails if the connection cannot be made or was closed.
        """
        return self.channel.when_ready()

    def registerProducer(self, socket: Pausable) -> None:
        """
        Stop reading from a socket of the program while messages cannot be sent.  TCP
        then slows down the peer of that socket, and memory does not fill up.

        @param socket: a transport, or anything with C{pauseProducing} and
            C{resumeProducing}; several may be registered.
        """
        if self._flow_control is None:
            publisher = self._core.publisher
            self._flow_control = FlowControl(
                lambda: publisher.is_ready, self.when_ready
            )
        self._flow_control.add_producer(socket)

    def unregisterProducer(self, socket: Pausable) -> None:
        """
        Undo L{registerProducer}, as when the socket is closed.

        @param socket: what was registered.
        """
        if self._flow_control is not None:
            self._flow_control.remove(socket)

    @inlineCallbacks
    def publish_all(
        self, bodies: Iterable[object] | AsyncIterable[object], **options: Any
    ) -> Generator[Deferred[Any], Any, int]:
        """
        Publish many messages, no faster than the broker takes them.

        @param bodies: what to publish; taken one by one when there is room.
        @param options: as for L{publish}, the same for all.
        @return: fires with the number of messages when all are confirmed.  After the
            first failure no more bodies are taken; when the messages on their way have
            their verdicts, it fails with that failure.
        """
        batch = PublishBatch()
        filling = self._fill(batch, each_body(bodies), options)
        yield filling.addErrback(batch.failed)
        if isinstance(bodies, AsyncGenerator):
            yield Deferred.fromCoroutine(bodies.aclose())
        total: int = yield batch.when_done()
        return total

    @inlineCallbacks
    def _fill(
        self, batch: PublishBatch, next_body: Callable[[], Any], options: dict[str, Any]
    ) -> Generator[Deferred[Any], Any, None]:
        yield self._declare_all([])
        while batch.failure is None:
            body = next_body()
            if isinstance(body, Deferred):
                body = yield body
            if body is END:
                break
            if not self._core.publisher.is_ready:
                yield self.when_ready()
            if batch.failure is None:
                batch.count_publish(self.publish(body, **options))

    # --- its end ------------------------------------------------------------

    def close(self) -> Deferred[None]:
        """
        Call C{on_return} no more for messages published without C{confirm}.  A channel
        that the producer opened is closed, after the verdicts on what was published.

        @return: fires when this is done; never fails.
        """
        self._core.remove_on_return(self)
        return self.channel.close() if self._owned else succeed(None)

    release = close

    async def __aenter__(self) -> Producer:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} to {self._exchange!r}>"


def _compressed(body: bytes, method: str) -> tuple[bytes, str | None]:
    """
    Return the body as it is sent, and the header that names the compression.

    A body that compresses extremely well is sent uncompressed: consumers would refuse
    it, since it becomes so much larger when they decompress it.
    """
    packed, header = compress(body, method)
    if is_beyond_ratio(len(packed), len(body)):
        return body, None
    return packed, header


def _checked_entities(declare: object) -> list[Exchange | Queue]:
    """
    Return the exchanges and queues to declare, as a list.

    @raise TypeError: something else was given, or is among them.
    """
    entities: list[Any] = list(declare) if isinstance(declare, Iterable) else [None]
    if not all(isinstance(each, Exchange | Queue) for each in entities):
        raise TypeError(
            f"declare must be a list of exchanges and queues, not {declare!r}"
        )
    return entities
