"""Services of configuration files in processes of their own, which are told to end."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.conformance.suite import Conformance, program
from tests.support.processes import TWISTD, Running
from tests.support.rabbitmq import rabbitmq
from txkombu import Message, Producer, Queue

COUNT = 3000
HANDLERS = """
from twisted.internet import reactor
from twisted.internet.task import deferLater


async def handle(body, message):
    await deferLater(reactor, 0.01)
    print("handled", body, flush=True)


def block(body, message):
    print(f"handled {body}\\n", end="", flush=True)  # in one write
"""
FILE = """
broker: {url}
queues:
  {queue}: {{}}
consumers:
  - handler: work:{handler}
    queues: {queue}
    prefetch_count: 50
    thread: {thread}
"""
PROGRAMS = {
    "serve": ("-m", "txkombu", "serve"),
    "twistd": ("-c", TWISTD, "-n", "--pidfile=", "kombu"),
}


class StopTests(Conformance):
    """Each message is handled once, whatever is going on when SIGTERM comes."""

    timeout = 180

    def setUp(self) -> None:
        self.url = rabbitmq().url
        super().setUp()
        self.home = Path(self.mktemp())
        self.home.mkdir()
        (self.home / "work.py").write_text(HANDLERS)

    def start(self, name: str, queue: Queue, handler: str) -> Running:
        """Start a program with a handler of the queue."""
        text = FILE.format(
            url=self.url,
            queue=queue.name,
            handler=handler,
            thread=str(handler == "block").lower(),
        )
        (self.home / "service.yaml").write_text(text)
        running = Running(*PROGRAMS[name], "--config", "service.yaml", cwd=self.home)
        self.addCleanup(running.close)
        return running

    async def check(self, name: str, handler: str) -> None:
        """Stop a program twice under load, and let a third one finish the work."""
        queue = self.queue()
        await queue(self.connection).declare()
        producer = Producer(self.connection, routing_key=queue.name)
        await producer.publish_all(range(COUNT))
        handled: list[int] = []
        for part in (1, 2):
            running = self.start(name, queue, handler)
            while running.output.count("handled ") < part * COUNT // 5:
                self.assertIsNone(running.process.poll(), running.output)
                await self.pause(0.02)
            running.process.send_signal(signal.SIGTERM)
            while running.process.poll() is None:
                await self.pause(0.05)
            wanted = 0 if name == "serve" else -signal.SIGTERM
            self.assertEqual(running.process.poll(), wanted, running.output)
            handled += [
                int(line.split()[-1])
                for line in running.output.splitlines()
                if "handled " in line
            ]
        left: list[int] = []
        while isinstance(message := await queue(self.connection).get(), Message):
            left.append(int(str(message.payload)))
            message.ack()
        self.assertGreater(len(left), 0)
        self.assertEqual(sorted([*handled, *left]), list(range(COUNT)))

    @program
    async def test_serve(self) -> None:
        """C{txkombu serve}, with coroutines."""
        await self.check("serve", "handle")

    @program
    async def test_serve_threads(self) -> None:
        """C{txkombu serve}, with threads."""
        await self.check("serve", "block")

    @program
    async def test_twistd(self) -> None:
        """C{twistd kombu}"""
        await self.check("twistd", "handle")
