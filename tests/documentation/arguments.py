"""
Where an argument works: on every broker, or only on some of them.

What a transport lacks is in L{tests.contract.capabilities}; this says which argument
needs what of it, and adds what no table of the code knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tests.contract.capabilities import TABLE, Ability, Nature
from txkombu.interfaces import Capability

EVERYWHERE: Final = "all"

_C, _N = Capability, Nature

NEEDS: Final[Mapping[str, Ability]] = {
    "Exchange.arguments": _C.CUSTOM_EXCHANGE_TYPES,
    "Exchange.passive": _C.EXCHANGE_PASSIVE,
    "Exchange.declare.passive": _C.EXCHANGE_PASSIVE,
    "Exchange.delete": _C.EXCHANGE_DELETE,
    "Exchange.bind_to": _C.EXCHANGE_BIND,
    "Exchange.unbind_from": _C.EXCHANGE_BIND,
    "Exchange.binding.arguments": _C.HEADERS_EXCHANGE,
    "binding.arguments": _C.HEADERS_EXCHANGE,
    "Queue.exclusive": _C.EXCLUSIVE_QUEUE,
    "Queue.auto_delete": _N.AUTO_DELETE,
    "Queue.queue_arguments": _C.QUEUE_ARGUMENTS,
    "Queue.expires": _C.QUEUE_ARGUMENTS,
    "Queue.message_ttl": _C.QUEUE_ARGUMENTS,
    "Queue.max_length": _C.QUEUE_ARGUMENTS,
    "Queue.max_length_bytes": _C.QUEUE_ARGUMENTS,
    "Queue.binding_arguments": _C.HEADERS_EXCHANGE,
    "Queue.consumer_arguments": _C.CONSUMER_ARGUMENTS,
    "Queue.queue_declare.passive": _C.QUEUE_PASSIVE,
    "Queue.bind_to.arguments": _C.HEADERS_EXCHANGE,
    "Queue.unbind_from": _C.QUEUE_UNBIND,
    "Queue.queue_unbind": _C.QUEUE_UNBIND,
    "binding.unbind": _C.QUEUE_UNBIND,
    "SimpleBuffer": _C.EXCLUSIVE_QUEUE,
    "BrokerConnection.SimpleBuffer": _C.EXCLUSIVE_QUEUE,
    "Queue.delete": _C.QUEUE_DELETE,
    "Queue.delete.if_unused": _C.QUEUE_DELETE_CONDITIONAL,
    "Queue.delete.if_empty": _C.QUEUE_DELETE_CONDITIONAL,
    "Producer.mandatory": _C.MANDATORY,
    "Producer.on_return": _C.MANDATORY,
    "Producer.publish.mandatory": _C.MANDATORY,
    "Producer.forward.mandatory": _C.MANDATORY,
    "RPCClient.call.mandatory": _C.MANDATORY,
    "Consumer.exclusive": _C.CONSUMER_EXCLUSIVE,
    "Consumer.priority": _C.CONSUMER_ARGUMENTS,
    "Consumer.qos.apply_global": _C.CHANNEL_PREFETCH,
    "Channel.basic_qos": _C.CHANNEL_PREFETCH,
    "Channel.exchange_declare.passive": _C.EXCHANGE_PASSIVE,
    "Channel.exchange_delete": _C.EXCHANGE_DELETE,
    "Channel.exchange_bind": _C.EXCHANGE_BIND,
    "Channel.exchange_unbind": _C.EXCHANGE_BIND,
    "Channel.queue_declare.passive": _C.QUEUE_PASSIVE,
    "Channel.queue_bind.arguments": _C.HEADERS_EXCHANGE,
    "Channel.queue_unbind": _C.QUEUE_UNBIND,
    "Channel.queue_delete": _C.QUEUE_DELETE,
    "Channel.queue_delete.if_unused": _C.QUEUE_DELETE_CONDITIONAL,
    "Channel.queue_delete.if_empty": _C.QUEUE_DELETE_CONDITIONAL,
    "Channel.consume.exclusive": _C.CONSUMER_EXCLUSIVE,
    "Channel.consume.arguments": _C.CONSUMER_ARGUMENTS,
}
"""The ability that a method or an argument needs, by its name."""

NOTES: Final[Mapping[str, str]] = {
    "Exchange.type": "not ``stomp``: ``headers``, and types of plugins",
    "Exchange.durable": "``stomp`` ignores it: its exchanges always exist",
    "Exchange.auto_delete": "``stomp`` ignores it: its exchanges always exist",
    "Queue.name": "empty: not ActiveMQ",
    "Queue.durable": "ActiveMQ ignores it: its queues are durable",
    "Queue.queue_type": (
        "RabbitMQ: ``quorum`` from 3.8, ``stream`` from 3.9 and not over ``stomp``; "
        "``memory``: not ``stream``; not ActiveMQ"
    ),
    "Queue.max_priority": "classic queues; not ActiveMQ",
    "Producer.publish.immediate": "none",
    "Producer.publish.priority": "ActiveMQ: 0 to 9",
    "Consumer.on_offset": "streams: RabbitMQ over AMQP",
    "Consumer.qos.prefetch_size": "none",
    "Consumer.recover.requeue": "only ``True``",
    "Channel.basic_recover.requeue": "only ``True``",
    "BrokerConnection.heartbeat": "not ``memory``",
    "BrokerConnection.tls": "not ``memory``",
    "BrokerConnection.update_secret": "AMQP; elsewhere at the next login",
}
"""What replaces the answer of the table of capabilities."""


def where(argument: str) -> str:
    """
    Return on which brokers a method or an argument works.

    @param argument: such as C{Queue.delete} or C{Producer.publish.mandatory}.
    """
    if argument in NOTES:
        return NOTES[argument]
    needed = NEEDS.get(argument)
    return EVERYWHERE if needed is None else _without(needed)


def _without(needed: Ability) -> str:
    lacking = [each.title for each in TABLE if not each.can(needed)]
    return _exception(lacking) if lacking else EVERYWHERE


def _exception(titles: Sequence[str]) -> str:
    """Name the transports that lack something, shortly."""
    stomp = [each for each in titles if each.startswith("``stomp``")]
    rest = [f"not {each}" for each in titles if each not in stomp]
    if len(stomp) > 1:
        rest.append("not ``stomp``")
    else:
        rest += [f"not {each.partition(', ')[2]}" for each in stomp]
    return ", ".join(rest)
