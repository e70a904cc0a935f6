"""
A received message: decoded once, settled once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from twisted.internet.defer import Deferred, succeed

from ._types import Delivery, Settlement
from ._util.limits import MAX_BODY_SIZE, value_limit
from ._util.log_limit import LogLimit
from .compression import Undone, decompress, undo_content_coding
from .exceptions import DecodeError, MessageStateError, SerializerNotInstalled
from .serialization import serializers as serialization

_UNDECODED = object()
_LIGHT = 4096
"""Bytes of a body that need not be counted when it is decoded."""
_GROWTH = 16
"""How many times as large as its text a decoded value may be taken for."""
_COMPRESSED_GROWTH = 64
"""The same for a text that was compressed: an empty list takes one byte in msgpack."""
_NOT_COMPRESSED = frozenset({None, "binary"})
"""Content encodings that, with utf-8, nearly all messages have."""


class SourceQueue(Protocol):
    """What a message asks of the queue it came from."""

    name: str

    @property
    def arguments(self) -> Mapping[str, object]:
        """The arguments it is declared with."""


class Memory(Protocol):
    """Counts what decoded messages hold."""

    def hold(self, size: int) -> None:
        """Note that a message was decoded, and holds so many bytes."""

    def let_go(self, size: int) -> None:
        """Note that such a message is done with."""


class Settler(Protocol):
    """
    Settles messages on the session channel they came by.

    @ivar gone: whether that channel is.
    @ivar unsettled: the messages that await settlement, by delivery tag.
    """

    gone: bool
    unsettled: dict[int, Message]

    @property
    def memory(self) -> Memory:
        """Counts what its decoded messages hold."""

    def ack(self, tag: int, multiple: bool) -> Deferred[Settlement]:
        """Settle as handled."""

    def release(self, tag: int) -> None:
        """Settle as handled, for somebody who does not wait for it."""

    def nack(self, tag: int, multiple: bool, requeue: bool) -> Deferred[Settlement]:
        """Settle as not attempted."""

    def reject(self, tag: int, requeue: bool) -> Deferred[Settlement]:
        """Settle as failed."""


class Message:
    """
    One message, as it came from a queue.

    It belongs to the session channel that delivered it.  When that is gone the
    broker hands the message out again, and settling this one fires with
    L{Settlement.STALE}; it is no error.

    @ivar delivery_tag: its number on its channel.
    @ivar redelivered: whether it may have been handed out before.
    @ivar acks_at_begin: whether L{begin} acknowledges it: its consumer asked for
        no_ack.
    @ivar log_limit: how often to log that such messages cannot be decoded; set by
        the consumer when handling this one failed.
    """

    log_limit: LogLimit | None

    __slots__ = (
        "_accept",
        "_body",
        "_delivery",
        "_held",
        "_max_body_size",
        "_memory",
        "_payload",
        "_queue",
        "_state",
        "_unacked",
        "acks_at_begin",
        "delivery_tag",
        "log_limit",
        "redelivered",
    )

    def __init__(
        self,
        delivery: Delivery,
        unacked: Settler | None,
        queue: SourceQueue | None = None,
        accept: frozenset[str] | None = None,
        max_body_size: int = MAX_BODY_SIZE,
        acks_at_begin: bool = False,
    ) -> None:
        self._delivery = delivery
        self.acks_at_begin = acks_at_begin
        self._unacked = unacked
        self._queue = queue
        self._accept = accept
        self._max_body_size = max_body_size
        self._memory: Memory | None = None
        self._held = 0
        self._body: bytes | None = None
        self._payload: object = _UNDECODED
        self._state = ""
        self.delivery_tag = delivery.tag
        self.redelivered = delivery.redelivered
        if unacked is not None:
            unacked.unsettled[delivery.tag] = self

    # --- what it holds ------------------------------------------------------

    @property
    def body(self) -> bytes:
        """
        The bytes of the body, decompressed if the header C{compression} says
        that they are compressed.

        @raise DecodeError: they cannot be decompressed, or become too large.
        """
        if self._body is None:
            self._body = self._decompress()
        return self._body

    def _decompress(self) -> bytes:
        method = self.headers.get("compression")
        if not method:
            return self._delivery.body
        try:
            return decompress(
                self._delivery.body,
                method,  # type: ignore[arg-type]  # it checks
                self._max_body_size,
            )
        except SerializerNotInstalled as error:
            # The sender's doing, as a corrupt body is.
            raise DecodeError(str(error)) from error

    @property
    def payload(self) -> object:
        """
        What the body stands for, decoded once.

        @raise DecodeError: it cannot be decoded.
        @raise ContentDisallowed: its content type is not accepted.
        """
        if self._payload is _UNDECODED:
            self._payload = self.decode()
        return self._payload

    def decode(self) -> object:
        """
        Decode the body by its content type; L{payload} does it only once.

        @raise DecodeError: it cannot be decoded.
        @raise ContentDisallowed: its content type is not accepted.
        """
        properties = self._delivery.properties
        headers = properties.get("headers")
        body = self._delivery.body
        arrived = None
        if headers and "compression" in headers:  # type: ignore[operator]  # a table
            arrived = len(body)
            # Not kept: the payload is, and whoever wants both pays for it.
            body = self._decompress() if self._body is None else self._body
        encoding = properties.get("content_encoding")
        if encoding != "utf-8" and encoding not in _NOT_COMPRESSED:
            arrived = len(self._delivery.body)
            body, encoding = self._undo_content_coding(body, str(encoding))
        value = serialization.decode(
            body,
            properties.get("content_type"),  # type: ignore[arg-type]  # text
            encoding,
            self._accept,
            self._max_body_size,
            arrived,
        )
        if len(body) > _LIGHT:
            self._hold(value, len(body))
        return value

    def _hold(self, value: object, size: int) -> None:
        """Count what the decoded value may hold, until this is settled."""
        unacked = self._unacked
        memory = unacked.memory if unacked is not None else self._memory
        if memory is None or self._held or self._state:
            return
        if not isinstance(value, str | bytes):
            arrived = len(self._delivery.body)
            growth = _COMPRESSED_GROWTH if size > arrived else _GROWTH
            size = min(size * growth, value_limit(arrived, self._max_body_size))
        self._held = size
        memory.hold(size)
        self._memory = memory

    def let_go(self) -> None:
        """Note that it is settled, or done with: what it holds counts no more."""
        held, self._held = self._held, 0
        if held and self._memory is not None:
            self._memory.let_go(held)

    def _undo_content_coding(
        self, body: bytes, encoding: str
    ) -> tuple[bytes, str | None]:
        try:
            return undo_content_coding(body, encoding, self._max_body_size)
        except SerializerNotInstalled as error:
            raise DecodeError(str(error)) from error

    @property
    def properties(self) -> Mapping[str, object]:
        """
        The properties by their AMQP names; those not set are absent.

        @raise DecodeError: they cannot be decoded.
        """
        return self._delivery.properties

    @property
    def properties_or_empty(self) -> Mapping[str, object]:
        """The properties, or none if they cannot be decoded; for logging."""
        try:
            return self._delivery.properties
        except DecodeError:
            return {}

    @property
    def content_type(self) -> str | None:
        """The MIME type of the body, if the sender gave one."""
        return self._text("content_type")

    @property
    def content_encoding(self) -> str | None:
        """The encoding of the body, if the sender gave one."""
        return self._text("content_encoding")

    def _text(self, name: str) -> str | None:
        value = self._delivery.properties.get(name)
        return None if value is None else str(value)

    @property
    def headers(self) -> Mapping[str, object]:
        """The application's headers."""
        headers = self._delivery.properties.get("headers")
        if not isinstance(headers, Mapping):
            return {}
        method = headers.get("compression")
        if isinstance(method, str):
            return {**headers, "compression": Undone(method)}
        return headers

    @property
    def delivery_info(self) -> dict[str, object]:
        """consumer_tag, delivery_tag, redelivered, exchange and routing_key."""
        delivery = self._delivery
        return {
            "consumer_tag": delivery.consumer_tag,
            "delivery_tag": delivery.tag,
            "redelivered": delivery.redelivered,
            "exchange": delivery.exchange,
            "routing_key": delivery.routing_key,
        }

    @property
    def consumer_tag(self) -> str:
        """The consumer it came to; C{""} for a message got."""
        return self._delivery.consumer_tag

    @property
    def no_ack(self) -> bool:
        """Whether its handler has nothing to settle."""
        return self._unacked is None or self.acks_at_begin

    @property
    def is_returnable(self) -> bool:
        """Whether L{nack} hands it back to the broker."""
        return self._unacked is not None and not self._state

    @property
    def delivery_count(self) -> int:
        """
        How often it was handed out before, as far as is known: the broker's
        own count where there is one (quorum queues), else 1 if redelivered.
        """
        for header in ("x-acquired-count", "x-delivery-count"):
            count = self.headers.get(header)
            if isinstance(count, int):
                return count
        return int(self.redelivered)

    @property
    def queue_name(self) -> str:
        """The queue it came from, C{""} if that is not known."""
        return self._queue.name if self._queue is not None else ""

    @property
    def dead_letter_exchange(self) -> str | None:
        """Where its queue sends rejected messages, as this program declared it."""
        if self._queue is None:
            return None
        name = self._queue.arguments.get("x-dead-letter-exchange")
        return None if name is None else str(name)

    # --- settling -----------------------------------------------------------

    def begin(self) -> None:
        """
        Acknowledge it if its consumer asked for no_ack: somebody begins with it.

        The broker hands such messages out as any other, up to the prefetch count, so
        that a slow handler needs not stop the whole connection.
        """
        unacked, self._unacked = self._unacked, None
        if unacked is not None:
            self._memory = unacked.memory
            unacked.release(self.delivery_tag)

    @property
    def is_back(self) -> bool:
        """Whether the broker has it again, and hands it out anew."""
        unacked = self._unacked
        return self._state == "requeued" or (unacked is not None and unacked.gone)

    @property
    def acknowledged(self) -> bool:
        """Whether it was settled: acknowledged, rejected or requeued."""
        return bool(self._state)

    def ack(self, multiple: bool = False) -> Deferred[Settlement]:
        """
        Tell the broker that it was handled (AMQP 0-9-1, basic.ack).

        @param multiple: so were all earlier ones of this channel.
        @return: fires when the ack was handed to the socket, with SENT, or
            with STALE; never fails.  For a consumer with no_ack it does
            nothing.
        @raise MessageStateError: it was settled before.
        """
        unacked = self._unacked
        if unacked is None:
            return succeed(Settlement.SENT)
        self._settle("acknowledged")
        return unacked.ack(self.delivery_tag, multiple)

    def nack(
        self, multiple: bool = False, requeue: bool = True
    ) -> Deferred[Settlement]:
        """
        Hand it back as not attempted (RabbitMQ's basic.nack).

        Returns and raises as L{ack}.
        """
        unacked = self._unacked
        if unacked is None:
            return succeed(Settlement.SENT)
        self._settle("requeued" if requeue else "rejected")
        return unacked.nack(self.delivery_tag, multiple, requeue)

    def reject(self, requeue: bool = False) -> Deferred[Settlement]:
        """
        Tell the broker that handling it failed (AMQP 0-9-1, basic.reject).

        Returns and raises as L{ack}.
        """
        unacked = self._unacked
        if unacked is None:
            return succeed(Settlement.SENT)
        self._settle("requeued" if requeue else "rejected")
        return unacked.reject(self.delivery_tag, requeue)

    def requeue(self) -> Deferred[Settlement]:
        """Reject it and have it delivered again; returns and raises as L{ack}."""
        return self.reject(requeue=True)

    def _settle(self, state: str) -> None:
        if self._state:
            raise MessageStateError(
                f"message {self.delivery_tag} from queue {self.queue_name!r} was "
                f"{self._state} before; settle each message once"
            )
        self._state = state

    def move_to(self, unacked: Settler) -> None:
        """It is settled elsewhere from now on."""
        self._unacked = unacked

    def limit_logging(self, limit: LogLimit) -> None:
        """Note how often to log that such messages cannot be decoded."""
        self.log_limit = limit

    def settled_by_other(self, state: str) -> None:
        """Note that a later message settled this one too."""
        self._state = state

    def __repr__(self) -> str:
        state = self._state or "unsettled"
        return f"<Message {self.delivery_tag} from {self.queue_name!r}, {state}>"
