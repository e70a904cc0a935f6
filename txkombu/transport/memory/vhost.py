"""Virtual hosts: the exchanges and queues that know each other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from secrets import token_urlsafe
from typing import Final, cast

from ...entity import Exchange, Queue
from ...interfaces import Properties, QueueDeclareOk
from .arguments import duration_fault
from .deadlines import QueueDeadlines
from .direct_reply import REPLY_TO, ReplyQueue
from .errors import Refused, named
from .exchange import MemoryExchange
from .message import BrokerMessage, Envelope, headers_of
from .queue import MemoryQueue
from .routing import Binding, Router
from .tables import Table, type_name

_PREDECLARED: Final = (
    ("", "direct"),
    ("amq.direct", "direct"),
    ("amq.fanout", "fanout"),
    ("amq.topic", "topic"),
    ("amq.headers", "headers"),
    ("amq.match", "headers"),
)
_WHOLE: Final = re.compile(r"([+-]?[0-9]+)(.*)", re.DOTALL)
_COPIES: Final = frozenset(("CC", "BCC"))
_TRACE: Final = "amq.rabbitmq.trace"


class VirtualHost:
    """
    One virtual host of the broker.

    Its operations take effect at once, and raise L{Refused} as RabbitMQ refuses.

    @ivar exchanges: by name.
    @ivar queues: by name.
    @ivar replies: what goes to channels directly, by name.
    """

    def __init__(
        self,
        name: str,
        deadlines: QueueDeadlines,
        types: Mapping[str, Callable[[], Router]],
    ) -> None:
        self.name = name
        self.deadlines = deadlines
        self.now = deadlines.now
        self._types = types
        self.queues: dict[str, MemoryQueue] = {}
        self.replies: dict[str, ReplyQueue] = {}
        self._owned: dict[object, dict[MemoryQueue, None]] = {}
        self.exchanges: dict[str, MemoryExchange] = {}
        for predeclared, kind in _PREDECLARED:
            self._add_exchange(Exchange(predeclared, kind), {})
        self._add_exchange(Exchange(_TRACE, "topic"), {}, internal=True)

    # --- exchanges -----------------------------------------------------------

    def _add_exchange(
        self,
        declared: Exchange,
        arguments: Mapping[str, object],
        internal: bool = False,
    ) -> None:
        self.exchanges[declared.name] = MemoryExchange(
            self.name, declared, arguments, self._types[declared.type](), internal
        )

    def exchange(self, name: str) -> MemoryExchange:
        """Return an exchange."""
        found = self.exchanges.get(name)
        if found is None:
            raise Refused(404, f"no {named('exchange', name, self.name)}", name)
        return found

    def declare_exchange(
        self, declared: Exchange, arguments: Mapping[str, object], passive: bool
    ) -> None:
        """
        Make sure that an exchange exists as described.

        @param arguments: as a wire carried them, instead of those of C{declared}.
        """
        name = declared.name
        if not passive and declared.type not in self._types:
            raise Refused(503, f"unknown exchange type '{declared.type}'", name)
        if not name:
            raise _default_exchange()
        if passive:
            self.exchange(name)
            return
        if name in self.exchanges:
            self.exchanges[name].check_equivalent(declared, arguments)
            return
        _check_reserved("exchange", name)
        self._add_exchange(declared, arguments)

    def delete_exchange(self, name: str, if_unused: bool) -> None:
        """Delete an exchange, if it exists."""
        if not name:
            raise _default_exchange()
        about = named("exchange", name, self.name)
        if name.startswith("amq."):
            raise Refused(403, f"deletion of system {about} not allowed", name)
        exchange = self.exchanges.get(name)
        if exchange is None:
            return
        if if_unused and exchange.bindings:
            raise Refused(406, f"{about} in use", name)
        self._drop_exchange(exchange)

    def _drop_exchange(self, exchange: MemoryExchange) -> None:
        del self.exchanges[exchange.name]
        for binding in exchange.bindings:
            binding.destination.incoming.pop(binding, None)
        self._forget_destination(exchange)

    def _forget_destination(self, gone: MemoryQueue | MemoryExchange) -> None:
        """Remove the bindings to it, and auto-delete exchanges that lose their last."""
        for binding in list(gone.incoming):
            exchange = self.exchanges[binding.source]
            exchange.unbind(binding)
            self._drop_if_unused(exchange)

    def _drop_if_unused(self, exchange: MemoryExchange) -> None:
        known = self.exchanges.get(exchange.name)
        if exchange.auto_delete and not exchange.bindings and known is exchange:
            self._drop_exchange(exchange)

    # --- bindings ------------------------------------------------------------

    def bind(
        self,
        find: Callable[[], MemoryQueue | MemoryExchange],
        source: str,
        key: str,
        arguments: Mapping[str, object],
    ) -> None:
        """
        Route what an exchange has for a key to a queue or exchange.

        @param find: returns the latter; what it raises comes after other refusals.
        """
        if not source:
            raise _default_exchange()
        exchange = self.exchange(source)
        destination = find()
        if not destination.name:
            raise _default_exchange()
        exchange.bind(Binding(source, destination, key, arguments))

    def unbind(
        self,
        destination: MemoryQueue | MemoryExchange | None,
        source: str,
        key: str,
        arguments: Mapping[str, object],
        session: object,
    ) -> None:
        """Undo L{bind}, if it was done and all that it names exists."""
        if not source:
            raise _default_exchange()
        exchange = self.exchanges.get(source)
        if exchange is None or destination is None:
            return
        binding = Binding(source, destination, key, arguments)
        if binding in exchange.bindings:
            if isinstance(destination, MemoryQueue):
                self._check_access(destination, session)
            exchange.unbind(binding)
            self._drop_if_unused(exchange)

    # --- queues --------------------------------------------------------------

    def queue(self, name: str, session: object) -> MemoryQueue:
        """Return a queue that a session may use."""
        found = self.queues.get(name)
        if found is None:
            raise Refused(404, f"no {named('queue', name, self.name)}", name)
        self._check_access(found, session)
        return found

    def _check_access(self, queue: MemoryQueue, session: object) -> None:
        if queue.owner is not None and queue.owner is not session:
            raise self._locked(queue.name)

    def _locked(self, name: str) -> Refused:
        return Refused(
            405,
            f"cannot obtain exclusive access to locked "
            f"{named('queue', name, self.name)}. It could be originally declared on "
            "another connection or the exclusive property value does not match that "
            "of the original declaration.",
            name,
        )

    def declare_queue(
        self,
        declared: Queue,
        arguments: Mapping[str, object],
        passive: bool,
        session: object,
    ) -> QueueDeclareOk:
        """
        Make sure that a queue exists as described.

        @param arguments: as a wire carried them, instead of those of C{declared}.
        """
        name = declared.name
        if name.startswith(REPLY_TO):
            if name != REPLY_TO and name not in self.replies:
                raise Refused(404, f"no {named('queue', name, self.name)}", name)
            return QueueDeclareOk(name, 0, 1)
        owner = session if declared.exclusive else None
        if passive:
            queue = self.queue(name, session)
        elif name in self.queues:
            _check_reserved("queue", name)
            queue = self.queues[name]
            if queue.owner is not owner:
                raise self._locked(name)
            queue.check_equivalent(declared, arguments)
        else:
            _check_reserved("queue", name)
            name = name or f"amq.gen-{token_urlsafe(16)}"
            queue = MemoryQueue(self, name, declared, arguments, owner)
            self.queues[name] = queue
            if owner is not None:
                self._owned.setdefault(owner, {})[queue] = None
        queue.touch()
        return QueueDeclareOk(queue.name, len(queue.waiting), queue.consumer_count)

    def delete_queue(
        self, name: str, if_unused: bool, if_empty: bool, session: object
    ) -> int:
        """Delete a queue, if it exists; return how many messages are lost with it."""
        if name not in self.queues:
            return 0
        queue = self.queue(name, session)
        about = named("queue", name, self.name)
        if if_unused and queue.consumer_count:
            raise Refused(406, f"{about} in use", name)
        if if_empty and queue.waiting:
            raise Refused(406, f"{about} not empty", name)
        return self.drop_queue(queue)

    def drop_queue(self, queue: MemoryQueue) -> int:
        """Delete a queue whatever it holds; return how many messages are lost."""
        if queue.deleted:
            return 0
        del self.queues[queue.name]
        if queue.owner is not None:
            self._forget_owned(queue)
        self._forget_destination(queue)
        return queue.end()

    def _forget_owned(self, queue: MemoryQueue) -> None:
        owned = self._owned.get(queue.owner)
        if owned is not None:
            owned.pop(queue, None)
            if not owned:
                del self._owned[queue.owner]

    def drop_owned_by(self, session: object) -> None:
        """Delete the queues that are exclusive to a session."""
        for queue in self._owned.pop(session, {}):
            self.drop_queue(queue)

    # --- messages ------------------------------------------------------------

    def route(
        self, exchange: MemoryExchange, keys: Sequence[str], properties: Properties
    ) -> list[MemoryQueue | ReplyQueue]:
        """Return the queues that an exchange sends a message to, each once."""
        queues: dict[MemoryQueue | ReplyQueue, None] = {}
        seen = {exchange: None}
        todo = [exchange]
        while todo:
            for each in self._next_of(todo.pop(), keys, properties):
                if not isinstance(each, MemoryExchange):
                    queues[each] = None
                elif each not in seen:
                    seen[each] = None
                    todo.append(each)
        return list(queues)

    def _next_of(
        self, exchange: MemoryExchange, keys: Sequence[str], properties: Properties
    ) -> Iterable[MemoryQueue | ReplyQueue | MemoryExchange]:
        """Return where one exchange sends it: to its alternate if no key fits."""
        found: dict[MemoryQueue | ReplyQueue | MemoryExchange, None] = {}
        for key in keys:
            if not exchange.name:
                found.update(dict.fromkeys(self._named_by(key)))
            else:
                matching = exchange.router.match(key, properties)
                found.update(dict.fromkeys(cast("Sequence[MemoryQueue]", matching)))
        if not found and exchange.alternate is not None:
            other = self.exchanges.get(exchange.alternate)
            return () if other is None else (other,)
        return found

    def _named_by(self, key: str) -> Sequence[MemoryQueue | ReplyQueue]:
        queue = self.queues.get(key) or self.replies.get(key)
        return () if queue is None else (queue,)

    def _route(
        self, exchange: MemoryExchange, key: str, properties: Properties
    ) -> Sequence[MemoryQueue | ReplyQueue]:
        """Route by one key; as L{route}."""
        if not exchange.name:
            return self._named_by(key)
        if not exchange.chained and exchange.alternate is None:
            # Then all of them are queues.
            return cast("Sequence[MemoryQueue]", exchange.router.match(key, properties))
        return self.route(exchange, (key,), properties)

    def publishable(self, name: str) -> MemoryExchange:
        """
        Return an exchange that clients may publish to.

        @raise Refused: there is none of that name, or only other exchanges may.
        """
        exchange = self.exchanges.get(name) or self.exchange(name)
        if exchange.internal:
            about = named("exchange", name, self.name)
            raise Refused(403, f"cannot publish to internal {about}", name)
        return exchange

    def publish(
        self, body: bytes, envelope: Envelope, exchange: MemoryExchange
    ) -> tuple[bool, bool]:
        """
        Put a message into the queues it belongs to.

        @return: whether there is such a queue, what takes replies being none; and
            whether all of them took the message.
        """
        key, properties = envelope.routing_key, envelope.properties
        queues: Sequence[MemoryQueue | ReplyQueue]
        if envelope.copies:
            queues = self.route(exchange, (key, *envelope.copies), properties)
        else:
            queues = self._route(exchange, key, properties)
        routed, taken = False, True
        for queue in queues:
            taken = queue.publish(BrokerMessage(body, envelope)) and taken
            routed = routed or isinstance(queue, MemoryQueue)
        return routed, taken


def envelope_of(properties: Table, exchange: str, key: str) -> Envelope:
    """
    Return the envelope of what is published.

    @param properties: the broker's own from now on.
    @param exchange: the name of the exchange.
    @raise Refused: a property is not acceptable.
    """
    ttl: int | None = None
    copies: tuple[str, ...] = ()
    if "expiration" in properties:
        ttl = _time_to_live(properties["expiration"])
    if properties.get("delivery_mode", 1) not in (1, 2):
        mode = properties["delivery_mode"]
        raise Refused(406, f"invalid message: {{delivery_mode_unknown,{mode}}}")
    if properties.get("headers") and not _COPIES.isdisjoint(headers_of(properties)):
        copies = _take_copies(properties)
    return Envelope(properties, exchange, key, ttl, copies)


def _take_copies(properties: Table) -> tuple[str, ...]:
    """
    Return the further keys that a sender selects, and hide those of C{BCC} (RabbitMQ,
    "Sender-selected Distribution").
    """
    headers = dict(headers_of(properties))
    copies = (*_keys(headers, "CC"), *_keys(headers, "BCC"))
    headers.pop("BCC", None)
    properties["headers"] = headers
    return copies


def _keys(headers: Mapping[str, object], name: str) -> list[str]:
    value = headers.get(name, [])
    if not isinstance(value, list):
        what = f'{{unacceptable_type_in_header,"{name}",{type_name(value)}}}'
        raise Refused(406, f"invalid message: {what}")
    return [each for each in value if isinstance(each, str)]


def _time_to_live(value: object) -> int:
    """Milliseconds of an expiration; the texts show what Erlang makes of it."""
    found = _WHOLE.match(value) if isinstance(value, str) else None
    if found is None:
        raise Refused(406, f"invalid expiration '{value}': no_integer")
    number, rest = int(found[1]), found[2]
    wrong = f'{{leftover_string,"{rest}"}}' if rest else duration_fault(number)
    if wrong:
        raise Refused(406, f"invalid expiration '{value}': {wrong}")
    return number


def _default_exchange() -> Refused:
    return Refused(403, "operation not permitted on the default exchange")


def _check_reserved(kind: str, name: str) -> None:
    if name.startswith("amq."):
        raise Refused(
            403, f"{kind} name '{name}' contains reserved prefix 'amq.*'", name
        )
