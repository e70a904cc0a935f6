"""The server side of request and reply."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from .._util.awaitables import call_and_wait
from .._util.failures import without_frames
from .._util.validation import check_callable
from ..core.lending import ChannelLender
from ..entity import Queue
from ..exceptions import EncodeError, KombuError, RemoteError
from ..message import Message
from ..messaging.consumer import Consumer
from ..policy import Verdict
from .error_reply import ERROR_HEADER, described
from .reply_sender import ReplySender


class RPCServer(Consumer):
    """
    A consumer that replies to each message with what its handler returns.

    The reply goes to the message's C{reply_to}, with its C{correlation_id}; the message
    is acknowledged when the broker has the reply.  An error of the handler is replied
    too, and the client raises it as L{txkombu.rpc.RemoteError}.  A message without
    C{reply_to} is handled and acknowledged; if that fails, C{on_failure} decides.

    @param channel: a channel, or a connection, on which it opens its own.
    @param queues: a L{Queue} or several.
    @param handler: called with (payload, message); its result, plain or awaited, is the
        reply.  Subclasses may override L{handle} instead.  It may raise a verdict of
        L{txkombu.policy}, such as C{Requeue}, about the request, which then gets no
        reply from here.
    @param serializer: of the replies; by default str and bytes are sent as they are and
        the rest as json.
    @param options: as for L{txkombu.Consumer}.
    @raise TypeError: there is no handler.
    """

    serializer: str | None = None

    _log = Logger()

    def __init__(
        self,
        channel: ChannelLender,
        queues: Queue | Iterable[Queue] | None = None,
        handler: Callable[[Any, Message], object] | None = None,
        *,
        serializer: str | None = None,
        **options: Any,
    ) -> None:
        if handler is not None:
            check_callable("handler", handler, 2)
        elif type(self).handle is RPCServer.handle:
            raise TypeError("an RPCServer needs a handler, or a handle() of its own")
        self._handler = handler
        self._replies = ReplySender()
        self.serializer = serializer or self.serializer
        undecodable = options.pop("on_decode_error", None) or self.on_decode_error
        options["on_decode_error"] = undecodable or self._reply_undecodable
        super().__init__(channel, queues, **options)

    def handle(self, body: Any, message: Message) -> object:
        """
        Handle one request: call the handler.  Subclasses may override it.

        @param body: the payload.
        @param message: the request.
        @return: the reply, or a Deferred, coroutine or future of it.
        """
        assert self._handler is not None
        return self._handler(body, message)

    async def receive(self, body: Any, message: Message) -> None:
        """
        Handle one request, reply, and acknowledge it.

        @param body: the payload.
        @param message: the request.
        """
        try:
            result = await call_and_wait(self.handle, body, message)
        except Verdict:
            raise
        except Exception as error:
            if not message.reply_to:
                raise
            if not isinstance(error, RemoteError):
                self._log_failure(message)
            await self._reply_error(message, error)
        else:
            await self._reply(message, result)

    async def _reply(self, message: Message, result: object) -> None:
        try:
            await self._respond(message, result, serializer=self.serializer)
        except EncodeError as error:
            self._log_failure(message)
            await self._reply_error(message, error)

    async def _reply_error(self, message: Message, error: Exception) -> None:
        kind, text = described(error)
        await self._respond(message, text, headers={ERROR_HEADER: kind})

    async def _reply_undecodable(self, message: Message, error: Exception) -> None:
        if not message.reply_to:
            raise error
        await self._reply_error(message, error)

    async def _respond(self, message: Message, body: object, **options: Any) -> None:
        """Publish a reply, if one is wanted, then acknowledge the request."""
        try:
            if message.reply_to:
                await self._replies.send(message, body, **options)
        except KombuError as error:
            if isinstance(error, EncodeError) or not message.is_back:
                raise
            self._log.info(
                "{what!r} has no reply ({error}); it is delivered again",
                what=message,
                error=str(error),
            )
        if not message.acknowledged:  # by the handler
            message.ack()

    def _log_failure(self, message: Message) -> None:
        self._log.failure(
            "Request {what!r} failed; its sender is told",
            without_frames(Failure()),
            what=message,
        )
