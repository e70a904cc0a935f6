"""
Compare clients of RabbitMQ as bodies grow, and as consumers become more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from benchmarks.amqp import Comparison, Taken
from benchmarks.clients import CLIENTS, MODES, OURS, PIKA_TWISTED, C
from benchmarks.found import Found, noise
from benchmarks.plots import Plot
from benchmarks.report import Figures, Samples
from benchmarks.tables import number, table

SIZES = (100, 1_000, 10_000, 100_000, 1_048_576)
CONSUMERS = (1, 10, 100, 1_000)
_SIZE = 200
_MODES = MODES[:-1]
_CLIENTS = [each for each in CLIENTS if each.name in (OURS, C, PIKA_TWISTED)]
_CONSUMING = [
    each._replace(modes={"consume-many": "consume-many"})
    for each in CLIENTS
    if each.name in (OURS, PIKA_TWISTED)
]
_MIB = 1024 * 1024
_MOST_BYTES = 256 * _MIB
"""
Of large bodies there are as many as have this size together.
"""


def compare_sizes(messages: int, rounds: int) -> Found:
    """Measure bodies of 100 bytes to 1 MiB; this takes minutes."""
    taken: Taken = {}
    with Comparison(_CLIENTS, rounds) as comparison:
        for mode in _MODES:
            for size in SIZES:
                count = max(min(messages, _MOST_BYTES // size), 2)
                taken[mode, size] = comparison.take(mode, size, count)
    head = (
        f"At most {messages:,} messages and 256 MiB, {rounds} paired rounds;\n"
        f"{comparison.versions}.  Messages per second, and µs of CPU for each:"
    )
    parts = [head]
    plots = []
    for mode in _MODES:
        found = {size: taken[mode, size] for size in SIZES}
        parts.append(_table(mode, "bytes", found))
        title, y = f"{mode}: messages per second", "messages/s"
        lines = _lines(found, lambda figures: figures.rate)
        plots.append(Plot(f"size-{mode}", title, "bytes of a body", y, lines))
    parts += [
        f"Not measured: {name}, since {why}."
        for name, why in comparison.commands.missing.items()
    ]
    return Found("\n\n".join(parts), [*noise(taken)], plots)


def compare_consumers(messages: int, rounds: int) -> Found:
    """Measure 1 to 1,000 consumers of one queue; this takes minutes."""
    with Comparison(_CONSUMING, rounds) as comparison:
        found = {
            count: comparison.take("consume-many", _SIZE, messages, count)
            for count in CONSUMERS
        }
    head = (
        f"{messages:,} messages of {_SIZE} bytes, {rounds} paired rounds;\n"
        f"{comparison.versions}."
    )
    text = f"{head}\n\n{_table('consume', 'consumers', found)}"
    plot = Plot(
        "consumers",
        "consume: CPU time for a message",
        "consumers of one connection",
        "µs of CPU",
        _lines(found, lambda figures: figures.cpu),
    )
    taken = {("consumers", count): samples for count, samples in found.items()}
    return Found(text, [*noise(taken)], [plot])


def _names(found: Iterable[Samples]) -> list[str]:
    return list(next(iter(found)).taken)


def _table(mode: str, what: str, found: dict[int, Samples]) -> str:
    header = [f"{mode}, {what}"]
    for name in _names(found.values()):
        header += [name, "CPU µs"]
    rows = []
    for amount, samples in found.items():
        row = [f"{amount:,}"]
        for name in samples.taken:
            figures = samples.median(name)
            row += [number(figures.rate), number(figures.cpu)]
        rows.append(row)
    return table(header, rows)


def _lines(
    found: dict[int, Samples], take: Callable[[Figures], float]
) -> dict[str, list[tuple[float, float]]]:
    return {
        name: [(amount, take(each.median(name))) for amount, each in found.items()]
        for name in _names(found.values())
    }
