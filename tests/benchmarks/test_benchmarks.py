"""
The benchmarks can be run.  These tests measure nothing.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path

from docutils import nodes
from twisted.trial.unittest import SynchronousTestCase

from benchmarks import __main__, plots, tables
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
from benchmarks.found import Found, measured_again, noise
from benchmarks.gates import STOMP_GATES, judge
from benchmarks.job import Job
from benchmarks.memory import PROGRAMS
from benchmarks.plots import Plot
from benchmarks.report import Figures, ProgramFailed, Samples, module, paired, run
from benchmarks.tables import PAGE, number, table, write
from tests.support import snippets

MESSAGES = 20


class BodiesTests(SynchronousTestCase):
    """The bodies that are sent."""

    def test_sizes(self) -> None:
        """Each body has the requested size, and differs from the others."""
        for size in (100, 200, 4096):
            texts = {compact(sized(each, size)) for each in (0, 1, 27, 99_999)}
            self.assertEqual({len(each) for each in texts}, {size})
            self.assertEqual(len(texts), 4)

    def test_as_many_as_messages(self) -> None:
        """There is a body for each message, however many messages there are."""
        for count in (3, 2000, 4500):
            job = Job("publish", 1, "q", 200, count)
            self.assertEqual(len(job.bodies()), count)
            self.assertEqual(json.loads(job.bodies()[-1]), job.payloads()[-1])

    def test_large(self) -> None:
        """Of large bodies there are few different ones, so that they fit in memory."""
        job = Job("publish", 1, "q", 1_048_576, 100)
        self.assertEqual(len(job.bodies()), 100)
        self.assertEqual(len({id(each) for each in job.bodies()}), 64)

    def test_window(self) -> None:
        """200 messages are in flight, or 16 MiB of large ones, but at least one."""
        for size, window in ((200, 200), (20_000, 200), (2**20, 16), (2**25, 1)):
            self.assertEqual(Job("confirm", 1, "q", size, 100).window, window)

    def test_command_line(self) -> None:
        """A program gets the arguments of its job."""
        job = Job("confirm", 5672, "some queue", 4096, 7)
        self.patch(sys, "argv", ["program", *job.arguments])
        self.assertEqual(Job.from_command_line(), job)
        many = Job("consume-many", 5672, "some queue", 200, 7, consumers=10)
        self.patch(sys, "argv", ["program", *many.arguments])
        self.assertEqual(Job.from_command_line(), many)


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

    def test_disagreement(self) -> None:
        """Rounds disagree by the range of their ratios without a fifth at each end."""
        samples = Samples()
        for rate in (90.0, 100.0, 110.0, 105.0, 900.0):
            samples.add("a", Figures(rate, 1.0))
            samples.add("b", Figures(100.0, 1.0))
        self.assertAlmostEqual(samples.disagreement("rate", "a", "b"), 0.1 / 1.05)
        self.assertEqual(samples.disagreement("cpu", "a", "b"), 0.0)

    def test_noise(self) -> None:
        """A row is noisy if half of its ratios disagree by more than 15 %."""
        quiet, noisy = Samples(), Samples()
        for rate in (100.0, 110.0, 140.0):
            for samples, cpu in ((quiet, 1.0), (noisy, rate)):
                samples.add(OURS, Figures(rate, cpu))
                samples.add("a", Figures(100.0, 1.0))
        self.assertEqual(
            list(noise({("publish", 200): noisy, ("consume", 4096): quiet})),
            ["publish, 200: 36%", "consume, 4096: 18%"],
        )
        for _ in range(12):
            quiet.add(OURS, Figures(110.0, 1.0))
            quiet.add("a", Figures(100.0, 1.0))
        self.assertEqual(list(noise({("consume", 4096): quiet})), [])

    def test_measured_again(self) -> None:
        """A noisy job is measured again, but not more often than twice."""
        for noisy_ones, expected in ((0, 1), (1, 2), (2, 3), (9, 3)):
            taken: list[Samples] = []
            last_rates = iter([140.0] * noisy_ones + [110.0] * 3)
            with redirect_stderr(StringIO()) as err:
                found = measured_again(partial(self.two_rounds, taken, last_rates))
            self.assertEqual(len(taken), expected)
            self.assertIs(found, taken[-1])
            again = "rounds disagree by 33%, so again ...\n"
            self.assertEqual(err.getvalue(), again * (expected - 1))

    def two_rounds(self, taken: list[Samples], last_rates: Iterator[float]) -> Samples:
        """Measure two rounds, the second at the next of some rates."""
        samples = Samples()
        for rate in (100.0, next(last_rates)):
            samples.add(OURS, Figures(rate, rate))
            samples.add("a", Figures(100.0, 100.0))
        taken.append(samples)
        return samples

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
        samples.add(OURS, Figures(80.0, 7.0))
        samples.add(PIKA_TWISTED, Figures(100.0, 10.0))
        rows = list(judge({(mode, 200): samples for mode in MODES}))
        self.assertEqual(
            rows,
            [
                ["publish: CPU ratio to pika, Twisted", "≤ 0.8", "0.70", "met"],
                ["confirm: CPU ratio to pika, Twisted", "≤ 0.75", "0.70", "met"],
                [
                    "confirm: CPU ratio to pika, Twisted, wanted",
                    "≤ 0.65",
                    "0.70",
                    "missed",
                ],
                ["consume: CPU ratio to pika, Twisted", "≤ 0.36", "0.70", "missed"],
                ["confirm: rate ratio to pika, Twisted", "≥ 1.1", "0.80", "missed"],
            ],
        )

    def test_gates_by_size(self) -> None:
        """A goal for one size of body says nothing about the others."""
        samples = Samples()
        samples.add(OURS, Figures(100.0, 9.0))
        samples.add(PIKA_TWISTED, Figures(100.0, 10.0))
        taken = {(mode, size): samples for mode in MODES for size in (200, 4096)}
        found = [row[1:] for row in judge(taken) if row[0].startswith("publish: CPU")]
        self.assertEqual(
            found,
            [
                ["≤ 0.8", "0.90", "missed", "", ""],
                ["≤ 0.95", "", "", "0.90", "met"],
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
    """docs/explained/benchmarks.rst"""

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


class RunTests(SynchronousTestCase):
    """What becomes of results."""

    def run_kind(self, found: Found, *arguments: str) -> tuple[int, str, str]:
        """Run the command with a kind that finds this."""
        self.page = Path(self.mktemp())
        self.page.write_text("\n.. begin growth\n\nold\n\n.. end growth\n")
        self.patch(tables, "PAGE", self.page)
        self.patch(tables.write, "__defaults__", (self.page,))
        self.patch(plots.draw, "__defaults__", (self.page.parent / "plots",))
        self.patch(
            __main__, "KINDS", {**__main__.KINDS, "growth": lambda options: found}
        )
        self.patch(sys, "argv", ["bench", "growth", *arguments])
        with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
            ended = self.assertRaises(SystemExit, __main__.main)
        assert isinstance(ended.code, int)
        return ended.code, out.getvalue(), err.getvalue()

    def test_written(self) -> None:
        """Results are written, with their plots."""
        lines = {OURS: [(1.0, 2.0), (10.0, 3.0)], "a": [(1.0, 4.0), (10.0, 5.0)]}
        plot = Plot("drawn", "consume: CPU", "consumers", "µs", lines)
        code, out, _ = self.run_kind(Found("new", plots=[plot]), "--write-docs")
        self.assertEqual(code, 0)
        self.assertIn("new", out)
        text = self.page.read_text("utf-8")
        self.assertNotIn("old", text)
        self.assertIn("new\n\nPython 3", text)
        self.assertIn(".. image:: plots/drawn.png\n   :alt: consume: CPU\n", text)
        picture = self.page.parent / "plots" / "drawn.png"
        self.assertEqual(picture.read_bytes()[:4], b"\x89PNG")

    def test_noisy(self) -> None:
        """The results of a noisy run are shown and not written, and it fails."""
        found = Found("new", noise=["publish, 200: 36%"])
        code, out, err = self.run_kind(found, "--write-docs")
        self.assertEqual(code, 1)
        self.assertIn("new", out)
        self.assertIn("paired rounds disagree: publish, 200: 36%", err)
        self.assertIn("not written: growth was noisy", err)
        self.assertIn("old", self.page.read_text())

    def test_not_fine(self) -> None:
        """What must hold anywhere and does not makes the command fail."""
        self.assertEqual(self.run_kind(Found("new", is_fine=False))[0], 1)
        self.assertEqual(self.run_kind(Found("new"))[0], 0)

    def test_matplotlib_is_missing(self) -> None:
        """--write-docs without matplotlib says what to install."""
        self.patch(__main__, "can_draw", lambda: False)
        code, _, err = self.run_kind(Found("new"), "--write-docs")
        self.assertEqual(code, 2)
        self.assertIn("pip install 'txkombu[bench]'", err)


class CostTests(SynchronousTestCase):
    """The table of docs/explained/transports.rst"""

    def test_page(self) -> None:
        """The table has the figures of docs/explained/benchmarks.rst."""
        made = cost_table(PAGE.read_text(encoding="utf-8"))
        self.assertIn(f"\n\n{made}\n\n", TRANSPORTS.read_text(encoding="utf-8"))


class CommandLineTests(SynchronousTestCase):
    """C{./run bench}"""

    def test_kinds(self) -> None:
        """The named kinds are run, or all."""
        self.assertEqual(list(parse(["rss", "memory"]).kinds), ["rss", "memory"])
        self.assertEqual(parse([]).kinds, list(KINDS))

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
        """Both programs of the comparison in memory, with few and many waiting."""
        for name in PROGRAMS.values():
            for depth in ("100", "250"):
                self.assertGreater(run([*module(name), "300", depth]).rate, 0)
