"""How a command runs: its streams, its signals, and what it tells."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from io import BytesIO, FileIO, StringIO
from threading import Event
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.support.commands import Ran
from tests.support.processes import run_python
from txkombu.__main__ import main
from txkombu.cli.command import CommandRun, line_observer
from txkombu.cli.streams import BlockingCalls, Streams, complain


class OneTurn:
    """A reactor that runs what there is, until it is stopped."""

    def __init__(self) -> None:
        self._calls: list[Callable[[], object]] = []
        self._stopped = False

    def callWhenRunning(self, call: Callable[[], object]) -> None:
        """Call something once it runs."""
        self._calls.append(call)

    callFromThread = callWhenRunning

    def run(self) -> None:
        """Run until it is stopped."""
        while not self._stopped:
            self._calls.pop(0)()

    def stop(self) -> None:
        """Stop it."""
        self._stopped = True


class SignalTests(SynchronousTestCase):
    """Signals end a command in order."""

    def setUp(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever started the tests
        self.ended: list[str] = []

    async def work(self, number: int) -> int:
        """Be interrupted."""
        os.kill(os.getpid(), number)
        try:
            await Deferred()
        except CancelledError:
            self.ended.append("in order")
            return 130
        return 0

    def test_signals(self) -> None:
        """The work is cancelled, and the exit code is that of the signal."""
        for number, code in (
            (signal.SIGINT, 130),
            (signal.SIGTERM, 143),
            (signal.SIGHUP, 129),
        ):
            run = CommandRun(OneTurn(), lambda number=number: self.work(number))  # type: ignore[misc]  # bound now
            self.assertEqual(run.run(), code)
        self.assertEqual(self.ended, ["in order"] * 3)

    def test_twice(self) -> None:
        """A signal that comes twice at once is one: so timeout sends it."""

        async def work() -> int:
            os.kill(os.getpid(), signal.SIGTERM)
            return await self.work(signal.SIGTERM)

        self.assertEqual(CommandRun(OneTurn(), work).run(), 143)
        self.assertEqual(self.ended, ["in order"])

    def test_nohup(self) -> None:
        """Where SIGHUP is ignored it stays so: a closed terminal ends nothing."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

        async def work() -> int:
            os.kill(os.getpid(), signal.SIGHUP)
            return 0

        self.assertEqual(CommandRun(OneTurn(), work).run(), 0)

    def test_done(self) -> None:
        """Without a signal it is that of the command."""

        async def work() -> int:
            return 1

        self.assertEqual(CommandRun(OneTurn(), work).run(), 1)

    def test_processes(self) -> None:
        """
        A process ends though it reads a pipe on which nothing comes; and it refuses to
        write nowhere.
        """
        program = (
            "import os, signal, threading, sys\n"
            "from txkombu.__main__ import main\n"
            "kill = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
            "threading.Timer(0.3, kill).start()\n"
            "read, write = os.pipe()\n"
            "os.dup2(read, 0)\n"
            "sys.exit(main(['publish', '-b', 'memory://x', '-q', 'q', '--lines']))\n"
        )
        done = run_python("-c", program, cwd=".")
        self.assertEqual((done.returncode, done.stdout), (130, ""), done.stderr)
        self.assertEqual(done.stderr, "published 0 messages, confirmed\n")
        closed = (
            f"os.close(1); os.execv({sys.executable!r}, ['python', '-m', 'txkombu',"
        )
        program = f"import os; {closed} 'get', '-b', 'memory://x', 'q'])"
        done = run_python("-c", program, cwd=".")
        self.assertEqual(done.returncode, 1)
        self.assertIn("get: standard output is closed\n", done.stderr)


