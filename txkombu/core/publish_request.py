"""
One message on its way to a broker.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from ..entity import Exchange, Queue


class PublishRequest:
    """
    One message on its way out.

    @ivar held: whether something has to be declared first; it keeps its place.
    @ivar reply_to: the queue whose name is to be told, as it is when this is sent:
        the broker may give it another while this waits.
    """

    __slots__ = (
        "body",
        "confirm",
        "done",
        "exchange",
        "expired",
        "held",
        "inner",
        "mandatory",
        "properties",
        "reply_to",
        "routing_key",
        "timeout",
    )

    def __init__(
        self,
        body: bytes,
        properties: dict[str, object],
        exchange: Exchange,
        routing_key: str,
        mandatory: bool,
        confirm: bool,
        timeout: float,
    ) -> None:
        self.body = body
        self.properties = properties
        self.exchange = exchange
        self.routing_key = routing_key
        self.mandatory = mandatory
        self.confirm = confirm
        self.timeout = timeout
        self.done: Deferred[None] | None = None
        self.inner: Deferred[None] | None = None
        self.expired = False
        self.held = False
        self.reply_to: Queue | None = None
