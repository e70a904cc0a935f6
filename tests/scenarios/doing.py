"""
The verbs of the step language.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from tests.scenarios.parties import ChannelParty, SessionParty
from tests.scenarios.words import arguments_in, describe, headers_in, masked
from txkombu.entity import Exchange, Queue
from txkombu.interfaces import Delivery, ISession, ISessionChannel

Text = Generator[Deferred[Any], Any, "str | None"]
_NUMBERS = ("delivery_mode", "priority", "timestamp")
_DECLARED = ("durable", "auto_delete", "exclusive")


@attrs.define
class Named:
    """The exchanges and queues of a scenario, by their names in it."""

    queues: dict[str, Queue] = attrs.field(factory=dict)
    exchanges: dict[str, Exchange] = attrs.field(factory=dict)

    def queue(self, name: str) -> Queue:
        """Return the queue of that name as it was declared, or a plain one."""
        return self.queues.get(name) or Queue(name)

    def exchange(self, name: str) -> Exchange:
        """Return the exchange of that name as it was declared, or a plain one."""
        return self.exchanges.get(name) or Exchange(name)


@attrs.define
class Doing:
    """One party that does one step."""

    party: ChannelParty
    session: SessionParty
    named: Named
    clock: IReactorTime

    @property
    def channel(self) -> ISessionChannel:
        assert self.party.channel is not None
        return self.party.channel

    # --- exchanges and queues ------------------------------------------------

    def do_exchange(
        self, name: str, kind: str = "direct", passive: bool = False, **options: Any
    ) -> Deferred[None]:
        exchange = Exchange(
            name, kind, arguments=arguments_in(options), **_declared(options)
        )
        declared = self.channel.exchange_declare(exchange, passive)
        if not passive and not exchange.is_predeclared:
            declared.addCallback(lambda _: self._keep(name, exchange))
        return declared

    def _keep(self, name: str, exchange: Exchange) -> None:
        self.named.exchanges.setdefault(name, exchange)

    def do_xdelete(self, name: str, if_unused: bool = False) -> Deferred[None]:
        return self.channel.exchange_delete(self.named.exchange(name), if_unused)

    def do_xbind(
        self, to: str, source: str, key: str = "", **options: Any
    ) -> Deferred[None]:
        return self.channel.exchange_bind(
            self.named.exchange(to),
            self.named.exchange(source),
            key,
            arguments_in(options),
        )

    def do_xunbind(
        self, to: str, source: str, key: str = "", **options: Any
    ) -> Deferred[None]:
        return self.channel.exchange_unbind(
            self.named.exchange(to),
            self.named.exchange(source),
            key,
            arguments_in(options),
        )

    @inlineCallbacks
    def do_queue(self, name: str, passive: bool = False, **options: Any) -> Text:
        queue = Queue(
            "" if name.startswith("?") else name,
            queue_arguments=arguments_in(options),
            **_declared(options),
        )
        if passive:
            queue = self.named.queue(name)
        found = yield self.channel.queue_declare(queue, passive)
        if not passive:
            self.named.queues.setdefault(name, queue)
        if not queue.name:
            self.named.queues[name] = Queue(found.queue)
            return describe(list(found))
        return describe(list(found)) if passive else None

    def do_delete(
        self, name: str, if_unused: bool = False, if_empty: bool = False
    ) -> Deferred[str]:
        return self.channel.queue_delete(
            self.named.queue(name), if_unused, if_empty
        ).addCallback(str)

    def do_purge(self, name: str) -> Deferred[str]:
        return self.channel.queue_purge(self.named.queue(name)).addCallback(str)

    def do_bind(
        self, queue: str, exchange: str, key: str = "", **options: Any
    ) -> Deferred[None]:
        return self.channel.queue_bind(
            self.named.queue(queue),
            self.named.exchange(exchange),
            key,
            arguments_in(options),
        )

    def do_unbind(
        self, queue: str, exchange: str, key: str = "", **options: Any
    ) -> Deferred[None]:
        return self.channel.queue_unbind(
            self.named.queue(queue),
            self.named.exchange(exchange),
            key,
            arguments_in(options),
        )

    # --- messages ------------------------------------------------------------

    @inlineCallbacks
    def do_publish(
        self,
        exchange: str,
        key: str,
        *bodies: str,
        mandatory: bool = False,
        confirm: bool = True,
        **options: Any,
    ) -> Text:
        headers = headers_in(options)
        properties = {
            name: value if name in _NUMBERS else str(value)
            for name, value in options.items()
            if "-" not in name
        }
        if headers:
            properties["headers"] = headers
        source = self.named.exchange(exchange)
        verdicts = [
            self.channel.basic_publish(
                body.encode(), properties, source, key, mandatory, confirm
            )
            for body in bodies
        ]
        if len(verdicts) == 1:
            yield verdicts[0]
            return None
        results = yield DeferredList(verdicts, consumeErrors=True)
        failures = [
            f"{body} {describe(result.value)}"
            for body, (fine, result) in zip(bodies, results, strict=True)
            if not fine
        ]
        return "; ".join(failures) or None

    @inlineCallbacks
    def do_consume(
        self,
        queue: str,
        tag: str,
        no_ack: bool = False,
        exclusive: bool = False,
        prefetch: int = 0,
        **options: Any,
    ) -> Text:
        yield self.channel.basic_consume(
            self.named.queue(queue),
            tag,
            no_ack,
            exclusive,
            arguments_in(options),
            prefetch,
            self.party.delivered,
            lambda error: self.party.cancels.put(f"{tag} {describe(error)}"),
        )
        return None

    def do_cancel(self, tag: str) -> Deferred[None]:
        return self.channel.basic_cancel(tag)

    @inlineCallbacks
    def do_get(self, queue: str, no_ack: bool = False) -> Text:
        got: Delivery | None = yield self.channel.basic_get(
            self.named.queue(queue), no_ack
        )
        if got is None:
            return "nothing"
        self.party.by_body[got.body.decode()] = got
        return describe(got)

    @inlineCallbacks
    def do_take(self, count: str) -> Text:
        """Wait for deliveries, and then a little longer, to see one too many."""
        deliveries = yield self.party.deliveries.take(int(count))
        return " ".join(map(describe, deliveries)) or "nothing"

    def do_reply(self, body: str, text: str, mandatory: bool = False) -> Deferred[None]:
        wanted = str(self.party.by_body[body].properties.get("reply_to"))
        return self.channel.basic_publish(
            text.encode(), {}, Exchange(""), wanted, mandatory, True
        )

    def do_show(self, body: str, *fields: str) -> str:
        delivery = self.party.by_body[body]
        shown = dict(delivery.properties)
        if fields:
            shown = {name: shown.get(name) for name in fields}
        key = masked(repr(delivery.routing_key))
        return f"{delivery.exchange!r} {key} {describe(shown)}"

    def do_qos(self, count: str) -> Deferred[None]:
        return self.channel.basic_qos(int(count))

    def do_recover(self) -> Deferred[None]:
        return self.channel.basic_recover()

    # --- settling ------------------------------------------------------------

    def _tag(self, body: str) -> int:
        if body.startswith("#"):
            return int(body[1:])
        return self.party.by_body[body].tag

    def do_ack(self, body: str, multiple: bool = False) -> Deferred[None]:
        self.channel.ack(self._tag(body), multiple)
        return self._settled()

    def do_nack(
        self, body: str, multiple: bool = False, requeue: bool = True
    ) -> Deferred[None]:
        self.channel.nack(self._tag(body), multiple, requeue)
        return self._settled()

    def do_reject(self, body: str, requeue: bool = False) -> Deferred[None]:
        self.channel.reject(self._tag(body), requeue)
        return self._settled()

    def _settled(self) -> Deferred[None]:
        """Wait a little: the broker does not answer a settlement."""
        self.channel.flush()
        return self.do_wait("20")

    # --- what is no answer, and ends -----------------------------------------

    @inlineCallbacks
    def do_returned(self, count: str) -> Text:
        returns = yield self.party.returns.take(int(count))
        return "; ".join(map(describe, returns)) or "nothing"

    @inlineCallbacks
    def do_cancelled(self, count: str) -> Text:
        cancels = yield self.party.cancels.take(int(count))
        return "; ".join(cancels) or "nothing"

    @inlineCallbacks
    def do_lost(self) -> Text:
        losses = yield self.party.losses.take(1)
        return "; ".join(map(describe, losses)) or "nothing"

    def do_wait(self, milliseconds: str) -> Deferred[None]:
        return deferLater(self.clock, int(milliseconds) / 1000, lambda: None)

    @inlineCallbacks
    def do_close(self) -> Text:
        channel, self.party.channel = self.channel, None
        yield channel.close()
        return None

    def _take_session(self) -> ISession:
        session = self.session.session
        assert session is not None
        self.session.forget()
        return session

    @inlineCallbacks
    def do_disconnect(self) -> Text:
        yield self._take_session().close()
        return None

    def do_drop(self) -> Deferred[None]:
        self._take_session().abort()
        # A broker sees the end of a TCP connection a moment later.
        return deferLater(self.clock, 0.05, lambda: None)


def _declared(options: dict[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in _DECLARED if name in options}
