"""A Celery application to try this with: C{celery -A tasks worker}."""

from __future__ import annotations

import os

from celery import Celery

BROKER = os.environ.get("TXKOMBU_BROKER", "amqp://guest:guest@localhost//")
app = Celery("tasks", broker=BROKER, backend="rpc://")


@app.task(name="tasks.add")  # type: ignore[untyped-decorator]  # Celery may not be here
def add(x: int, y: int) -> int:
    """Add two numbers."""
    return x + y
