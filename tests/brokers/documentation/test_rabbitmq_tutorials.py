"""RabbitMQ's tutorials on RabbitMQ, by themselves and beside programs that use pika."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThread

from tests.documentation.rabbitmq_tutorials import (
    PAGES,
    URL,
    Started,
    TutorialCase,
    programs_of,
    steps_of,
)
from tests.support import pika_tutorials
from tests.support.processes import Running, run_python
from tests.support.rabbitmq import rabbitmq
from txkombu import BrokerConnection, Exchange, Queue

QUEUES = ("hello", "task_queue", "rpc_queue")
EXCHANGES = ("logs", "direct_logs", "topic_logs")


class PikaStarted(Started):
    """A program that uses pika, in a thread."""

    def __init__(self, url: str, name: str, *arguments: str) -> None:
        super().__init__()
        self._interrupted = threading.Event()
        self.ended = deferToThread(
            pika_tutorials.run, url, name, arguments, self._tell, self._interrupted
        )

    def _tell(self, *words: object) -> None:
        IReactorFromThreads(reactor).callFromThread(self.write, *words)

    def interrupt(self) -> None:
        """Have it end."""
        self._interrupted.set()


class RabbitMQTests(TutorialCase):
    """The pages, with a real broker."""

    def setUp(self) -> None:
        super().setUp()
        self.url = rabbitmq().url

    def tearDown(self) -> Deferred[None]:  # type: ignore[override]  # trial waits
        return Deferred.fromCoroutine(self.sweep())

    async def sweep(self) -> None:
        """Delete what the programs declare."""
        async with BrokerConnection(self.url) as connection:
            for name in QUEUES:
                await Queue(name)(connection).delete()
            for name in EXCHANGES:
                await Exchange(name)(connection).delete()

    def start_pika(self, name: str, *arguments: str) -> Started:
        """Start the program of this name that uses pika."""
        return PikaStarted(self.url, name, *arguments)

    async def test_pages(self) -> None:
        """Each command of each page prints what the page shows."""
        for page in PAGES:
            self.assertGreater(await self.run_page(page), 0, page)

    async def test_from_pika(self) -> None:
        """What the official producers and clients send, ours receive as theirs do."""
        for page in PAGES[:6]:
            await self.run_page(page, producer=self.start_pika)

    async def test_to_pika(self) -> None:
        """What ours send, the official consumers and servers receive as from theirs."""
        for page in PAGES[:6]:
            await self.run_page(page, consumer=self.start_pika)

    def test_processes(self) -> None:
        """Saved to files they run from there, and Ctrl-C ends the one that waits."""
        home = Path(self.mktemp())
        home.mkdir()
        for name, source in programs_of("hello-world.rst").items():
            (home / name).write_text(source.replace(URL, self.url))
        receive, send = steps_of("hello-world.rst")
        receiving = Running(*receive.command, cwd=home)
        self.addCleanup(receiving.close)
        receiving.wait_for(receive.shown[0])
        sent = run_python(*send.command, cwd=home)
        self.assertEqual((sent.stdout.strip(), sent.stderr), (send.shown[0], ""))
        receiving.wait_for(receive.shown[1])
        receiving.process.send_signal(signal.SIGINT)
        self.assertEqual(receiving.wait(), 0)
        printed = [line.strip() for line in receiving.output.splitlines()]
        self.assertEqual(printed, receive.shown)
