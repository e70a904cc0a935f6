"""
A fake transport with its sessions and channels, driven by a test.

They talk to nothing: each records the calls that it gets, and the test answers by
firing the Deferreds that the calls returned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from zope.interface import implementer

from txkombu import Exchange, Queue
from txkombu.exceptions import ChannelClosed, NotSent, OutcomeUnknown, SessionLost
from txkombu.interfaces import (
    Capability,
    Delivery,
    IBrokerTransport,
    ISession,
    ISessionChannel,
    ISessionChannelListener,
    ISessionListener,
    Properties,
    QueueDeclareOk,
    Returned,
    Settlement,
)
from txkombu.url import Parameters


class Call:
    """
    One recorded call.

    @ivar name: the method.
    @ivar arguments: its arguments, by position.
    @ivar reply: the Deferred that the caller got.
    @ivar cancelled: whether the caller cancelled it.
    """

    def __init__(self, name: str, *arguments: Any) -> None:
        self.name = name
        self.arguments = arguments
        self.cancelled = False
        self.reply: Deferred[Any] = Deferred(self._cancel)

    def _cancel(self, _: Deferred[Any]) -> None:
        self.cancelled = True

    def succeed(self, result: Any = None) -> None:
        """Answer the call."""
        self.reply.callback(result)

    def fail(self, error: Exception) -> None:
        """Refuse the call."""
        self.reply.errback(error)

    def __repr__(self) -> str:
        return f"<{self.name}{self.arguments!r}>"


class Recorder:
    """
    Records calls, and answers some of them.

    @ivar calls: all calls, in order.
    @ivar answers: the answers that are given at once, by the method's name: a result,
        an Exception, or a function of the arguments that returns or raises one.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers: dict[str, Any] = {}

    def called(self, name: str) -> list[Call]:
        """Return the calls of that method, in order."""
        return [call for call in self.calls if call.name == name]

    def names(self) -> list[str]:
        """Return the names of all called methods, in order."""
        return [call.name for call in self.calls]

    def outstanding(self) -> Iterator[Call]:
        """Return the calls that are not answered yet."""
        return (call for call in list(self.calls) if not call.reply.called)

    def begin(self, name: str, *arguments: Any) -> Deferred[Any]:
        """Record a call, and answer it if C{answers} has an answer."""
        call = Call(name, *arguments)
        self.calls.append(call)
        if name in self.answers:
            answer = self.answers[name]
            result = answer(*arguments) if callable(answer) else answer
            if isinstance(result, Exception):
                call.fail(result)
            else:
                call.succeed(result)
        return call.reply


