"""Ctrl-C and SIGTERM in C{txkombu shell}, at a terminal."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pexpect
from twisted.trial.unittest import SynchronousTestCase

import txkombu
from tests.support.processes import SECONDS, Guard, environment


class InterruptTests(SynchronousTestCase):
    """A shell without broker."""

    def setUp(self) -> None:
        self.child = pexpect.spawn(
            sys.executable,
            ["-m", "txkombu", "shell"],
            env=environment(TERM="dumb"),
            cwd=str(Path(txkombu.__file__).parent.parent),
            encoding="utf-8",
            echo=False,
            timeout=SECONDS,
        )
        assert self.child.pid is not None
        guard = Guard(self.child.pid)
        self.addCleanup(guard.leave)
        self.addCleanup(self.child.close, force=True)
        self.child.expect_exact(">>> ")

    def type(self, line: str, answer: str) -> None:
        """Type a line, and wait for what it leads to."""
        self.child.sendline(line)
        self.child.expect_exact(answer)

    def test_interrupted(self) -> None:
        """
        Ctrl-C drops a block that is being typed, and stops a loop, whether the reactor
        began it or goes on with it; SIGTERM ends the shell, with its exit code.
        """
        self.type("def f():", "... ")
        self.child.sendintr()
        self.child.expect_exact("Enter drops what you typed.")
        self.type("", "KeyboardInterrupt")
        self.child.expect_exact(">>> ")
        self.type("from twisted.internet.task import deferLater", ">>> ")
        begin = "print('be' + 'gun')"
        wait = "await deferLater(reactor, 0)"
        for block in (
            f"if {begin} is None:\n    while True: pass",
            f"if {wait} or {begin} is None:\n    while True: pass",
        ):
            for line in block.split("\n"):
                self.type(line, "... ")
            self.type("", "begun")
            self.child.sendintr()
            self.child.expect_exact("KeyboardInterrupt")
            self.child.expect_exact(">>> ")
        self.type("1 + 1", "2")
        self.child.kill(signal.SIGTERM)
        self.child.expect(pexpect.EOF)
        self.child.wait()
        self.assertEqual(self.child.exitstatus, 143)
