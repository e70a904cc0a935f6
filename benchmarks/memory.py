"""
Compare txkombu's memory transport with Kombu's, and measure what its messages take.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator

from benchmarks.bodies import TURN
from benchmarks.found import Found, measured_again, noise
from benchmarks.quick_clock import QuickClock
from benchmarks.report import Figures, Samples, module, paired, run
from benchmarks.tables import number, table
from txkombu import BrokerConnection, Channel, Exchange, Producer, Queue
from txkombu.transport.memory import MemoryBroker

OURS = "txkombu memory://"
KOMBU = "kombu memory://"
PROGRAMS = {KOMBU: "benchmarks.memory_kombu", OURS: "benchmarks.memory_txkombu"}
WANTED = 2.0
"""
The goal, as a multiple of Kombu's rate.
"""
DEPTHS = (TURN, 30_000)
"""
How many messages wait in the queue before they are consumed.
"""
MOST_BYTES = 256
"""
The goal for the memory that a waiting message takes, its body included.
"""
BODY = 123
"""
The bytes of a body for that.
"""
_AT_ONCE = 500


def compare(messages: int, rounds: int) -> Found:
    """Measure; this takes some seconds per round."""
    head = ("client", "waiting", "messages/s", "CPU µs", "rate ratio")
    taken = {depth: _measure(messages, depth, rounds) for depth in DEPTHS}
    rows = [row for depth in DEPTHS for row in _rows(depth, taken[depth])]
    text = "\n".join(
        [
            f"{messages:,} JSON messages or more per round, {rounds} paired rounds; "
            f"the goal is {WANTED:g} times Kombu's rate.",
            "",
            table(head, rows),
            "",
            f"A message that waits takes {number(live_bytes(messages))} bytes with its "
            f"body of {BODY} bytes; the goal is less than {MOST_BYTES}.",
        ]
    )
    named = {("memory", depth): samples for depth, samples in taken.items()}
    return Found(text, [*noise(named, OURS)])


def _measure(messages: int, depth: int, rounds: int) -> Samples:
    arguments = [str(max(messages, depth)), str(depth)]

    def take(name: str) -> Figures:
        return run([*module(PROGRAMS[name]), *arguments])

    return measured_again(lambda: paired(PROGRAMS, rounds, take), OURS)


def _rows(depth: int, samples: Samples) -> Iterator[tuple[str, ...]]:
    for name in PROGRAMS:
        figures = samples.median(name)
        ratio = number(samples.ratio("rate", OURS, name))
        yield name, f"{depth:,}", number(figures.rate), number(figures.cpu), ratio


def live_bytes(count: int) -> float:
    """
    Publish messages that nobody consumes.

    @return: how many bytes of memory each takes.
    """
    clock = QuickClock()
    broker = MemoryBroker(clock)
    channel = Channel(BrokerConnection(transport=broker, reactor=clock))
    Queue("q", Exchange("")).bind(channel).declare()
    producer = Producer(channel, "", routing_key="q")
    body = "x" * BODY

    def publish(messages: int) -> None:
        for each in range(messages):
            producer.publish(body.encode())
            if each % _AT_ONCE == 0:
                broker.flush()
        broker.flush()
        gc.collect()

    publish(_AT_ONCE)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        publish(count)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(broker.queue("q").waiting) == _AT_ONCE + count
    return (after - before) / count
