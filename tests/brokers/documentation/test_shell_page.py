"""The introduction's consumer and producer, typed into two shells."""

from __future__ import annotations

import contextlib
import doctest
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docutils import nodes
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

import txkombu
from tests.support.paths import DOCS
from tests.support.rabbitmq import rabbitmq
from tests.support.snippets import parse
from txkombu import BrokerConnection, Queue
from txkombu.exceptions import NotFound

SECONDS = 60.0


def typed(section: str) -> str:
    """What a reader types of one section of the introduction."""
    text = (DOCS / "introduction.rst").read_text(encoding="utf-8")
    [found] = [
        node for node in parse(text).findall(nodes.section) if section in node["ids"]
    ]
    parser = doctest.DocTestParser()
    return "".join(
        f"{example.source}\n"
        for block in found.findall(nodes.doctest_block)
        for example in parser.get_examples(block.astext())
    )


class Shell(ProcessProtocol):
    """
    A C{txkombu shell}.

    @ivar said: what it printed.
    @ivar ended: fires with its exit code.
    """

    def __init__(self) -> None:
        self.said = ""
        self.ended: Deferred[int] = Deferred()
        IReactorProcess(reactor).spawnProcess(
            self,
            sys.executable,
            [sys.executable, "-u", "-m", "txkombu", "shell"],
            env=dict(os.environ),
            path=str(Path(txkombu.__file__).parent.parent),
        )

    def type(self, text: str) -> None:
        """Type something."""
        assert self.transport is not None
        self.transport.write(text.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C, and then Ctrl-D."""
        assert self.transport is not None
        self.transport.signalProcess(signal.Signals.SIGINT.name[3:])
        self.transport.closeStdin()

    def kill(self) -> Deferred[int]:
        """End it, if it has not ended; fires when it has."""
        if not self.ended.called:
            assert self.transport is not None
            self.transport.signalProcess("KILL")
        return self.ended

    def outReceived(self, data: bytes) -> None:
        """It printed something."""
        self.said += data.decode()

    def errReceived(self, data: bytes) -> None:
        """So do errors come here, and the banner."""
        self.said += data.decode()

    def processEnded(self, reason: Failure) -> None:
        """It is over."""
        value: Any = reason.value
        self.ended.callback(value.exitCode)


class ShellTests(TestCase):
    """C{python -m txkombu shell}, twice, with RabbitMQ between."""

    timeout = 180

    def shell(self) -> Shell:
        """Start a shell, which does not outlive the test."""
        shell = Shell()
        self.addCleanup(shell.kill)
        return shell

    async def until(self, done: Callable[[], object]) -> None:
        """Wait until something is so."""
        clock = IReactorTime(reactor)
        limit = clock.seconds() + SECONDS
        while not done():
            self.assertLess(clock.seconds(), limit, "it took too long")
            await deferLater(clock, 0.02)

    async def until_consumed(self, connection: BrokerConnection, name: str) -> None:
        """Wait until a queue is there and has a consumer."""
        clock = IReactorTime(reactor)
        limit = clock.seconds() + SECONDS
        consumers = 0
        while not consumers:
            self.assertLess(clock.seconds(), limit, "nobody consumes")
            await deferLater(clock, 0.05)
            with contextlib.suppress(NotFound):
                found = await Queue(name)(connection).queue_declare(passive=True)
                consumers = found.consumer_count or 0

    async def test_two_shells(self) -> None:
        """What is published in one is printed in the other."""
        url = rabbitmq().url
        async with BrokerConnection(url) as connection:
            await Queue("feed")(connection).delete()  # other pages fill it, too
        begin = f'connection = BrokerConnection("{url}")\n'
        consuming, producing = self.shell(), self.shell()
        consuming.type(begin + typed("receiving-messages-using-a-consumer"))
        async with BrokerConnection(url) as connection:
            await self.until_consumed(connection, "feed")
        sending = typed("sending-messages-using-a-producer")
        producing.type(begin + sending.partition("await consumer.close()")[0])
        line = "Got feed import message for: http://cnn.com/rss/edition.rss\n"
        await self.until(lambda: line in consuming.said)
        consuming.interrupt()
        assert producing.transport is not None
        producing.transport.closeStdin()
        self.assertEqual((await consuming.ended, await producing.ended), (0, 0))
        self.assertNotIn("Error", consuming.said + producing.said)
