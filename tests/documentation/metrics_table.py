"""
Write the table of metrics in docs/howto/monitoring.rst.

C{python -m tests.documentation.metrics_table} writes it; a test compares.
"""

from __future__ import annotations

from typing import Final

from prometheus_client.metrics_core import Metric
from twisted.internet.task import Clock

from tests.support.paths import DOCS
from txkombu import BrokerConnection, Consumer, Message, Queue
from txkombu.monitoring.metrics import Metrics
from txkombu.service import ConsumerService, PublisherService

PAGE: Final = DOCS / "howto" / "monitoring.rst"
BEGIN: Final = ".. begin metrics\n"
END: Final = ".. end metrics\n"


class _Worker(Consumer):
    queues = Queue("work")

    def receive(self, body: object, message: Message) -> None:
        """Do nothing."""


def families() -> list[Metric]:
    """Return the metrics of a service."""

    def connection() -> BrokerConnection:
        return BrokerConnection("memory://", reactor=Clock())

    publisher = PublisherService(connection())
    service = ConsumerService(connection(), _Worker, publisher=publisher)
    metrics = Metrics(service)
    service.startService()
    found = list(metrics._registry.collect())
    service.stopService()
    return sorted(found, key=lambda each: each.name)


def shown_name(family: Metric) -> str:
    """Return a metric's name as Prometheus has it."""
    return family.name + ("_total" if family.type == "counter" else "")


def labels_of(family: Metric) -> str:
    """Return the names of its labels."""
    names = {name for each in family.samples for name in each.labels} - {"le"}
    names |= set(getattr(family, "_labelnames", ()))
    return ", ".join(f"``{each}``" for each in sorted(names)) or "none"


def table() -> str:
    """Return the table."""
    lines = ["", ".. list-table::", "   :header-rows: 1", "   :widths: 36 10 22 32", ""]
    rows = [("metric", "type", "labels", "meaning")]
    for each in families():
        kind = each.type
        meaning = each.documentation
        rows.append((f"``{shown_name(each)}``", kind, labels_of(each), meaning))
    for row in rows:
        for number, cell in enumerate(row):
            lines.append(f"   {'*' if not number else ' '} - {cell}")
    return "\n".join([*lines, "", ""])


def text() -> str:
    """Return the page with the table."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
