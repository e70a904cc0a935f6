"""
How the cost of work grows: ten times as much may take twelve times the CPU time.

Each kind of work is done in this process, on the memory broker or on one part, so that
no broker is needed.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from time import process_time
from typing import Final, NamedTuple

from benchmarks import growth_api as api
from benchmarks import growth_kinds as kinds
from benchmarks import growth_stomp as stomp
from benchmarks.found import Found
from benchmarks.tables import number, table

LIMIT: Final = 12.0
"""
How many times as long ten times the work may take.
"""
TIMES: Final = 10
_AGAIN: Final = 4
"""
How many times as many rounds are measured at most before work counts as slow.
"""

Work = Callable[[], object]


class Kind(NamedTuple):
    """A kind of work: its words, how much of it, and what prepares it."""

    what: str
    amount: int
    prepare: Callable[[int], Work]


KINDS: Final = (
    Kind("different timeouts that expire", 500, kinds.deadlines),
    Kind("waiting publishes cancelled, newest first", 500, kinds.cancelled_publishes),
    Kind("operations cancelled, newest first", 500, kinds.cancelled_operations),
    Kind("mandatory messages returned, newest first", 500, kinds.returned_publishes),
    Kind("messages put back one by one", 5000, kinds.put_back),
    Kind("messages acknowledged fifty at a time", 5000, kinds.acks_in_runs),
    Kind("messages acknowledged in one turn", 2000, kinds.acks_in_one_turn),
    Kind("consumers started under a limit", 500, kinds.limited_consumers),
    Kind("consumers of one tag given up", 2000, kinds.held_back_consumers),
    Kind("bindings of a queue to a headers exchange", 500, kinds.headers_bindings),
    Kind("bindings of a queue over STOMP", 2000, kinds.bindings_over_stomp),
    Kind("bindings of a queue on ActiveMQ", 500, stomp.bound),
    Kind("bindings beside a consumer on ActiveMQ", 500, stomp.bound_while_consumed),
    Kind("connections lost over STOMP", 2000, kinds.lost_connections),
    Kind("consumers that lose their messages", 500, kinds.lost_consumers),
    Kind("queues deleted at the broker", 500, kinds.deleted_queues),
    Kind("queues forgotten by a connection", 500, kinds.forgotten_queues),
    Kind("queues restored that the broker names", 100, api.server_named_queues),
    Kind("queues of a consumer started, cancelled", 100, api.consumers_started),
    Kind("consumers of one queue", 100, api.readers_of_one_queue),
    Kind("consumers restored, half of them refused", 50, api.consumers_refused),
    Kind("queues of a consumer cancelled one by one", 100, api.queues_cancelled),
    Kind("queues dropped before a consumer starts", 100, api.queues_dropped),
    Kind("consumers under one limit in memory", 100, api.channel_limit),
    Kind("consumers of different priorities", 300, api.priorities),
    Kind("messages taken by iteration", 500, api.taken_by_iteration),
    Kind("messages left unsettled by handlers", 500, api.left_unsettled),
    Kind("messages returned beside many bindings", 300, api.unroutable),
    Kind("exchanges declared again", 50, api.exchanges_again),
    Kind("messages drained beside many consumers", 100, api.drained),
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
    Measure a kind of work, and ten times as much.  If that takes too long, measure
    some more: another program may have taken the processor's cache.

    @return: the shortest times of the rounds, in seconds.
    """
    small = large = float("inf")
    for done in range(_AGAIN * rounds):
        if done >= rounds and large / small <= LIMIT:
            break
        small = min(small, _seconds(kind, kind.amount))
        large = min(large, _seconds(kind, kind.amount * TIMES))
    return small, large


def check(rounds: int, measured: Sequence[Kind] = KINDS) -> Found:
    """Measure kinds of work; a fault is one that grew faster than it may."""
    rows, faults = [], []
    for kind in measured:
        small, large = growth(kind, rounds)
        ratio = large / small
        each = small / kind.amount * 1e6
        if ratio > LIMIT:
            faults.append(
                f"{kind.what}: ten times as many ({kind.amount * TIMES:,}) took "
                f"{number(ratio)} times as long; at most {LIMIT:g} times are allowed"
            )
        verdict = "missed" if ratio > LIMIT else "met"
        rows.append(
            (kind.what, f"{kind.amount:,}", number(each), number(ratio), verdict)
        )
    head = ("work", "count", "µs each", "times for ten times", f"≤ {LIMIT:g}")
    return Found(table(head, rows), is_fine=not faults, faults=faults)
