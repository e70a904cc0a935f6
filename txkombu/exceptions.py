"""
All errors that the library raises or fails a Deferred with.

They derive from L{KombuError}.  A refusal by the broker carries the broker's code,
text, class and method (AMQP 0-9-1, section 4.2.8 and the list of reply codes), and
the name of the exchange or queue at fault.
"""

from __future__ import annotations

import copy
import copyreg
from enum import Enum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from ._types import Returned

__all__ = [
    "AccessRefused",
    "AuthenticationFailed",
    "BackpressureError",
    "BrokerError",
    "ChannelClosed",
    "ChannelError",
    "ChannelNumberError",
    "CommandInvalid",
    "ConnectError",
    "ConnectionClosed",
    "ConnectionErrorReply",
    "ConnectionForced",
    "ConsumerCancelled",
    "ContentDisallowed",
    "ContentTooLarge",
    "DecodeError",
    "EncodeError",
    "FrameError",
    "FrameSyntaxError",
    "InternalError",
    "InvalidPath",
    "InvalidURL",
    "KombuError",
    "MessageStateError",
    "Nacked",
    "NoConsumers",
    "NotAllowed",
    "NotBoundError",
    "NotFound",
    "NotImplementedByBroker",
    "NotSent",
    "NotSentInTime",
    "NotSupported",
    "OperationTimeout",
    "Outcome",
    "OutcomeUnknown",
    "OutcomeUnknownInTime",
    "PreconditionFailed",
    "ProtocolError",
    "PublishError",
    "RemoteError",
    "ResourceError",
    "ResourceLocked",
    "SerializerNotInstalled",
    "SessionLost",
    "TransportNotAvailable",
    "UnexpectedFrame",
    "Unroutable",
    "broker_error",
]


class Outcome(Enum):
    """What the broker has of a message whose publish failed."""

    NOT_SENT = "not sent"
    """Nothing: the message was never written."""
    REFUSED = "refused"
    """Nothing: it has refused or returned the message."""
    UNKNOWN = "unknown"
    """The message or not: the verdict did not come."""


class KombuError(Exception):
    """
    The base of all errors of this library.

    Control characters in its text are shown escaped, as parts may come from a broker
    or a sender.  It can be pickled and copied, whatever its arguments.

    @ivar outcome: what the broker has of the message whose publish failed with this;
        C{None} for errors that no publish fails with.  Each class has its own; an
        error has another if the message was sent twice, see L{of_second_copy}.
    """

    outcome: Outcome | None = None

    @property
    def is_safe_to_repeat(self) -> bool:
        """Whether the same publish can be made again without doubling the message."""
        return self.outcome in (Outcome.NOT_SENT, Outcome.REFUSED)

    def __str__(self) -> str:
        return printable(super().__str__())

    def __reduce__(self) -> tuple[object, ...]:
        state = {**self.__dict__, "args": self.args}
        return copyreg.__newobj__, (type(self),), state  # type: ignore[attr-defined]