@implementer(ISessionChannel)
class FakeChannel(Recorder):
    """
    A fake session channel.

    @ivar dead: whether it has ended.
    @ivar settled: each ack, nack and reject as (method, tag, ...).
    @ivar flushes: the Deferreds that L{flush} returned.
    """

    def __init__(self, listener: ISessionChannelListener | None = None) -> None:
        super().__init__()
        self.listener = listener
        self.dead = False
        self.settled: list[tuple[Any, ...]] = []
        self.flushes: list[Deferred[Settlement]] = []

    def prompt(self) -> FakeChannel:
        """Answer every call but publishes at once, with success; return self."""
        self.answers.update(
            dict.fromkeys(
                (
                    "exchange_declare",
                    "exchange_delete",
                    "exchange_bind",
                    "exchange_unbind",
                    "queue_bind",
                    "queue_unbind",
                    "basic_consume",
                    "basic_cancel",
                    "basic_get",
                    "basic_qos",
                    "basic_recover",
                    "close",
                )
            ),
            queue_declare=lambda queue, passive: QueueDeclareOk(queue.name, 0, 0),
            queue_purge=0,
            queue_delete=0,
        )
        return self

    def _begin(self, name: str, *arguments: Any) -> Deferred[Any]:
        if self.dead:
            return fail(ChannelClosed("this channel is dead"))
        return self.begin(name, *arguments)

    def die(self, error: Exception | None = None) -> None:
        """Fail everything outstanding, and tell the listener."""
        error = error or SessionLost("the session was lost")
        self.dead = True
        if self.listener is not None:
            self.listener.channel_lost(error)
        for call in self.outstanding():
            if call.name in ("close", "basic_cancel"):
                call.succeed()
            elif call.name == "basic_publish":
                call.fail(OutcomeUnknown(str(error)))
            else:
                call.fail(error)
        flushes, self.flushes = self.flushes, []
        for flushed in flushes:
            flushed.callback(Settlement.STALE)

    # --- exchanges and queues -------------------------------------------------

    def exchange_declare(self, exchange: Exchange, passive: bool) -> Deferred[None]:
        return self._begin("exchange_declare", exchange, passive)

    def exchange_delete(self, exchange: Exchange, if_unused: bool) -> Deferred[None]:
        return self._begin("exchange_delete", exchange, if_unused)

    def exchange_bind(
        self,
        destination: Exchange,
        source: Exchange,
        routing_key: str,
        arguments: Mapping[str, object],
    ) -> Deferred[None]:
        return self._begin("exchange_bind", destination, source, routing_key, arguments)

    def exchange_unbind(
        self,
        destination: Exchange,
        source: Exchange,
        routing_key: str,
        arguments: Mapping[str, object],
    ) -> Deferred[None]:
        return self._begin(
            "exchange_unbind", destination, source, routing_key, arguments
        )

    def queue_declare(self, queue: Queue, passive: bool) -> Deferred[QueueDeclareOk]:
        return self._begin("queue_declare", queue, passive)

    def queue_bind(
        self,
        queue: Queue,
        exchange: Exchange,
        routing_key: str,
        arguments: Mapping[str, object],
    ) -> Deferred[None]:
        return self._begin("queue_bind", queue, exchange, routing_key, arguments)

    def queue_unbind(
        self,
        queue: Queue,
        exchange: Exchange,
        routing_key: str,
        arguments: Mapping[str, object],
    ) -> Deferred[None]:
        return self._begin("queue_unbind", queue, exchange, routing_key, arguments)

    def queue_purge(self, queue: Queue) -> Deferred[int]:
        return self._begin("queue_purge", queue)

    def queue_delete(
        self, queue: Queue, if_unused: bool, if_empty: bool
    ) -> Deferred[int | None]:
        return self._begin("queue_delete", queue, if_unused, if_empty)

    # --- messages -------------------------------------------------------------

    def basic_publish(
        self,
        body: bytes,
        properties: Properties,
        exchange: Exchange,
        routing_key: str,
        mandatory: bool,
        confirm: bool,
    ) -> Deferred[None]:
        if self.dead:
            return fail(NotSent("this channel is dead"))
        publish = self.begin(
            "basic_publish",
            body,
            properties,
            exchange,
            routing_key,
            mandatory,
            confirm,
        )
        if not confirm and not publish.called:
            self.calls[-1].succeed()
        return publish

    @property
    def bodies(self) -> list[bytes]:
        """The published bodies, in order."""
        return [call.arguments[0] for call in self.called("basic_publish")]

    def basic_consume(
        self,
        queue: Queue,
        tag: str,
        no_ack: bool,
        exclusive: bool,
        arguments: Mapping[str, object],
        prefetch_count: int,
        on_delivery: Callable[[Delivery], None],
        on_cancelled: Callable[[Exception], None],
    ) -> Deferred[None]:
        return self._begin(
            "basic_consume",
            queue,
            tag,
            no_ack,
            exclusive,
            arguments,
            prefetch_count,
            on_delivery,
            on_cancelled,
        )

    def basic_cancel(self, tag: str) -> Deferred[None]:
        return succeed(None) if self.dead else self.begin("basic_cancel", tag)

    def basic_get(self, queue: Queue, no_ack: bool) -> Deferred[Delivery | None]:
        return self._begin("basic_get", queue, no_ack)

    def basic_qos(self, prefetch_count: int) -> Deferred[None]:
        return self._begin("basic_qos", prefetch_count)

    def basic_recover(self) -> Deferred[None]:
        return self._begin("basic_recover")

    # --- settling -------------------------------------------------------------

    def _settle(self, *settlement: Any) -> Settlement:
        if self.dead:
            return Settlement.STALE
        self.settled.append(settlement)
        return Settlement.SENT

    def ack(self, tag: int, multiple: bool) -> Settlement:
        return self._settle("ack", tag, multiple)

    def nack(self, tag: int, multiple: bool, requeue: bool) -> Settlement:
        return self._settle("nack", tag, multiple, requeue)

    def reject(self, tag: int, requeue: bool) -> Settlement:
        return self._settle("reject", tag, requeue)

    def flush(self) -> None:
        flushes, self.flushes = self.flushes, []
        for flushed in flushes:
            flushed.callback(Settlement.SENT)

    def when_flushed(self) -> Deferred[Settlement]:
        if self.dead:
            return succeed(Settlement.STALE)
        flushed: Deferred[Settlement] = Deferred()
        self.flushes.append(flushed)
        return flushed

    def close(self) -> Deferred[None]:
        return succeed(None) if self.dead else self.begin("close")


