"""
The CPU costs of the AMQP transports: a table in docs/explained/transports.rst, made
from the tables in docs/explained/benchmarks.rst.
"""

from __future__ import annotations

import re
from typing import Final

from benchmarks.tables import PAGE, table, write

TRANSPORTS: Final = PAGE.with_name("transports.rst")
"""
The page that has the table.
"""

_MODES: Final = {
    "publish": "Publishing without confirms",
    "confirm": "Publishing with confirms",
    "consume": "Consuming, acking each",
}
_ROWS: Final = {
    "``amqp://``": "txkombu",
    "``pika://``": "txkombu over pika",
    "``txamqp://``": "txkombu over txAMQP",
    "pika's adapter by itself": "pika, Twisted",
    "txAMQP by itself": "txAMQP",
}
_SIZE: Final = 200


def cost_table(measured: str) -> str:
    """
    Make the table of CPU time for a message of 200 bytes.

    @param measured: the text of docs/explained/benchmarks.rst.
    @return: a simple table, in microseconds.
    """
    cpu = {mode: _cpu(measured, title) for mode, title in _MODES.items()}
    return table(
        ("µs of CPU", *_MODES),
        (
            (name, *(cpu[mode][client] for mode in _MODES))
            for name, client in _ROWS.items()
        ),
    )


def _cpu(measured: str, title: str) -> dict[str, str]:
    section = measured[measured.index(title) :]
    lines = re.findall(rf"(?m)^(\S.*?) +{_SIZE} +\S+ +(\S+)", section)
    found: dict[str, str] = {}
    for client, cpu in lines:
        found.setdefault(client, cpu)
    return found


def write_costs() -> None:
    """Write the table into its page."""
    write("costs", cost_table(PAGE.read_text(encoding="utf-8")), TRANSPORTS)
