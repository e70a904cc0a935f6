"""
Send the messages of one channel: the window, the deadlines, the verdicts.

A message is sent at once if there is a session channel, broker and socket take it, and
the window of unconfirmed messages has room.  Otherwise it waits here in its turn, up to
C{MAX_PENDING}; it is not sent after its deadline.

A lost session channel changes nothing for what waits: it is sent on the next one.  So
is a message that was not written before the loss.  One that was written and has no
verdict is sent again if its publish asked for that, in its old place; its publish fails
with OutcomeUnknown otherwise.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import attrs
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from .._util.deadlines import Deadlines
from .._util.waiters import Waiters
from ..entity import Exchange, Queue
from ..exceptions import (
    AccessRefused,
    AuthenticationFailed,
    BackpressureError,
    ChannelClosed,
    ContentTooLarge,
    InternalError,
    KombuError,
    NotAllowed,
    NotFound,
    NotImplementedByBroker,
    NotSent,
    NotSentInTime,
    OperationTimeout,
    OutcomeUnknown,
    OutcomeUnknownInTime,
    PreconditionFailed,
    SessionLost,
    TransportNotAvailable,
    of_second_copy,
)
from ..interfaces import ISessionChannel, NotWritten

WINDOW = 1000
"""How many messages may be sent and not confirmed, per channel."""
WINDOW_BYTES = 16 * 1024 * 1024
"""How many bytes their bodies may have."""
MAX_PENDING = 10_000
"""How many messages may wait here."""
MAX_PENDING_BYTES = 64 * 1024 * 1024
"""How many bytes their bodies may have."""
TURN = 200
"""How many messages without confirm are sent in one turn of the reactor."""
TURN_BYTES = 256 * 1024
"""How many bytes their bodies may have."""
PERMANENT = (
    AuthenticationFailed,
    TransportNotAvailable,
    AccessRefused,
    ContentTooLarge,
    InternalError,
    NotAllowed,
    NotFound,
    NotImplementedByBroker,
    PreconditionFailed,
)
"""What the next attempt would meet as well, so that it fails a publish as it is."""
AT_ONCE = 50
"""
How many messages without confirm fire their Deferreds at once in one turn of the
reactor.  A callback that publishes the next message is called inside of C{addCallback},
so more of them would come near Python's limit of recursion.
"""


@attrs.define(eq=False, repr=False)
class PublishRequest:
    """
    One message on its way to the broker.

    @ivar body: the bytes.
    @ivar properties: by their AMQP names.
    @ivar exchange: where it is published to.
    @ivar routing_key: with which key.
    @ivar mandatory: whether it comes back if no queue takes it.
    @ivar confirm: whether the broker is to confirm it.
    @ivar timeout: seconds from the publish to the broker's verdict.
    @ivar held: whether something has to be declared first; it keeps its place.
    @ivar retries: how often it may be sent again after a loss without a verdict.
    @ivar reply_to: the queue whose name it tells.  The name is read when the message
        is sent, since the broker may rename the queue before.
    @ivar done: what the publish returned, if the message had to wait.
    @ivar inner: fires with the verdict, once the message was sent; without confirm,
        when the transport has written it.
    @ivar expired: whether its deadline has passed.
    @ivar number: its place among the messages that were sent; 0 before.
    @ivar is_written: whether it was sent once, with no verdict.
    """

    body: bytes
    properties: dict[str, object]
    exchange: Exchange
    routing_key: str
    mandatory: bool
    confirm: bool
    timeout: float
    held: bool = False
    reply_to: Queue | None = None
    retries: float = 0
    number: int = 0
    is_written: bool = False
    done: Deferred[None] | None = None
    inner: Deferred[None] | None = None
    expired: bool = False


class PublishQueue:
    """
    Send the messages of one channel.

    @param clock: for deadlines.
    @param phase: says what a message that waits here waits for.
    @param refused: called with each message whose publish failed after it was sent,
        and with the error.
    @param reopen: has another session channel opened, unless this is under way.
    """

    def __init__(
        self,
        clock: IReactorTime,
        phase: Callable[[], str],
        refused: Callable[[PublishRequest, Exception], None],
        reopen: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._phase = phase
        self._refused = refused
        self._reopen = reopen
        self._flowing = True
        self._resuming = False
        self._channel: ISessionChannel | None = None
        self._pending: OrderedDict[PublishRequest, None] = OrderedDict()
        self._lost: dict[PublishRequest, None] = {}
        self._sent_count = 0
        self._pending_bytes = 0
        self._unconfirmed = 0
        self._unconfirmed_bytes = 0
        self._unwritten = 0
        self._turn = 0
        self._turn_bytes = 0
        self._next_turn: IDelayedCall | None = None
        self._deadlines: Deadlines[PublishRequest] = Deadlines(clock, self._expire)
        self._ready: Waiters[None] = Waiters()
        self._idle: Waiters[None] = Waiters()
        self._sent: list[Deferred[None]] = []
        self._closed: Exception | None = None
        self._refusal: Exception | None = None
        self._is_last = False

    # --- publishing ---------------------------------------------------------

    def publish(self, message: PublishRequest) -> Deferred[None]:
        """
        Send a message, now or when there is room.

        @return: fires with the broker's verdict, or, without confirm, when the
            message was handed to the socket.  Fails with L{OperationTimeout} at the
            deadline, whether or not the message was sent before; with
            L{BackpressureError} if too many messages wait; with C{TypeError} or
            C{ValueError} if the transport cannot carry a property; or as
            C{ISessionChannel.basic_publish} does.
        """
        refusal = self._closed or self._refusal
        if refusal is not None:
            return fail(refusal)
        if self._pending or not self._has_room(message):
            return self._wait_here(message)
        return self._send(message)

    @property
    def is_ready(self) -> bool:
        """Whether a message would be sent at once."""
        return self._has_space(1)

    def when_ready(self) -> Deferred[None]:
        """
        Wait until a message would be sent at once.  If there is no room now, wait until
        half the window is free, so that not every publish has to wait.
        """
        if self._closed is not None:
            return fail(self._closed)
        return succeed(None) if self.is_ready else self._ready.wait()

    def when_idle(self) -> Deferred[None]:
        """Wait until no message waits here, and each has its verdict."""
        return self._idle.wait() if self._is_busy() else succeed(None)

    @property
    def waiting(self) -> int:
        """The number of messages that wait here."""
        return len(self._pending) + len(self._lost)

    @property
    def outstanding(self) -> int:
        """The number of messages that wait here, or were sent and have no verdict."""
        return self.waiting + self._unconfirmed

    @property
    def is_waiting(self) -> bool:
        """Whether a message waits here, or a caller of L{when_ready}."""
        return bool(self._pending or self._lost or self._ready)

    def _is_busy(self) -> bool:
        return bool(self._pending or self._unconfirmed or self._lost)

    def _has_space(self, divisor: int) -> bool:
        return (
            not self._pending
            and self._channel is not None
            and self._flowing
            and self._unconfirmed < WINDOW // divisor
            and self._unconfirmed_bytes < WINDOW_BYTES // divisor
            and self._turn < TURN
            and self._turn_bytes < TURN_BYTES
        )

    def _has_room(self, message: PublishRequest) -> bool:
        if self._channel is None or not self._flowing or message.held:
            return False
        if message.confirm or self._unwritten:
            size = self._unconfirmed_bytes + len(message.body)
            fits = size <= WINDOW_BYTES or not self._unconfirmed
            if not fits or self._unconfirmed >= WINDOW:
                return False
        return message.confirm or (self._turn < TURN and self._turn_bytes < TURN_BYTES)

    def _send(self, message: PublishRequest) -> Deferred[None]:
        """Send a message; an exception fails its Deferred."""
        assert self._channel is not None
        if message.reply_to is not None:
            message.properties["reply_to"] = message.reply_to.name
        try:
            inner = message.inner = self._channel.basic_publish(
                message.body,
                message.properties,
                message.exchange,
                message.routing_key,
                message.mandatory,
                message.confirm,
            )
        except Exception as error:
            self._deadlines.discard(message, message.timeout)
            return fail(of_second_copy(error) if message.is_written else error)
        if message.confirm or not inner.called:
            self._unwritten += not message.confirm
            self._sent_count += 1
            message.number = message.number or self._sent_count
            self._unconfirmed += 1
            self._unconfirmed_bytes += len(message.body)
            if message.done is None:
                self._deadlines.schedule(message, message.timeout)
            inner.addBoth(self._confirmed, message)
        elif message.done is not None:
            self._deadlines.discard(message, message.timeout)
        if not message.confirm:
            self._turn += 1
            self._turn_bytes += len(message.body)
            if self._next_turn is None:
                self._await_turn()
            if self._turn > AT_ONCE and inner.called and inner.result is None:
                later: Deferred[None] = Deferred()
                self._sent.append(later)
                return later
        return inner

    def _tell_sent(self) -> None:
        sent, self._sent = self._sent, []
        for later in sent:
            later.callback(None)

    def _confirmed(
        self, result: Failure | None, message: PublishRequest
    ) -> Failure | Deferred[None] | None:
        self._unconfirmed -= 1
        self._unconfirmed_bytes -= len(message.body)
        self._unwritten -= not message.confirm
        if isinstance(result, Failure):
            if self._is_sent_again(message, result.value):
                return self._wait_again(message)
            if isinstance(result.value, Exception):
                self._refused(message, result.value)
        self._deadlines.discard(message, message.timeout)
        pending = self._pending and self._flowing
        if pending or self._ready.waiting or self._idle.waiting:
            self.resume()
        if not isinstance(result, Failure):
            return result
        if message.expired:
            phase = "waiting for the broker's word on it"
            if result.check(NotWritten):
                phase, message.inner = "waiting for an operation before it", None
            raise _not_in_time(message, phase) from None
        return _about_both(result) if message.is_written else result

    def _await_turn(self) -> None:
        self._next_turn = self._clock.callLater(0, self._begin_turn)

    def _begin_turn(self) -> None:
        self._next_turn = None
        self._turn = self._turn_bytes = 0
        self._tell_sent()
        self.resume()

    # --- after a loss -------------------------------------------------------

    def _is_sent_again(self, message: PublishRequest, error: object) -> bool:
        """Return whether a message that a loss has failed is sent again."""
        is_lost = self._channel is None and not self._is_last
        if not is_lost or self._closed is not None or message.expired:
            return False
        if isinstance(error, OutcomeUnknown) and message.retries:
            message.retries -= 1
            message.is_written = True
            return True
        return isinstance(error, NotSent)

    def _wait_again(self, message: PublishRequest) -> Deferred[None]:
        """Keep a message for the next session channel, in its old place."""
        message.inner = None
        done: Deferred[None] = Deferred(lambda _: self._cancel(message))
        message.done = done
        self._lost[message] = None
        self._pending_bytes += len(message.body)
        self._reopen()
        return done

    # --- waiting ------------------------------------------------------------

    def _wait_here(self, message: PublishRequest) -> Deferred[None]:
        size = self._pending_bytes + len(message.body)
        too_large = self._pending and size > MAX_PENDING_BYTES
        if too_large or len(self._pending) >= MAX_PENDING:
            return fail(
                BackpressureError(
                    f"{len(self._pending)} messages ({self._pending_bytes} bytes) wait "
                    f"to be published ({self._phase()}); wait for when_ready() first"
                )
            )
        done: Deferred[None] = Deferred(lambda _: self._cancel(message))
        message.done = done
        self._deadlines.schedule(message, message.timeout)
        self._await_room(message)
        return done

    def _await_room(self, message: PublishRequest) -> None:
        self._pending[message] = None
        self._pending_bytes += len(message.body)

    def flow(self, allowed: bool) -> None:
        """Send messages or not, as broker and socket allow."""
        self._flowing = allowed
        if allowed:
            self.resume()

    def resume(self) -> None:
        """Send what waits, as far as there is room, and fire L{when_ready}."""
        if self._resuming:
            return
        if self._deadlines.is_expiring:  # messages that wait may be next
            if self._next_turn is None:
                self._await_turn()
            return
        self._resuming = True
        try:
            if self._pending:
                self._deadlines.check()
            while self._pending and self._has_room(next(iter(self._pending))):
                self._send_first()
        finally:
            self._resuming = False
        if self._ready and self._has_space(2):
            self._ready.fire(None)
        self._tell_idle()

    def _send_first(self) -> None:
        message, _ = self._pending.popitem(last=False)
        self._pending_bytes -= len(message.body)
        assert message.done is not None
        self._send(message).addBoth(_pass_on, message.done)

    def _tell_idle(self) -> None:
        if self._idle and not self._is_busy():
            self._idle.fire(None)

    def release(self, message: PublishRequest) -> None:
        """Send a held message in its turn: what it needs is declared."""
        message.held = False
        self.resume()

    def is_held(self, message: PublishRequest) -> bool:
        """Return whether a message still waits for what has to be declared."""
        return message.held and message in self._pending

    def refuse(self, message: PublishRequest, failure: Failure) -> None:
        """Fail a held message: what it needs cannot be declared."""
        if message in self._pending:
            self._deadlines.discard(message, message.timeout)
            if failure.check(SessionLost, ChannelClosed):
                failure = Failure(_not_sent(message, failure.value))
            self._drop(message, failure)

    def _drop(self, message: PublishRequest, failure: Failure | None = None) -> None:
        """Take a message out, and send those behind it if there is room."""
        for waiting in (self._pending, self._lost):
            if message in waiting:
                del waiting[message]
                self._pending_bytes -= len(message.body)
        if failure is not None:
            assert message.done is not None
            message.done.errback(failure)
        self.resume()

    def _cancel(self, message: PublishRequest) -> None:
        self._deadlines.discard(message, message.timeout)
        if message.inner is not None:
            message.inner.cancel()
        else:
            self._drop(message)

    def _expire(self, message: PublishRequest) -> None:
        message.expired = True
        if message.inner is not None:
            message.inner.cancel()
            return
        phase = self._phase()
        if message.held and self._channel is not None:
            phase = "waiting for what has to be declared before"
        self._drop(message, Failure(_not_in_time(message, phase)))

    # --- the channel's life -------------------------------------------------

    def channel_up(self, channel: ISessionChannel) -> None:
        """Send on this channel from now on, first what was sent before the loss."""
        self._channel = channel
        lost, self._lost = self._lost, {}
        for message in sorted(lost, key=lambda each: each.number, reverse=True):
            self._pending[message] = None
            self._pending.move_to_end(message, last=False)
        self.resume()

    def channel_down(self, is_last: bool = False) -> None:
        """
        Send nothing until L{channel_up}.

        @param is_last: whether there will be no other channel, since this closes.
        """
        self._channel = None
        self._is_last = is_last

    def close(self, error: KombuError) -> None:
        """
        Send nothing any more, and fail what waits.  What was sent and has no verdict
        still ends at its deadline.
        """
        self._closed = error
        self._channel = None
        self._tell_sent()
        self.give_up(error)
        self.when_idle().addCallback(lambda _: self._deadlines.stop())
        if self._next_turn is not None and self._next_turn.active():
            self._next_turn.cancel()
        self._next_turn = None

    def refuse_more(self, error: Exception) -> None:
        """Fail further publishes with this error; those before go on."""
        self._refusal = error

    def give_up(self, cause: Exception) -> None:
        """Fail what waits, for there will be no session channel."""
        self.fail_pending(cause)
        self._ready.fail(cause)

    def fail_pending(self, cause: Exception) -> None:
        """Fail all messages that wait here."""
        pending = [*self._lost, *self._pending]
        self._lost.clear()
        self._pending.clear()
        self._pending_bytes = 0
        for message in pending:
            self._deadlines.discard(message, message.timeout)
            assert message.done is not None
            if not message.done.called:
                message.done.errback(Failure(_not_sent(message, cause)))
        self._tell_idle()


def _not_sent(message: PublishRequest, cause: BaseException | None) -> Exception:
    """Return what a message fails with that is not sent, or not sent again."""
    if message.is_written:
        error: Exception = OutcomeUnknown(f"sent, but not confirmed: {cause}")
    elif isinstance(cause, PERMANENT):
        return cause
    else:
        error = NotSent(f"not sent: {cause}")
    error.__cause__ = cause
    return error


def _about_both(failure: Failure) -> Failure:
    """Return what a message fails with whose second copy failed."""
    error = failure.value
    if isinstance(error, CancelledError) or not isinstance(error, Exception):
        return failure
    return Failure(of_second_copy(error))


def _not_in_time(message: PublishRequest, phase: str) -> OperationTimeout:
    """Return what a message fails with at its deadline."""
    if message.inner is None and not message.is_written:
        return NotSentInTime("publish", message.timeout, f"{phase}; it was not sent")
    phase = f"{phase}; its outcome is unknown"
    return OutcomeUnknownInTime("publish", message.timeout, phase)


def _pass_on(result: Failure | None, done: Deferred[None]) -> None:
    if done.called:
        return
    if isinstance(result, Failure):
        done.errback(result)
    else:
        done.callback(None)