@implementer(ISession)
class FakeSession(Recorder):
    """
    A fake session.

    @ivar channels: the channels that it opened, in order.
    @ivar prompt: whether its channels answer at once.
    @ivar aborted: whether it was aborted.
    """

    product = "Fake"
    version = "1.0"
    capabilities = frozenset(Capability)

    def __init__(self, prompt: bool = True) -> None:
        super().__init__()
        self.channels: list[FakeChannel] = []
        self.prompt = prompt
        self.refuse: dict[str, Any] = {}
        self.lost = False
        self.aborted = False
        self.answers["close"] = None

    def open_channel(
        self, listener: ISessionChannelListener
    ) -> Deferred[ISessionChannel]:
        if self.lost or self.aborted:
            return fail(SessionLost("this session is over"))
        channel = FakeChannel(listener)
        if self.prompt:
            channel.prompt()
        channel.answers.update(self.refuse)
        self.channels.append(channel)
        opening = self.begin("open_channel", listener)
        if not opening.called:
            self.calls[-1].succeed(channel)
        return opening

    def close(self) -> Deferred[None]:
        return self.begin("close")

    def abort(self) -> None:
        self.aborted = True


class Attempt(Call):
    """
    One attempt to connect.

    @ivar listener: the listener of the session.
    """

    def __init__(
        self,
        parameters: Parameters,
        endpoint: IStreamClientEndpoint | None,
        clock: IReactorTime,
        listener: ISessionListener,
    ) -> None:
        super().__init__("connect", parameters, endpoint, clock, listener)
        self.parameters = parameters
        self.endpoint = endpoint
        self.clock = clock
        self.listener = listener


@implementer(IBrokerTransport)
class FakeTransport:
    """
    A fake transport.

    @ivar attempts: all attempts to connect, in order.
    """

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []

    def connect(
        self,
        parameters: Parameters,
        endpoint: IStreamClientEndpoint | None,
        clock: IReactorTime,
        listener: ISessionListener,
    ) -> Deferred[ISession]:
        attempt = Attempt(parameters, endpoint, clock, listener)
        self.attempts.append(attempt)
        return attempt.reply


@implementer(ISessionListener)
class FakeSessionListener(Recorder):
    """Records what a session tells its listener."""

    def session_lost(self, reason: Exception) -> None:
        self.begin("session_lost", reason)

    def blocked(self, reason: str) -> None:
        self.begin("blocked", reason)

    def unblocked(self) -> None:
        self.begin("unblocked")

    def write_paused(self) -> None:
        self.begin("write_paused")

    def write_resumed(self) -> None:
        self.begin("write_resumed")


@implementer(ISessionChannelListener)
class FakeChannelListener(Recorder):
    """Records what a session channel tells its listener."""

    def channel_lost(self, error: Exception) -> None:
        self.begin("channel_lost", error)

    def returned(self, message: Returned) -> None:
        self.begin("returned", message)


def delivery(
    tag: int = 1,
    body: bytes = b"hello",
    properties: Properties | Callable[[], Properties] | None = None,
    *,
    consumer_tag: str = "tag",
    redelivered: bool = False,
    exchange: str = "media",
    routing_key: str = "video",
) -> Delivery:
    """Return a delivery; its body is plain text if no properties are given."""
    if properties is None:
        properties = {"content_type": "text/plain", "content_encoding": "utf-8"}
    return Delivery(
        tag, consumer_tag, redelivered, exchange, routing_key, body, properties
    )
