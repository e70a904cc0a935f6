"""docs/start/rabbitmq is so: on a broker in memory, and in what the pages say."""

from __future__ import annotations

import re

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.documentation.rabbitmq_tutorials import (
    FOLDER,
    PAGES,
    TutorialCase,
    programs_of,
    text_of,
)
from txkombu.transport.memory import forget_brokers


class MemoryTests(TutorialCase):
    """The programs, with a broker in memory."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(forget_brokers)

    async def test_pages(self) -> None:
        """Each command of each page prints what the page shows."""
        for page in PAGES:
            self.assertGreater(await self.run_page(page), 0, page)

    async def test_dying_worker(self) -> None:
        """The task of a worker that ends while it works goes to another."""
        first = self.start("worker.py", clock=Clock())
        await first.when_printed(1)
        await self.start("new_task.py", "a", "task...").ended
        await first.when_printed(2)
        second = self.start("worker.py")
        await second.when_printed(1)
        await first.stop()
        await second.when_printed(3)
        await second.stop()
        self.assertEqual(first.lines[1:], ["[x] Received a task..."])
        self.assertEqual(second.lines[1:], ["[x] Received a task...", "[x] Done"])

    async def test_usage(self) -> None:
        """A listener that is told nothing to listen to says how it is used."""
        for name in ("receive_logs_direct.py", "receive_logs_topic.py"):
            with self.assertRaisesRegex(SystemExit, f"^Usage: {name} "):
                await self.start(name).ended


class TextTests(SynchronousTestCase):
    """What the pages say."""

    def test_lines(self) -> None:
        """The index tells how many lines the programs of the first six pages have."""
        programs = [each for page in PAGES[:6] for each in programs_of(page).values()]
        self.assertEqual(len(programs), 12)
        lines = [line.strip() for each in programs for line in each.splitlines()]
        count = sum(1 for line in lines if line and not line.startswith("#"))
        text = " ".join(text_of("index.rst").split())
        told = f"have {count} lines that are neither blank nor comments."
        self.assertIn(f"The 12 programs of the first six pages {told}", text)

    def test_width(self) -> None:
        """No line of a program is too long for a terminal of the usual width."""
        for page in PAGES:
            for name, source in programs_of(page).items():
                self.assertLessEqual(max(map(len, source.splitlines())), 88, name)

    def test_index(self) -> None:
        """The index lists the pages in their order, by their titles."""
        listed = re.findall(
            r"(?m)^(\d)\. `(.+) <([\w-]+\.rst)>`__", text_of("index.rst")
        )
        self.assertEqual([each[2] for each in listed], list(PAGES))
        for number, title, page in listed:
            self.assertEqual(text_of(page).splitlines()[0], f"{number}. {title}")
        found = {path.name for path in FOLDER.glob("*.rst")}
        self.assertEqual(found, {"index.rst", *PAGES})
