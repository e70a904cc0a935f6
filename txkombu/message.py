"""Received messages: decoded once, settled once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred, succeed

from ._types import Delivery, Settlement
from ._util.failure_record import FailureRecord
from ._util.limits import MAX_BODY_SIZE, value_limit
from .compression import Undone, decompress, undo_content_coding
from .exceptions import (
    DecodeError,
    MessageStateError,
    NotBoundError,
    SerializerNotInstalled,
)
from .serialization import serializers as serialization

T = TypeVar("T")

_UNDECODED = object()
_LIGHT = 4096
"""Bytes of a body up to which its decoded value is not counted."""
_GROWTH = 16
"""How many times as large as its body a decoded value is taken to be at most."""
_COMPRESSED_GROWTH = 64
"""The same for a compressed body: an empty list takes one byte in msgpack."""
_NOT_COMPRESSED = frozenset({None, "binary"})
"""Content encodings that need no look; nearly all messages have one, or utf-8."""


class Responder(Protocol):
    """The channel of a queue, which publishes replies."""

    def respond(self, message: Message, body: object, **options: Any) -> Deferred[None]:
        """Publish a reply to a message."""


class SourceQueue(Protocol):
    """The queue that a message came from."""

    name: str

    @property
    def channel(self) -> Responder:
        """The channel it is bound to; raises NotBoundError if there is none."""

    @property
    def arguments(self) -> Mapping[str, object]:
        """The arguments of its declaration."""


class Memory(Protocol):
    """Counts the memory that decoded messages hold."""

    def hold(self, size: int) -> None:
        """Add the bytes that a decoded message holds."""

    def let_go(self, size: int) -> None:
        """Subtract the bytes of a message that is done with."""


class Settler(Protocol):
    """
    Settles messages on the session channel they came by.

    @ivar unsettled: the messages that are not settled, by delivery tag.
    """

    unsettled: dict[int, Message]

    @property
    def gone(self) -> bool:
        """Whether that channel is closed."""

    @property
    def memory(self) -> Memory:
        """Counts the memory that its decoded messages hold."""

    def ack(self, tag: int, multiple: bool) -> Deferred[Settlement]:
        """Acknowledge a message."""

    def release(self, tag: int) -> None:
        """Acknowledge a message, without a Deferred."""

    def nack(self, tag: int, multiple: bool, requeue: bool) -> Deferred[Settlement]:
        """Hand a message back as not handled."""

    def reject(self, tag: int, requeue: bool) -> Deferred[Settlement]:
        """Reject a message whose handling failed."""


class Message:
    """
    One received message.

    It belongs to the session channel that delivered it.  If that is closed, the
    broker delivers the message again, and settling this one fires with
    L{Settlement.STALE}, which is no error.

    @param delivery: the message as the transport delivered it.
    @param unacked: settles it; C{None} if there is nothing to settle.
    @param queue: the queue it came from; C{None} if that is not known.
    @param accept: the content types to decode; see L{txkombu.Consumer}.
    @param max_body_size: bytes that its body may become when it is decoded.
    @ivar delivery_tag: its number on its channel.
    @ivar redelivered: whether it may have been delivered before.
    @ivar acks_at_begin: whether L{begin} acknowledges it, as its consumer asked for
        no_ack.
    @ivar failure_record: what is remembered of the failures of its consumer; not set
        unless handling this one failed.
    """

    failure_record: FailureRecord | None

    __slots__ = (
        "_accept",
        "_body",
        "_delivery",
        "_failures",
        "_held",
        "_max_body_size",
        "_memory",
        "_payload",
        "_queue",
        "_state",
        "_unacked",
        "acks_at_begin",
        "delivery_tag",
        "failure_record",
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
        self._failures = 0
        self.delivery_tag = delivery.tag
        self.redelivered = delivery.redelivered
        if unacked is not None:
            unacked.unsettled[delivery.tag] = self

    # --- content ---

    @property
    def body(self) -> bytes:
        """
        The bytes of the body, decompressed as the header C{compression} says.

        @raise DecodeError: the body cannot be decompressed, or becomes too large.
        """
        if self._body is None:
            self._body = self._decompress()
        return self._body

    def _decompress(self) -> bytes:
        body, method = self._delivery.body, self.headers.get("compression")
        return _undo(decompress, body, method, self._max_body_size) if method else body

    @property
    def payload(self) -> object:
        """The value of the body, decoded once; raises as L{decode}."""
        if self._payload is _UNDECODED:
            self._payload = self.decode()
        return self._payload

    def decode(self) -> object:
        """
        Decode the body by its content type, each time anew.

        @raise DecodeError: it cannot be decoded.
        @raise ContentDisallowed: its content type is not accepted.
        """
        properties = self._delivery.properties
        headers = properties.get("headers")
        body = self._delivery.body
        arrived = None
        if headers and "compression" in headers:  # type: ignore[operator]  # a table
            arrived = len(body)
            # Not kept, as the payload is: few programs want both.
            body = self._decompress() if self._body is None else self._body
        encoding = properties.get("content_encoding")
        if encoding != "utf-8" and encoding not in _NOT_COMPRESSED:
            arrived = len(self._delivery.body)
            limit = self._max_body_size
            body, encoding = _undo(undo_content_coding, body, str(encoding), limit)
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
        """Count the memory of the decoded value, until the message is settled."""
        unacked = self._unacked
        memory = unacked.memory if unacked is not None else self._memory
        # What the broker has again is not looked for any more when it is settled.
        if memory is None or self._held or self._state or self.is_back:
            return
        if not isinstance(value, str | bytes):
            arrived = len(self._delivery.body)
            growth = _COMPRESSED_GROWTH if size > arrived else _GROWTH
            size = min(size * growth, value_limit(arrived, self._max_body_size))
        self._held = size
        memory.hold(size)
        self._memory = memory

    def count_in(self, memory: Memory) -> None:
        """
        Count the memory of the decoded value, once it is begun, until L{let_go}.

        @param memory: counts it.
        """
        self._memory = memory

    def let_go(self) -> None:
        """Count the memory of the decoded value no more."""
        held, self._held = self._held, 0
        memory, self._memory = self._memory, None
        if held and memory is not None:
            memory.let_go(held)

    @property
    def raw_body(self) -> bytes:
        """The bytes of the body as they came, compressed or not."""
        return self._delivery.body

    @property
    def routing_key(self) -> str:
        """The routing key it was published with."""
        return self._delivery.routing_key

    @property
    def properties(self) -> Mapping[str, object]:
        """
        The properties by their AMQP names, without those that are not set.

        @raise DecodeError: they cannot be decoded.
        """
        return self._delivery.properties

    @property
    def properties_or_empty(self) -> Mapping[str, object]:
        """The properties; for logging, so empty if they cannot be decoded."""
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

    @property
    def reply_to(self) -> str | None:
        """The queue that the sender wants a reply in, if it wants one."""
        return self._text("reply_to")

    @property
    def correlation_id(self) -> str | None:
        """What tells the sender to which request a reply belongs, if it gave that."""
        return self._text("correlation_id")

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
    def headers_or_empty(self) -> Mapping[str, object]:
        """The headers; for decisions on failures, so empty if they are unreadable."""
        try:
            return self.headers
        except DecodeError:
            return {}

    @property
    def delivery_info(self) -> dict[str, object]:
        """A dict of consumer_tag, delivery_tag, redelivered, exchange, routing_key."""
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
        """The tag of its consumer; C{""} if it was taken with C{get}."""
        return self._delivery.consumer_tag

    @property
    def no_ack(self) -> bool:
        """Whether there is nothing to settle."""
        return self._unacked is None or self.acks_at_begin

    @property
    def is_returnable(self) -> bool:
        """Whether L{nack} would hand it back to the broker."""
        return self._unacked is not None and not self._state

    @property
    def delivery_count(self) -> int:
        """
        How often it was delivered before: the broker's count if there is one (quorum
        queues); else 1 if it is redelivered, and 0 if not.
        """
        for header in ("x-acquired-count", "x-delivery-count"):
            count = self.headers.get(header)
            if isinstance(count, int):
                return count
        return int(self.redelivered)

    @property
    def attempts(self) -> int:
        """
        How often its handling failed: in this process, and before, as far as the
        broker counts (C{x-delivery-count}, C{x-acquired-count}, C{x-death}).
        """
        return self._failures + max(self._counted_returns(), self._counted_deaths())

    def _counted_returns(self) -> int:
        headers = self.headers_or_empty
        counted = headers.get("x-acquired-count", None)
        if counted is None:
            counted = headers.get("x-delivery-count", None)
        return counted if isinstance(counted, int) else 0

    def _counted_deaths(self) -> int:
        """Count how often it was rejected from its queue, and came back."""
        deaths = self.headers_or_empty.get("x-death")
        if not isinstance(deaths, list):
            return 0
        counts = (
            death.get("count")
            for death in deaths
            if isinstance(death, Mapping)
            and death.get("queue") == self.queue_name
            and death.get("reason") in ("rejected", "delivery_limit")
        )
        return sum(count for count in counts if isinstance(count, int))

    def note_failure(self) -> None:
        """Count one more failed attempt to handle it."""
        self._failures += 1

    @property
    def failures(self) -> int:
        """How often its handling failed in this process, since it was delivered."""
        return self._failures

    @property
    def is_lost_by_requeues(self) -> bool:
        """
        Whether requeueing it may lose it, as far as is known: a quorum queue drops
        what was returned too often, and a stream does not deliver it again.
        """
        signs = ("x-delivery-count", "x-acquired-count", "x-stream-offset")
        if any(header in self.headers_or_empty for header in signs):
            return True
        if self._queue is None:
            return False
        return self._queue.arguments.get("x-queue-type") in ("quorum", "stream")

    @property
    def identity(self) -> tuple[object, ...]:
        """What tells it from other messages, also when it is delivered again."""
        properties = self.properties_or_empty
        message_id = properties.get("message_id")
        if message_id is not None:
            return self.queue_name, message_id
        delivery = self._delivery
        return self.queue_name, delivery.routing_key, hash(delivery.body)

    @property
    def queue_name(self) -> str:
        """The name of the queue it came from; C{""} if that is not known."""
        return self._queue.name if self._queue is not None else ""

    @property
    def dead_letter_exchange(self) -> str | None:
        """The dead letter exchange that this program declared its queue with."""
        if self._queue is None:
            return None
        name = self._queue.arguments.get("x-dead-letter-exchange")
        return None if name is None else str(name)

    # --- replying ---

    def respond(self, body: object, **options: Any) -> Deferred[None]:
        """
        Publish a reply to the queue that the sender named in C{reply_to}, with the
        C{correlation_id} of this message, over the channel that it came by.

        A queue that is gone by now is no error.  The message itself is settled as any
        other.

        @param body: the reply.
        @param options: as for L{txkombu.Producer.publish}.
        @return: as of L{txkombu.Producer.publish}.
        @raise ValueError: the message has no C{reply_to}.
        @raise NotBoundError: the queue it came from is bound to no channel.
        """
        if self._queue is None:
            raise NotBoundError("the queue of this message is not known")
        return self._queue.channel.respond(self, body, **options)

    # --- settling ---

    def begin(self) -> None:
        """
        Acknowledge it before it is handled, so that nothing is left to settle.

        This is for callbacks of L{Channel.consume} with C{no_ack}; consumers and
        L{Queue.consume} do it by themselves.  Until then the message counts towards the
        prefetch count, so that no more come than the callback handles.  Afterwards it
        is lost if the callback fails or the program ends; L{ack} and the others do
        nothing, and neither does a second call.
        """
        unacked, self._unacked = self._unacked, None
        if unacked is not None:
            unacked.release(self.delivery_tag)

    @property
    def is_back(self) -> bool:
        """Whether the broker has it again, to deliver it anew."""
        unacked = self._unacked
        return self._state == "requeued" or (unacked is not None and unacked.gone)

    @property
    def acknowledged(self) -> bool:
        """Whether it was settled: acknowledged, rejected or requeued."""
        return bool(self._state)

    def ack(self, multiple: bool = False) -> Deferred[Settlement]:
        """
        Tell the broker that the message is handled (AMQP 0-9-1, basic.ack).

        It does nothing if there is nothing to settle, as with no_ack.

        @param multiple: whether all earlier messages of its channel are handled too.
        @return: fires with L{Settlement.SENT} when the ack was handed to the socket,
            or with L{Settlement.STALE}; never fails.
        @raise MessageStateError: it was settled before.
        """
        unacked = self._unacked
        if unacked is None:
            return succeed(Settlement.SENT)
        if self._state:
            raise self._settled_before()
        self._state = "acknowledged"
        return unacked.ack(self.delivery_tag, multiple)

    def nack(
        self, multiple: bool = False, requeue: bool = True
    ) -> Deferred[Settlement]:
        """
        Hand the message back as not handled (RabbitMQ's basic.nack).

        @param multiple: whether to hand all earlier messages of its channel back too.
        @param requeue: whether the broker puts it back into its queue; otherwise it
            dead-letters or drops it.
        @return: as of L{ack}, which also raises the same.
        """
        unacked = self._unacked
        if unacked is None:
            return succeed(Settlement.SENT)
        self._settle("requeued" if requeue else "rejected")
        return unacked.nack(self.delivery_tag, multiple, requeue)

    def reject(self, requeue: bool = False) -> Deferred[Settlement]:
        """
        Tell the broker that handling the message failed (AMQP 0-9-1, basic.reject).

        @param requeue: whether the broker puts it back into its queue; otherwise it
            dead-letters or drops it.
        @return: as of L{ack}, which also raises the same.
        """
        unacked = self._unacked
        if unacked is None:
            return succeed(Settlement.SENT)
        self._settle("requeued" if requeue else "rejected")
        return unacked.reject(self.delivery_tag, requeue)

    def requeue(self) -> Deferred[Settlement]:
        """Reject it, and have it delivered again; returns and raises as L{ack}."""
        return self.reject(requeue=True)

    def _settle(self, state: str) -> None:
        if self._state:
            raise self._settled_before()
        self._state = state

    def _settled_before(self) -> MessageStateError:
        return MessageStateError(
            f"message {self.delivery_tag} from queue {self.queue_name!r} was "
            f"{self._state} before; settle each message once"
        )

    def move_to(self, unacked: Settler) -> None:
        """
        Have it settled elsewhere from now on.

        @param unacked: settles it.
        """
        follow = getattr(self._unacked, "follow", None)  # of what sees it settled
        self._unacked = unacked if follow is None else follow(self, unacked)

    def observe_settlement(self, put_before: Callable[[Settler], Settler]) -> None:
        """
        Have something see how it is settled; without effect if there is nothing to
        settle any more.

        @param put_before: called with what settles it; returns what settles it from
            now on.
        """
        if self._unacked is not None and not self._state:
            self._unacked = put_before(self._unacked)

    def use_failure_record(self, record: FailureRecord) -> None:
        """
        Note the failure record of its consumer.

        @param record: the record.
        """
        self.failure_record = record

    def settled_by_other(self, state: str) -> None:
        """
        Note that settling a later message settled this one too.

        @param state: C{"acknowledged"}, C{"rejected"} or C{"requeued"}.
        """
        self._state = state

    def __repr__(self) -> str:
        state = self._state or "unsettled"
        return f"<Message {self.delivery_tag} from {self.queue_name!r}, {state}>"


def _undo(decompress: Callable[[bytes, Any, int], T], *arguments: Any) -> T:
    """Decompress a body; a method that is not known is the fault of its sender."""
    try:
        return decompress(*arguments)
    except SerializerNotInstalled as error:
        raise DecodeError(str(error)) from error
