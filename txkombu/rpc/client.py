"""The client side of request and reply."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import count
from types import TracebackType
from typing import Any, Final
from uuid import uuid4

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from .._util.backoff import Backoff
from .._util.deadlines import Deadlines
from .._util.debug_log import debug_log
from .._util.steady_clock import steady
from .._util.timeouts import sleep_unless
from .._util.validation import check_seconds, refuse_options
from .._util.waiters import SharedClose
from ..core.channel import Channel
from ..core.lending import ChannelLender, lent_channel
from ..entity import Exchange, Queue, as_exchange
from ..exceptions import (
    ChannelClosed,
    ConsumerCancelled,
    DecodeError,
    NotFound,
    NotSentInTime,
    OperationTimeout,
    OutcomeUnknown,
    OutcomeUnknownInTime,
    SessionLost,
)
from ..interfaces import Capability
from ..message import Message
from ..messaging.consumer import Consumer
from ..messaging.producer import Producer
from ..policy import drop
from .error_reply import error_in

CALL_TIMEOUT: Final = 30.0
"""Seconds that a call may take, by default."""
_DIRECT: Final = "amq.rabbitmq.reply-to"
_OWN_OPTIONS: Final = ("reply_to", "correlation_id")
"""What the client sets in each request, to find its reply."""
_SHORTEST: Final = 0.001
"""Seconds that a request has to be sent, at the least."""


class _Phase(Enum):
    """How far a call is; it only goes on, except that a retry publishes again."""

    STARTING = "waiting for the consumer of the replies"
    PUBLISHING = "publishing the request"
    AWAITING = "waiting for the reply"


@attrs.define(eq=False, repr=False)
class _Call:
    """
    One call that has no result yet.

    @ivar number: its correlation id.
    @ivar what: names it in errors.
    @ivar body: the request.
    @ivar options: of its publish, the routing key among them.
    @ivar timeout: seconds from the call to its result.
    @ivar due: when they are over.
    @ivar retry: whether it is sent again after a loss.
    @ivar done: what the caller has.
    @ivar is_sent: whether the broker has confirmed the request once.
    @ivar publishing: the publish under way.
    """

    number: str
    what: str
    body: object
    options: dict[str, Any]
    timeout: float
    due: float
    retry: bool
    done: Deferred[Any]
    phase: _Phase = _Phase.STARTING
    is_sent: bool = False
    publishing: Deferred[None] | None = None


class RPCClient:
    """
    Publish requests, and fire with their replies.

    It has a channel of its own, and a consumer of replies there, which starts with the
    first call and comes back after a loss, before calls that wait are published.
    Replies come by direct reply-to where the broker has it, and else by an exclusive
    queue that the broker names.

    @param channel: a connection, or a channel of it.
    @param exchange: where requests are published; the default one if not given.
    @param timeout: the default for L{call}, in seconds.
    @param serializer: of the requests; by default str and bytes are sent as they are
        and the rest as json.
    @param accept: what may be decoded of replies; see L{txkombu.Consumer}.
    @param reply_queue: receives the replies instead, and is read by this client alone.
    @ivar channel: its channel.
    """

    _log = Logger()

    def __init__(
        self,
        channel: ChannelLender,
        exchange: Exchange | str | None = None,
        timeout: float = CALL_TIMEOUT,
        *,
        serializer: str | None = None,
        accept: Iterable[str] | None = None,
        reply_queue: Queue | None = None,
    ) -> None:
        lent, is_own = lent_channel(channel)
        # A broker has one consumer of direct replies for each channel, and an error on
        # a shared one would end the calls.
        self.channel = lent if is_own else Channel(lent.connection)
        self.timeout = check_seconds("timeout", timeout)
        self._accept = accept
        self._reply_queue = reply_queue
        self._core = self.channel.core
        self._clock = steady(self._core.connection.clock)
        self._exchange = as_exchange(exchange or "")
        self._producer = Producer(self.channel, self._exchange, serializer=serializer)
        self._numbers = map(f"{uuid4().hex}-{{}}".format, count(1))
        self._calls: dict[str, _Call] = {}
        self._deadlines: Deadlines[_Call] = Deadlines(
            self._core.connection.clock, self._expire
        )
        self._consumer: Consumer | None = None
        self._is_mandatory = True
        self._is_ready = False
        self._is_starting = False
        self._not_started: Exception | None = None
        self._pause: Deferred[Any] = succeed(None)
        self._end = SharedClose(self._close)
        self._core.add_on_lost(self, self._channel_lost)

    # --- calling ------------------------------------------------------------

    def call(
        self,
        routing_key: str,
        body: object,
        *,
        timeout: float | None = None,
        retry: bool = False,
        mandatory: bool | None = None,
        **options: Any,
    ) -> Deferred[Any]:
        """
        Publish a request, and wait for its reply.  Cancelling the Deferred forgets the
        call; a server may handle it all the same.

        @param routing_key: with the default exchange, the name of the server's queue.
        @param body: the request, which is not to be changed before the result.
        @param timeout: seconds from this call to the reply; default is the client's.
        @param retry: whether to send the request again if the session is lost before
            the reply, with the same message_id.  A server may handle it twice then.
        @param mandatory: whether the call fails at once if no queue takes the request;
            default is yes, if the broker can tell that.
        @param options: as for L{txkombu.Producer.publish}, without C{reply_to} and
            C{correlation_id}, which are the client's own.  The request expires with the
            call, unless C{expiration} says otherwise.
        @return: fires with the payload of the reply.  Fails with
            L{txkombu.exceptions.RemoteError} if the server replied with an error; with
            L{txkombu.exceptions.Unroutable} at once if no queue takes the request;
            with L{txkombu.exceptions.OutcomeUnknown} if the session is lost, or the
            client closed, after the request was sent; with
            L{txkombu.exceptions.OperationTimeout} at the deadline: a C{NotSentInTime}
            if the request was not sent, else an C{OutcomeUnknownInTime}; with
            L{txkombu.exceptions.DecodeError} if the reply cannot be decoded; with
            whatever else a publish fails with.
        @raise TypeError: C{reply_to} or C{correlation_id} was given.
        """
        refuse_options("call()", options, _OWN_OPTIONS)
        if self._end.begun:
            return fail(_client_closed())
        seconds = self.timeout if timeout is None else check_seconds("timeout", timeout)
        call = _Call(
            next(self._numbers),
            f"the call to {routing_key!r}",
            body,
            {"routing_key": routing_key, **options},
            seconds,
            self._clock.seconds() + seconds,
            retry,
            Deferred(lambda _: self._forget(call)),
        )
        call.options.setdefault("message_id", call.number)
        if mandatory is not None:
            call.options["mandatory"] = mandatory
        self._calls[call.number] = call
        self._deadlines.schedule(call, seconds)
        if self._is_ready:
            self._publish(call)
        else:
            self._start()
        return call.done

    def _in_phase(self, phase: _Phase) -> Iterator[_Call]:
        """Give the calls of a phase, also while that changes."""
        for call in list(self._calls.values()):
            if call.phase is phase and call.number in self._calls:
                yield call

    def _forget(self, call: _Call) -> None:
        self._calls.pop(call.number, None)
        self._deadlines.discard(call, call.timeout)
        if call.publishing is not None:
            # A request that was answered before its confirm is not to be sent again.
            call.publishing.cancel()

    def _end_call(self, call: _Call, result: object) -> None:
        """Fire a call that has not ended."""
        if call.number in self._calls:
            self._forget(call)
            call.done.callback(result)

    def _expire(self, call: _Call) -> None:
        if call.phase is _Phase.PUBLISHING:
            return  # its publish has the same deadline, and knows what was sent
        is_sent = call.phase is _Phase.AWAITING
        kind = OutcomeUnknownInTime if is_sent else NotSentInTime
        text = f"{call.phase.value}; "
        text += "its outcome is unknown" if is_sent else "it was not sent"
        cause = self._why_no_replies()
        if cause is not None:
            text += f"; last error: {cause}"
        error = kind(call.what, call.timeout, text)
        error.__cause__ = cause
        self._end_call(call, Failure(error))

    def _why_no_replies(self) -> Exception | None:
        """Return why the consumer of replies does not run, as far as that is known."""
        core = self._core
        return self._not_started or core.last_error or core.connection.last_error

    # --- publishing ---------------------------------------------------------

    def _publish(self, call: _Call) -> None:
        call.phase = _Phase.PUBLISHING
        left = max(call.due - self._clock.seconds(), _SHORTEST)
        try:
            publishing = self._producer.publish(
                call.body,
                timeout=left,
                retry=call.retry,
                correlation_id=call.number,
                reply_to=self._reply_to,
                **{
                    "mandatory": self._is_mandatory,
                    "expiration": left,
                    **call.options,
                },
            )
        except Exception:
            self._not_published(Failure(), call)
            return
        call.publishing = publishing
        publishing.addCallbacks(
            self._published,
            self._not_published,
            callbackArgs=(call,),
            errbackArgs=(call,),
        )

    @property
    def _reply_to(self) -> str | Queue:
        assert self._consumer is not None
        queue = self._consumer.queues[0]  # type: ignore[index]  # a list by now
        return _DIRECT if queue.name == _DIRECT else queue

    def _published(self, _: object, call: _Call) -> None:
        call.phase = _Phase.AWAITING
        call.is_sent = True
        call.publishing = None
        if call.number in self._calls and self._clock.seconds() >= call.due:
            self._expire(call)

    def _not_published(self, failure: Failure, call: _Call) -> None:
        error = failure.value
        assert isinstance(error, Exception)
        if call.is_sent and isinstance(error, OperationTimeout):
            phase = "waiting to be sent again; its outcome is unknown"
            error = OutcomeUnknownInTime(call.what, call.timeout, phase)
        elif call.is_sent:
            error = _unknown(call, error, "was sent")
        elif isinstance(error, OutcomeUnknownInTime | NotSentInTime):
            error = type(error)(call.what, call.timeout, error.phase)
        else:
            self._end_call(call, failure)
            return
        self._end_call(call, Failure(error))

    # --- receiving ----------------------------------------------------------

    def _start(self) -> None:
        """Start the consumer of replies, unless this is under way."""
        if not self._is_starting:
            self._is_starting = True
            Deferred.fromCoroutine(self._prepare()).addErrback(
                lambda failure: self._log.failure("Fault while starting", failure)
            )

    async def _prepare(self) -> None:
        """Start the consumer of replies, then publish the calls that wait for it."""
        error = await self._consume_in_time()
        self._is_starting = False
        self._not_started = None
        self._is_ready = error is None
        for call in self._in_phase(_Phase.STARTING):
            if error is None:
                self._publish(call)
            else:
                self._end_call(call, Failure(error))

    async def _consume_in_time(self) -> Exception | None:
        """
        Start the consumer; again after a loss, with growing waits, while a call waits
        for it.

        @return: why it cannot start.
        """
        # A lost session has waited before it comes back.
        backoff = Backoff(eager=True, policy=self._core.connection.reconnect)
        while True:
            try:
                await self._consume()
                return None
            except (SessionLost, OperationTimeout, ConsumerCancelled) as error:
                self._not_started = error
                if not any(self._in_phase(_Phase.STARTING)):
                    return error
                await self._pause_after(error, backoff.delay())
            except Exception as error:
                return error

    async def _pause_after(self, error: Exception, seconds: float) -> None:
        self._log.warn(
            "The consumer of replies cannot be started: {error}; next attempt in "
            "{seconds:.1f} s",
            error=str(error),
            seconds=seconds,
        )
        connection = self._core.connection
        self._pause = sleep_unless(connection.clock, seconds, connection.when_closed())
        # It is cancelled if this closes.
        await self._pause.addErrback(lambda _: None)

    async def _consume(self) -> None:
        if self._consumer is None:
            session = await self._core.connection.when_up()
            self._is_mandatory = Capability.MANDATORY in session.capabilities
            has_direct = Capability.DIRECT_REPLY_TO in session.capabilities
            direct = Queue(_DIRECT) if has_direct else _own_queue()
            self._consumer = self._consumer_of(self._reply_queue or direct)
        try:
            await self._consumer.consume()
        except NotFound:
            if self._reply_to != _DIRECT:
                raise
            # An AMQP broker without direct reply-to has no queue of that name.
            refused, self._consumer = self._consumer, self._consumer_of(_own_queue())
            await refused.close()
            await self._consumer.consume()
        if not self._consumer.is_consuming:
            raise ConsumerCancelled("the broker ended it, and it tries again by itself")

    def _consumer_of(self, queue: Queue) -> Consumer:
        if self._end.begun:
            raise _client_closed()
        consumer = Consumer(
            self.channel,
            queue,
            no_ack=True,
            auto_declare=queue.name != _DIRECT,
            on_message=self._replied,
            accept=self._accept,
            on_cancel=self._queue_lost,
            on_failure=drop,
        )

        def closed(_: object) -> None:
            if self._consumer is consumer:
                self._end.wait()

        consumer.when_closed().addCallback(closed)
        return consumer

    def _replied(self, message: Message) -> None:
        call = self._calls.get(message.correlation_id or "")
        if call is None:
            text = "{what!r} replies to no call that waits"
            debug_log.tell(self._log, text, what=message)
            return
        try:
            error = error_in(message)
            result = message.payload if error is None else Failure(error)
        except DecodeError:
            result = Failure()
        self._end_call(call, result)

    # --- losses -------------------------------------------------------------

    def _channel_lost(self, error: Exception) -> None:
        """Send calls without a reply again, or fail them: no reply comes any more."""
        for call in self._in_phase(_Phase.AWAITING):
            if call.retry:
                self._publish(call)
            else:
                self._fail_sent(call, error)

    def _queue_lost(self, tag: str, error: Exception) -> None:
        """Fail the calls whose replies went with their queue; others wait for it."""
        self._is_ready = False
        for call in self._in_phase(_Phase.AWAITING):
            self._fail_sent(call, error)

    def _fail_sent(self, call: _Call, cause: Exception) -> None:
        self._end_call(call, Failure(_unknown(call, cause, "was sent")))

    # --- its end ------------------------------------------------------------

    def close(self) -> Deferred[None]:
        """
        Fail the calls that wait, and close the channel.

        @return: fires when it is closed; never fails.
        """
        return self._end.wait()

    def _close(self) -> Deferred[None]:
        self._core.remove_on_lost(self)
        self._pause.cancel()
        error = _client_closed()
        for call in self._in_phase(_Phase.STARTING):
            self._end_call(call, Failure(error))
        for call in self._in_phase(_Phase.AWAITING):
            self._fail_sent(call, error)
        for call in self._in_phase(_Phase.PUBLISHING):
            self._end_call(call, Failure(_unknown(call, error, "may have been sent")))
        self._deadlines.stop()
        consumer = self._consumer
        closing = succeed(None) if consumer is None else consumer.close()
        return closing.addCallback(lambda _: self.channel.close())

    async def __aenter__(self) -> RPCClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<RPCClient to {self._exchange.name!r}, {len(self._calls)} calls>"


def _own_queue() -> Queue:
    """Describe a queue that the broker names, and deletes with the connection."""
    return Queue("", exclusive=True, durable=False)


def _unknown(call: _Call, cause: Exception, sent: str) -> OutcomeUnknown:
    """Return what a call fails with whose reply cannot arrive."""
    error = OutcomeUnknown(
        f"{call.what} {sent}, but its reply cannot arrive any more: {cause}"
    )
    error.__cause__ = cause
    return error


def _client_closed() -> ChannelClosed:
    return ChannelClosed("the client of the calls was closed")
