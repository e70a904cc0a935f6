"""Publishing on a channel of the memory broker."""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import Any, Final

from twisted.internet.defer import Deferred, fail, succeed

from ..._util.validation import check_short_string
from ...entity import Exchange
from ...exceptions import Nacked, NotSent, Unroutable
from ...interfaces import ISessionChannelListener, Properties, Returned
from .channel_state import OPEN, RELEASED
from .consumer import MemoryConsumer
from .direct_reply import REPLY_TO, ReplyQueue
from .errors import Refused
from .events import ConfirmEvent, Notification
from .interfaces import SessionHost
from .message import Envelope
from .method_ids import BASIC_PUBLISH
from .tables import Table, carry_properties, copy_properties
from .topology import TopologyChannel
from .vhost import envelope_of

LARGEST_BODY: Final = 2**27
"""The bytes of the largest body that RabbitMQ takes, by default."""


_MOST_KNOWN: Final = 500
"""How many envelopes a channel remembers."""

_Kind = tuple[str, str, str, str, int, int]
_COMMON: Final = (
    "content_type",
    "content_encoding",
    "delivery_mode",
    "priority",
    "headers",
)
_common = itemgetter(*_COMMON)


def _kind_of(
    properties: Mapping[str, Any], exchange: str, routing_key: str
) -> _Kind | None:
    """
    Return what tells the envelopes of messages apart that have the properties which
    Kombu gives to all, and no others; C{None} for other messages.
    """
    if len(properties) != len(_COMMON):
        return None
    try:
        content_type, encoding, mode, priority, headers = _common(properties)
    except KeyError:
        return None
    if (
        type(headers) is dict
        and not headers
        and type(mode) is type(priority) is int  # True is 1, and hashed like it
        and type(content_type) is type(encoding) is type(routing_key) is str
    ):
        return exchange, routing_key, content_type, encoding, mode, priority
    return None


class PublishingChannel(TopologyChannel):
    """The part of a channel that publishes."""

    _replies: ReplyQueue | None = None

    def __init__(self, session: SessionHost, listener: ISessionChannelListener) -> None:
        super().__init__(session, listener)
        self._known: dict[_Kind | None, Envelope] = {}

    def basic_publish(
        self,
        body: bytes,
        properties: Properties,
        exchange: Exchange,
        routing_key: str,
        mandatory: bool,
        confirm: bool,
    ) -> Deferred[None]:
        kind = _kind_of(properties, exchange.name, routing_key)
        known: Envelope | Table | None = self._known.get(kind)
        if known is None:
            known = carry_properties(properties)
            check_short_string("routing key", routing_key)
        state = self._life.state
        if state is not OPEN and state is not RELEASED:
            return fail(NotSent("this channel of the memory broker is closed"))
        verdict: Deferred[None] | None = Deferred() if confirm else None
        if state is OPEN:
            self._publish(body, known, exchange.name, routing_key, mandatory, verdict)
        elif verdict is not None:
            self.stream.hold(ConfirmEvent(verdict, exchange.name))
        return succeed(None) if verdict is None else verdict

    def _publish(
        self,
        body: bytes,
        known: Envelope | Table,
        exchange: str,
        routing_key: str,
        mandatory: bool,
        verdict: Deferred[None] | None,
    ) -> None:
        """
        Publish one message.

        @param known: its envelope, or its carried properties.
        """
        try:
            if len(body) > LARGEST_BODY:
                raise Refused(
                    406,
                    f"message size {len(body)} is larger than configured max size "
                    f"{LARGEST_BODY}",
                )
            target = self._vhost.publishable(exchange)
            if not isinstance(known, Envelope):
                known = self._new_envelope(known, exchange, routing_key)
            routed, taken = self._vhost.publish(body, known, target)
        except Refused as refused:
            self._refuse(refused.as_error(BASIC_PUBLISH), verdict)
            return
        if not routed and mandatory:
            self._return(body, known, verdict)
        elif verdict is not None:
            error = None if taken else Nacked(f"exchange {exchange!r}: nack")
            self.stream.push(ConfirmEvent(verdict, exchange, error))

    def _new_envelope(
        self, properties: Table, exchange: str, routing_key: str
    ) -> Envelope:
        """
        Make an envelope, and remember it if others may share it.

        @raise Refused: a property is not acceptable.
        """
        kind = _kind_of(properties, exchange, routing_key)
        if properties.get("reply_to") == REPLY_TO:
            properties["reply_to"] = self._reply_name()
        claimed, actual = properties.get("user_id"), self.session.userid
        if claimed is not None and claimed != actual:
            raise Refused(
                406,
                f"user_id property set to '{claimed}' but authenticated user was "
                f"'{actual}'",
            )
        envelope = envelope_of(properties, exchange, routing_key)
        if kind is not None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[kind] = envelope
        return envelope

    def _return(
        self, body: bytes, envelope: Envelope, verdict: Deferred[None] | None
    ) -> None:
        """Send an unroutable mandatory message back to its publisher."""
        exchange, routing_key = envelope.exchange, envelope.routing_key
        properties = copy_properties(envelope.properties)
        back = Returned(312, "NO_ROUTE", exchange, routing_key, body, properties)
        if verdict is None:
            self.stream.push(Notification(self.listener.returned, back))
        else:
            self.stream.push(ConfirmEvent(verdict, exchange, Unroutable(back)))

    # --- replies -------------------------------------------------------------

    def _new_reply_queue(self, consumer: MemoryConsumer) -> ReplyQueue:
        """
        Have replies to what this channel publishes go to a consumer.

        @raise Refused: it would acknowledge, or there is one already.
        """
        if not consumer.no_ack:
            raise Refused(406, "reply consumer cannot acknowledge", REPLY_TO)
        if self._replies is not None and self._replies.lives:
            raise Refused(406, "reply consumer already set", REPLY_TO)
        self._replies = ReplyQueue(self._vhost.replies)
        return self._replies

    def _reply_name(self) -> str:
        if self._replies is None or not self._replies.lives:
            raise Refused(406, "fast reply consumer does not exist")
        return self._replies.name
