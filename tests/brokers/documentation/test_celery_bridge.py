"""C{examples/celery_bridge} with Celery at the other side."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec

from twisted.internet.threads import deferToThread

from tests.conformance.suite import Conformance, program
from tests.support.examples import importable
from tests.support.paths import EXAMPLES
from tests.support.processes import Running, run_python
from tests.support.rabbitmq import rabbitmq

FOLDER = EXAMPLES / "celery_bridge"
WORKER = "-m celery -q -A tasks worker -P solo --without-mingle --without-gossip"
CALLS = """
from tasks import app
for arguments in [2, 3], [2, "x"], [2]:
    result = app.send_task("tasks.multiply", arguments)
    try:
        print(result.get(timeout=30))
    except Exception as error:
        print(type(error).__name__)
"""


class CeleryBridgeTests(Conformance):
    """Each side understands the other."""

    if find_spec("celery") is None:
        skip = "celery is not installed"

    def setUp(self) -> None:
        self.url = rabbitmq().url
        super().setUp()
        self.patch(os, "environ", {**os.environ, "TXKOMBU_BROKER": f"{self.url}//"})
        with importable(FOLDER):
            self.bridge = import_module("celery_bridge")
            self.worker = import_module("worker")
        self.temporary = [self.bridge.CELERY, self.bridge.CELERY.exchange]

    @program
    async def test_call(self) -> None:
        """A worker of Celery carries out what the client calls, and its error comes."""
        await self.bridge.CELERY(self.connection).declare()
        running = Running(*WORKER.split(), cwd=FOLDER)
        self.addCleanup(running.close)
        client = self.bridge.CeleryClient(self.connection)
        self.assertEqual(await client.call("tasks.add", 2, 3), 5)
        self.assertEqual(await client.call("tasks.add", x=2, y=4), 6)
        with self.assertRaises(self.bridge.TaskFailed) as caught:
            await client.call("tasks.add", 2)
        self.assertEqual(caught.exception.kind, "TypeError")

    @program
    async def test_carry_out(self) -> None:
        """The worker carries out what a program with Celery sends, or tells why not."""
        await self.worker.worker(self.connection).consume()
        done = await deferToThread(run_python, "-c", CALLS, cwd=FOLDER)
        self.assertEqual(done.stdout.split(), ["6", "xx", "TypeError"], done.stderr)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
