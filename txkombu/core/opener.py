"""
Keep a session channel open: open one when it is needed, and another after a loss.

A channel begins I{idle}.  When an operation, a consumer or a message to publish needs
it, it is I{opening} a session channel, then I{starting} its consumers on that, and then
I{open}.  A loss leads back to opening if the channel is still needed, else to idle.
C{close()} leads from every state to I{closing}, in which what was published still goes
out, and then to I{closed}, which is final.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from enum import Enum
from typing import Any, Final, TypeVar

from twisted.internet.defer import (
    Deferred,
    fail,
    inlineCallbacks,
    maybeDeferred,
    succeed,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from .._util.backoff import Backoff
from .._util.failure_record import FailureRecord
from .._util.state_machine import StateMachine
from .._util.steady_clock import steady
from .._util.timeouts import CLOSE_TIMEOUT, sleep, sleep_unless, with_timeout
from .._util.waiters import Waiters
from ..exceptions import (
    ConnectionClosed,
    KombuError,
    NotFound,
    OperationTimeout,
    ResourceError,
    SessionLost,
)
from ..interfaces import ISessionChannel, ISessionChannelListener, Returned
from .connection_core import ConnectionCore
from .decoded_memory import DecodedMemory
from .interfaces import BegunConsumer, SessionChannelOwner
from .unacked import UnackedMessages

T = TypeVar("T")


class ChannelState(Enum):
    """The state of a channel."""

    IDLE = "idle"
    OPENING = "opening"
    STARTING = "starting consumers"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class ChannelEvent(Enum):
    """An event in the life of a channel."""

    NEEDED = "be opened"
    """Something needs a session channel."""
    OPENED = "get a session channel"
    """The session has opened one."""
    STARTED = "have its consumers started"
    """The consumers were started on it."""
    LOST = "lose its session channel"
    """The session channel is gone, by itself or with the session."""
    FAILED = "fail to open"
    """No session channel can be opened, or none is needed any more."""
    CLOSE = "be closed"
    """The program closes the channel, or its connection."""
    GONE = "be gone"
    """Nothing is left of it."""


_ENDING: Final = (ChannelState.CLOSING, ChannelState.CLOSED)

TABLE: Final[dict[tuple[ChannelState, ChannelEvent], ChannelState]] = {
    (ChannelState.IDLE, ChannelEvent.NEEDED): ChannelState.OPENING,
    (ChannelState.OPENING, ChannelEvent.OPENED): ChannelState.STARTING,
    (ChannelState.OPENING, ChannelEvent.FAILED): ChannelState.IDLE,
    (ChannelState.STARTING, ChannelEvent.STARTED): ChannelState.OPEN,
    (ChannelState.STARTING, ChannelEvent.LOST): ChannelState.OPENING,
    (ChannelState.OPEN, ChannelEvent.LOST): ChannelState.IDLE,
    **{
        (state, ChannelEvent.CLOSE): ChannelState.CLOSING
        for state in ChannelState
        if state not in _ENDING
    },
    **{
        (ChannelState.CLOSING, event): ChannelState.CLOSING
        for event in (
            ChannelEvent.OPENED,
            ChannelEvent.STARTED,
            ChannelEvent.LOST,
            ChannelEvent.FAILED,
        )
    },
    (ChannelState.CLOSING, ChannelEvent.GONE): ChannelState.CLOSED,
}


def _may_pass(error: object) -> bool:
    """
    Return whether another connection of the session could not be made, which may pass.
    Without a cause, all channels are open that the broker allows.
    """
    return isinstance(error, ResourceError) and error.__cause__ is not None


@implementer(ISessionChannelListener)
class ChannelOpener:
    """
    Open session channels for one owner, one after the other.

    @param connection: what the session channels belong to.
    @param owner: what works on them.
    @param memory: counts what their unsettled messages hold decoded.
    @ivar session_channel: the session channel, C{None} while there is none.
    @ivar unacked: the messages it handed out, C{None} while there is none.
    @ivar begun: the consumers that were begun on it.
    @ivar closed: what operations fail with since a close; C{None} before.
    """

    _log = Logger()

    def __init__(
        self,
        connection: ConnectionCore,
        owner: SessionChannelOwner,
        memory: DecodedMemory,
    ) -> None:
        self.connection = connection
        self._owner = owner
        self._memory = memory
        self._machine = StateMachine("a channel", TABLE, ChannelState.IDLE)
        self._waiters: Waiters[ISessionChannel] = Waiters()
        self._closing: Waiters[None] = Waiters()
        self._attempt: Deferred[None] = succeed(None)
        self._backoff = Backoff(eager=True, policy=connection.reconnect)
        self._record = FailureRecord(steady(connection.clock))
        self._up_since = 0.0
        self._has_failed = self._is_unanswered = False
        self.session_channel: ISessionChannel | None = None
        self.unacked: UnackedMessages | None = None
        self.begun: dict[BegunConsumer, None] = {}
        self.closed: KombuError | None = None

    @property
    def state(self) -> ChannelState:
        """The state of the channel."""
        return self._machine.state

    @property
    def waiting(self) -> int:
        """The number of operations that wait for a session channel."""
        return len(self._waiters.waiting)

    # --- operations ---------------------------------------------------------

    def call(
        self,
        what: str,
        operate: Callable[[ISessionChannel], Deferred[T]],
        names: Sequence[str] = (),
    ) -> Deferred[T]:
        """
        Run an operation on the session channel, or on the next one.

        Over STOMP an operation has a connection of its own.  If that cannot be made,
        nothing was done, and the operation is begun anew after a wait.

        @param what: names the operation in an
            L{txkombu.exceptions.OperationTimeout}.
        @param operate: begins it, again after each such wait.
        @param names: the queues and exchanges it is about; what the broker does not
            find is noted as not present.
        @return: fails after C{operation_timeout} seconds with OperationTimeout.
        """
        channel = self.session_channel
        if channel is not None:
            began = maybeDeferred(operate, channel)
        else:
            began = self.when_open().addCallback(operate)
        began.addErrback(self._not_begun, what, operate)
        connection = self.connection
        timeout = connection.operation_timeout
        limited = with_timeout(began, connection.clock, timeout, what)
        return limited.addErrback(self._failed_about, names) if names else limited

    def _not_begun(
        self,
        failure: Failure,
        what: str,
        operate: Callable[[ISessionChannel], Deferred[T]],
    ) -> Failure | Deferred[T]:
        error = failure.value
        return self._begin_anew(what, operate, error) if _may_pass(error) else failure

    @inlineCallbacks
    def _begin_anew(
        self,
        what: str,
        operate: Callable[[ISessionChannel], Deferred[T]],
        error: BaseException | None,
    ) -> Generator[Deferred[Any], Any, T]:
        """Begin an operation again and again until its connection can be made."""
        connection = self.connection
        backoff = Backoff(policy=connection.reconnect)
        while True:
            delay = backoff.delay()
            text = "{what}: {error}; next attempt in {delay:.1f} s"
            self._log.warn(text, what=what, error=str(error), delay=delay)
            yield sleep_unless(connection.clock, delay, self._closing.wait())
            if self.closed is not None:
                raise self.closed
            try:
                channel = yield self.when_open()
                result: T = yield operate(channel)
                return result
            except ResourceError as again:
                if not _may_pass(again):
                    raise
                error = again

    def _failed_about(self, failure: Failure, names: Sequence[str]) -> Failure:
        if failure.check(NotFound):
            for name in names:
                self.connection.topology.not_found(name)
        return failure

    def when_open(self) -> Deferred[ISessionChannel]:
        """
        Open a session channel if need be, connecting first.

        @return: fires with it; fails with what connecting failed with.
        """
        if self.session_channel is not None:
            return succeed(self.session_channel)
        if self.closed is not None:
            return fail(self.closed)
        waiter = self._waiters.wait()
        self.ensure_open()
        return waiter

    # --- opening ------------------------------------------------------------

    def ensure_open(self) -> None:
        """Open a session channel, unless there is one or this is under way."""
        if self.state is ChannelState.IDLE:
            self._machine.step(ChannelEvent.NEEDED)
            attempt = self._open()
            if not attempt.called:  # else another may be under way by now
                self._attempt = attempt
            attempt.addErrback(self._failed)

    @inlineCallbacks
    def _open(self) -> Generator[Deferred[Any], Any, None]:
        """Open a session channel and start the consumers; again if it is lost."""
        waits = self._owner.has_consumers or self._has_failed
        delay = self._backoff.delay() if waits else 0.0
        if delay:
            yield sleep(self.connection.clock, delay)
        opened = yield self._open_session_channel()
        self._machine.step(ChannelEvent.OPENED)
        self._has_failed = False
        self.session_channel = opened
        self.unacked = UnackedMessages(opened, self._memory)
        self._up_since = steady(self.connection.clock).seconds()
        self._waiters.fire(opened)
        yield self._owner.channel_up(opened)
        if self.session_channel is opened:
            self._machine.step(ChannelEvent.STARTED)
        elif self.closed is None:  # lost meanwhile
            self._machine.step(ChannelEvent.FAILED)
            if self._waiters or self._owner.needs_channel:
                self.ensure_open()

    def wait_no_longer(self) -> None:
        """
        Open the next session channels without growing waits: what the broker refused on
        the last one is not asked there again.
        """
        self._backoff.reset()

    @inlineCallbacks
    def _open_session_channel(
        self,
    ) -> Generator[Deferred[Any], Any, ISessionChannel]:
        connection = self.connection
        while True:
            session = yield connection.when_up()
            opening = session.open_channel(self)
            timeout = connection.operation_timeout
            try:
                opened: ISessionChannel = yield with_timeout(
                    opening, connection.clock, timeout, "opening a channel"
                )
                return opened
            except SessionLost:
                continue
            except ResourceError as error:
                wanted = self._waiters or self._owner.needs_channel
                if not _may_pass(error) or not wanted:
                    raise
                yield self._pause_after(error)
            except OperationTimeout:
                self._is_unanswered = True
                raise

    def _pause_after(self, error: Exception) -> Deferred[None]:
        delay = self._backoff.delay()
        self._log.warn(
            "Channel cannot be opened: {error}; next attempt in {delay:.1f} s",
            error=str(error),
            delay=delay,
        )
        return sleep(self.connection.clock, delay)

    def _failed(self, failure: Failure) -> None:
        if self.closed is not None:
            return
        self._machine.step(ChannelEvent.FAILED)
        error = failure.value
        assert isinstance(error, Exception)
        self._has_failed = True
        # What their errbacks begin waits for the next attempt.
        waiters, self._waiters = self._waiters, Waiters()
        unanswered, self._is_unanswered = self._is_unanswered, False
        if not unanswered:
            self._owner.cannot_open(error)
        waiters.fail(error)
        if self._owner.needs_channel and not isinstance(error, ConnectionClosed):
            self._log_failed(failure)
            self.ensure_open()

    def _log_failed(self, failure: Failure) -> None:
        if failure.check(KombuError):
            text = "Channel cannot be opened; trying again: {error}"
            self._log.error(text, error=str(failure.value))
        else:  # a fault of ours, so with its traceback
            self._log.failure("Channel cannot be opened; trying again", failure)

    def take_begun(self) -> list[BegunConsumer]:
        """Return the consumers that were begun on what was lost, and forget them."""
        begun = list(self.begun)
        self.begun.clear()
        return begun

    # --- ISessionChannelListener --------------------------------------------

    def channel_lost(self, error: Exception) -> None:
        """Called by the session channel; part of L{ISessionChannelListener}."""
        if self.session_channel is None:
            return
        self.session_channel = None
        self._machine.step(ChannelEvent.LOST)
        if isinstance(error, NotFound):
            self.connection.topology.not_found(error.about)
        self._forget_unacked()
        self._backoff.reset_if_stable(self.connection.clock, self._up_since)
        self._owner.channel_lost(error)
        if self.closed is None and self._owner.needs_channel:
            if not isinstance(error, SessionLost):
                self._log_lost(error)
            self.ensure_open()

    def _log_lost(self, error: Exception) -> None:
        """Log it, but not for each of many publishes that the broker refuses."""
        left_out = self._record.take_line()
        if left_out is not None:
            self._log.warn(
                "Channel lost, opening another: {error}{more}",
                error=str(error),
                more=f" (and {left_out} more before, not logged)" if left_out else "",
            )

    def returned(self, message: Returned) -> None:
        """Called by the session channel; part of L{ISessionChannelListener}."""
        self._owner.returned(message)

    def _forget_unacked(self) -> None:
        unacked, self.unacked = self.unacked, None
        if unacked is not None:
            unacked.die()

    # --- closing ------------------------------------------------------------

    def begin_close(self, error: KombuError) -> None:
        """
        Take no more operations.

        @param error: what they fail with from now on.
        """
        self.closed = error
        self._machine.step(ChannelEvent.CLOSE)
        self._closing.fire(None)

    @property
    def is_opening(self) -> bool:
        """Whether an attempt to open a session channel is under way."""
        return not self._attempt.called and self.connection.is_trying

    def when_attempted(self) -> Deferred[None]:
        """
        Wait for the attempt that is under way, no longer than an operation may take.

        @return: fires when the attempt has ended; never fails.
        """
        ended: Deferred[None] = Deferred()

        def over(result: T) -> T:
            if not ended.called:
                ended.callback(None)
            return result

        self._attempt.addBoth(over)
        connection = self.connection
        timeout = connection.operation_timeout
        return with_timeout(ended, connection.clock, timeout, "close", otherwise=None)

    def stop_opening(self) -> None:
        """Fail what waits for a session channel, and end the attempt to open one."""
        assert self.closed is not None
        self._waiters.fail(self.closed)
        self._attempt.cancel()

    def release(self) -> ISessionChannel | None:
        """Give up the session channel, which the caller closes."""
        channel, self.session_channel = self.session_channel, None
        self._forget_unacked()
        self._machine.step(ChannelEvent.GONE)
        return channel

    def in_time(self, answer: Deferred[Any]) -> Deferred[Any]:
        """
        Wait 5 s for an answer of the broker.

        @return: fires with the answer, or with C{None} if there is none.
        """
        clock = self.connection.clock
        return with_timeout(answer, clock, CLOSE_TIMEOUT, "close", otherwise=None)
