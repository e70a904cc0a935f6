"""Publishing on a channel of the memory broker."""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred, fail, succeed

from ..._util.validation import check_short_string
from ...entity import Exchange
from ...exceptions import Nacked, NotSent, Unroutable
from ...interfaces import Properties, Returned
from .channel_state import OPEN, RELEASED
from .consumer import MemoryConsumer
from .direct_reply import REPLY_TO, ReplyQueue
from .errors import Refused
from .events import ConfirmEvent, Notification
from .method_ids import BASIC_PUBLISH
from .tables import Table, carry_properties, copy_properties
from .topology import TopologyChannel

LARGEST_BODY: Final = 2**27
"""The bytes of the largest body that RabbitMQ takes, by default."""


class PublishingChannel(TopologyChannel):
    """The part of a channel that publishes."""

    _replies: ReplyQueue | None = None

    def basic_publish(
        self,
        body: bytes,
        properties: Properties,
        exchange: Exchange,
        routing_key: str,
        mandatory: bool,
        confirm: bool,
    ) -> Deferred[None]:
        carried = carry_properties(properties)
        check_short_string("routing key", routing_key)
        state = self._life.state
        if state is not OPEN and state is not RELEASED:
            return fail(NotSent("this channel of the memory broker is closed"))
        verdict: Deferred[None] | None = Deferred() if confirm else None
        if state is OPEN:
            self._publish(body, carried, exchange, routing_key, mandatory, verdict)
        elif verdict is not None:
            self.stream.hold(ConfirmEvent(verdict, exchange.name))
        return succeed(None) if verdict is None else verdict

    def _publish(
        self,
        body: bytes,
        properties: Table,
        exchange: Exchange,
        routing_key: str,
        mandatory: bool,
        verdict: Deferred[None] | None,
    ) -> None:
        try:
            if len(body) > LARGEST_BODY:
                raise Refused(
                    406,
                    f"message size {len(body)} is larger than configured max size "
                    f"{LARGEST_BODY}",
                )
            target = self._vhost.publishable(exchange.name)
            if properties.get("reply_to") == REPLY_TO:
                properties["reply_to"] = self._reply_name()
            claimed, actual = properties.get("user_id"), self.session.userid
            if claimed is not None and claimed != actual:
                raise Refused(
                    406,
                    f"user_id property set to '{claimed}' but authenticated user was "
                    f"'{actual}'",
                )
            routed, taken = self._vhost.publish(body, properties, target, routing_key)
        except Refused as refused:
            self._refuse(refused.as_error(BASIC_PUBLISH), verdict)
            return
        if not routed and mandatory:
            self._return(body, properties, exchange.name, routing_key, verdict)
        elif verdict is not None:
            error = None if taken else Nacked(f"exchange {exchange.name!r}: nack")
            self.stream.push(ConfirmEvent(verdict, exchange.name, error))

    def _return(
        self,
        body: bytes,
        properties: Table,
        exchange: str,
        routing_key: str,
        verdict: Deferred[None] | None,
    ) -> None:
        """Send an unroutable mandatory message back to its publisher."""
        back = Returned(
            312, "NO_ROUTE", exchange, routing_key, body, copy_properties(properties)
        )
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
