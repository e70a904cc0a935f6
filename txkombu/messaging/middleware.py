"""
Middleware: functions around the handling of each message, or each publish, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from inspect import signature
from typing import Any

from twisted.internet.defer import Deferred

from .._util.awaitables import call_and_wait
from .._util.validation import check_callable
from ..message import Message

Handle = Callable[[Any, Message], Deferred[Any]]
"""The rest of the chain: it fires when the message is handled."""

ConsumeMiddleware = Callable[[Handle, Any, Message], object]
"""
Called with (handle, body, message); it calls C{handle(body, message)}, and returns or
awaits its Deferred, or does not call it.
"""

Publish = Callable[[object, dict[str, Any]], Deferred[None]]
"""The rest of the chain: it fires with the broker's verdict."""

PublishMiddleware = Callable[[Publish, object, dict[str, Any]], object]
"""
Called with (publish, body, options), the options being the other arguments of the
publish by their names; it may change these, calls C{publish(body, options)}, and
returns or awaits its Deferred.
"""


def around_receive(
    middleware: Iterable[ConsumeMiddleware], receive: Callable[[Any, Message], object]
) -> Callable[[Any, Message], object]:
    """
    Put functions around what handles a message; the first is the outermost.

    @param receive: called with (body, message).
    @raise TypeError: one of them cannot be called with (handle, body, message).
    """
    for each in reversed(list(middleware)):
        check_callable("a middleware", each, 3)
        receive = partial(each, partial(call_and_wait, receive))
    return receive


def around_publish(
    middleware: Iterable[PublishMiddleware], publish: Callable[..., Deferred[None]]
) -> Callable[..., Deferred[None]]:
    """
    Put functions around what publishes; the first is the outermost.

    @param publish: called with the body, and the options as keywords.
    @raise TypeError: one of them cannot be called with (publish, body, options).
    """
    names = signature(publish)

    def last(body: object, options: dict[str, Any]) -> Deferred[None]:
        return publish(body, **options)

    chain: Callable[[object, dict[str, Any]], object] = last
    for each in reversed(list(middleware)):
        check_callable("a middleware", each, 3)
        chain = partial(each, partial(call_and_wait, chain))

    def first(*args: object, **options: Any) -> Deferred[None]:
        given = names.bind(*args, **options).arguments
        body = given.pop("body")
        given.update(given.pop("properties", {}))
        return call_and_wait(chain, body, given)

    return first
