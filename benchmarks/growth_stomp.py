"""
Kinds of work whose cost may grow only as the work does, in sessions over STOMP whose
sockets answer at once.

Each function prepares so much of the work, and returns what does it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tests.contract.harness import ChannelWatcher, Journal, SessionWatcher
from tests.support.stomp_fakes import FakeConnector
from txkombu.entity import Exchange, Queue, binding
from txkombu.transport.stomp.activemq import ActiveMQDialect
from txkombu.transport.stomp.connections import SilentOwner
from txkombu.transport.stomp.declarations import Declarations
from txkombu.transport.stomp.session import StompSession

Work = Callable[[], object]


def _channel() -> Any:
    """Return a channel on an ActiveMQ."""
    connector: Any = FakeConnector(Clock(), True)
    main = connector.open(SilentOwner()).result
    session = StompSession(
        connector,
        main,
        ActiveMQDialect(),
        SessionWatcher(Journal()),
        Declarations(set()),
    )
    return _result(session.open_channel(ChannelWatcher(Journal())))


def _result(done: Deferred[Any]) -> Any:
    found: list[Any] = []
    done.addCallback(found.append)
    return found[0]


def _ignore(_: object) -> None:
    """Do nothing."""


def _bind(channel: Any, queue: Queue) -> None:
    for each in queue.all_bindings():
        _result(channel.queue_bind(queue, each.exchange, each.routing_key, {}))


def _queue(count: int) -> Queue:
    """Return a queue that carries so many bindings that exclude each other."""
    exchanges = Exchange("d"), Exchange("t", "topic")
    keys = ("k{}", "*.k{}.#")
    found = [
        binding(exchanges[each % 2], keys[each % 2].format(each))
        for each in range(count)
    ]
    return Queue("q", bindings=found)


def bound(count: int) -> Work:
    """Make the bindings that a queue carries."""
    channel, queue = _channel(), _queue(count)
    return lambda: _bind(channel, queue)


def bound_while_consumed(count: int) -> Work:
    """Make bindings of a queue that is consumed from."""
    channel, queue, consumed = _channel(), _queue(count), Queue("q")
    started = channel.basic_consume(
        consumed, "tag", False, False, {}, 10, _ignore, _ignore
    )
    _result(started)
    [consumer] = channel._consumers.values()

    def work() -> None:
        _bind(channel, queue)
        assert len(consumer.socket.subscribed) == count + 1

    return work
