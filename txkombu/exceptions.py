"""
Every error this library raises or fails a Deferred with.

All of them derive from L{KombuError}.  What a broker refused carries the
broker's own code, text, class and method (AMQP 0-9-1, section 4.2.8 and the
list of reply codes), and the object the operation was about.
"""

from __future__ import annotations

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
    "NotSupported",
    "OperationTimeout",
    "OutcomeUnknown",
    "PreconditionFailed",
    "ProtocolError",
    "PublishError",
    "ResourceError",
    "ResourceLocked",
    "SerializerNotInstalled",
    "SessionLost",
    "TransportNotAvailable",
    "UnexpectedFrame",
    "Unroutable",
    "broker_error",
]


class KombuError(Exception):
    """
    The root of all errors of this library.

    Its text shows control characters escaped, as a broker or sender may have
    written some of it; it can be pickled and copied, whatever its arguments.
    """

    def __str__(self) -> str:
        text = super().__str__()
        if text.isprintable():
            return text
        return "".join(
            each if each.isprintable() else repr(each)[1:-1] for each in text
        )

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (type(self), self.args, self.__dict__)


def _restored(
    kind: type[KombuError], arguments: tuple[object, ...], state: dict[str, object]
) -> KombuError:
    """Make an error as it was, without what its class makes of arguments."""
    error = kind.__new__(kind)
    error.args = arguments
    error.__dict__.update(state)
    return error


# --- what the caller did -----------------------------------------------------


class NotBoundError(KombuError):
    """An operation needs a channel, and this entity is bound to none."""


class MessageStateError(KombuError):
    """A message was acknowledged, rejected or requeued a second time."""


class InvalidURL(KombuError, ValueError):
    """A broker's URL cannot be understood; the text shows no password."""


class NotSupported(KombuError):
    """
    The transport cannot do this; nothing was sent.

    @ivar operation: what was asked for, such as C{"headers exchange"}.
    @ivar transport: the URL scheme of the transport that cannot do it.
    """

    def __init__(self, operation: str, transport: str, hint: str = "") -> None:
        text = f"{operation} is not supported by the {transport} transport"
        super().__init__(f"{text}: {hint}" if hint else text)
        self.operation = operation
        self.transport = transport


# --- content -----------------------------------------------------------------


class SerializerNotInstalled(KombuError, LookupError):
    """No serializer or compressor of that name is registered or installed."""


class EncodeError(KombuError):
    """A body cannot be serialized or compressed."""


class DecodeError(KombuError):
    """A received body cannot be decompressed or decoded."""


class ContentDisallowed(DecodeError):
    """A received content type is not among those the consumer accepts."""


# --- time and room -----------------------------------------------------------


class OperationTimeout(KombuError, TimeoutError):
    """
    An operation was not over at its deadline; it has been given up.

    What was sent to the broker before, the broker may still do: an operation may have
    had its effect, and a message may be in its queues.  Of a message the text says
    whether it was sent.

    @ivar operation: what was under way.
    @ivar timeout: the seconds it was given.
    @ivar phase: where it was when the time was over.
    """

    def __init__(self, operation: str, timeout: float, phase: str = "") -> None:
        where = f" ({phase})" if phase else ""
        super().__init__(f"{operation} was not over within {timeout:g} s{where}")
        self.operation = operation
        self.timeout = timeout
        self.phase = phase


class BackpressureError(KombuError):
    """
    More is waiting to be published than C{max_pending} allows.

    Nothing was queued: wait for C{producer.when_ready()} before publishing
    again, or use C{producer.publish_all()}.
    """


# --- connections and channels ------------------------------------------------


class ConnectError(KombuError):
    """No session could be set up with the broker; the cause is attached."""


class AuthenticationFailed(ConnectError):
    """The broker refused these credentials, or this virtual host."""


class TransportNotAvailable(ConnectError):
    """The transport of this URL scheme cannot be used here."""


class SessionLost(KombuError):
    """The session with the broker ended while something was under way."""


class ConnectionClosed(KombuError):
    """The connection was closed by this program; open a new one."""


class ChannelClosed(KombuError):
    """The channel is closed, by this program or because of the cause."""


class ConsumerCancelled(KombuError):
    """The broker ended a consumer: its queue went away, or it was too slow."""


class ProtocolError(KombuError):
    """The peer broke the protocol; the connection was given up."""


# --- the verdict on a publish ------------------------------------------------


