"""What handlers in threads get, in place of what belongs to the reactor's thread."""

from __future__ import annotations

from concurrent.futures import Future, wait
from typing import Any, Final

from twisted.python.failure import Failure
from twisted.python.threadable import isInIOThread

from .._util.awaitables import call_and_wait
from ..exceptions import ConnectionClosed, MessageStateError
from ..message import Message

_SETTLES: Final = {"ack", "nack", "reject", "requeue", "respond", "begin", "move_to"}
_LOOK: Final = 1.0
"""Seconds after which a thread looks whether the reactor still runs."""


class MessageInThread:
    """
    A message for a handler in a thread: everything but what settles it.

    @param message: the message.
    """

    def __init__(self, message: Message) -> None:
        self._message = message

    def __getattr__(self, name: str) -> Any:
        if name in _SETTLES:
            raise MessageStateError(
                f"a handler in a thread cannot call message.{name}(): return to "
                "acknowledge the message, or raise Reject, Requeue, Drop or Park"
            )
        return getattr(self._message, name)


class PublisherInThread:
    """
    What a handler in a thread publishes with: only C{publish}, which blocks.

    @param publisher: the publisher, which is called in the reactor's thread.
    """

    def __init__(self, publisher: Any) -> None:
        self._publisher = publisher

    def publish(self, body: object, *args: Any, **options: Any) -> None:
        """
        Publish one message, and wait for the broker's verdict.

        @param body: as for L{Producer.publish}.
        @param args: as for L{Producer.publish}.
        @param options: as for L{Producer.publish}.
        @raise RuntimeError: this is the reactor's thread, which must not wait.
        @raise Exception: what the Deferred of L{Producer.publish} fails with.
        """
        if isInIOThread():
            raise RuntimeError(
                "publisher.publish of a handler in a thread blocks: call it in that "
                "thread, and not in the reactor's, as by callFromThread"
            )
        from twisted.internet import reactor

        verdict: Future[None] = Future()

        def begin() -> None:
            publishing = call_and_wait(publish)
            publishing.addCallbacks(lambda _: verdict.set_result(None), failed)

        def publish() -> object:
            return self._publisher.publish(body, *args, **options)

        def failed(failure: Failure) -> None:
            verdict.set_exception(failure.value)

        running: Any = reactor
        running.callFromThread(begin)
        while not wait([verdict], _LOOK).done:
            if not running.running:
                raise ConnectionClosed("the program ends: no verdict will come")
        verdict.result()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"a handler in a thread cannot use publisher.{name}, only publisher.publish"
        )
