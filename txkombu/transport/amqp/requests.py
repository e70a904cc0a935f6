"""
Requests that await their replies.

A broker works through the methods of one channel in order, and so are its
replies: the next one belongs to the oldest request.  A request that was
cancelled keeps its place, so that no later reply is taken for that of another;
when its own comes, it is undone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ...exceptions import BrokerError, ProtocolError
from .methods import Method

_T = TypeVar("_T")


class Request(Generic[_T]):
    """
    One request.

    @ivar kind: the method that was sent.
    @ivar about: the name of what it is about, for errors.
    @ivar deferred: fires with the reply as C{read} makes it; C{None} once it
        has fired or was cancelled.
    """

    __slots__ = ("_read", "_retract", "_undo", "about", "deferred", "kind")

    def __init__(
        self,
        kind: type[Method],
        about: str,
        read: Callable[[Any], _T],
        undo: Callable[[_T], object] | None = None,
        retract: Callable[[], object] | None = None,
    ) -> None:
        """
        @param read: makes the result of the reply.
        @param undo: called with that result if the request was cancelled.
        @param retract: called at once when the request is cancelled.
        """
        self.kind = kind
        self.about = about
        self._read = read
        self._undo = undo
        self._retract = retract
        self.deferred: Deferred[_T] | None = Deferred(self._cancelled)

    def _cancelled(self, _: Deferred[_T]) -> None:
        self.deferred = None
        if self._retract is not None:
            self._retract()

    def answer(self, reply: object) -> None:
        """Fire with a reply, or undo it."""
        result = self._read(reply)
        deferred, self.deferred = self.deferred, None
        if deferred is not None:
            deferred.callback(result)
        elif self._undo is not None:
            self._undo(result)

    def fail(self, error: Exception) -> None:
        """Fail it, unless it was cancelled."""
        deferred, self.deferred = self.deferred, None
        if deferred is not None:
            deferred.errback(Failure(error))


class Requests:
    """The requests of one channel that await their replies, oldest first."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: deque[Request[Any]] = deque()

    def add(self, request: Request[Any]) -> None:
        """One more was sent."""
        self._waiting.append(request)

    def answer(self, method: Method, reply: object) -> None:
        """
        Settle the oldest request.

        @param method: the method of the reply.
        @param reply: what the request is answered with.
        @raise ProtocolError: it is no reply to that request.
        """
        if (
            not self._waiting
            or method.name not in self._waiting[0].kind.valid_responses
        ):
            raise ProtocolError(f"{method.name} answers nothing that was asked")
        self._waiting.popleft().answer(reply)

    def refused_by(self, error: BrokerError) -> Request[Any] | None:
        """The request that an error of the broker is about, as far as is known."""
        if not self._waiting:
            return None
        kind = self._waiting[0].kind
        named = error.class_id << 16 | error.method_id
        return self._waiting[0] if kind.index == named else None

    def drain(self) -> list[Request[Any]]:
        """Give all, and forget them."""
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting
