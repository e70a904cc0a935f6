"""
Requests that await their replies.

A broker works through the methods of one channel in order and replies in that order:
the next reply belongs to the oldest request.  Replies to basic.consume and
basic.cancel, which RabbitMQ hands on to the queue, come later, after those of newer
requests (measured on 3.10).  They are matched by consumer tag.

A request that was cancelled keeps its place, so that no later reply is taken for that
of another; when its own reply comes, it is undone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from pamqp import commands
from pamqp.base import Frame as Method
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ...exceptions import BrokerError, ProtocolError

_T = TypeVar("_T")


class Request(Generic[_T]):
    """
    One request.

    @ivar kind: the method that was sent.
    @ivar about: the name of what it is about, for errors.
    @ivar deferred: fires with the reply as C{read} makes it.
    """

    __slots__ = ("_read", "_retract", "_undo", "_waits", "about", "deferred", "kind")

    def __init__(
        self,
        kind: type[Method],
        about: str,
        read: Callable[[Any], _T],
        undo: Callable[[_T], object] | None = None,
        retract: Callable[[], object] | None = None,
    ) -> None:
        """
        @param kind: the class of the method that is sent.
        @param about: the name of what it is about, for errors.
        @param read: makes the result of the reply.
        @param undo: called with that result if the request was cancelled.
        @param retract: called at once when the request is cancelled.
        """
        self.kind = kind
        self.about = about
        self._read = read
        self._undo = undo
        self._retract = retract
        self._waits = True
        self.deferred: Deferred[_T] = Deferred(self._cancelled)

    def _cancelled(self, _: Deferred[_T]) -> None:
        self._waits = False
        if self._retract is not None:
            self._retract()

    def answer(self, reply: object) -> None:
        """Fire with a reply, or undo it."""
        result = self._read(reply)
        waits, self._waits = self._waits, False
        if waits:
            self.deferred.callback(result)
        elif self._undo is not None:
            self._undo(result)

    def fail(self, error: Exception) -> None:
        """Fail it, unless it was cancelled."""
        waits, self._waits = self._waits, False
        if waits:
            self.deferred.errback(Failure(error))


_TAGGED: Final = {
    commands.Basic.ConsumeOk.index: commands.Basic.Consume.index,
    commands.Basic.CancelOk.index: commands.Basic.Cancel.index,
}
"""The replies that name a consumer, and the requests they answer."""


class Requests:
    """The requests of one channel that await their replies."""

    __slots__ = ("_tagged", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[Request[Any]] = deque()
        self._tagged: dict[tuple[int, str], deque[Request[Any]]] = {}

    def add_request(self, request: Request[_T], tag: str = "") -> Deferred[_T]:
        """
        Note a request that is sent.

        @param tag: of the consumer that its reply names.
        @return: the request's Deferred.
        """
        if tag:
            key = request.kind.index, tag
            self._tagged.setdefault(key, deque()).append(request)
        else:
            self._waiting.append(request)
        return request.deferred

    def answer(self, method: Any, reply: object) -> None:
        """
        Settle the request that a reply belongs to.

        @param method: the method of the reply.
        @param reply: what the request is answered with.
        @raise ProtocolError: it answers nothing that was asked.
        """
        asked = _TAGGED.get(method.index)
        if asked is not None:
            waiting = self._tagged.get((asked, method.consumer_tag))
        else:
            waiting = self._waiting
        if not waiting or method.name not in waiting[0].kind.valid_responses:
            raise ProtocolError(f"{method.name} answers nothing that was asked")
        request = waiting.popleft()
        if asked is not None and not waiting:
            del self._tagged[asked, method.consumer_tag]
        request.answer(reply)

    def refused_by(self, error: BrokerError) -> Request[Any] | None:
        """Return the request that an error of the broker seems to be about."""
        kind = error.class_id << 16 | error.method_id
        if self._waiting and self._waiting[0].kind.index == kind:
            return self._waiting[0]
        asked = [
            request
            for (index, _), waiting in self._tagged.items()
            for request in waiting
            if index == kind
        ]
        named = [each for each in asked if f"'{each.about}'" in error.text]
        return next(iter(named or asked), None)

    def drain(self) -> list[Request[Any]]:
        """Forget all, and return them."""
        waiting = list(self._waiting)
        for tagged in self._tagged.values():
            waiting += tagged
        self._waiting.clear()
        self._tagged.clear()
        return waiting
