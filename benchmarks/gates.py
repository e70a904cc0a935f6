"""
The goals of txkombu's transports, beside other clients.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from benchmarks.clients import (
    KOMBU,
    OURS,
    OURS_BYTES,
    PIKA_TWISTED,
    STOMPPY,
    C,
)
from benchmarks.report import Samples
from benchmarks.tables import number


class Gate(NamedTuple):
    """
    A goal: a ratio of CPU that must not be higher, or of rate that must not be lower.
    """

    mode: str
    field: str
    theirs: str
    limit: float
    only_wanted: bool = False
    ours: str = OURS

    def is_met(self, ratio: float) -> bool:
        return ratio <= self.limit if self.field == "cpu" else ratio >= self.limit

    @property
    def words(self) -> str:
        what = "CPU" if self.field == "cpu" else "rate"
        aim = ", wanted" if self.only_wanted else ""
        given = self.ours.removeprefix(OURS)
        return f"{self.mode}{given}: {what} ratio to {self.theirs}{aim}"

    @property
    def bound(self) -> str:
        return f"{'≤' if self.field == 'cpu' else '≥'} {self.limit:g}"


GATES = (
    Gate("publish", "cpu", PIKA_TWISTED, 1.2),
    Gate("confirm", "cpu", PIKA_TWISTED, 1.0),
    Gate("consume", "cpu", PIKA_TWISTED, 0.5),
    Gate("publish", "rate", C, 0.75),
    Gate("publish", "rate", C, 0.9, only_wanted=True),
    Gate("publish", "rate", KOMBU, 2.0),
    Gate("confirm", "rate", PIKA_TWISTED, 0.9),
    Gate("confirm", "rate", KOMBU, 4.5),
    Gate("consume", "rate", C, 0.95),
    Gate("consume", "rate", C, 1.0, only_wanted=True),
    Gate("consume", "rate", KOMBU, 2.5),
)

STOMP_GATES = tuple(
    Gate(mode, field, STOMPPY, limit, ours=ours)
    for ours in (OURS, OURS_BYTES)
    for mode in ("confirm", "consume")
    for field, limit in (("rate", 0.9), ("cpu", 1.2))
)


def judge(
    taken: Mapping[tuple[str, int], Samples], gates: Iterable[Gate] = GATES
) -> Iterator[list[str]]:
    """
    Compare the ratios with the goals.

    @param taken: the samples by mode and size of body.
    @return: a row for each goal: its words, its bound, and for each size the ratio and
        whether it is met.  Goals for a client that was not measured are left out.
    """
    sizes = sorted({size for _, size in taken})
    for gate in gates:
        samples = [taken[gate.mode, size] for size in sizes]
        if any({gate.ours, gate.theirs} - each.taken.keys() for each in samples):
            continue
        row = [gate.words, gate.bound]
        for each in samples:
            ratio = each.ratio(gate.field, gate.ours, gate.theirs)
            row += [number(ratio), "met" if gate.is_met(ratio) else "missed"]
        yield row
