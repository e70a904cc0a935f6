"""
Code of asyncio in handlers, where Twisted runs on asyncio's loop.

There a coroutine is run as a task, since much of asyncio asks for the current one;
the Deferreds that it awaits are taken out of what the task waits for.  Elsewhere
nothing of asyncio's would ever go on, and is refused with a hint.
"""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
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
"""How to run it."""

_NO_LOOP: Final = pattern(r"no (running|current) event loop|await wasn't used with")
_BAD_YIELD: Final = pattern(r"Task got bad yield: <Deferred")


def running_loop() -> AbstractEventLoop | None:
    """The loop that runs in this thread, if one does."""
    return asyncio._get_running_loop()


def deferred_of_future(future: asyncio.Future[Any]) -> Deferred[Any]:
    """
    Wait for a future or task of asyncio; cancelling cancels it.

    @return: fails with L{TypeError} if the loop of one that is not done does not run
        in this thread.
    """
    if not future.done() and future.get_loop() is not running_loop():
        told = f"{future!r} belongs to an event loop that does not run here"
        return fail(
            TypeError(
                f"{told}; {HINT}; of a loop in another thread, return what "
                "asyncio.run_coroutine_threadsafe() gives"
            )
        )

    def cancel(_: object) -> None:
        future.cancel()

    def fire(_: object) -> None:
        if not done.called:
            done.callback(None)

    done: Deferred[Any] = Deferred(cancel)
    done.addCallback(lambda _: future.result())
    if future.done():
        fire(None)
    else:
        future.add_done_callback(fire)
    return done


def deferred_of_task(
    coroutine: Coroutine[Any, Any, Any], loop: AbstractEventLoop
) -> Deferred[Any]:
    """Run a coroutine as a task, which may await Deferreds, too."""
    return deferred_of_future(loop.create_task(_caught(coroutine, loop)))


async def _caught(coroutine: Coroutine[Any, Any, Any], loop: AbstractEventLoop) -> Any:
    """A task that raised SystemExit would end the loop, and so the reactor."""
    try:
        return await _Mixed(coroutine, loop)
    except BaseException:
        return Failure()


class _Mixed:
    """Awaits a coroutine that awaits Deferreds and what is asyncio's."""

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], loop: AbstractEventLoop
    ) -> None:
        self._coroutine = coroutine
        self._loop = loop

    def __await__(self) -> Generator[Any, Any, Any]:
        go_on: Callable[[], Any] = partial(self._coroutine.send, None)
        while True:
            try:
                awaited = go_on()
            except StopIteration as end:
                return end.value
            try:
                if isinstance(awaited, Deferred):
                    yield from self._until_fired(awaited)
                    sent = None
                else:
                    sent = yield awaited
            except BaseException as error:
                go_on = partial(self._coroutine.throw, error)
            else:
                go_on = partial(self._coroutine.send, sent)

    def _until_fired(self, awaited: Deferred[Any]) -> Generator[Any, Any, None]:
        """Its result stays with it, where the coroutine finds it."""
        fired = self._loop.create_future()

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
    """Say how to run code of asyncio, if it failed as it does elsewhere."""
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
