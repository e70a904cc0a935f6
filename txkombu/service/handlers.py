"""
Functions as consumers: C{@consumer(Queue(...))} says from which queues one receives.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from inspect import signature
from typing import Any, Final, TypeVar

from .._util.awaitables import finish, work_of
from .._util.suggestions import known_names
from .._util.validation import check_bool, check_callable, kind_of
from ..core.channel import Channel
from ..entity import Queue
from ..exceptions import MessageStateError
from ..message import Message
from ..messaging.consumer import Consumer

F = TypeVar("F", bound=Callable[..., object])

THREADS: Final = 10
"""How many messages a handler in threads handles at the same time by default."""
_MARK: Final = "consumer_factory"
_OPTIONS: Final = set(signature(Consumer.__init__).parameters) - {
    "self",
    "channel",
    "queues",
    "callbacks",
    "on_message",
    "no_ack",
}
_SETTLES: Final = {"ack", "nack", "reject", "requeue", "respond", "begin", "move_to"}


def consumer(*queues: Queue, thread: bool = False, **options: Any) -> Callable[[F], F]:
    """
    Make a function a handler that a L{ConsumerService} can host; it can be called as
    before, as by tests.

    It is called with (body, message), and may be anything that a callback of a
    L{Consumer<txkombu.Consumer>} may be.  When it has succeeded, its message is
    acknowledged, unless it has settled it.

    @param queues: the queues that it receives from.
    @param thread: call it in a thread of its own pool, so that it may block.  There it
        settles nothing: it returns, or raises a verdict of L{txkombu.policy}.
    @param options: as for L{Consumer<txkombu.Consumer>}.  With C{thread} the
        C{concurrency}, by default 10, is the number of threads.
    @raise TypeError: an option is not known; what is decorated cannot be called with
        (body, message).
    @raise ValueError: there is no queue.
    """
    if not queues:
        raise ValueError("@consumer needs a queue, as in @consumer(Queue('feeds'))")
    for queue in queues:
        if not isinstance(queue, Queue):
            raise TypeError(f"@consumer takes Queue objects, not {kind_of(queue)}")
    check_bool("thread", thread)
    for name in options:
        if name not in _OPTIONS:
            known = known_names(name, sorted(_OPTIONS))
            raise TypeError(f"@consumer has no option {name!r}; {known}")

    def mark(function: F) -> F:
        check_callable("a handler", function, 2)

        def factory(channel: Channel) -> Consumer:
            return FunctionConsumer(channel, function, queues, thread, options)

        setattr(function, _MARK, factory)
        return function

    return mark


def factory_of(function: object) -> object:
    """Return what makes the consumer of a function, or the function if it has none."""
    return getattr(function, _MARK, function)


class FunctionConsumer(Consumer):
    """
    Calls one function, and acknowledges what it has handled.

    @param channel: as for L{Consumer<txkombu.Consumer>}.
    @param function: called with (body, message).
    @param queues: the queues.
    @param thread: whether it is called in threads.
    @param options: as for L{Consumer<txkombu.Consumer>}.
    """

    def __init__(
        self,
        channel: Channel,
        function: Callable[[Any, Any], object],
        queues: tuple[Queue, ...],
        thread: bool,
        options: dict[str, Any],
    ) -> None:
        self._function = function
        self._call = function
        if thread:
            options = {"concurrency": THREADS, **options}
        super().__init__(channel, queues, **options)
        if thread:
            self._call = self._in_threads(self.concurrency or THREADS)

    def __repr__(self) -> str:
        name = getattr(self._function, "__qualname__", repr(self._function))
        return super().__repr__().replace(type(self).__name__, name, 1)

    def receive(self, body: Any, message: Message) -> object:
        """Call the function, and acknowledge the message when it succeeds."""
        work = work_of(self._call(body, message), self._function)
        if work is not None:
            return self._finish(work, message)
        _acknowledge(message)
        return None

    async def _finish(self, work: object, message: Message) -> None:
        await finish(work, self._function)
        _acknowledge(message)

    def _in_threads(self, count: int) -> Callable[[Any, Message], object]:
        pool = ThreadPoolExecutor(count, repr(self))
        self.when_closed().addCallback(lambda _: pool.shutdown(wait=False))

        def call(body: Any, message: Message) -> object:
            return pool.submit(self._function, body, MessageInThread(message))

        return call


def _acknowledge(message: Message) -> None:
    if not message.acknowledged:
        message.ack()


class MessageInThread:
    """
    A message for a handler in a thread: everything but what settles it.

    @param message: the message.
    """

    def __init__(self, message: Message) -> None:
        self._message = message

    def __getattr__(self, name: str) -> Any:
        if name in _SETTLES:
            raise MessageStateError(
                f"a handler in a thread cannot call message.{name}(): return to "
                "acknowledge the message, or raise Reject, Requeue, Drop or Park"
            )
        return getattr(self._message, name)
