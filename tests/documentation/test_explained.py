"""
The pages that explain: their numbers, drawings and snippets.
"""

from __future__ import annotations

from typing import Final
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from tests.scenarios import all_rows
from tests.support.paths import CHECKOUT, DOCS
from tests.support.snippets import PageTestCase
from txkombu.core import decoded_memory, publish_queue, turn_budget
from txkombu.core.consumers import PREFETCH
from txkombu.messaging import producer
from txkombu.policy import ReconnectPolicy, default, hosting
from txkombu.service import handlers
from txkombu.transport import protocol
from txkombu.transport.amqp import native
from txkombu.transport.memory import MemoryBroker

FOLDER: Final = DOCS / "explained"
MIB: Final = 1024 * 1024


def text_of(name: str) -> str:
    """Return a page, with single blanks, so that line ends do not matter."""
    return " ".join((FOLDER / name).read_text(encoding="utf-8").split())


class SnippetTests(PageTestCase):
    """What these pages show runs."""

    async def test_guarantees(self) -> None:
        """docs/explained/guarantees.rst"""
        text = (FOLDER / "guarantees.rst").read_text(encoding="utf-8")
        self.assertGreater(await self.run_text(text), 1)


class NumbersTests(SynchronousTestCase):
    """The numbers on the pages are those of the code."""

    def test_back_pressure(self) -> None:
        """Every bound of docs/explained/back_pressure.rst, and of its drawing."""
        bounds = {
            "1,000": publish_queue.WINDOW,
            "16 MiB": publish_queue.WINDOW_BYTES / MIB,
            "10,000": publish_queue.MAX_PENDING,
            "64 MiB": publish_queue.MAX_PENDING_BYTES / MIB,
            "256 KiB": protocol.BUFFER_SIZE / 1024,
            "200,": publish_queue.TURN,
            "30 seconds": producer.PUBLISH_TIMEOUT,
            "queue: 100": PREFETCH,
            "50 ms": turn_budget.TURN_SECONDS * 1000,
            "8 bodies": decoded_memory.BODIES,
            "default 10": handlers.THREADS,
        }
        page = text_of("back_pressure.rst")
        for shown, value in bounds.items():
            self.assertIn(shown, page)
            number = "".join(each for each in shown if each.isdigit())
            self.assertEqual(int(number), value, shown)
        self.assertEqual(publish_queue.TURN_BYTES, protocol.BUFFER_SIZE)
        drawn = text_of("back_pressure.svg")
        for shown in (
            "1,000",
            "16 MiB",
            "10,000",
            "64 MiB",
            "256 KiB",
            "50 ms",
            "100 ",
        ):
            self.assertIn(shown, drawn)

    def test_failure_policies(self) -> None:
        """The default's attempts and waits."""
        self.assertEqual(default.attempts, 5)
        waits = [default.delay * default.factor**each for each in range(4)]
        self.assertEqual(sum(waits), 15.0)
        page = text_of("failure_policies.rst")
        self.assertIn("five times in 15 seconds", page)
        self.assertEqual((hosting.FIRST_HOLD, hosting.LONGEST_HOLD), (30.0, 600.0))
        self.assertIn("from 30 seconds to ten minutes", page)

    def test_memory_broker(self) -> None:
        """There are several hundred scenarios, and a broker without a clock."""
        self.assertGreater(len(all_rows()), 300)
        self.assertIsNone(MemoryBroker().clock)

    def test_sessions(self) -> None:
        """The waits of docs/explained/sessions.rst."""
        policy = ReconnectPolicy()
        waits = (policy.first, policy.max, policy.stable_after)
        self.assertEqual(waits, (1.0, 30.0, 5.0))
        page = text_of("sessions.rst")
        self.assertIn("grow from one to thirty seconds", page)
        self.assertIn("five seconds (``stable_after``)", page)

    def test_consuming_gains_most(self) -> None:
        """A native protocol saves the largest part of the CPU time in consuming."""
        page = (FOLDER / "transports.rst").read_text(encoding="utf-8")
        table = page.partition(".. begin costs\n")[2].partition(".. end costs")[0]
        costs = {
            line.split()[0]: [float(each) for each in line.split()[1:]]
            for line in table.splitlines()
            if line.startswith("``")
        }
        publish, confirm, consume = (
            native_cost / adapter
            for native_cost, adapter in zip(
                costs["``amqp://``"], costs["``pika://``"], strict=True
            )
        )
        self.assertLess(consume, min(publish, confirm))

    def test_native(self) -> None:
        """Publishes are written when they are 64 KiB, which fits into the buffer."""
        self.assertLess(native.AT_ONCE, protocol.BUFFER_SIZE)


class DrawingTests(SynchronousTestCase):
    """The drawings."""

    def test_shown(self) -> None:
        """Each drawing is well-formed, has a title, and stands in a page."""
        pages = "".join(
            path.read_text(encoding="utf-8") for path in FOLDER.glob("*.rst")
        )
        for path in FOLDER.glob("*.svg"):
            root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
            titles = [each for each in root if each.tag.endswith("title")]
            self.assertEqual(len(titles), 1, path.name)
            self.assertIn(path.name, pages)

    def test_files(self) -> None:
        """Each file of the library that these pages name is there."""
        for path in FOLDER.glob("*.rst"):
            for word in path.read_text(encoding="utf-8").split("``"):
                if word.endswith(".py") and "/" in word and " " not in word:
                    found = [
                        (CHECKOUT / each / word).exists() for each in ("txkombu", ".")
                    ]
                    self.assertIn(True, found, f"{path.name}: {word}")
