"""
Run the handler of a consumer: how many at a time, in what order, and what happens
when it fails.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from .._util.asyncio_bridge import explained
from .._util.awaitables import finish, work_of
from .._util.failures import without_frames
from .._util.steady_clock import steady
from .._util.waiters import Waiters
from ..core.decoded_memory import DecodedMemory
from ..core.turn_budget import TurnBudget
from ..interfaces import Settlement
from ..message import Message
from ..policy import FailurePolicy, Hold
from .left_messages import is_over
from .messages_by_consumer import MessagesByConsumer

Handler = Callable[[Message], object]
"""Handles a message: plain, returning a Deferred, or a coroutine function."""


_NO_LIMIT = 1 << 30
_REQUEUE: Final = Hold(30.0, requeue=True)
"""What becomes of a message whose failure policy has failed."""
_DROPPED: Final = "it is dropped, its consumer needs no acks"
"""What becomes of it if the broker does not take it back."""


class Dispatcher:
    """
    Hand messages to one handler, at most C{limit} at a time; more wait here.

    Without a handler they wait until there is one, or until L{take_message} asks.

    A message whose handling failed may be held here for a while, unacknowledged, and
    is then handled again, or requeued.

    @param limit: how many are handled at the same time; 0 is no limit.
    @param clock: for messages that are held.
    @param budget: how long handlers may run in one turn of the reactor.
    @param memory: what the messages of the channel hold decoded.
    @param on_failure: called for a message whose handling failed and that is
        not settled.
    @param on_handled: called after each message.
    @param on_unsettled: called after one that was left unsettled, with it and with
        how many are handled or wait.
    """

    _log = Logger()

    def __init__(
        self,
        limit: int,
        clock: IReactorTime,
        budget: TurnBudget,
        memory: DecodedMemory,
        on_failure: FailurePolicy,
        on_handled: Callable[[], None],
        on_unsettled: Callable[[Message, int], None] = lambda message, load: None,
    ) -> None:
        self._limit = limit or _NO_LIMIT
        self._clock = steady(clock)
        self._held: MessagesByConsumer[tuple[IDelayedCall, bool]] = MessagesByConsumer()
        self._due: MessagesByConsumer[None] = MessagesByConsumer()
        self._on_failure = on_failure
        self._on_handled = on_handled
        self._on_unsettled = on_unsettled
        self._waiting: MessagesByConsumer[None] = MessagesByConsumer()
        self._takers: OrderedDict[Deferred[Message], None] = OrderedDict()
        self._idle: Waiters[None] = Waiters()
        self._handing_on = False
        self._closed = self._halted = False
        self._late: set[str] = set()
        self._aside: dict[str, list[Message]] = {}
        self._budget = budget
        self._memory = memory
        self._now = budget.now
        self._taken_at: float | None = None
        self.handler: Handler | None = None
        self.running = 0

    @property
    def load(self) -> int:
        """How many messages are handled, or wait for that."""
        self._drop_returned()
        return self.running + len(self._waiting) + len(self._due) + self.held

    @property
    def held(self) -> int:
        """How many messages are held until they are handled again, or requeued."""
        return len(self._held)

    @property
    def is_stuck(self) -> bool:
        """Whether the only message that may be handled at a time is held."""
        return any(keeps_slot for _, keeps_slot in self._held.values())

    @property
    def wanted(self) -> int:
        """How many messages are asked for by L{take} and not here."""
        return len(self._takers)

    def deliver(self, message: Message) -> None:
        """Handle a message, now or when there is room."""
        if self._late and message.consumer_tag in self._late and message.is_returnable:
            self._refuse(message)
        elif (
            not self._waiting
            and self.handler is not None
            and self.running < self._limit
            and not (self._halted or self._budget.is_used_up or self._memory.is_full)
        ):
            self._handle(message)
        elif self._closed:
            self._hand_back(message)
        elif self._takers and not self._waiting and self._may_hand_out():
            self._give(self._takers.popitem(last=False)[0], message)
        else:
            self._drop_returned()
            self._waiting.add(message, None)
            self._next()

    def _may_hand_out(self) -> bool:
        """Return whether there are time and memory for one more message now."""
        return not (self._budget.is_used_up or self._memory.is_full)

    def pause(self) -> None:
        """Begin with no further message until L{resume}; more wait here."""
        self._halted = True

    def resume(self) -> None:
        """Undo L{pause}."""
        if self._halted and not self._closed:
            self._halted = False
            self._next()

    def stop(self) -> None:
        """Begin with no message any more."""
        self._closed = self._halted = True

    def close(self) -> None:
        """Begin with no message any more; hand back those that wait."""
        self.stop()
        waiting = [*self._due.take_all(), *self._waiting.take_all()]
        messages = [*self._held, *waiting]
        for message in messages:
            self._end_hold(message)
            self._hand_back(message)
        self._drop([each for each in messages if not each.acknowledged])
        self._next()

    def _hand_back(self, message: Message) -> None:
        if message.is_returnable:
            message.nack()

    def _refuse(self, message: Message) -> None:
        """Hand back a message of a consumer that is being ended, or do so later."""
        aside = self._aside.get(message.consumer_tag)
        if aside is None:
            message.nack()
        else:
            aside.append(message)

    def _drop(self, messages: list[Message]) -> None:
        """Forget messages that nobody has any more, as this was closed."""
        for message in messages:
            message.let_go()
        if messages:
            self._log.error(
                "{what!r} is dropped{more}: its consumer needs no acks, and was closed "
                "before it was handled",
                what=messages[0],
                more=f" (and {len(messages) - 1} more)" if len(messages) > 1 else "",
            )

    def _drop_returned(self) -> None:
        """
        Forget the messages of a lost session channel: the broker delivers them
        again, so they would be handled twice, and pile up with each loss.
        """
        while self._waiting and is_over(self._waiting.first()):
            self._waiting.take_first()
        while self._held and is_over(oldest := self._held.first()):
            self._end_hold(oldest)

    def set_handler(self, handler: Handler) -> None:
        """Handle messages from now on, those that wait first."""
        self.handler = handler
        self._next()

    def take_message(self) -> Deferred[Message]:
        """Return a Deferred that fires with the next message that no handler has."""
        now, taken_at = self._now(), self._taken_at
        self._taken_at = now
        if taken_at is not None:
            # What was done with the message before counts as handling it.
            self._budget.spend(now - taken_at)
        message = self.take_now() if self._may_hand_out() else None
        if message is not None:
            return succeed(message)
        taker: Deferred[Message] = Deferred(self._forget_taker)
        self._takers[taker] = None
        self._wait_for_room()
        return taker

    def _give(self, taker: Deferred[Message], message: Message) -> None:
        self._taken_at = self._now()
        taker.callback(message)

    def _forget_taker(self, taker: Deferred[Message]) -> None:
        self._takers.pop(taker, None)

    def take_now(self) -> Message | None:
        """Return the next message that no handler has, if one is here."""
        self._drop_returned()
        return self._waiting.take_first() if self._waiting else None

    def set_limit(self, limit: int) -> None:
        """Handle so many at the same time from now on; 0 is no limit."""
        self._limit = limit or _NO_LIMIT
        self._next()

    def refuse_from(self, tags: Iterable[str]) -> None:
        """Hand back what comes from these consumers, which are being ended."""
        self._late.update(tags)

    def accept_from(self, tags: Iterable[str]) -> None:
        """Undo L{refuse_from} and L{put_aside}: the consumers have ended."""
        self._late.difference_update(tags)

    def put_aside(self, tags: Iterable[str]) -> None:
        """
        Begin with no further message of these consumers, which are being started, and
        are not wanted any more.  L{hand_back_from} hands them back: if that were done
        before they can be ended, the broker would deliver them again at once.
        """
        for tag in tags:
            self._late.add(tag)
            self._aside.setdefault(tag, []).extend(self._take_from([tag]))
        self._next()

    def hand_back_from(self, tags: Iterable[str]) -> None:
        """
        Hand back the messages of these consumers that no handler has begun with, but
        for those that the broker does not take back.
        """
        ended = list(tags)
        back = [each for tag in ended for each in self._aside.pop(tag, ())]
        for message in back + self._take_from(ended):
            self._hand_back(message)
        self._next()

    def _take_from(self, tags: list[str]) -> list[Message]:
        """Take out the messages of consumers that can be handed back."""
        taken: list[Message] = []
        for messages in (self._waiting, self._due):
            for message in messages.of_consumers(tags):
                if message.is_returnable:
                    messages.take(message)
                    taken.append(message)
        for message in self._held.of_consumers(tags):
            if not message.no_ack:
                self._end_hold(message)
                taken.append(message)
        return taken

    def fail_takers(self, error: Exception) -> None:
        """Fail what waits for a message: no more will come."""
        takers, self._takers = self._takers, OrderedDict()
        for taker in takers:
            if not taker.called:
                taker.errback(Failure(error))

    def when_idle(self) -> Deferred[None]:
        """Return a Deferred that fires when no handler is at work."""
        return self._idle.wait() if self.running else succeed(None)

    # --- one message --------------------------------------------------------

    def _handle(self, message: Message) -> None:
        assert self.handler is not None
        self.running += 1
        if message.acks_at_begin:
            message.begin()
            message.count_in(self._memory)
        now = self._now
        began = now()
        try:
            result = self.handler(message)
        except BaseException:
            # Also SystemExit: a handler does not end the reactor.
            self._budget.spend(now() - began)
            self._failed(Failure(), message)
        else:
            self._budget.spend(now() - began)
            if result is None:
                self._done(message)
            else:
                self._watch(result, message)

    def _watch(self, result: Any, message: Message) -> None:
        """Wait for what the handler returned, or for what that fired with."""
        work: Deferred[Any] | None
        try:
            if result.__class__ is Deferred:
                work = result
            else:
                work = work_of(result, self.handler)
        except BaseException:
            self._failed(Failure(), message)
            return
        if work is None:
            self._done(message)
            return

        def fired(result: object) -> None:
            if result is None or result.__class__ is Settlement:
                self._done(message)
            else:
                self._watch(result, message)

        work.addCallbacks(fired, self._failed, errbackArgs=(message,))
        work.addErrback(self._log_fault)

    def _failed(self, failure: Failure, message: Message) -> None:
        failure = explained(failure)
        if message.acknowledged:
            self._log.failure(
                "Handling {what!r} failed after it was settled",
                without_frames(failure),
                what=message,
            )
            self._over(message)
            return
        message.note_failure()
        try:
            result = self._on_failure(message, failure)
        except BaseException:
            result = self._policy_failed(Failure(), message)
        if result is None or isinstance(result, Hold):
            self._decided(result, message)
            return
        deciding = Deferred.fromCoroutine(finish(result, self._on_failure))
        deciding.addErrback(self._policy_failed, message)
        deciding.addCallback(self._decided, message)
        deciding.addErrback(self._log_fault)

    def _policy_failed(self, failure: Failure, message: Message) -> Hold | None:
        self._log.failure(
            "on_failure itself failed for {what!r}; {fate}",
            without_frames(explained(failure)),
            what=message,
            fate=self._fate_of(message),
        )
        return _REQUEUE if message.is_returnable else None

    def _fate_of(self, message: Message) -> str:
        """Say what becomes of a message whose failure policy has failed."""
        if message.acknowledged:
            return "it was settled before"
        if message.no_ack:
            return _DROPPED
        if message.is_back:
            return "the broker delivers it again"
        when = "" if self._goes_back(message) else f" in {_REQUEUE.seconds:g} s"
        return f"it is requeued{when}"

    def _goes_back(self, message: Message) -> bool:
        """Return whether a message whose handling failed is not held any more."""
        if not message.is_returnable:
            return False
        return self._closed or message.is_back or message.consumer_tag in self._late

    # --- held messages ------------------------------------------------------

    def _decided(self, result: object, message: Message) -> None:
        """Do what the failure policy says."""
        if not isinstance(result, Hold) or message.acknowledged:
            self._done(message)
            return
        if self._goes_back(message):
            self._refuse(message)
            self._over(message)
        elif message.no_ack and self._closed:
            self._drop([message])
            self._free_slot()
        elif message.no_ack and result.requeue:
            self._log.error(
                "Handling {what!r} failed; {fate}", what=message, fate=_DROPPED
            )
            self._over(message)
        else:
            self._hold(message, result)

    def _hold(self, message: Message, result: Hold) -> None:
        keeps_slot = self._limit == 1 and not result.requeue
        timer = self._clock.callLater(result.seconds, self._release, message, result)
        self._held.add(message, (timer, keeps_slot))
        if keeps_slot:
            self._on_handled()
        else:
            self._free_slot()

    def _release(self, message: Message, hold: Hold) -> None:
        """Handle a held message again, or requeue it."""
        self._end_hold(message)
        if hold.requeue:
            self._hand_back(message)
        elif not is_over(message):
            self._due.add(message, None)
        self._next()

    def _end_hold(self, message: Message) -> None:
        """Forget a held message, and free the slot that it keeps."""
        timer, keeps_slot = self._held.take(message) or (None, False)
        if timer is not None and timer.active():
            timer.cancel()
        if keeps_slot:
            self.running -= 1

    def _done(self, message: Message) -> None:
        if not message.acknowledged:
            if message.no_ack:
                message.let_go()
            else:
                self._on_unsettled(message, self.load)
        self._free_slot()

    def _over(self, message: Message) -> None:
        """Forget a message whose handling failed and that is not held."""
        if message.no_ack:
            message.let_go()
        self._free_slot()

    def _free_slot(self) -> None:
        self.running -= 1
        self._on_handled()
        if self._waiting or self._due or self._idle.waiting:
            self._next()

    def _next(self) -> None:
        """Hand out what waits, in a loop, since many may be done at once."""
        if self._handing_on:
            return
        self._handing_on = True
        try:
            while self._may_begin(self._due) and not self._budget.is_used_up:
                self._begin_first(self._due)
            while self._may_begin(self._waiting) and self._may_hand_out():
                self._begin_first(self._waiting)
            while self._waiting and self._takers and self._may_hand_out():
                message = self._waiting.take_first()
                if not is_over(message):
                    self._give(self._takers.popitem(last=False)[0], message)
        finally:
            self._handing_on = False
        self._wait_for_room()
        if self._idle and not self.running:
            self._idle.fire(None)

    def _may_begin(self, messages: MessagesByConsumer[None]) -> bool:
        """Return whether there are messages, and a handler is free for one."""
        return bool(
            messages
            and self.handler is not None
            and self.running < self._limit
            and not self._halted
        )

    def _begin_first(self, messages: MessagesByConsumer[None]) -> None:
        message = messages.take_first()
        if not is_over(message):
            self._handle(message)

    def _wait_for_room(self) -> None:
        """Go on when there are time and memory for what waits."""
        if self._waiting and self._memory.is_full:
            self._memory.when_room(self._next)
        if (self._waiting or self._due) and self._budget.is_used_up:
            self._budget.when_next_turn(self._next)

    def _log_fault(self, failure: Failure) -> None:
        fault = without_frames(failure)
        self._log.failure("Fault while ending the handling of a message", fault)
