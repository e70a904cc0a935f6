"""
Functions as consumers: C{@consumer(Queue(...))} says from which queues one receives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from inspect import (
    Parameter,
    isasyncgenfunction,
    iscoroutinefunction,
    isgeneratorfunction,
    isroutine,
    signature,
)
from typing import Any, Final, TypeVar, cast

import attrs

from .._util.awaitables import finish, work_of
from .._util.suggestions import known_names
from .._util.validation import (
    check_bool,
    check_callable,
    kind_of,
    without_arguments,
)
from ..core.channel import Channel
from ..entity import Queue
from ..message import Message
from ..messaging.consumer import Consumer
from .threads import MessageInThread, PublisherInThread

F = TypeVar("F", bound=Callable[..., object])

THREADS: Final = 10
"""How many messages a handler in threads handles at the same time by default."""
_PUBLISHER: Final = "publisher"
"""The parameter by which a handler gets what it publishes with."""
_BY_NAME: Final = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_MARK: Final = "consumer_factory"
OPTIONS: Final = set(signature(Consumer.__init__).parameters) - {
    "self",
    "channel",
    "queues",
    "callbacks",
    "on_message",
    "no_ack",
}


def consumer(*queues: Queue, thread: bool = False, **options: Any) -> Callable[[F], F]:
    """
    Make a function a handler that a L{ConsumerService} can host; it can be called as
    before, as by tests.

    It is called with (body, message), and may be anything that a callback of a
    L{Consumer<txkombu.Consumer>} may be.  When it has succeeded, its message is
    acknowledged, unless it has settled it.

    @param queues: the queues that it receives from.
    @param thread: call it in a thread of its own pool, so that it may block.  There it
        settles nothing: it returns, or raises a verdict of L{txkombu.policy}; and a
        C{publisher} has only C{publish}, which blocks until the broker's verdict.
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
        if name not in OPTIONS:
            known = known_names(name, sorted(OPTIONS))
            raise TypeError(f"@consumer has no option {name!r}; {known}")

    def mark(function: F) -> F:
        handler = Handler(function, queues, thread, options)
        try:
            setattr(function, _MARK, handler)
        except AttributeError:  # a bound method, which has no attributes of its own
            function = cast("F", partial(function))
            setattr(function, _MARK, handler)
        return function

    return mark


@attrs.frozen
class Handler:
    """
    A function that handles messages; called with a channel it makes the consumer.

    @ivar function: called with (body, message).
    @ivar queues: what it receives from.
    @ivar thread: whether it is called in threads.
    @ivar options: further arguments of the consumer.
    @ivar context: keyword arguments that the function is called with.
    @raise TypeError: the function cannot be called so.
    """

    function: Callable[..., object]
    queues: tuple[Queue, ...]
    thread: bool = False
    options: Mapping[str, Any] = attrs.field(factory=dict)
    context: Mapping[str, object] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        check_handler(self.function)
        if self.thread and iscoroutinefunction(self.function):
            raise TypeError(
                "thread is for functions that block, and "
                f"{without_arguments(self.function)!r} is a coroutine function, which "
                "would run in the reactor's thread"
            )

    def __call__(self, channel: Channel) -> Consumer:
        """
        Make the consumer.

        @param channel: as for L{Consumer<txkombu.Consumer>}.
        """
        return FunctionConsumer(channel, self)


def factory_of(function: object) -> object:
    """
    Return what makes the consumer of a function, or the function if it has none.

    A decorator above C{@consumer} has its mark, by C{functools.wraps}: what is called
    is what the decorator returned.
    """
    marked = getattr(function, _MARK, None)
    if not isinstance(marked, Handler):
        return function
    if marked.function is function or not callable(function):
        return marked
    return attrs.evolve(marked, function=function)


def check_handler(function: Callable[..., object]) -> None:
    """
    Refuse what cannot be called with (body, message), and with C{publisher} if it asks
    for it.

    @raise TypeError: it cannot, or what it returns would never run.
    """
    check_callable("a handler", without_publisher(function), 2)
    check_runs(function)


def check_runs(function: Callable[..., object]) -> None:
    """
    Refuse generator functions: a call begins nothing of them.

    @raise TypeError: it is one.
    """
    called: Any = without_arguments(function)
    if not isroutine(called):
        called = getattr(called, "__call__", called)  # noqa: B004  # of an object
    if isgeneratorfunction(called):
        hint = "is @inlineCallbacks missing?"
    elif isasyncgenfunction(called):
        hint = "it must not yield"
    else:
        return
    name = repr(without_arguments(function))
    raise TypeError(f"{name} is a generator function: {hint}")


def without_publisher(function: Callable[..., object]) -> Callable[..., object]:
    """Return a function without its parameter C{publisher}, for checks of others."""
    if _publisher_of(function) is None:
        return function
    return partial(function, **{_PUBLISHER: None})


def with_publisher(
    factory: Callable[[Channel], Consumer], publisher: object
) -> Callable[[Channel], Consumer]:
    """
    Give a publisher to a handler, class or function that has a parameter of that name.

    @param publisher: the publisher, or None.
    @raise TypeError: it has one without a default, and there is no publisher.
    """
    asks = factory.function if isinstance(factory, Handler) else factory
    parameter = _publisher_of(asks)
    if parameter is None:
        return factory
    if publisher is None:
        if parameter.default is not parameter.empty:
            return factory
        raise TypeError(
            f"{asks!r} has a parameter publisher, and the service has no publisher: "
            "give it one, in a configuration file by 'publisher: true'"
        )
    if isinstance(factory, Handler):
        return attrs.evolve(factory, context={_PUBLISHER: publisher})
    return partial(factory, **{_PUBLISHER: publisher})


def _publisher_of(function: Callable[..., object]) -> Parameter | None:
    """Return the parameter C{publisher} of a function, if it has one."""
    try:
        parameter = signature(function).parameters.get(_PUBLISHER)
    except (TypeError, ValueError):  # no function, or a built-in without signature
        return None
    return parameter if parameter and parameter.kind in _BY_NAME else None


class FunctionConsumer(Consumer):
    """
    Calls one function, and acknowledges what it has handled.

    @param channel: as for L{Consumer<txkombu.Consumer>}.
    @param handler: the function, and how it is called.
    """

    def __init__(self, channel: Channel, handler: Handler) -> None:
        options = dict(handler.options)
        if handler.thread:
            options.setdefault("concurrency", THREADS)
        super().__init__(channel, handler.queues, **options)
        self._function = handler.function
        context = dict(handler.context)
        if handler.thread and _PUBLISHER in context:
            context[_PUBLISHER] = PublisherInThread(context[_PUBLISHER])
        called = partial(handler.function, **context)
        self._call = called if context else handler.function
        if handler.thread:
            threads = self.concurrency or THREADS
            self._call = self._in_threads(self._call, threads)

    @property
    def handler_name(self) -> str:
        """The name of the function."""
        function = without_arguments(self._function)
        return str(getattr(function, "__qualname__", type(function).__name__))

    def __repr__(self) -> str:
        return super().__repr__().replace(type(self).__name__, self.handler_name, 1)

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

    def _in_threads(
        self, function: Callable[..., object], count: int
    ) -> Callable[..., object]:
        pool = ThreadPoolExecutor(count, repr(self))
        self.when_closed().addCallback(lambda _: pool.shutdown(wait=False))

        def call(body: Any, message: Message) -> object:
            return pool.submit(function, body, MessageInThread(message))

        return call


def _acknowledge(message: Message) -> None:
    if not message.acknowledged:
        message.ack()
