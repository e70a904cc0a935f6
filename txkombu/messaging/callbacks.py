"""Run the callbacks of a consumer in order, each awaited."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import FunctionType
from typing import Any

from twisted.internet.defer import Deferred

from .._util.awaitables import finish, work_of
from .._util.validation import check_callable
from ..message import Message

Callback = Callable[[Any, Message], object]
"""Called with (payload, message); plain, a coroutine function, or returning a Deferred
or a future."""


def as_callbacks(callbacks: Iterable[Callback]) -> list[Callback]:
    """
    Return callbacks as a list.

    @raise TypeError: one of them cannot be called with (payload, message).
    """
    if callable(callbacks):
        raise TypeError(f"callbacks must be a list of callbacks, not {callbacks!r}")
    return [check_callable("a callback", each, 2) for each in callbacks]


class ObservedHandler:
    """
    What handles a message where something sees that, shown as what it is put around.

    @param handle: called with the message.
    @param named: what it is put around.
    """

    def __init__(self, handle: Callable[[Message], object], named: object) -> None:
        self._handle = handle
        self._named = named

    def __call__(self, message: Message) -> object:
        """Handle a message."""
        return self._handle(message)

    def __repr__(self) -> str:
        return repr(self._named)


def functions_of(cls: type, called_with: Mapping[str, int]) -> dict[str, object]:
    """
    Return the class attributes that are functions and no methods, such as
    C{on_failure = reject}: bound to an object they would be called with it, too.

    What C{def} defines in a class is a method, whatever its parameters are.

    @param called_with: the names of the attributes, and with how many arguments each is
        called.
    """
    found: dict[str, object] = {}
    for name, count in called_with.items():
        owner = next((each for each in cls.__mro__ if name in vars(each)), cls)
        value = vars(owner).get(name)
        if not isinstance(value, FunctionType):
            continue
        is_method = value.__qualname__ == f"{owner.__qualname__}.{name}"
        if not is_method and _takes(value, count) and not _takes(value, count + 1):
            found[name] = value
    return found


def _takes(function: Callable[..., object], count: int) -> bool:
    try:
        check_callable("it", function, count)
    except TypeError:
        return False
    return True


def run_callbacks(callbacks: list[Callback], body: Any, message: Message) -> object:
    """
    Call callbacks in order.

    @return: what has to be awaited, as soon as one callback has to be; otherwise any
        value.
    """
    if len(callbacks) == 1:
        return callbacks[0](body, message)
    for position, callback in enumerate(callbacks):
        result = callback(body, message)
        if result is not None:
            work = work_of(result, callback)
            if work is not None:
                return _await_all(work, callbacks[position:], body, message)
    return None


async def _await_all(
    work: Deferred[Any], callbacks: list[Callback], body: Any, message: Message
) -> None:
    """Await the work of the first callback, then call the others in turn."""
    await finish(work, callbacks[0])
    for callback in callbacks[1:]:
        await finish(callback(body, message), callback)
