"""
What users return: plain values, Deferreds, coroutines, futures.
"""

from __future__ import annotations

from asyncio import isfuture
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future as ThreadFuture
from inspect import isawaitable, isgenerator
from types import CoroutineType
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from .asyncio_bridge import deferred_of_future, deferred_of_task, running_loop
from .failures import without_frames

_log = Logger()


def call_logged(what: str, callback: Callable[..., object], *arguments: object) -> None:
    """
    Call a listener's or user's function without waiting for what it does.  Whatever it
    raises is logged, C{SystemExit} and its like too, so that the caller goes on.

    @param what: the callback's name, for the log.
    """

    def failed(failure: Failure) -> None:
        _log.failure("{what} failed", without_frames(failure), what=what)

    call_and_wait(callback, *arguments).addErrback(failed)


def as_deferred(result: Awaitable[Any]) -> Deferred[Any]:
    """
    Take a Deferred, a coroutine, or anything else that can be awaited.

    Where asyncio's loop runs in this thread, as on Twisted's asyncio reactor, a
    coroutine may await what is asyncio's, and Deferreds.
    """
    if result.__class__ is not CoroutineType:  # the most common, told without ABCs
        if isinstance(result, Deferred):
            return result
        if isfuture(result):
            return deferred_of_future(result)
    loop = running_loop()
    if loop is not None:
        return deferred_of_task(_awaited(result), loop)
    return Deferred.fromCoroutine(_awaited(result))


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    result = await awaitable
    while result is not None and isinstance(result, Deferred):
        result = await result  # as a Deferred cannot fire with another
    return result


def work_of(result: Any, what: object) -> Deferred[Any] | None:
    """
    Tell what to wait for after a user's function has returned.

    @param result: what it returned.
    @param what: the function, for the error.
    @return: fires when its work is done, with what may be work again; fails with
        L{TypeError} for what nobody can wait for.  C{None} for a plain value.
    """
    if result.__class__ is CoroutineType or isawaitable(result):
        return as_deferred(result)
    if isinstance(result, Failure):
        return fail(result)
    if isinstance(result, ThreadFuture):
        return _of_thread(result)
    if isgenerator(result):
        return fail(
            TypeError(f"{what!r} returned a generator: is @inlineCallbacks missing?")
        )
    if isinstance(result, AsyncIterator):
        return fail(
            TypeError(
                f"{what!r} returned an async generator or iterator, and nothing of it "
                "has run: it must await, and not yield"
            )
        )
    return None


async def finish(result: object, what: object) -> Any:
    """Wait for what L{work_of} finds, to the end; return the plain value."""
    while (work := work_of(result, what)) is not None:
        result = await work
    return result


def call_and_wait(function: Callable[..., object], *arguments: object) -> Deferred[Any]:
    """
    Call a user's function, and wait for all that it does.

    @return: fails with an L{Exception}, whatever it raised.
    """
    try:
        result = function(*arguments)
    except BaseException:
        calling: Deferred[Any] = fail()
    else:
        calling = Deferred.fromCoroutine(finish(result, function))
    return calling.addErrback(_as_exception)


def as_exception(error: BaseException, what: str) -> Exception:
    """
    What to go on with after a user's code raised anything: SystemExit and its
    like would end what they are raised in again.

    @param what: what raised it.
    """
    if isinstance(error, Exception):
        return error
    text = " ".join(f"{type(error).__name__}: {error}".split())
    wrapped = RuntimeError(f"{what} raised {text.removesuffix(':')}")
    wrapped.__cause__ = error
    return wrapped.with_traceback(error.__traceback__)


def _as_exception(failure: Failure) -> Failure:
    error: BaseException = failure.value  # type: ignore[assignment]  # never None
    if isinstance(error, Exception):
        return failure
    return Failure(as_exception(error, "the program"))


def _of_thread(future: ThreadFuture[Any]) -> Deferred[Any]:
    """For work in a thread, from the reactor's thread."""
    from twisted.internet import reactor

    def cancel(_: object) -> None:
        future.cancel()

    def fire() -> None:
        if not done.called:
            done.callback(None)

    def tell(_: object) -> None:
        reactor.callFromThread(fire)  # type: ignore[attr-defined]  # the reactor's

    done: Deferred[Any] = Deferred(cancel)
    done.addCallback(lambda _: future.result())
    if future.done():
        fire()
    else:
        future.add_done_callback(tell)
    return done
