"""
Middleware: functions around the handling of each message, or each publish, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
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