class PublishError(KombuError):
    """The root of the verdicts that are no success."""


class Unroutable(PublishError):
    """
    No queue would have had this mandatory message: it came back.

    @ivar returned: the message as the broker returned it.
    """

    def __init__(self, returned: Returned) -> None:
        super().__init__(
            f"{returned.reply_code} {returned.reply_text}: exchange "
            f"{returned.exchange!r} has no binding for {returned.routing_key!r}"
        )
        self.returned = returned


class Nacked(PublishError):
    """The broker says that it did not take the message (a full queue, say)."""


class NotSent(PublishError):
    """The message was never written to the broker: publishing it again is safe."""


class OutcomeUnknown(PublishError):
    """
    The message was written, and the session ended before the verdict.

    The broker may have it or not: publishing it again may double it.
    """


# --- what the broker says ----------------------------------------------------


class BrokerError(KombuError):
    """
    The broker refused or ended something.

    @ivar code: the reply code (AMQP 0-9-1, "reply-code"); 0 if there is none.
    @ivar text: the broker's own words.
    @ivar class_id: the class of the method that failed, 0 if not known.
    @ivar method_id: the method that failed, 0 if not known.
    @ivar about: the name of the object the operation was about, or C{""}.
    """

    default_code: ClassVar[int] = 0

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
        super().__init__(self._describe())

    def _describe(self) -> str:
        parts = [f"{self.code} {self.text}" if self.code else self.text]
        if self.about and f"'{self.about}'" not in self.text:
            parts.append(f"about {self.about!r}")
        if self.class_id:
            parts.append(f"method {self.class_id}.{self.method_id}")
        return ", ".join(parts)


class ChannelError(BrokerError):
    """A soft error: it ends the channel it happened on, and no more."""


class ContentTooLarge(ChannelError):
    """311: the body is larger than the broker allows."""

    default_code = 311


class NoConsumers(ChannelError):
    """313: an immediate message found no consumer ready."""

    default_code = 313


class AccessRefused(ChannelError):
    """403: these credentials do not allow it."""

    default_code = 403


class NotFound(ChannelError):
    """404: there is no such queue or exchange."""

    default_code = 404


class ResourceLocked(ChannelError):
    """405: the queue is exclusive to another connection."""

    default_code = 405


class PreconditionFailed(ChannelError):
    """406: it exists with other properties, is in use, or the tag is unknown."""

    default_code = 406


class ConnectionErrorReply(BrokerError):
    """A hard error: it ends the connection."""


class ConnectionForced(ConnectionErrorReply):
    """320: an operator closed the connection; trying again later may work."""

    default_code = 320


class InvalidPath(ConnectionErrorReply):
    """402: there is no such virtual host."""

    default_code = 402


class FrameError(ConnectionErrorReply):
    """501: the broker could not read a frame."""

    default_code = 501


class FrameSyntaxError(ConnectionErrorReply):
    """502: a field of a frame had an illegal value."""

    default_code = 502


class CommandInvalid(ConnectionErrorReply):
    """503: the methods came in an order that is not allowed."""

    default_code = 503


class ChannelNumberError(ConnectionErrorReply):
    """504: a channel was used that is not open."""

    default_code = 504


class UnexpectedFrame(ConnectionErrorReply):
    """505: a frame came where another was due."""

    default_code = 505


class ResourceError(ConnectionErrorReply):
    """506: the broker is out of a resource."""

    default_code = 506


class NotAllowed(ConnectionErrorReply):
    """530: it goes against the broker's rules, whoever asks."""

    default_code = 530


class NotImplementedByBroker(ConnectionErrorReply):
    """540: the broker does not have this method."""

    default_code = 540


class InternalError(ConnectionErrorReply):
    """541: something broke inside the broker."""

    default_code = 541


_BY_CODE: dict[int, type[BrokerError]] = {
    kind.default_code: kind
    for root in (ChannelError, ConnectionErrorReply)
    for kind in root.__subclasses__()
}


def broker_error(
    code: int, text: str, class_id: int = 0, method_id: int = 0, about: str = ""
) -> BrokerError:
    """
    Make the error of the class that stands for a reply code.

    An unknown code below 400, or from 500 on, is taken for a hard error.
    """
    fallback = ChannelError if 400 <= code < 500 else ConnectionErrorReply
    kind = _BY_CODE.get(code, fallback)
    return kind(text, code=code, class_id=class_id, method_id=method_id, about=about)
