"""Publish replies, but not to addresses that make the broker fail."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import DeferredLock
from twisted.logger import Logger

from ..exceptions import InternalError, KombuError
from ..message import Message

_MAX_NOTED: Final = 1000
"""How many addresses are remembered."""


class ReplySender:
    """
    Publish the replies of one server.

    RabbitMQ fails with 541 INTERNAL_ERROR, and ends the session, when a direct reply-to
    address is malformed.  Whoever sends such a request could keep the server from
    working, as the request is delivered again in the next session.  So addresses that
    were in use when a session ended that way become suspects, whose replies are sent
    one at a time; one with which it happens again gets no reply any more.
    """

    _log = Logger()

    def __init__(self) -> None:
        self._suspects: dict[str, None] = {}
        self._harmful: dict[str, None] = {}
        self._one_at_a_time = DeferredLock()

    async def send(self, message: Message, body: object, **options: Any) -> None:
        """Reply to a message that wants it; fails as a publish does."""
        address = message.reply_to
        assert address is not None
        if address in self._suspects:
            await self._one_at_a_time.acquire()
            try:
                await self._send(address, self._harmful, message, body, options)
                self._suspects.pop(address, None)
            finally:
                self._one_at_a_time.release()
        else:
            await self._send(address, self._suspects, message, body, options)

    async def _send(
        self,
        address: str,
        blamed: dict[str, None],
        message: Message,
        body: object,
        options: dict[str, Any],
    ) -> None:
        """
        Reply to a message, unless that is known to harm.

        @param blamed: notes the address if the broker fails meanwhile.
        """
        if address in self._harmful:
            self._log.error(
                "{what!r} gets no reply: its reply_to, {address!r}, makes the broker "
                "fail",
                what=message,
                address=address,
            )
            return
        try:
            await message.respond(body, delivery_mode="transient", **options)
        except KombuError as error:
            if _is_broker_failure(error):
                blamed[address] = None
                if len(blamed) > _MAX_NOTED:
                    del blamed[next(iter(blamed))]
            raise


def _is_broker_failure(error: BaseException | None) -> bool:
    """Return whether a failure of the broker itself caused an error."""
    while error is not None and not isinstance(error, InternalError):
        error = error.__cause__
    return error is not None