class _Full(StringIO):
    """A file on a full device."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


class ErrorTests(SynchronousTestCase):
    """Where errors go, and what becomes of those that go nowhere."""

    def test_escaped(self) -> None:
        """Each line of an error is without what a terminal would obey."""
        told = StringIO()
        self.patch(sys, "stderr", told)
        complain("one\x1b[2J\ntwo\r")
        self.assertEqual(told.getvalue(), "one\\x1b[2J\ntwo\\r\n")

    def test_nowhere(self) -> None:
        """Standard error may be closed or full: the exit code is the same."""
        shown = StringIO()
        self.patch(sys, "stdout", shown)
        for stderr in (None, _Full()):
            self.patch(sys, "stderr", stderr)
            self.assertEqual(main(["nonsense"]), 2)
            self.addCleanup(sys.stderr.close)
        self.assertEqual(shown.getvalue(), "")

    def test_processes(self) -> None:
        """What is done without standard error is done; a full output is one line."""
        begun = f"os.execv({sys.executable!r}, ['python', '-m', 'txkombu',"
        program = f"import os; os.close(2); {begun} 'declare', '-b', 'memory://', 'q'])"
        self.assertEqual(run_python("-c", program, cwd=".").returncode, 0)
        full = "os.dup2(os.open('/dev/full', os.O_WRONLY), 1)"
        program = f"import os; {full}; {begun} 'get', '--help'])"
        done = run_python("-c", program, cwd=".")
        self.assertEqual(done.returncode, 1)
        line = "python -m txkombu: [Errno 28] No space left on device\n"
        self.assertEqual(done.stderr, line)


class StreamTests(TestCase):
    """Streams that block."""

    async def test_blocking(self) -> None:
        """Calls run in another thread, one after the other; what they raise comes."""
        from twisted.internet import reactor

        calls = BlockingCalls(reactor)
        go_on = Event()
        first, second = calls(go_on.wait, 30), calls(divmod, 7, 2)
        third = calls(divmod, 7, 0)
        self.assertFalse(first.called or second.called)
        go_on.set()
        self.assertEqual((await first, await second), (True, (3, 1)))
        await self.assertFailure(third, ZeroDivisionError)

    def test_partial_writes(self) -> None:
        """What is written in parts is written whole."""

        class Slow(BytesIO):
            def write(self, data: Any) -> int:
                return super().write(bytes(data[:3]))

        out = Slow()
        streams = Streams(
            BytesIO(), out, StringIO(), maybeDeferred, maybeDeferred, Deferred()
        )
        self.successResultOf(streams.write(b"seven or more"))
        self.assertEqual(out.getvalue(), b"seven or more")

    def test_non_blocking_input(self) -> None:
        """Input that would block, and does not, is waited for until its end."""
        comes = [b"three", b"two ", b"one "]

        class Slow(FileIO):
            """A pipe into which something is written once it was found empty."""

            def read(self, size: int | None = -1) -> bytes:
                data: Any = super().read(-1 if size is None else size)
                if data is None:
                    os.write(into, comes.pop()) if comes else os.close(into)
                return data  # type: ignore[no-any-return]  # or None

        end, into = os.pipe()
        os.set_blocking(end, False)
        with Slow(end, "rb") as source:
            ran = Ran(source)
            parts = [self.successResultOf(ran.streams.read(source)) for _ in range(4)]
        self.assertEqual(parts, [b"one ", b"two ", b"three", b""])

    def test_non_blocking_output(self) -> None:
        """Output that would block, and does not, is waited for."""
        tried: list[int | None] = []

        class Full(FileIO):
            """A pipe that is read once it was found full."""

            def write(self, data: Any) -> int:
                written: Any = super().write(data)
                tried.append(written)
                if written is None:
                    arrived.append(os.read(end, 10**6))
                return written  # type: ignore[no-any-return]  # or None

        end, into = os.pipe()
        self.addCleanup(os.close, end)
        os.set_blocking(into, False)
        arrived: list[bytes] = []
        data = os.urandom(300_000)
        with Full(into, "wb") as out:
            streams = Streams(
                BytesIO(), out, StringIO(), maybeDeferred, maybeDeferred, Deferred()
            )
            self.successResultOf(streams.write(data))
        self.assertIn(None, tried)
        self.assertEqual(b"".join([*arrived, os.read(end, 10**6)]), data)

    def test_log(self) -> None:
        """Warnings are told, each in a line without what a terminal would obey."""
        ran = Ran(b"")
        log = Logger(observer=line_observer(ran.streams, "warn"))
        log.info("nothing")
        log.warn("queue {name} is\n{odd}", name="jobs", odd="\x1b[2J")
        try:
            raise RuntimeError("it is broken")
        except RuntimeError:
            log.failure("handling failed")
        self.assertEqual(
            ran.err,
            "python -m txkombu: queue jobs is\\n\\x1b[2J\n"
            "python -m txkombu: handling failed: it is broken\n",
        )
