"""Results of users' functions: plain values, Deferreds, coroutines, futures."""

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

from .asyncio_bridge import (
    deferred_of_future,
    deferred_of_result,
    deferred_of_task,
    running_loop,
)
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
    Return a Deferred of a Deferred, a coroutine, or anything else that is awaitable.

    If asyncio's loop runs in this thread, as with Twisted's asyncio reactor, a
    coroutine may await both Deferreds and awaitables of asyncio.
    """
    if result.__class__ is not CoroutineType:  # the most common, found without ABCs
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
        result = await result  # a Deferred cannot fire with another
    return result


def work_of(result: Any, what: object) -> Deferred[Any] | None:
    """
    Return what to wait for after a user's function has returned.

    @param result: the result of the function.
    @param what: the function, for the error.
    @return: fires when its work is done, with a result that may itself be work; fails
        with C{TypeError} for a generator, which nobody can wait for.  C{None} for a
        plain value.
    """
    if result.__class__ is CoroutineType or isawaitable(result):
        return as_deferred(result)
    if isinstance(result, Failure):
        return fail(result)
    if isinstance(result, ThreadFuture):
        from twisted.internet import reactor

        return deferred_of_result(result, reactor.callFromThread)  # type: ignore[attr-defined]  # the reactor's
    if isgenerator(result):
        return fail(
            TypeError(f"{what!r} returned a generator: is @inlineCallbacks missing?")
        )
    if isinstance(result, AsyncIterator):
        return fail(
            TypeError(
                f"{what!r} returned an async generator or iterator, of which nothing "
                "has run: it must await, and not yield"
            )
        )
    return None


async def finish(result: object, what: object) -> Any:
    """Wait until there is no more work, as L{work_of} finds it; return the value."""
    while (work := work_of(result, what)) is not None:
        result = await work
    return result


def call_and_wait(function: Callable[..., object], *arguments: object) -> Deferred[Any]:
    """
    Call a user's function, and wait for its work.

    @return: fires with its value; fails with an C{Exception}, whatever it raised.
    """
    try:
        result = function(*arguments)
    except BaseException:
        calling: Deferred[Any] = fail()
    else:
        calling = Deferred.fromCoroutine(finish(result, function))
    return calling.addErrback(_fail_with_exception)


def as_exception(error: BaseException, what: str) -> Exception:
    """
    Return an error of a user's code as an Exception: raised again, SystemExit and its
    like would end more than that code.

    @param what: the name of the code.
    """
    if isinstance(error, Exception):
        return error
    text = " ".join(f"{type(error).__name__}: {error}".split())
    wrapped = RuntimeError(f"{what} raised {text.removesuffix(':')}")
    wrapped.__cause__ = error
    return wrapped.with_traceback(error.__traceback__)


def _fail_with_exception(failure: Failure) -> Failure:
    error: BaseException = failure.value  # type: ignore[assignment]  # never None
    if isinstance(error, Exception):
        return failure
    return Failure(as_exception(error, "the program"))
