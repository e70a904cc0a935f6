"""
One channel's outgoing messages: the window, the deadlines, the verdicts.

A message goes out at once if the session is up, broker and socket take it, and
the window of unconfirmed messages has room.  Otherwise it waits its turn here,
up to C{max_pending}; what is here when its deadline passes is never sent.  What
is here when the session is lost was never sent, and its publish says so; what
comes while there is no session waits for the next one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from .._util.deadlines import Deadlines
from .._util.waiters import Waiters
from ..exceptions import (
    BackpressureError,
    ChannelClosed,
    KombuError,
    NotSent,
    OperationTimeout,
    SessionLost,
)
from ..interfaces import ISessionChannel
from .publish_request import PublishRequest

WINDOW = 1000
"""Unconfirmed messages on their way, per channel."""
WINDOW_BYTES = 16 * 1024 * 1024
"""Bytes of unconfirmed bodies on their way, per channel."""
MAX_PENDING = 10_000
"""Messages that may wait here."""
MAX_PENDING_BYTES = 64 * 1024 * 1024
"""Bytes of bodies that may wait here."""
TURN = 200
"""Messages without confirm that go out in one turn of the reactor."""
TURN_BYTES = 64 * 1024
"""Bytes of bodies without confirm that go out in one turn of the reactor."""
AT_ONCE = 50
"""
Messages without confirm whose Deferreds fire at once in one turn of the reactor.  A
callback that publishes the next message is called inside of C{addCallback}: more of
them would come near Python's limit of recursion.
"""


class PublishQueue:
    """
    Sends the messages of one channel.

    @param clock: for deadlines.
    @param phase: says what a message that waits here waits for.
    @param refused: called with each message that was sent and whose publish failed,
        and with the error.
    """

    __slots__ = (
        "_channel",
        "_clock",
        "_closed",
        "_deadlines",
        "_doomed",
        "_flowing",
        "_idle",
        "_next_turn",
        "_pending",
        "_pending_bytes",
        "_phase",
        "_ready",
        "_refused",
        "_resuming",
        "_sent",
        "_turn",
        "_turn_bytes",
        "_unconfirmed",
        "_unconfirmed_bytes",
    )

    def __init__(
        self,
        clock: IReactorTime,
        phase: Callable[[], str],
        refused: Callable[[PublishRequest, Exception], None],
    ) -> None:
        self._clock = clock
        self._phase = phase
        self._refused = refused
        self._flowing = True
        self._resuming = False
        self._channel: ISessionChannel | None = None
        self._pending: deque[PublishRequest] = deque()
        self._doomed: list[tuple[PublishRequest, Exception]] = []
        self._pending_bytes = 0
        self._unconfirmed = 0
        self._unconfirmed_bytes = 0
        self._turn = 0
        self._turn_bytes = 0
        self._next_turn: IDelayedCall | None = None
        self._deadlines: Deadlines[PublishRequest] = Deadlines(clock, self._expire)
        self._ready: Waiters[None] = Waiters()
        self._idle: Waiters[None] = Waiters()
        self._sent: list[tuple[Deferred[None], Deferred[None]]] = []
        self._closed: Exception | None = None

    # --- publishing ---------------------------------------------------------

    def publish(self, message: PublishRequest) -> Deferred[None]:
        """
        Send a message, now or when there is room.

        @return: fires with the broker's verdict, or, without confirm, when
            the socket has taken it.  Fails with L{OperationTimeout} at its
            deadline, whether or not it was sent until then; with
            L{BackpressureError} if too much waits already; with C{TypeError} or
            C{ValueError} if the transport cannot express a property; or as
            C{ISessionChannel.basic_publish} does.
        """
        if self._closed is not None:
            return fail(self._closed)
        if not self._pending and self._has_room(message):
            return self._try_to_send(message)
        return self._wait_here(message)

    def _try_to_send(self, message: PublishRequest) -> Deferred[None]:
        """Send it; what is wrong with it fails it, now as after a wait."""
        try:
            return self._send(message)
        except Exception:
            self._deadlines.discard(message, message.timeout)
            return fail()

    @property
    def is_ready(self) -> bool:
        """Whether a message would go out at once."""
        return self._has_space(1)

    def when_ready(self) -> Deferred[None]:
        """
        @return: fires when a message would go out at once; who has to wait,
            waits until half the window is free, so as not to wait each time.
        """
        if self._closed is not None:
            return fail(self._closed)
        return succeed(None) if self.is_ready else self._ready.wait()

    def when_idle(self) -> Deferred[None]:
        """@return: fires when nothing waits and every verdict is in."""
        return self._idle.wait() if self._is_busy() else succeed(None)

    @property
    def waiting(self) -> int:
        """How many messages wait here."""
        return len(self._pending)

    @property
    def is_waiting(self) -> bool:
        """Whether a message waits here, or someone for room."""
        return bool(self._pending or self._ready)

    def _is_busy(self) -> bool:
        return bool(self._pending or self._unconfirmed or self._doomed)

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
        if message.confirm:
            return self._unconfirmed < WINDOW and (
                self._unconfirmed_bytes + len(message.body) <= WINDOW_BYTES
                or not self._unconfirmed
            )
        return self._turn < TURN and self._turn_bytes < TURN_BYTES

    def _send(self, message: PublishRequest) -> Deferred[None]:
        assert self._channel is not None
        if message.reply_to is not None:
            message.properties["reply_to"] = message.reply_to.name
        inner = message.inner = self._channel.basic_publish(
            message.body,
            message.properties,
            message.exchange,
            message.routing_key,
            message.mandatory,
            message.confirm,
        )
        if message.confirm:
            self._unconfirmed += 1
            self._unconfirmed_bytes += len(message.body)
            if message.done is None:
                self._deadlines.schedule(message, message.timeout)
            inner.addBoth(self._confirmed, message)
        else:
            self._count_in_turn(message)
            if self._turn > AT_ONCE and inner.called:
                return self._fire_next_turn(inner)
        return inner

    def _fire_next_turn(self, sent: Deferred[None]) -> Deferred[None]:
        """Tell in the next turn of the reactor what is known already."""
        later: Deferred[None] = Deferred(lambda _: None)
        self._sent.append((sent, later))
        return later

    def _tell_sent(self) -> None:
        sent, self._sent = self._sent, []
        for result, later in sent:
            result.addBoth(_pass_on, later)

    def _confirmed(
        self, result: Failure | None, message: PublishRequest
    ) -> Failure | None:
        self._unconfirmed -= 1
        self._unconfirmed_bytes -= len(message.body)
        self._deadlines.discard(message, message.timeout)
        if isinstance(result, Failure) and isinstance(result.value, Exception):
            self._refused(message, result.value)
        if self._doomed and not self._unconfirmed:
            # Behind what the caller does with this verdict, unless that takes long.
            assert message.inner is not None
            message.inner.addBoth(self._fail_doomed)
            self._await_turn()
        pending = self._pending and self._flowing
        if pending or self._ready.waiting or self._idle.waiting:
            self.resume()
        if message.expired and isinstance(result, Failure):
            phase = "waiting for the broker's word on it; its outcome is unknown"
            raise OperationTimeout("publish", message.timeout, phase) from None
        return result

    def _count_in_turn(self, message: PublishRequest) -> None:
        self._turn += 1
        self._turn_bytes += len(message.body)
        self._await_turn()

    def _await_turn(self) -> None:
        if self._next_turn is None:
            self._next_turn = self._clock.callLater(0, self._begin_turn)

    def _begin_turn(self) -> None:
        self._next_turn = None
        self._turn = self._turn_bytes = 0
        self._tell_sent()
        if self._doomed and not self._unconfirmed:
            self._fail_doomed(None)
        self.resume()

    # --- waiting ------------------------------------------------------------

    def _wait_here(self, message: PublishRequest) -> Deferred[None]:
        if self._is_full(message):
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
        self._pending.append(message)
        self._pending_bytes += len(message.body)

    def _is_full(self, message: PublishRequest) -> bool:
        size = self._pending_bytes + len(message.body)
        return len(self._pending) >= MAX_PENDING or (
            bool(self._pending) and size > MAX_PENDING_BYTES
        )

    def flow(self, allowed: bool) -> None:
        """Broker and socket take messages, or take none for now."""
        self._flowing = allowed
        if allowed:
            self.resume()

    def resume(self) -> None:
        """Send what waits, as far as there is room, and tell who waits for it."""
        if self._resuming:
            return
        self._resuming = True
        try:
            if self._pending:
                self._deadlines.check()
            while self._pending and self._has_room(self._pending[0]):
                self._send_first()
        finally:
            self._resuming = False
        if self._ready and self._has_space(2):
            self._ready.fire(None)
        self._tell_idle()

    def _send_first(self) -> None:
        message = self._pending.popleft()
        self._pending_bytes -= len(message.body)
        assert message.done is not None
        if not message.confirm:
            self._deadlines.discard(message, message.timeout)
        self._try_to_send(message).addBoth(_pass_on, message.done)

    def _tell_idle(self) -> None:
        if self._idle and not self._is_busy():
            self._idle.fire(None)

    def release(self, message: PublishRequest) -> None:
        """What a held message needs is declared."""
        message.held = False
        self.resume()

    def refuse(self, message: PublishRequest, failure: Failure) -> None:
        """What a held message needs cannot be declared."""
        if message in self._pending:
            self._deadlines.discard(message, message.timeout)
            if failure.check(SessionLost, ChannelClosed):
                failure = Failure(_not_sent(failure.value))
            self._drop(message, failure)

    def _drop(self, message: PublishRequest, failure: Failure | None = None) -> None:
        """It will not be sent; those behind it may go out now."""
        if message in self._pending:
            self._pending.remove(message)
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
        error = OperationTimeout(
            "publish", message.timeout, f"{phase}; it was not sent"
        )
        self._drop(message, Failure(error))

    # --- the channel's life -------------------------------------------------

    def channel_up(self, channel: ISessionChannel) -> None:
        """Send on this channel from now on."""
        self._channel = channel
        self.resume()

    def channel_down(self, error: Exception) -> None:
        """
        There is no channel for now: what waited was not sent.  Those before
        it, which wait for a verdict, are about to hear; it comes after them.
        What waits for a declaration hears what became of that.
        """
        if self._channel is None:
            return
        self._channel = None
        held = [each for each in self._pending if each.held]
        waiting = [each for each in self._take_pending() if not each.held]
        self._doomed += [(each, error) for each in waiting]
        for message in held:
            self._await_room(message)
        if not self._unconfirmed:
            self._fail_doomed(None)

    def _fail_doomed(self, result: Failure | None) -> Failure | None:
        doomed, self._doomed = self._doomed, []
        for message, cause in doomed:
            self._refuse(message, cause)
        self._tell_idle()
        return result

    def close(self, error: KombuError) -> None:
        """There is no channel any more."""
        self._closed = error
        self._channel = None
        self._tell_sent()
        self._fail_doomed(None)
        self.give_up(error)
        self._deadlines.stop()
        if self._next_turn is not None and self._next_turn.active():
            self._next_turn.cancel()
        self._next_turn = None

    def give_up(self, cause: Exception) -> None:
        """There will be no channel for those who wait here: tell them."""
        self.fail_pending(cause)
        self._ready.fail(cause)

    def fail_pending(self, cause: Exception) -> None:
        """Tell all that wait here that they were not sent."""
        for message in self._take_pending():
            self._refuse(message, cause)
        self._tell_idle()

    def _take_pending(self) -> list[PublishRequest]:
        pending = list(self._pending)
        self._pending.clear()
        self._pending_bytes = 0
        return pending

    def _refuse(self, message: PublishRequest, cause: Exception) -> None:
        """Tell who published it that it was not sent."""
        self._deadlines.discard(message, message.timeout)
        assert message.done is not None
        if not message.done.called:
            message.done.errback(Failure(_not_sent(cause)))


def _not_sent(cause: BaseException | None) -> NotSent:
    error = NotSent(f"not sent: {cause}")
    error.__cause__ = cause
    return error


def _pass_on(result: Failure | None, done: Deferred[None]) -> None:
    if done.called:
        return
    if isinstance(result, Failure):
        done.errback(result)
    else:
        done.callback(None)
