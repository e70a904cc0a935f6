"""
How the cost of work grows: ten times as much may take twelve times the CPU time.

Each kind of work is done in this process, on the memory broker or on one part, so that
no broker is needed.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from time import process_time
from typing import Final, NamedTuple

from twisted.internet.task import Clock

from benchmarks.found import Found
from benchmarks.tables import number, table
from txkombu._util.deadlines import Deadlines
from txkombu.core.publish_queue import PublishQueue, PublishRequest
from txkombu.core.recorded_bindings import RecordedBinding
from txkombu.core.topology import Topology
from txkombu.entity import Exchange, Queue
from txkombu.transport.amqp.unacked import UnackedTags
from txkombu.transport.memory.backlog import Backlog
from txkombu.transport.memory.deadlines import QueueDeadlines
from txkombu.transport.memory.message import BrokerMessage
from txkombu.transport.memory.pump import Pump
from txkombu.transport.memory.routing import BUILT_IN
from txkombu.transport.memory.vhost import VirtualHost

LIMIT: Final = 12.0
"""
How many times as long ten times the work may take.
"""
TIMES: Final = 10

Work = Callable[[], object]


class Kind(NamedTuple):
    """A kind of work: its words, how much of it, and what prepares it."""

    what: str
    amount: int
    prepare: Callable[[int], Work]


def deadlines(count: int) -> Work:
    """Expire items with different timeouts, one after the other."""
    clock = Clock()
    watched: Deadlines[int] = Deadlines(clock, lambda item: None)
    for each in range(count):
        watched.schedule(each, 1 + each)

    def work() -> None:
        for _ in range(count + 1):
            clock.advance(1)

    return work


def cancelled_publishes(count: int) -> Work:
    """Cancel publishes that wait, the newest first."""
    waiting = PublishQueue(
        Clock(), lambda: "waiting", lambda request, error: None, lambda: None
    )
    exchange = Exchange("x")
    publishes = [
        waiting.publish(PublishRequest(b"", {}, exchange, "", False, True, 30.0))
        for _ in range(count)
    ]

    def work() -> None:
        for publish in reversed(publishes):
            publish.addErrback(lambda failure: None)
            publish.cancel()

    return work


def put_back(count: int) -> Work:
    """Put messages back into a queue one by one, the oldest first."""
    backlog = Backlog()
    messages = [BrokerMessage(b"", {}, "", "q") for _ in range(count)]

    def work() -> None:
        for message in messages:
            backlog.put_back([message])

    return work


def acks_in_runs(count: int) -> Work:
    """Acknowledge a long run of messages, fifty at a time."""
    tags = UnackedTags()
    for tag in range(1, count + 1):
        tags.awaiting[tag] = None

    def work() -> None:
        for tag in range(50, count + 1, 50):
            tags.ack(tag, True)
            tags.flush()

    return work


def _vhost() -> VirtualHost:
    return VirtualHost("/", QueueDeadlines(Pump(Clock())), BUILT_IN)


def headers_bindings(count: int) -> Work:
    """Bind one queue to a headers exchange by many arguments."""
    vhost = _vhost()
    vhost.declare_queue(Queue("q"), {}, False, None)
    queue = vhost.queues["q"]

    def work() -> None:
        for each in range(count):
            vhost.bind(queue, "amq.headers", "", {"id": each, "kind": "x"})

    return work


def deleted_queues(count: int) -> Work:
    """Delete queues that are bound to one exchange."""
    vhost = _vhost()
    for each in range(count):
        vhost.declare_queue(Queue(f"q{each}"), {}, False, None)
        vhost.bind(vhost.queues[f"q{each}"], "amq.topic", f"k{each}", {})

    def work() -> None:
        for each in range(count):
            vhost.delete_queue(f"q{each}", False, False, None)

    return work


def forgotten_queues(count: int) -> Work:
    """Forget queues that were declared and bound on a connection."""
    topology = Topology(lambda old, new: None)
    exchange = Exchange("x")
    for each in range(count):
        queue = Queue(f"q{each}")
        topology.queue_declared(queue, False)
        topology.bound(RecordedBinding(queue, exchange, "k", {}))

    def work() -> None:
        for each in range(count):
            topology.queue_deleted(f"q{each}")

    return work


KINDS: Final = (
    Kind("different timeouts that expire", 500, deadlines),
    Kind("waiting publishes cancelled, newest first", 500, cancelled_publishes),
    Kind("messages put back one by one", 2000, put_back),
    Kind("messages acknowledged fifty at a time", 5000, acks_in_runs),
    Kind("bindings of a queue to a headers exchange", 500, headers_bindings),
    Kind("queues deleted at the broker", 500, deleted_queues),
    Kind("queues forgotten by a connection", 500, forgotten_queues),
)


def _seconds(kind: Kind, count: int) -> float:
    work = kind.prepare(count)
    gc.collect()
    gc.disable()
    try:
        began = process_time()
        work()
        return process_time() - began
    finally:
        gc.enable()


def growth(kind: Kind, rounds: int) -> tuple[float, float]:
    """
    Measure a kind of work, and ten times as much.

    @return: the shortest times of the rounds, in seconds.
    """
    small = min(_seconds(kind, kind.amount) for _ in range(rounds))
    large = min(_seconds(kind, kind.amount * TIMES) for _ in range(rounds))
    return small, large


def check(rounds: int) -> Found:
    """Measure all kinds of work; that is fine if none grew faster than it may."""
    rows, fine = [], True
    for kind in KINDS:
        small, large = growth(kind, rounds)
        ratio = large / small
        fine = fine and ratio <= LIMIT
        each = small / kind.amount * 1e6
        verdict = "met" if ratio <= LIMIT else "missed"
        rows.append(
            (kind.what, f"{kind.amount:,}", number(each), number(ratio), verdict)
        )
    head = ("work", "count", "µs each", "times for ten times", f"≤ {LIMIT:g}")
    return Found(table(head, rows), is_fine=fine)