def printable(text: str) -> str:
    """Escape the characters that a terminal would obey, or would not show."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


class NotBoundError(KombuError):
    """An operation needs a channel, but this exchange or queue is bound to none."""


class MessageStateError(KombuError):
    """A message was settled a second time."""


class InvalidURL(KombuError, ValueError):
    """A URL cannot be parsed; the text shows no password."""


class NotSupported(KombuError):
    """
    The transport cannot do this; nothing was sent.

    @ivar operation: what it cannot do, such as C{"headers exchange"}.
    @ivar transport: the URL scheme of the transport.
    @param hint: what to do instead.
    """

    outcome = Outcome.NOT_SENT

    def __init__(self, operation: str, transport: str, hint: str = "") -> None:
        text = f"{operation} is not supported by the {transport} transport"
        super().__init__(f"{text}: {hint}" if hint else text)
        self.operation = operation
        self.transport = transport


class SerializerNotInstalled(KombuError, LookupError):
    """No serializer or compressor of that name is registered or installed."""


class EncodeError(KombuError):
    """A body cannot be serialized or compressed."""

    outcome = Outcome.NOT_SENT


class DecodeError(KombuError):
    """A received body cannot be decompressed or decoded."""


class ContentDisallowed(DecodeError):
    """A received content type is not among those the consumer accepts."""


class OperationTimeout(KombuError, TimeoutError):
    """
    An operation did not end within its timeout, and was given up.

    The broker may still do what it was sent: a declaration may take effect, a message
    may reach its queues.  For a publish the text says whether the message was sent.

    @ivar operation: the name of the operation.
    @ivar timeout: seconds.
    @ivar phase: how far the operation was; C{""} if that is not known.
    """

    outcome = Outcome.UNKNOWN

    def __init__(self, operation: str, timeout: float, phase: str = "") -> None:
        where = f" ({phase})" if phase else ""
        super().__init__(f"{operation} was not over within {timeout:g} s{where}")
        self.operation = operation
        self.timeout = timeout
        self.phase = phase


class BackpressureError(KombuError):
    """
    Too many messages wait to be published: 10,000, or 64 MiB, on one channel.

    This one was not queued.  Wait for C{producer.when_ready()} before publishing
    again, or use C{producer.publish_all()}.
    """

    outcome = Outcome.NOT_SENT


class ConnectError(KombuError):
    """No session with the broker could be made; C{__cause__} says why."""

    outcome = Outcome.NOT_SENT


class AuthenticationFailed(ConnectError):
    """The broker refused the user, the password or the virtual host."""


class TransportNotAvailable(ConnectError):
    """The transport of this URL scheme cannot be used here."""


class SessionLost(KombuError):
    """The session with the broker ended during an operation."""

    outcome = Outcome.UNKNOWN


class ConnectionClosed(KombuError):
    """This program closed the connection; C{clone()} makes another."""

    outcome = Outcome.NOT_SENT


class ChannelClosed(KombuError):
    """The channel was closed, by this program or for the error in C{__cause__}."""

    outcome = Outcome.NOT_SENT


class ConsumerCancelled(KombuError):
    """The broker ended a consumer: its queue was deleted, or it was too slow."""


class ProtocolError(KombuError):
    """The peer broke the protocol; the connection was aborted."""


class PublishError(KombuError):
    """The base of the errors that a publish fails with for its verdict."""


class Unroutable(PublishError):
    """
    No queue received this mandatory message; the broker returned it.

    @ivar returned: the message as the broker returned it.
    """

    outcome = Outcome.REFUSED

    def __init__(self, returned: Returned) -> None:
        super().__init__(
            f"{returned.reply_code} {returned.reply_text}: exchange "
            f"{returned.exchange!r} has no binding for {returned.routing_key!r}"
        )
        self.returned = returned


class Nacked(PublishError):
    """The broker did not take the message, for example because a queue is full."""

    outcome = Outcome.REFUSED


class NotSent(PublishError):
    """The message was never sent; publishing it again is safe."""

    outcome = Outcome.NOT_SENT


class OutcomeUnknown(PublishError):
    """
    The message was sent, but the session ended before the broker's confirm.

    The broker may have it or not: publishing it again may duplicate it.
    """

    outcome = Outcome.UNKNOWN


class NotSentInTime(OperationTimeout, NotSent):
    """The deadline of a publish passed before the message was written."""

    outcome = Outcome.NOT_SENT


class OutcomeUnknownInTime(OperationTimeout, OutcomeUnknown):
    """The deadline of a publish passed before the broker's verdict."""

    outcome = Outcome.UNKNOWN


