"""
Asyncio code in handlers.

If Twisted runs on asyncio's loop, a coroutine runs as a task, as much of asyncio needs
a current task; Deferreds that it awaits are not passed on to the task.  With other
reactors asyncio code would wait for ever, so it is refused with a hint.
"""

from __future__ import annotations

import types
from asyncio import AbstractEventLoop, Future, _get_running_loop
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from re import compile as pattern
from typing import Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

HINT: Final = (
    "asyncio code needs Twisted's asyncio reactor: call "
    "twisted.internet.asyncioreactor.install() before anything imports "
    "twisted.internet.reactor, or start twistd or twist with --reactor=asyncio"
)
"""How to run asyncio code."""

_NO_LOOP: Final = pattern(r"no (running|current) event loop|await wasn't used with")
_BAD_YIELD: Final = pattern(r"Task got bad yield: <Deferred")


def running_loop() -> AbstractEventLoop | None:
    """Return the loop that runs in this thread, if one does."""
    return _get_running_loop()  # get_running_loop() raises an error if there is none


def deferred_of_future(future: Future[Any]) -> Deferred[Any]:
    """
    Wait for a future or task of asyncio; cancelling cancels it.

    @return: fails with C{TypeError} if the future is not done, and its loop does not
        run in this thread.
    """
    if not future.done() and future.get_loop() is not running_loop():
        told = f"{future!r} belongs to an event loop that does not run here"
        return fail(
            TypeError(
                f"{told}; {HINT}; of a loop in another thread, return what "
                "asyncio.run_coroutine_threadsafe() gives"
            )
        )

    return deferred_of_result(future, lambda fire: fire())


def deferred_of_result(
    future: Any, call: Callable[[Callable[[], None]], object]
) -> Deferred[Any]:
    """
    Wait for any kind of future; cancelling cancels it.

    @param call: calls a function in the reactor's thread, from that of the future.
    """

    def fire() -> None:
        if not done.called:
            done.callback(None)

    done: Deferred[Any] = Deferred(lambda _: future.cancel())
    done.addCallback(lambda _: future.result())
    if future.done():
        fire()
    else:
        future.add_done_callback(lambda _: call(fire))
    return done


def deferred_of_task(
    coroutine: Coroutine[Any, Any, Any], loop: AbstractEventLoop
) -> Deferred[Any]:
    """Run a coroutine, which may also await Deferreds, as a task."""
    return deferred_of_future(loop.create_task(_caught(coroutine, loop)))


async def _caught(coroutine: Coroutine[Any, Any, Any], loop: AbstractEventLoop) -> Any:
    """Return any error as a failure: SystemExit of a task would end the reactor."""
    try:
        return await _mixed(coroutine, loop)
    except BaseException:
        return Failure()


@types.coroutine
def _mixed(
    coroutine: Coroutine[Any, Any, Any], loop: AbstractEventLoop
) -> Generator[Any, Any, Any]:
    """Await a coroutine that awaits both Deferreds and awaitables of asyncio."""
    go_on: Callable[[], Any] = partial(coroutine.send, None)
    while True:
        try:
            awaited = go_on()
        except StopIteration as end:
            return end.value
        try:
            if isinstance(awaited, Deferred):
                yield from _until_fired(awaited, loop)
                sent = None
            else:
                sent = yield awaited
        except BaseException as error:
            go_on = partial(coroutine.throw, error)
        else:
            go_on = partial(coroutine.send, sent)


def _until_fired(
    awaited: Deferred[Any], loop: AbstractEventLoop
) -> Generator[Any, Any, None]:
    """Wait for a Deferred, and leave its result in it for the coroutine."""
    fired = loop.create_future()

    def fire(result: Any) -> Any:
        if not fired.done():
            fired.set_result(None)
        return result

    awaited.addBoth(fire)
    try:
        yield from fired.__await__()
    except BaseException:
        awaited.cancel()
        awaited.addErrback(lambda _: None)
        raise


def explained(failure: Failure) -> Failure:
    """Add a hint to a failure that asyncio code has with other reactors."""
    if failure.type is not RuntimeError:
        return failure
    text = str(failure.value)
    if _NO_LOOP.search(text):
        hint = HINT
    elif _BAD_YIELD.search(text):
        hint = "in a task of your own, await deferred.asFuture(loop)"
    else:
        return failure
    error = RuntimeError(f"{text}: {hint}")
    error.__cause__ = failure.value
    return Failure(error, RuntimeError, failure.getTracebackObject())
