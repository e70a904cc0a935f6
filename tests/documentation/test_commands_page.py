"""docs/reference/commands.rst is so."""

from __future__ import annotations

import doctest
import re
import shlex
import subprocess
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.configuration.test_files import SMALLEST
from tests.documentation.test_pages import first_columns
from tests.support.commands import begin
from tests.support.paths import DOCS
from tests.support.snippets import snippets_of
from txkombu import Consumer, Queue
from txkombu.__main__ import COMMANDS, Options
from txkombu.cli.command import DONE, FAILED, WRONG_USAGE
from txkombu.cli.options import CommandOptions
from txkombu.policy import park
from txkombu.testing import BrokerTestCase

PAGE = DOCS / "reference" / "commands.rst"
FOR_ALL = {"broker=", "password-file=", "help", "version"}
NOT_RUN = ("apply", "doctor", "export", "plan")
"""What the page shows of a broker or file that is not there."""


def sections() -> dict[str, str]:
    """Return the text of each section, by its title."""
    parts = re.split(r"\n(\S[^\n]*)\n-+\n", PAGE.read_text(encoding="utf-8"))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def commands_of(text: str) -> list[str]:
    """Return the lines of a block, those that are continued as one."""
    return text.replace("\\\n", " ").splitlines()


class ExampleTests(BrokerTestCase):
    """The examples do what the page shows, one after the other, on one broker."""

    def test_examples(self) -> None:
        """Each block of commands prints what the block after it shows."""
        self.park("mail", "mail", "orders")
        shown = ""
        count = 0
        for snippet in snippets_of(PAGE.read_text(encoding="utf-8")):
            if snippet.kind == "sh":
                shown = "".join(map(self.run_line, commands_of(snippet.text)))
            elif snippet.kind == "screen":
                count += 1
                same = doctest.OutputChecker().check_output(
                    f"{snippet.text}\n", shown, doctest.ELLIPSIS
                )
                self.assertTrue(same, f"{snippet.text!r} is not {shown!r}")
        self.assertGreater(count, 8)

    def run_line(self, line: str) -> str:
        """Run a command, with its pipe; gives what it printed."""
        before, _, command = line.rpartition("txkombu ")
        if command.split()[0] in NOT_RUN or line.startswith(NOT_RUN):
            return ""
        stdin = b""
        if before:
            left = before.strip().removesuffix("|")
            stdin = subprocess.run(left, shell=True, stdout=-1, check=True).stdout
        command, _, file = command.partition(" > ")
        ran = begin(command, self.connect(), stdin)
        ended: list[int] = []
        ran.code.addCallback(ended.append)
        self.flush()
        self.assertEqual(ended, [0], f"{line}: {ran.err}")
        if file:
            Path(file).write_bytes(ran.out)
            return ran.err
        return ran.err + ran.out.decode()

    def park(self, *names: str) -> None:
        """Have messages of these queues parked."""

        def fails(body: object, message: object) -> None:
            raise RuntimeError("no database")

        for name in names:
            consumer = Consumer(
                self.connection,
                Queue(name),
                callbacks=[fails],
                on_failure=park("parked"),
            )
            self.result_of(consumer.consume())
            producer = self.connection.Producer()
            self.result_of(producer.publish("x", name))
            self.result_of(producer.close())
            self.result_of(consumer.close())
        self.flushLoggedErrors(RuntimeError)


class CommandsPageTests(SynchronousTestCase):
    """The page tells of all that there is."""

    def test_commands(self) -> None:
        """Every command is in the table, and has a section."""
        known = {name for name, *_ in Options.subCommands}
        table = {
            row[0] for row in first_columns("reference/commands.rst", "command line")
        }
        self.assertEqual({each for each in table if not each.isdigit()}, known)
        self.assertLessEqual(known, set(sections()))

    def test_options(self) -> None:
        """The section of a command tells of each of its options, and of no other."""
        found = sections()
        for kind, (name, *_) in COMMANDS.items():
            known = {each.rstrip("=") for each in set(kind().longOpt) - FOR_ALL}
            told = set(re.findall(r"--([a-z][a-z-]+)", found[name]))
            self.assertEqual(told - {"password-file"}, known, name)

    def test_exit_codes(self) -> None:
        """The exit codes are those of the code."""
        codes = [
            row[0] for row in first_columns("reference/commands.rst", "exit codes")
        ]
        self.assertEqual(codes, ["0", "1", "2", "129", "130", "141", "143"])
        self.assertEqual((DONE, FAILED, WRONG_USAGE), (0, 1, 2))


class HelpTests(SynchronousTestCase):
    """C{--help} of each command."""

    def test_screen(self) -> None:
        """It fits on a screen of 24 lines, and has an example that is right."""
        kind: type[CommandOptions]
        for name, _, kind, _ in Options.subCommands:  # type: ignore[assignment]  # it is
            printed = StringIO()
            with redirect_stdout(printed):
                self.assertRaises(SystemExit, Options().parseOptions, [name, "--help"])
            lines = printed.getvalue().rstrip().splitlines()
            self.assertLessEqual(len(lines), 24, name)
            self.assertLessEqual(max(map(len, lines)), 80, name)
            self.assertTrue(lines[0].startswith("Usage: "), lines[0])
            self.assertEqual(lines[-1], f"Example: txkombu {kind.example}")
            self.assertEqual(kind.example.split()[0], name)

    def test_examples(self) -> None:
        """Each example can be parsed."""
        Path("F").write_text("s3cret")
        Path("service.yaml").write_text(SMALLEST)
        for kind, (name, *_) in COMMANDS.items():
            words = shlex.split(kind.example.partition(" > ")[0])
            options = kind()
            options.parseOptions(["--broker", "memory://x", *words[1:]])
            self.assertEqual(words[0], name)
