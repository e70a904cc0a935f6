"""
What stands in docs/reference/supported.rst beside what the code tells: the words, and
for each row how to find out whether a broker has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from tests.contract.capabilities import Ability
from txkombu.interfaces import Capability as Can

YES, NO, NOTHING = "yes", "no", "—"
"""A broker without connections or channels has nothing of some kinds."""


@attrs.frozen
class Method:
    """
    How a program uses a method of AMQP.

    @ivar call: what it calls, or what calls the method for it.
    @ivar needs: what the other transports need for the same; C{None} if all have it.
    @ivar only_amqp: whether only the wire of AMQP has such a thing.
    """

    call: str
    needs: Ability | None = None
    only_amqp: bool = False


def _wire(call: str) -> Method:
    return Method(call, only_amqp=True)


METHODS: Final[Mapping[str, Method]] = {
    "Connection.Start": _wire("the login"),
    "Connection.Secure": _wire("``PLAIN`` and ``EXTERNAL`` need no challenge"),
    "Connection.Tune": _wire("``channel_max``, ``heartbeat``"),
    "Connection.Open": _wire("``virtual_host``"),
    "Connection.Close": _wire("``connection.close()``"),
    "Connection.Blocked": _wire("``connection.blocked_reason``"),
    "Connection.Unblocked": _wire("``connection.blocked_reason``"),
    "Connection.UpdateSecret": _wire("``connection.update_secret(secret)``"),
    "Channel.Open": _wire("``connection.channel()``"),
    "Channel.Flow": _wire("answered; ``consumer.flow(active)`` cancels instead"),
    "Channel.Close": _wire("``channel.close()``"),
    "Exchange.Declare": Method("``exchange.declare()``"),
    "Exchange.Delete": Method("``exchange.delete()``", Can.EXCHANGE_DELETE),
    "Exchange.Bind": Method("``exchange.bind_to(other)``", Can.EXCHANGE_BIND),
    "Exchange.Unbind": Method("``exchange.unbind_from(other)``", Can.EXCHANGE_BIND),
    "Queue.Declare": Method("``queue.declare()``"),
    "Queue.Bind": Method("``queue.declare()``, ``queue.bind_to(exchange)``"),
    "Queue.Unbind": Method("``queue.unbind_from(exchange)``", Can.QUEUE_UNBIND),
    "Queue.Purge": Method("``queue.purge()``", Can.QUEUE_PURGE),
    "Queue.Delete": Method("``queue.delete()``", Can.QUEUE_DELETE),
    "Basic.Qos": Method("``prefetch_count=``, ``consumer.qos()``"),
    "Basic.Consume": Method("``consumer.consume()``"),
    "Basic.Cancel": Method("``consumer.cancel()``"),
    "Basic.Publish": Method("``producer.publish(body)``"),
    "Basic.Return": Method("``mandatory=True``, ``on_return=``", Can.MANDATORY),
    "Basic.Deliver": Method("the callbacks of a consumer"),
    "Basic.Get": Method("``queue.get()``", Can.GET),
    "Basic.Ack": Method("``message.ack()``"),
    "Basic.Reject": Method("``message.reject()``"),
    "Basic.RecoverAsync": _wire("``channel.basic_recover()`` instead"),
    "Basic.Recover": Method("``channel.basic_recover()``", Can.RECOVER),
    "Basic.Nack": Method("``message.nack()``"),
    "Confirm.Select": Method("by itself, with the first publish", Can.CONFIRM),
    "Tx.Select": _wire("confirms instead: ``await producer.publish(body)``"),
    "Tx.Commit": _wire("confirms instead"),
    "Tx.Rollback": _wire("confirms instead"),
}
"""How programs use the methods, by the names that pamqp gives them."""

ARGUMENTS: Final[Mapping[str, tuple[object, str]]] = {
    "x-expires": (1000, "``expires=`` (seconds)"),
    "x-message-ttl": (1000, "``message_ttl=`` (seconds)"),
    "x-dead-letter-exchange": ("amq.fanout", "dead letter exchange"),
    "x-dead-letter-routing-key": ("k", "the key of dead letters"),
    "x-dead-letter-strategy": ("at-least-once", "when dead letters leave the queue"),
    "x-max-length": (5, "``max_length=`` (messages)"),
    "x-max-length-bytes": (5, "``max_length_bytes=``"),
    "x-max-in-memory-length": (5, "messages kept in memory"),
    "x-max-in-memory-bytes": (5, "bytes kept in memory"),
    "x-max-priority": (5, "``max_priority=``"),
    "x-overflow": ("reject-publish", "what a full queue does"),
    "x-queue-mode": ("lazy", "lazy queues (until RabbitMQ 3.11)"),
    "x-queue-version": (2, "how a classic queue stores"),
    "x-single-active-consumer": (True, "single active consumer"),
    "x-queue-type": ("quorum", "``queue_type=``"),
    "x-quorum-initial-group-size": (3, "how many nodes have it"),
    "x-queue-leader-locator": ("balanced", "where its leader is"),
    "x-delivery-limit": (5, "how often a message may return"),
    "x-max-age": ("1h", "how long a stream keeps messages"),
    "x-stream-max-segment-size-bytes": (1000, "the size of its files"),
    "x-initial-cluster-size": (3, "how many nodes have it"),
    "x-queue-master-locator": ("random", "on which node it is made"),
}
"""For each argument of a queue: a value to try, and what it is."""

OF_STREAMS: Final = frozenset(
    (
        "x-queue-type",
        "x-max-length-bytes",
        "x-queue-leader-locator",
        "x-max-age",
        "x-stream-max-segment-size-bytes",
        "x-initial-cluster-size",
    )
)
"""Those that RabbitMQ takes for a stream, which the memory broker does not have."""


@attrs.frozen
class Extension:
    """
    One extension of RabbitMQ.

    @ivar what: its name.
    @ivar how: what a program writes.
    @ivar needs: the ability it comes with, if there is one.
    @ivar answers: what to say of each kind of broker where no ability decides: AMQP,
        memory, STOMP with RabbitMQ, STOMP with ActiveMQ.  C{probe:NAME} has it tried.
    """

    what: str
    how: str
    needs: Ability | None = None
    answers: tuple[str, str, str, str] = (YES, YES, YES, YES)


EXTENSIONS: Final = (
    Extension("publisher confirms", "``await producer.publish(body)``", Can.CONFIRM),
    Extension("``basic.nack``", "``message.nack()``"),
    Extension("acks of several messages", "``message.ack(multiple=True)``"),
    Extension(
        "consumer cancel notification",
        "``on_cancel=``; the consumer is started again",
        answers=(YES, YES, YES, NOTHING),
    ),
    Extension(
        "``connection.blocked``",
        "``connection.blocked_reason``",
        answers=(YES, "in tests", "waits without a reason", "waits without a reason"),
    ),
    Extension(
        "``connection.update-secret``",
        "``connection.update_secret(secret)``",
        answers=("probe:secret",) * 4,
    ),
    Extension(
        "exchange-to-exchange bindings",
        "``exchange.bind_to(other)``",
        Can.EXCHANGE_BIND,
    ),
    Extension(
        "alternate exchange",
        '``Exchange(arguments={"alternate-exchange": name})``',
        answers=("probe:alternate",) * 4,
    ),
    Extension(
        "exchange types of plugins (consistent hash, random, delayed message …)",
        '``Exchange(type="x-consistent-hash")``; on ``memory`` with a function of '
        "yours",
        Can.CUSTOM_EXCHANGE_TYPES,
    ),
    Extension(
        "sender-selected distribution",
        '``headers={"CC": [key], "BCC": [key]}``',
        answers=("probe:copies",) * 4,
    ),
    Extension(
        "validated user-id", "``publish(user_id=…)``", answers=("probe:user",) * 4
    ),
    Extension("TTL of a message", "``publish(expiration=seconds)``"),
    Extension(
        "arguments of queues: TTL, limits, dead letters …",
        "below",
        Can.QUEUE_ARGUMENTS,
    ),
    Extension(
        "quorum queues",
        '``Queue(queue_type="quorum")``',
        answers=("probe:quorum",) * 4,
    ),
    Extension(
        "streams",
        '``Queue(queue_type="stream")``, ``on_offset=``',
        answers=("probe:stream",) * 4,
    ),
    Extension(
        "consumer priorities", "``Consumer(priority=…)``", Can.CONSUMER_ARGUMENTS
    ),
    Extension(
        "prefetch for each consumer", "``prefetch_count=``", Can.CONSUMER_PREFETCH
    ),
    Extension(
        "direct reply-to",
        "``RPCClient``; ``amq.rabbitmq.reply-to``",
        Can.DIRECT_REPLY_TO,
    ),
    Extension(
        "login by certificate",
        "``?auth_mechanism=EXTERNAL``",
        answers=(YES, NOTHING, NO, NO),
    ),
    Extension(
        "names of connections",
        "``BrokerConnection(name=…)``",
        answers=(YES, NOTHING, "without effect", "without effect"),
    ),
)

FRAMES: Final[Mapping[str, str]] = {
    "CONNECT": "``STOMP`` instead, which RabbitMQ reads correctly",
    "STOMP": "the login",
    "SEND": "``producer.publish(body)``; declaring, on RabbitMQ",
    "SUBSCRIBE": "``consumer.consume()``, ``queue.get()``; declaring and binding",
    "UNSUBSCRIBE": "``consumer.cancel()``",
    "ACK": "``message.ack()``",
    "NACK": "``message.reject()``; ``message.nack()``, on RabbitMQ",
    "BEGIN": "requeueing, on ActiveMQ; with ABORT, asking whether all was handled",
    "COMMIT": "requeueing, on ActiveMQ",
    "ABORT": "its receipt says that the broker has handled all before it",
    "DISCONNECT": "``connection.close()``",
    "CONNECTED": "the login",
    "MESSAGE": "the callbacks of a consumer",
    "RECEIPT": "the verdict on a publish; the end of each operation",
    "ERROR": "refusals",
}

HEADERS: Final[Mapping[str, str]] = {
    "accept-version": "only 1.2 is offered",
    "ack": "``client-individual``; ``auto`` only in declaring, purging and other steps "
    "of the library",
    "content-length": "always sent, so that a body may have any byte",
    "content-type": "``content_type``",
    "destination": "exchange and routing key, or queue",
    "heart-beat": "``heartbeat``, in both directions",
    "host": "``virtual_host``",
    "id": "subscriptions, ACK, NACK",
    "login": "``userid``",
    "message-id": "the message",
    "passcode": "``password``",
    "receipt": "confirms",
    "receipt-id": "confirms",
    "selector": "taking one message, on ActiveMQ",
    "session": "the id that the broker gives the session",
    "server": "which broker it is, and its version",
    "subscription": "which consumer a message is for",
    "transaction": "BEGIN, COMMIT, ABORT",
    "version": "has to be 1.2",
}
"""The headers of the specification, and what they are for here."""


@attrs.frozen
class Header:
    """
    A header that a broker or this library adds to the specification.

    @ivar what: what it is for here.
    @ivar brokers: the packages of those that it is used with.
    """

    what: str
    brokers: tuple[str, ...] = ("rabbitmq", "activemq")


_RABBITMQ, _ACTIVEMQ = ("rabbitmq",), ("activemq",)

OF_BROKERS: Final[Mapping[str, Header]] = {
    "prefetch-count": Header("``prefetch_count``", _RABBITMQ),
    "activemq.prefetchSize": Header("``prefetch_count``", _ACTIVEMQ),
    "requeue": Header("whether a NACK requeues", _RABBITMQ),
    "persistent": Header("``delivery_mode``"),
    "priority": Header("``priority``"),
    "expiration": Header("``expiration``", _RABBITMQ),
    "expires": Header("``expiration``", _ACTIVEMQ),
    "correlation-id": Header("``correlation_id``"),
    "reply-to": Header("``reply_to``"),
    "user-id": Header("``user_id``"),
    "timestamp": Header("``timestamp``"),
    "redelivered": Header("``message.redelivered``"),
    "durable": Header("declaring queues", _RABBITMQ),
    "auto-delete": Header("declaring queues", _RABBITMQ),
    "exclusive": Header("declaring queues", _RABBITMQ),
    "x-queue-name": Header("the queue of a binding", _RABBITMQ),
    "original-destination": Header("where a message was sent", _ACTIVEMQ),
    "x-txk-headers": Header("headers that are not text"),
}
