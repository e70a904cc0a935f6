"""
Runs the pages with RabbitMQ's tutorials as a reader would: starts each command, in the
order of the page, and checks that it prints what the page shows after it.
"""

from __future__ import annotations

import doctest
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple, Protocol

from docutils import nodes
from twisted.internet import reactor, task
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.trial.unittest import TestCase

from tests.support.paths import DOCS
from tests.support.snippets import parse, snippets_of

FOLDER = DOCS / "start" / "rabbitmq"
PAGES = (
    "hello-world.rst",
    "work-queues.rst",
    "publish-subscribe.rst",
    "routing.rst",
    "topics.rst",
    "rpc.rst",
    "publisher-confirms.rst",
)
URL = "amqp://localhost"
"""The broker that the pages name."""
SECONDS = 30.0
"""How long a program may take to print something."""
FEWER = ("50_000", "200"), ("50,000", "200")
"""How the numbers of messages are made small."""


class Step(NamedTuple):
    """
    One command of a page.

    @ivar command: the program's file and its arguments.
    @ivar shown: the lines that it prints.
    """

    command: list[str]
    shown: list[str]

    @property
    def waits(self) -> bool:
        """Whether the program waits for messages until it is interrupted."""
        return "aiting" in self.shown[0]


def text_of(page: str) -> str:
    """Return a page."""
    return (FOLDER / page).read_text(encoding="utf-8")


@cache
def programs_of(page: str) -> dict[str, str]:
    """Return the programs of a page, by the name that the line before gives each."""
    found = {}
    for node in parse(text_of(page)).findall(nodes.literal_block):
        if "python" in node["classes"]:
            before = node.parent[node.parent.index(node) - 1].astext()
            name = re.match(r"\w+\.py", before)
            assert name is not None, before
            found[name[0]] = node.astext()
    return found


def steps_of(page: str) -> Iterator[Step]:
    """Give the commands of a page."""
    snippets = [each for each in snippets_of(text_of(page)) if each.kind != "program"]
    for command, output in zip(snippets[::2], snippets[1::2], strict=True):
        assert (command.kind, output.kind) == ("sh", "output"), (page, command)
        python, *words = shlex.split(command.text)
        assert python == "python", command
        yield Step(words, [line.strip() for line in output.text.splitlines()])


class Started:
    """
    A program that was started.

    @ivar lines: what it has printed.
    @ivar ended: fires at its end.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.ended: Deferred[Any]
        self._waiting: list[tuple[int, Deferred[None]]] = []

    def write(self, *words: object) -> None:
        """Note a line; this is C{print} for the program."""
        self.lines.append(" ".join(map(str, words)).strip())
        for count, waiter in self._waiting:
            if len(self.lines) >= count and not waiter.called:
                waiter.callback(None)

    def when_printed(self, count: int) -> Deferred[None]:
        """Return a Deferred that fires when it has printed so many lines, and waits."""
        waiter: Deferred[None] = Deferred()
        self._waiting.append((count, waiter))
        if len(self.lines) >= count:
            waiter.callback(None)
        # A coroutine cannot be cancelled while it runs, and so not while it prints.
        clock = IReactorTime(reactor)
        return waiter.addCallback(lambda _: task.deferLater(clock, 0))

    def interrupt(self) -> None:
        """Have it end."""
        self.ended.cancel()

    async def stop(self) -> None:
        """Have it end, and wait for that."""
        self.interrupt()
        with suppress(CancelledError):
            await self.ended


class Hasty:
    """The reactor, but what is to be called later is called soon."""

    def callLater(self, _: float, function: Callable[..., object], *rest: Any) -> Any:
        """Call a function in the next turn."""
        return IReactorTime(reactor).callLater(0, function, *rest)

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


class Starter(Protocol):
    """Starts a program of a tutorial, in whatever way."""

    def __call__(self, name: str, *arguments: str) -> Started: ...


class TutorialCase(TestCase):
    """
    Runs programs of the pages in this process.

    @cvar url: the broker.
    """

    url = "memory://tutorials"
    timeout = 120

    def setUp(self) -> None:
        self.programs = {
            name: source for page in PAGES for name, source in programs_of(page).items()
        }

    def start(self, name: str, *arguments: str, clock: Any = None) -> Started:
        """
        Start a program in this process.

        @param clock: what it takes for the reactor; by default one that never waits.
        """
        started = Started()
        source = self.programs[name].replace(URL, self.url).replace(*FEWER[0])

        def react(main: Any, argv: Sequence[str] = ()) -> None:
            running = main(Hasty() if clock is None else clock, *argv)
            started.ended = Deferred.fromCoroutine(running)

        self.patch(task, "react", react)
        self.patch(sys, "argv", [name, *arguments])
        exec(compile(source, name, "exec"), {"print": started.write})
        return started

    async def run_page(
        self,
        page: str,
        consumer: Starter | None = None,
        producer: Starter | None = None,
    ) -> int:
        """
        Run all commands of a page, and check what they print.

        @param consumer: starts the programs that wait; by default C{start}.
        @param producer: starts those that come to an end; by default C{start}.
        @return: how many there were.
        """
        waiting: list[tuple[Step, Started]] = []
        steps = list(steps_of(page))
        for step in steps:
            begin = (consumer if step.waits else producer) or self.start
            started = begin(*step.command)
            self.addCleanup(started.interrupt)
            if step.waits:
                waiting.append((step, started))
                await self.until_printed(step, started, 1)
            else:
                await started.ended
                await self.until_printed(step, started, len(step.shown))
                self.assert_printed(step, started)
        for step, started in waiting:
            await self.until_printed(step, started, len(step.shown))
        for step, started in waiting:
            await started.stop()
            self.assert_printed(step, started)
        return len(steps)

    async def until_printed(self, step: Step, started: Started, count: int) -> None:
        """Wait until a program has printed so many of its lines."""
        clock = IReactorTime(reactor)
        try:
            await started.when_printed(count).addTimeout(SECONDS, clock)
        except TimeoutError:
            self.assert_printed(step, started)

    def assert_printed(self, step: Step, started: Started) -> None:
        """A program has printed exactly what the page shows."""
        wanted = "\n".join(step.shown).replace(*FEWER[1])
        printed = "\n".join(started.lines)
        checker = doctest.OutputChecker()
        if not checker.check_output(wanted, printed, doctest.ELLIPSIS):
            self.assertEqual(printed, wanted, step.command)
