"""
Requests that await their replies.

A broker works through the methods of one channel in order, and so are its
replies: the next one belongs to the oldest request.  Except for basic.consume
and basic.cancel, which RabbitMQ hands on to the queue: their replies come when
the queue has got to them, after those of later requests (measured on 3.10).
They are matched by consumer tag.

A request that was cancelled keeps its place, so that no later reply is taken
for that of another; when its own comes, it is undone.
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

    def add_request(self, request: Request[Any], tag: str = "") -> None:
        """
        One more was sent.

        @param tag: of the consumer that its reply will name.
        """
        if tag:
            key = request.kind.index, tag
            self._tagged.setdefault(key, deque()).append(request)
        else:
            self._waiting.append(request)

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
        """The request that an error of the broker is about, as far as is known."""
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
        """Give all, and forget them."""
        waiting = list(self._waiting)
        for tagged in self._tagged.values():
            waiting += tagged
        self._waiting.clear()
        self._tagged.clear()
        return waiting
