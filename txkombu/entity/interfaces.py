"""What bound entities ask of a channel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from .._types import QueueDeclareOk
from ..message import Message

Args = Mapping[str, object] | None
Done = Deferred[None]


class ChannelSource(Protocol):
    """A channel; or a connection, which has a default channel."""

    @property
    def default_channel(self) -> EntityChannel:
        """The channel itself, or the connection's default channel."""


class EntityChannel(ChannelSource, Protocol):
    """
    A channel that exchanges and queues can be bound to; its operations take
    L{Exchange<txkombu.Exchange>} and L{Queue<txkombu.Queue>} objects.
    """

    def exchange_declare(self, exchange: Any, passive: bool = ...) -> Done: ...

    def exchange_delete(self, exchange: Any, if_unused: bool = ...) -> Done: ...

    def exchange_bind(
        self,
        destination: Any,
        source: Any,
        routing_key: str = ...,
        arguments: Args = ...,
    ) -> Done: ...

    def exchange_unbind(
        self,
        destination: Any,
        source: Any,
        routing_key: str = ...,
        arguments: Args = ...,
    ) -> Done: ...

    def queue_declare(
        self, queue: Any, passive: bool = ...
    ) -> Deferred[QueueDeclareOk]: ...

    def queue_bind(
        self, queue: Any, exchange: Any, routing_key: str = ..., arguments: Args = ...
    ) -> Done: ...

    def queue_unbind(
        self, queue: Any, exchange: Any, routing_key: str = ..., arguments: Args = ...
    ) -> Done: ...

    def queue_purge(self, queue: Any) -> Deferred[int]: ...

    def queue_delete(
        self, queue: Any, if_unused: bool = ..., if_empty: bool = ...
    ) -> Deferred[int | None]: ...

    def basic_get(
        self,
        queue: Any,
        no_ack: bool = ...,
        accept: Iterable[str] | None = ...,
        max_body_size: int = ...,
    ) -> Deferred[Message | None]: ...

    def consume(
        self,
        queue: Any,
        callback: Callable[[Message], object],
        *,
        consumer_tag: str = ...,
        no_ack: bool = ...,
        accept: Iterable[str] | None = ...,
        max_body_size: int = ...,
        on_cancel: Callable[[str, Exception], object] | None = ...,
    ) -> Deferred[str]: ...

    def basic_cancel(self, consumer_tag: str) -> Done: ...

    def respond(self, message: Message, body: object, **options: Any) -> Done: ...