class RemoteError(KombuError):
    """
    The server of a remote call answered with an error; see L{txkombu.rpc}.

    A server's handler may raise it, to choose what its caller gets.

    @ivar kind: the name of the error's type at the server, such as C{"ValueError"}.
    @ivar text: the text of the error.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}" if text else kind)
        self.kind = kind
        self.text = text


class BrokerError(KombuError):
    """
    The broker refused an operation, or closed a channel or connection.

    @cvar default_code: the reply code of the class.
    @ivar code: the reply code (AMQP 0-9-1, "reply-code"); 0 if there is none.
    @ivar text: the broker's own words.
    @ivar class_id: the class of the method that failed, 0 if not known.
    @ivar method_id: the method that failed, 0 if not known.
    @ivar about: the name of the exchange or queue at fault, or C{""}.
    """

    outcome = Outcome.REFUSED

    default_code: ClassVar[int] = 0

    def __init_subclass__(cls, code: int = 0, **options: object) -> None:
        """
        Set the reply code of a subclass.

        @param code: the code; by default that of the base.
        """
        super().__init_subclass__(**options)
        cls.default_code = code or cls.default_code

    def __init__(
        self,
        text: str,
        *,
        code: int | None = None,
        class_id: int = 0,
        method_id: int = 0,
        about: str = "",
    ) -> None:
        self.code = self.default_code if code is None else code
        self.text = text
        self.class_id = class_id
        self.method_id = method_id
        self.about = about
        parts = [f"{self.code} {text}" if self.code else text]
        if about and f"'{about}'" not in text:
            parts.append(f"about {about!r}")
        if class_id:
            parts.append(f"method {class_id}.{method_id}")
        super().__init__(", ".join(parts))


class ChannelError(BrokerError):
    """A soft error: the broker closed the channel it happened on."""


class ContentTooLarge(ChannelError, code=311):
    """311: the body is larger than the broker allows."""


class NoConsumers(ChannelError, code=313):
    """313: no consumer was ready for an immediate message."""


class AccessRefused(ChannelError, code=403):
    """403: the user lacks the permission, or an exclusive consumer is in the way."""


class NotFound(ChannelError, code=404):
    """404: there is no such queue or exchange."""


class ResourceLocked(ChannelError, code=405):
    """405: the queue is exclusive to another connection."""


class PreconditionFailed(ChannelError, code=406):
    """406: it exists with other properties or is in use; or a tag is unknown."""


class ConnectionErrorReply(BrokerError):
    """A hard error: the broker closed the connection."""


class ConnectionForced(ConnectionErrorReply, code=320):
    """320: an operator closed the connection; connecting again later may work."""


class InvalidPath(ConnectionErrorReply, code=402):
    """402: there is no such virtual host."""


class FrameError(ConnectionErrorReply, code=501):
    """501: the broker could not read a frame."""


class FrameSyntaxError(ConnectionErrorReply, code=502):
    """502: a field of a frame had an illegal value."""


class CommandInvalid(ConnectionErrorReply, code=503):
    """503: methods were sent in an order that is not allowed."""


class ChannelNumberError(ConnectionErrorReply, code=504):
    """504: a channel that is not open was used."""


class UnexpectedFrame(ConnectionErrorReply, code=505):
    """505: a frame of another kind was expected."""


class ResourceError(ConnectionErrorReply, code=506):
    """506: the broker is out of a resource."""


class NotAllowed(ConnectionErrorReply, code=530):
    """530: the broker's rules forbid it to everybody."""


class NotImplementedByBroker(ConnectionErrorReply, code=540):
    """540: the broker does not have this method."""


class InternalError(ConnectionErrorReply, code=541):
    """541: the broker failed."""


_BY_CODE: dict[int, type[BrokerError]] = {
    kind.default_code: kind
    for root in (ChannelError, ConnectionErrorReply)
    for kind in root.__subclasses__()
}


def broker_error(
    code: int, text: str, class_id: int = 0, method_id: int = 0, about: str = ""
) -> BrokerError:
    """
    Make the error for a reply of the broker.

    @param code: the reply code; it decides the class.  An unknown one from 400 to 499
        counts as a soft error, any other unknown one as a hard error.
    @param text: the broker's own words.
    @param class_id: the class of the method that failed, 0 if not known.
    @param method_id: the method that failed, 0 if not known.
    @param about: the name of the exchange or queue at fault, or C{""}.
    """
    fallback = ChannelError if 400 <= code < 500 else ConnectionErrorReply
    kind = _BY_CODE.get(code, fallback)
    return kind(text, code=code, class_id=class_id, method_id=method_id, about=about)


def of_second_copy(error: Exception) -> Exception:
    """
    Return what a publish fails with whose message was written, lost and sent again.

    Its outcome is unknown, whatever became of the second copy, for the first may have
    arrived.

    @param error: what the second copy failed with; its type is kept if it is the
        broker's verdict.
    """
    is_verdict = not isinstance(error, ConnectionForced | NotSent)
    if isinstance(error, BrokerError | PublishError) and is_verdict:
        same = copy.copy(error)  # others may have the error, too
        same.outcome = Outcome.UNKNOWN
        same.__cause__ = error.__cause__
        return same
    unknown = OutcomeUnknown(f"sent, but not confirmed: {error}")
    unknown.__cause__ = error
    return unknown
