"""
What users return: plain values, Deferreds, coroutines.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from .failures import without_frames

_log = Logger()


def call_logged(what: str, callback: Callable[..., object], *arguments: object) -> None:
    """
    Tell users something, without waiting; what goes wrong there is logged.

    @param what: the callback's name, for the log.
    """

    def failed(failure: Failure) -> None:
        _log.failure("{what} failed", without_frames(failure), what=what)

    try:
        result = callback(*arguments)
    except Exception:
        failed(Failure())
    else:
        if isawaitable(result):
            as_deferred(result).addErrback(failed)


def as_deferred(result: Awaitable[Any]) -> Deferred[Any]:
    """Take a Deferred, a coroutine, or anything else that can be awaited."""
    if isinstance(result, Deferred):
        return result
    return Deferred.fromCoroutine(_awaited(result))


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
