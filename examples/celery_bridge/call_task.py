"""
Call a task: C{python call_task.py amqp://guest:guest@localhost// tasks.add 2 3}.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from twisted.internet.task import react

from celery_bridge import CeleryClient
from txkombu import BrokerConnection


async def main(reactor: Any, broker: str, task: str, *arguments: str) -> None:
    """Call a task with arguments of JSON, and print its result."""
    async with BrokerConnection(broker, reactor=reactor) as connection:
        client = CeleryClient(connection)
        print(await client.call(task, *map(json.loads, arguments)))


if __name__ == "__main__":
    react(main, sys.argv[1:])
