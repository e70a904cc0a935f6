"""How far a command is, as a terminal shows it."""

from __future__ import annotations

import os
from fcntl import ioctl
from io import BytesIO
from struct import pack
from termios import TIOCSWINSZ

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from tests.support.commands import Ran
from txkombu.cli.progress import Progress
from txkombu.cli.streams import Streams


class ProgressTests(SynchronousTestCase):
    """A bar, or a count."""

    def setUp(self) -> None:
        self.now = 0.0

    def progress(self, streams: Streams, what: str, total: int | None) -> Progress:
        """Make one that has the time of the test."""
        return Progress(streams, what, total, lambda: self.now)

    def test_bar(self) -> None:
        """A bar is shown on a terminal, not too often, and removed at the end."""
        ran = Ran(b"", terminal=True)
        progress = self.progress(ran.streams, "messages moved", 4)
        progress.show(1)
        self.now = 2.0
        progress.show(2)
        progress.clear()
        bar = f"[{'#' * 15}{' ' * 15}]  50% 2 messages moved, 1 a second"
        self.assertEqual(ran.err, f"\r{bar}\r{' ' * len(bar)}\r")

    def test_no_terminal(self) -> None:
        """Nothing is shown where no terminal is."""
        ran = Ran(b"")
        progress = self.progress(ran.streams, "messages moved", None)
        self.now = 9.0
        progress.show(1)
        self.assertEqual(ran.err, "")

    def test_narrow(self) -> None:
        """What is shown fits in a line of the terminal, and is overwritten whole."""
        for columns, line in (
            (80, f"[{'#' * 27}] 100% 1,000,000 messages published, 1,000 a second"),
            (60, "[#######] 100% 1,000,000 messages published, 1,000 a second"),
            (40, "100% 1,000,000 messages published, 1,00"),
        ):
            leader, follower = os.openpty()
            self.addCleanup(os.close, leader)
            ioctl(follower, TIOCSWINSZ, pack("HHHH", 24, columns, 0, 0))
            self.now = 0.0
            with os.fdopen(follower, "w") as terminal:
                streams = Streams(
                    BytesIO(),
                    BytesIO(),
                    terminal,
                    maybeDeferred,
                    maybeDeferred,
                    Deferred(),
                )
                progress = self.progress(streams, "messages published", 10**6)
                self.now = 1000.0
                progress.show(10**6)
                self.assertEqual(os.read(leader, 1000).decode(), f"\r{line}")
                progress.clear()
                blank = " " * len(line)
                self.assertEqual(os.read(leader, 1000).decode(), f"\r{blank}\r")
            self.assertLess(len(line), columns)
