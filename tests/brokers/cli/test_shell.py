"""The introduction, typed by a terminal into two shells."""

from __future__ import annotations

import doctest
import sys
from pathlib import Path
from typing import Any

import pexpect
from docutils import nodes
from twisted.trial.unittest import SynchronousTestCase

import txkombu
from tests.support.paths import DOCS
from tests.support.processes import SECONDS, Guard, environment
from tests.support.rabbitmq import rabbitmq
from tests.support.snippets import parse

PROMPTS: Any = [">>> ", r"\.\.\. "]


def statements_of(section: str) -> list[str]:
    """Return what a reader types of one section of the introduction."""
    text = (DOCS / "start" / "introduction.rst").read_text(encoding="utf-8")
    [found] = [
        node for node in parse(text).findall(nodes.section) if section in node["ids"]
    ]
    parser = doctest.DocTestParser()
    return [
        example.source
        for block in found.findall(nodes.doctest_block)
        for example in parser.get_examples(block.astext())
    ]


class ShellTests(SynchronousTestCase):
    """C{txkombu shell URL} at a terminal."""

    def shell(self) -> pexpect.spawn[str]:
        """Start a shell for the broker, and wait for its prompt."""
        child = pexpect.spawn(
            sys.executable,
            ["-m", "txkombu", "shell", rabbitmq().url],
            env=environment(TERM="dumb"),
            cwd=str(Path(txkombu.__file__).parent.parent),
            encoding="utf-8",
            echo=False,
            timeout=SECONDS,
        )
        assert child.pid is not None
        guard = Guard(child.pid)
        self.addCleanup(guard.leave)
        self.addCleanup(child.close, force=True)
        child.expect("reactor and connection\\.\r\n")
        child.expect_exact(">>> ")
        return child

    def type(self, child: pexpect.spawn[str], source: str) -> str:
        """Type a statement, and wait for the next prompt; gives what was printed."""
        shown = ""
        for line in source.splitlines():
            child.sendline(line)
            prompt = child.expect(PROMPTS)
            shown += child.before or ""
        if prompt:  # a block ends with an empty line
            child.sendline("")
            child.expect_exact(">>> ")
            shown += child.before or ""
        return shown

    def test_two_shells(self) -> None:
        """What is published in one is printed in the other; each has a connection."""
        consuming, producing = self.shell(), self.shell()
        self.type(consuming, "await Queue('feed')(connection).delete()")
        *begin, loop = statements_of("receiving-messages-using-a-consumer")
        self.assertTrue(loop.startswith("while True:"))
        for source in begin:
            self.assertNotIn("Error", self.type(consuming, source))
        for line in loop.splitlines():
            consuming.sendline(line)
        consuming.sendline("")
        self.type(producing, "from twisted.internet.task import deferLater")
        self.type(producing, "queue = Queue('feed')(connection)")
        wait = "while not (await queue.queue_declare()).consumer_count:"
        self.type(producing, f"{wait}\n    await deferLater(reactor, 0.05)")
        sending = statements_of("sending-messages-using-a-producer")
        for source in sending[: sending.index("await producer.close()\n") + 1]:
            self.assertNotIn("Error", self.type(producing, source))
        consuming.expect_exact(
            "Got feed import message for: http://cnn.com/rss/edition.rss"
        )
        consuming.expect_exact("Noted.")
        consuming.sendintr()
        consuming.expect_exact("cancelled")
        consuming.expect_exact(">>> ")
        for child in (consuming, producing):
            child.sendeof()
            child.expect(pexpect.EOF)
            child.wait()
            self.assertEqual(child.exitstatus, 0)
