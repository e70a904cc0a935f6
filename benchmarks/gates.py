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

    @ivar size: of the bodies that it is for, in bytes; C{None} is all sizes.
    """

    mode: str
    field: str
    theirs: str
    limit: float
    only_wanted: bool = False
    ours: str = OURS
    size: int | None = None

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


_SHORT, _LONG = 200, 4096

GATES = (
    Gate("publish", "cpu", PIKA_TWISTED, 0.8, size=_SHORT),
    Gate("publish", "cpu", PIKA_TWISTED, 0.95, size=_LONG),
    Gate("confirm", "cpu", PIKA_TWISTED, 0.75, size=_SHORT),
    Gate("confirm", "cpu", PIKA_TWISTED, 0.65, only_wanted=True, size=_SHORT),
    Gate("confirm", "cpu", PIKA_TWISTED, 1.15, size=_LONG),
    Gate("consume", "cpu", PIKA_TWISTED, 0.36, size=_SHORT),
    Gate("consume", "cpu", PIKA_TWISTED, 0.5, size=_LONG),
    Gate("publish", "rate", C, 0.95, size=_SHORT),
    Gate("publish", "rate", C, 1.0, only_wanted=True, size=_SHORT),
    Gate("publish", "rate", C, 0.75, size=_LONG),
    Gate("publish", "rate", C, 0.9, only_wanted=True, size=_LONG),
    Gate("publish", "rate", KOMBU, 2.0),
    Gate("confirm", "rate", PIKA_TWISTED, 1.1, size=_SHORT),
    Gate("confirm", "rate", PIKA_TWISTED, 0.9, size=_LONG),
    Gate("confirm", "rate", KOMBU, 4.5),
    Gate("consume", "rate", C, 1.0, size=_SHORT),
    Gate("consume", "rate", C, 0.95, size=_LONG),
    Gate("consume", "rate", C, 1.0, only_wanted=True, size=_LONG),
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
        whether it is met.  Goals for a client or a size that was not measured are left
        out.
    """
    sizes = sorted({size for _, size in taken})
    for gate in gates:
        samples = {size: taken[gate.mode, size] for size in sizes}
        clients = {gate.ours, gate.theirs}
        if any(clients - each.taken.keys() for each in samples.values()):
            continue
        if gate.size is not None and gate.size not in sizes:
            continue
        row = [gate.words, gate.bound]
        for size, each in samples.items():
            if gate.size not in (None, size):
                row += ["", ""]
                continue
            ratio = each.ratio(gate.field, gate.ours, gate.theirs)
            row += [number(ratio), "met" if gate.is_met(ratio) else "missed"]
        yield row
