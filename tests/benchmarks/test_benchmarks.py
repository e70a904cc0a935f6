"""
The benchmarks can be run.  These tests measure nothing.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

from docutils import nodes
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.__main__ import KINDS, parse
from benchmarks.bodies import compact, sized
from benchmarks.clients import (
    CLIENTS,
    MODES,
    OURS,
    PIKA_TWISTED,
    STOMPPY,
    C,
    Commands,
)
from benchmarks.costs import TRANSPORTS, cost_table
from benchmarks.gates import STOMP_GATES, judge
from benchmarks.job import Job
from benchmarks.memory import PROGRAMS
from benchmarks.report import Figures, ProgramFailed, Samples, module, paired, run
from benchmarks.tables import PAGE, number, table, write
from tests.support import snippets

MESSAGES = 20


class BodiesTests(SynchronousTestCase):
    """The bodies that are sent."""

    def test_sizes(self) -> None:
        """Each body has the requested size, and differs from the others."""
        for size in (200, 4096):
            texts = {compact(sized(each, size)) for each in (0, 1, 27, 99_999)}
            self.assertEqual({len(each) for each in texts}, {size})
            self.assertEqual(len(texts), 4)

    def test_as_many_as_messages(self) -> None:
        """There is a body for each message, however many messages there are."""
        for count in (3, 2000, 4500):
            job = Job("publish", 1, "q", 200, count)
            self.assertEqual(len(job.bodies()), count)
            self.assertEqual(json.loads(job.bodies()[-1]), job.payloads()[-1])

    def test_command_line(self) -> None:
        """A program gets the arguments of its job."""
        job = Job("confirm", 5672, "some queue", 4096, 7)
        self.patch(sys, "argv", ["program", *job.arguments])
        self.assertEqual(Job.from_command_line(), job)


class FiguresTests(SynchronousTestCase):
    """Medians and ratios."""

    def test_paired(self) -> None:
        """Each round takes all programs, and ratios are made within a round."""
        order: list[str] = []
        rates = iter([10.0, 20.0, 40.0, 10.0, 30.0, 90.0])

        def take(name: str) -> Figures:
            order.append(name)
            return Figures(next(rates), 1.0)

        samples = paired(["a", "b"], 3, take)
        self.assertEqual(order, ["a", "b", "b", "a", "a", "b"])
        self.assertEqual(samples.median("a"), Figures(10.0, 1.0))
        self.assertEqual(samples.ratio("rate", "b", "a"), 3.0)

    def test_program_fails(self) -> None:
        """The error of a program that fails names it and has its output."""
        command = [sys.executable, "-c", "raise SystemExit('no queue')"]
        error = self.assertRaises(ProgramFailed, run, command)
        self.assertIn("no queue", str(error))

    def test_gates(self) -> None:
        """
        A goal is met by less CPU or a higher rate than its bound; goals without a peer
        are left out.
        """
        samples = Samples()
        samples.add(OURS, Figures(80.0, 10.0))
        samples.add(PIKA_TWISTED, Figures(100.0, 10.0))
        rows = list(judge({(mode, 200): samples for mode in MODES}))
        self.assertEqual(
            rows,
            [
                ["publish: CPU ratio to pika, Twisted", "≤ 1.2", "1.00", "met"],
                ["confirm: CPU ratio to pika, Twisted", "≤ 1", "1.00", "met"],
                ["consume: CPU ratio to pika, Twisted", "≤ 0.5", "1.00", "missed"],
                ["confirm: rate ratio to pika, Twisted", "≥ 0.9", "0.80", "missed"],
            ],
        )

    def test_stomp_gates(self) -> None:
        """On STOMP the goals compare with stomp.py."""
        samples = Samples()
        samples.add(OURS, Figures(80.0, 10.0))
        samples.add(STOMPPY, Figures(100.0, 10.0))
        taken = {(mode, 200): samples for mode in ("confirm", "consume")}
        found = [row[-1] for row in judge(taken, STOMP_GATES)]
        self.assertEqual(found, ["missed", "met"] * 2)


class PageTests(SynchronousTestCase):
    """docs/benchmarks.rst"""

    def test_table(self) -> None:
        """A table is one for docutils, with a row for each row."""
        text = table(("client", "rate", ""), [("a b", number(12345.6), "met")] * 2)
        tree = snippets.parse(text)
        texts = [each.astext() for each in tree.findall(nodes.entry)]
        self.assertEqual(texts, ["client", "rate", "", *["a b", "12,346", "met"] * 2])

    def test_numbers(self) -> None:
        """Numbers have three digits, or all digits before the point."""
        found = [number(each) for each in (0.123, 12.34, 123.4, 1234.5)]
        self.assertEqual(found, ["0.12", "12.3", "123", "1,234"])

    def test_write(self) -> None:
        """Results replace those of their kind, and nothing else."""
        page = Path(self.mktemp())
        page.write_text("a\n.. begin x\n\nold\n\n.. end x\n.. begin y\n\n.. end y\n")
        write("x", r"new \1", page)
        self.assertEqual(
            page.read_text(),
            "a\n.. begin x\n\nnew \\1\n\n.. end x\n.. begin y\n\n.. end y\n",
        )
        self.assertRaises(ValueError, write, "z", "text", page)

    def test_places(self) -> None:
        """The page has a place for each kind."""
        copy = Path(self.mktemp())
        copy.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
        for kind in KINDS:
            write(kind, "found", copy)
        self.assertEqual(copy.read_text("utf-8").count("\nfound\n"), len(KINDS))


class CostTests(SynchronousTestCase):
    """The table of docs/transports.rst"""

    def test_page(self) -> None:
        """The table has the figures of docs/benchmarks.rst."""
        made = cost_table(PAGE.read_text(encoding="utf-8"))
        self.assertIn(f"\n\n{made}\n\n", TRANSPORTS.read_text(encoding="utf-8"))


class CommandLineTests(SynchronousTestCase):
    """C{./run bench}"""

    def test_kinds(self) -> None:
        """The named kinds are run, or all."""
        self.assertEqual(list(parse(["rss", "memory"]).kinds), ["rss", "memory"])
        self.assertEqual(parse([]).kinds, KINDS)

    def test_unknown_kind(self) -> None:
        """An unknown kind is refused by a line that names the known ones."""
        errors = StringIO()
        with redirect_stderr(errors):
            self.assertRaises(SystemExit, parse, ["mqtt"])
        self.assertIn("no such kind: mqtt; there are memory, amqp", errors.getvalue())

    def test_no_compiler(self) -> None:
        """Without a compiler the program in C is left out, with a reason."""
        folder = Path(self.mktemp())
        folder.mkdir()
        self.patch(os, "environ", {**os.environ, "PATH": str(folder)})
        commands = Commands(CLIENTS, folder)
        self.assertIn("there is no gcc: apt-get install", commands.missing[C])
        self.assertNotIn(C, commands.of("publish"))
        self.assertIn(OURS, commands.of("publish"))


class MemoryProgramsTests(SynchronousTestCase):
    """The programs that compare with Kombu in memory, each run once."""

    def test_memory(self) -> None:
        """Both programs of the comparison in memory."""
        for name in PROGRAMS.values():
            self.assertGreater(run([*module(name), "100"]).rate, 0)
