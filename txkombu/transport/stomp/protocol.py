"""
One connection to a broker that speaks STOMP 1.2: the Twisted protocol.

L{txkombu.transport.protocol} has its states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol
from uuid import uuid4

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from ..._util.awaitables import call_logged
from ..._util.failures import without_frames
from ..._util.steady_clock import steady
from ...exceptions import BrokerError, ConnectionForced, KombuError, SessionLost
from ..errors import copy_error, ended, with_cause
from ..protocol import OPEN, OVER, BrokerProtocol, State, WriteWatcher
from .wire.errors import cancellation_of, error_of, is_provisional
from .wire.frames import END, HEARTBEAT, encode_frame
from .wire.login import agree, login_frame
from .wire.parser import HEAD_MOST, MESSAGE, RECEIPT, Frame, StompFrameParser

if TYPE_CHECKING:
    from ...url.parameters import Parameters

TOLERANCE: Final = 2.5
"""
The broker is taken for dead after so many of its intervals without a byte.  ActiveMQ
checks once an interval whether it has written since its last check, and so may be
silent for two intervals, which it is right after a login.
"""

_DOUBT_SECONDS: Final = 1.0
"""How long to wait for a better error; see L{is_provisional}."""

_JOINED_MOST: Final = 16 * 1024
"""The most bytes of a body that are copied rather than written by themselves."""
_TOGETHER_MOST: Final = 64 * 1024
"""So many bytes of messages are written without waiting for more."""

Waiter = Callable[["Exception | None"], object]


class ProtocolOwner(WriteWatcher, Protocol):
    """What a connection tells its owner, from the reactor, once it has logged in."""

    def socket_lost(self, reason: Exception) -> object:
        """
        Learn that the connection has ended, by no wish of the owner.  Called once, and
        before anything outstanding fires.

        @param reason: the broker's error if it told one, else L{SessionLost}.
        """


class StompProtocol(BrokerProtocol):
    """
    One connection to one broker.

    @ivar name: no other connection has it.
    @ivar declared: what may be declared only once on it, and was.
    @ivar server: what the broker calls itself, as C{"RabbitMQ/3.10.8"}; C{""} if it
        hides that.
    @ivar process: what identifies the broker's process; C{""} if it does not say.
    """

    speaks = "STOMP 1.2"
    silence = "its heart-beat"
    server = process = ""
    login: Deferred[StompProtocol]

    def __init__(
        self,
        parameters: Parameters,
        place: str,
        clock: IReactorTime,
        owner: ProtocolOwner,
        rules: tuple[bool, bool] = (True, False),
    ) -> None:
        """@param rules: see L{follow}."""
        super().__init__(place, clock, owner, owner.socket_lost)
        self.name = uuid4().hex
        self.declared: set[str] = set()
        self._parameters = parameters
        self._errors_are_fatal, length_is_last = rules
        self._parser = StompFrameParser(
            HEAD_MOST, parameters.max_message_size, True, length_is_last
        )
        self._answered = self._has_sent = False
        self._messages: list[bytes] = []
        self._messages_size = 0
        self._waits_for_more = False
        self._doubt: BrokerError | None = None
        self._doubt_call: IDelayedCall | None = None
        self._receipts: dict[str, Deferred[None] | Waiter] = {}
        self._receipt_count = self._subscription_count = 0
        self._subscriptions: dict[
            str, tuple[Callable[[Frame], object], Callable[[Exception], object]]
        ] = {}

    @property
    def answered(self) -> bool:
        """Whether the broker has said anything."""
        return self._answered

    @property
    def alive(self) -> bool:
        """Whether it is logged in, and neither lost nor closing."""
        return self._state is OPEN

    def follow(self, errors_are_fatal: bool, length_is_last: bool) -> None:
        """
        Adopt the rules of a dialect.  Unless errors are fatal, one that names a receipt
        fails only what waits for that.
        """
        self._errors_are_fatal = errors_are_fatal
        self._parser.expect_length_last(length_is_last)

    def write(self, data: bytes) -> None:
        """Write whole frames; nothing unless the connection is alive."""
        if self._state is OPEN:
            if self._messages:
                self._write_messages()
            self._has_sent = True
            self.transport.write(data)

    def write_message(self, head: bytes, body: bytes) -> None:
        """
        Write one frame; the head has the blank line.  A large body is not copied.

        What is published because receipts came, or because the socket has room again,
        is written together.
        """
        if self._state is not OPEN:
            return
        self._has_sent = True
        if len(body) <= _JOINED_MOST:
            self._messages.append(b"%b%b\0" % (head, body))
        else:
            self._messages += (head, body, END)
        self._messages_size += len(head) + len(body)
        if not self._waits_for_more or self._messages_size >= _TOGETHER_MOST:
            self._write_messages()

    def _write_messages(self) -> None:
        messages, self._messages = self._messages, []
        self._messages_size = 0
        self.transport.writeSequence(messages)

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Write the messages of the block together."""
        self._waits_for_more = True
        try:
            yield
        finally:
            self._waits_for_more = False
            if self._messages:
                self._write_messages()

    def resumeProducing(self) -> None:
        with self._together():
            super().resumeProducing()

    def receipt(self) -> tuple[str, Deferred[None]]:
        """
        Return the value for the header C{receipt} of a frame, and a Deferred that fires
        when the broker has handled the frame, or fails with the broker's error or
        L{SessionLost}.  Cancelling it ends only the waiting.
        """
        if self._state is not OPEN:
            return "", fail(SessionLost("the connection is closed"))
        number = ""
        waiting: Deferred[None] = Deferred(lambda _: self.forget(number))
        number = self.expect(waiting)
        return number, waiting

    def expect(self, waiter: Deferred[None] | Waiter) -> str:
        """
        Ask for a receipt, and return the value for the header C{receipt}.

        @param waiter: called with C{None} when the broker has handled the frame, or
            with the error if an ERROR names its receipt; B{not} when the connection
            ends, which C{socket_lost} tells.
        """
        self._receipt_count += 1
        number = str(self._receipt_count)
        self._receipts[number] = waiter
        return number

    def forget(self, number: str) -> None:
        """Wait for a receipt no more; one that comes all the same is dropped."""
        self._receipts.pop(number, None)

    def request(
        self, command: str, *headers: tuple[str, str], before: bytes = b""
    ) -> Deferred[None]:
        """
        Write a frame, and wait until the broker has handled it, as L{receipt}.

        @param before: frames to write in front of it, in the same write.
        """
        number, handled = self.receipt()
        if number:
            frame = encode_frame(command, (*headers, ("receipt", number)))
            self.write(before + frame)
        return handled

    def subscribe(
        self,
        id: str,
        on_message: Callable[[Frame], object],
        on_cancelled: Callable[[Exception], object],
    ) -> None:
        """
        Hand the messages of a subscription to a callback.  Writes nothing.

        @param on_cancelled: called, once, if the broker ends only the subscription.
        """
        self._subscriptions[id] = on_message, on_cancelled

    def consume(
        self,
        destination: str,
        *headers: tuple[str, str],
        on_message: Callable[[Frame], object] = lambda _: None,
        on_cancelled: Callable[[Exception], object] = lambda _: None,
        before: bytes = b"",
    ) -> tuple[str, Deferred[None]]:
        """Write a SUBSCRIBE; return its id, and a Deferred as that of L{request}."""
        self._subscription_count += 1
        id = f"s{self._subscription_count}"
        self.subscribe(id, on_message, on_cancelled)
        about = (("destination", destination), ("id", id))
        return id, self.request("SUBSCRIBE", *about, *headers, before=before)

    def unsubscribe(self, id: str) -> None:
        """Drop what still comes for a subscription.  Writes nothing."""
        self._subscriptions.pop(id, None)

    def _begin(self) -> None:
        self.transport.write(login_frame(self._parameters))

    def _receive(self, data: bytes) -> None:
        self._answered = True
        with self._together():
            self._take_frames(data)

    def _take_frames(self, data: bytes) -> None:
        for frame in self._parser.feed(data):
            state, command = self._state, frame.command
            if state is OVER:
                return
            if command == RECEIPT:
                if self._doubt is None:
                    self._take_receipt(frame.headers.get("receipt-id", ""))
            elif command == MESSAGE:
                id = frame.headers.get("subscription", "")
                if state is OPEN and self._doubt is None and id in self._subscriptions:
                    on_message, _ = self._subscriptions[id]
                    try:
                        on_message(frame)
                    except Exception:
                        text = "handing a message out failed"
                        self._log.failure(text, without_frames(Failure()))
            elif state is State.LOGIN:
                agreed = agree(frame, self._parameters, self._place)
                self._parser.logged_in()
                self.server, self.process = agreed.server, agreed.process
                self._heartbeat.start(agreed.sends, agreed.hears, TOLERANCE)
                self._logged_in()
            else:
                self._take_error(frame)

    def _take_receipt(self, number: str, error: Exception | None = None) -> None:
        # RabbitMQ sends one also after the ERROR for a frame, so it may be unexpected.
        waiter = self._receipts.pop(number, None)
        if isinstance(waiter, Deferred):
            if error is None:
                waiter.callback(None)
            else:
                waiter.errback(Failure(error))
        elif waiter is not None:
            try:
                waiter(error)
            except Exception:
                self._log.failure(
                    "{waiter} failed", without_frames(Failure()), waiter=waiter
                )

    def _take_error(self, frame: Frame) -> None:
        cancellation = cancellation_of(frame)
        if cancellation is not None:
            id, reason = cancellation
            if id in self._subscriptions:
                _, on_cancelled = self._subscriptions.pop(id)
                call_logged("on_cancelled", on_cancelled, reason)
        elif self._is_about_one_frame(frame):
            self._take_receipt(frame.headers["receipt-id"], error_of(frame))
        elif not (self._state is OPEN and is_provisional(frame)):
            self._finish(error_of(frame))
        elif self._doubt is None:
            # Wait for the ERROR that names the cause, and drop other frames until then.
            self._doubt = error = error_of(frame)
            call_later = steady(self._clock).callLater
            self._doubt_call = call_later(_DOUBT_SECONDS, self._finish, error)

    def _is_about_one_frame(self, error: Frame) -> bool:
        """Tell whether an ERROR fails only what waits for the receipt that it names."""
        if self._errors_are_fatal or "receipt-id" not in error.headers:
            return False
        # A broker that stops names the frame that it did not get to.
        return not isinstance(error_of(error), ConnectionForced)

    def _prepare_close(self) -> None:
        if self._messages:
            self._write_messages()

    def _say_goodbye(self) -> None:
        receipt = self.expect(lambda _: self._closed_by_us())
        frame = encode_frame("DISCONNECT", [("receipt", receipt)])
        self.transport.write(frame)

    def _beat(self) -> None:
        self.write(HEARTBEAT)

    def _has_written(self) -> bool:
        has_sent, self._has_sent = self._has_sent, False
        return has_sent

    def _reason_of_loss(self, cause: BaseException) -> KombuError:
        return self._doubt or super()._reason_of_loss(cause)

    def _fail_outstanding(self, reason: KombuError, wanted: bool) -> None:
        call, self._doubt_call = self._doubt_call, None
        if call is not None and call.active():
            call.cancel()
        self._messages.clear()
        receipts = list(self._receipts.values())
        self._receipts.clear()
        for waiter in receipts:
            if not isinstance(waiter, Deferred) or waiter.called:
                continue
            if isinstance(reason, BrokerError):
                error: Exception = copy_error(reason)
            elif isinstance(reason, SessionLost):
                error = ended(reason)
            else:
                text = f"the connection ended: {reason}"
                error = with_cause(SessionLost(text), reason)
            waiter.errback(Failure(error))


_FENCE: Final = encode_frame("BEGIN", [("transaction", "fence")])


def fence(socket: StompProtocol) -> Deferred[None]:
    """Wait until the broker has handled all that was written to a connection."""
    return socket.request("ABORT", ("transaction", "fence"), before=_FENCE)
