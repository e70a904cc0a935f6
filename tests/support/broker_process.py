"""
One process of a broker, as the tests run it.

It listens on free ports of the loopback interface, keeps its data in a temporary
folder, and ends with the process that started it, in whatever way that ends.
"""

from __future__ import annotations

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NoReturn, TypeVar
from unittest import SkipTest

from tests.support.processes import Guard

HOST = "127.0.0.1"
TLS_HOST = "localhost"
"""
The host that a broker's certificate is for.
"""

_BOOT_SECONDS = 240.0
_PORTS = range(20_000, 32_768)
"""
Ports that Linux gives only to programs that ask for them by number.
"""


def _own_ports() -> Sequence[int]:
    """
    Return the ports that this run may use.

    C{TXKOMBU_TEST_LANE}, as C{number/count}, gives each of several parallel runs its
    own ports, because a broker binds its ports some time after they were chosen.
    """
    number, _, count = os.environ.get("TXKOMBU_TEST_LANE", "0/1").partition("/")
    return _PORTS[int(number) :: int(count)]


_candidates = random.sample(_own_ports(), len(_own_ports()))
"""
Ports that L{free_ports} has not returned yet, in the order of their use from the end.
"""


class BrokerFailed(Exception):
    """A broker did not start; the text ends with the tail of its log."""


def _is_stopped(thread: Path) -> bool:
    """
    Return whether a thread, given as its folder in C{/proc}, is stopped or has ended.
    """
    try:
        status = (thread / "stat").read_text("ascii", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(") ")[2][0] in "TtXZ"


def free_ports(count: int) -> list[int]:
    """
    Find free ports of the loopback interface.

    Nothing else will listen on them either, so a broker that is started again can use
    its ports again.  No port is returned twice, because those of a broker that does
    not listen yet are free.

    @raise IndexError: all ports were returned already.
    """
    found: list[int] = []
    while len(found) < count:
        port = _candidates.pop()
        if _is_free(port):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as each:
        try:
            each.bind((HOST, port))
        except OSError:
            return False
        return True


def _listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), 1).close()
    except OSError:
        return False
    return True


class Child:
    """
    A process that does not outlive this one.

    @ivar pid: its process id.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        """
        @param folder: its working directory, which also gets its output; it is deleted
            when this process ends.
        """
        with (folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._guard = Guard(self.pid, folder)

    @property
    def is_running(self) -> bool:
        """Whether the process exists, frozen or not."""
        return self._process.poll() is None

    def end(self) -> None:
        """Kill the process, and wait until it has ended."""
        self._process.kill()
        self._process.wait()
        self._guard.leave()


class Node(ABC):
    """
    A broker's process, which tests may kill, freeze and start again.

    @ivar folder: its files; L{stop} deletes them.
    @ivar pid: the process id of the node.
    """

    product: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment: dict[str, str] = {}
        self._process: Child | None = None
        atexit.register(self.stop)

    @abstractmethod
    def ports(self) -> tuple[int, ...]:
        """Return the ports on which the node listens once it runs."""

    @abstractmethod
    def _launch(self) -> Child:
        """Start the process."""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process exists, frozen or not."""
        return self._process is not None and self._process.is_running

    def start(self) -> None:
        """
        Start the node, again if it has ended; block until it accepts connections.

        @raise BrokerFailed: it does not start.
        """
        self.kill()
        process = self._process = self._launch()
        self._wait_for(process, *self.ports())

    def _wait_for(self, process: Child, *ports: int) -> None:
        limit = time.monotonic() + _BOOT_SECONDS
        while not all(map(_listens, ports)):
            if not process.is_running or time.monotonic() > limit:
                error = self.failure("did not start")
                self.stop()
                raise error
            time.sleep(0.1)

    def failure(self, what: str) -> BrokerFailed:
        """Return an error with the tail of the log."""
        return BrokerFailed(f"{self.product} {what}; its log ends:\n{self.tail()}")

    def _spawn(self, *command: str) -> Child:
        return Child(command, self.folder, self._environment)

    def _logs(self) -> tuple[Path, ...]:
        return (self.folder / "output",)

    def tail(self) -> str:
        """Return the tail of the log."""
        texts = [
            path.read_text("utf-8", "replace") for path in self._logs() if path.exists()
        ]
        return "\n".join("\n".join(texts).splitlines()[-30:])

    def kill(self) -> None:
        """Kill the node as a loss of power would; L{start} starts it again."""
        if self._process is not None:
            self._process.end()

    def freeze(self) -> None:
        """
        Stop the node's process, and block until each of its threads has stopped.

        A frozen node keeps its sockets, and does nothing.
        """
        os.kill(self.pid, signal.SIGSTOP)
        while not all(map(_is_stopped, Path(f"/proc/{self.pid}/task").iterdir())):
            time.sleep(0.001)

    def thaw(self) -> None:
        """Let a frozen node continue."""
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Kill the node, and delete its files."""
        atexit.unregister(self.stop)
        self.kill()
        self._process = None
        shutil.rmtree(self.folder, ignore_errors=True)


_N = TypeVar("_N", bound=Node)


class Nodes:
    """The nodes of this run by name; the first test that needs a node makes it."""

    def __init__(self) -> None:
        self._known: dict[str, Node | BrokerFailed] = {}

    def once(self, which: str, make: Callable[[], _N]) -> _N:
        """
        Return the node of that name; make and start it at the first call.

        @raise BrokerFailed: it does not start, or did not at an earlier call.
        """
        known = self._known.get(which)
        if known is None:
            known = self._known[which] = _started(make)
        if isinstance(known, BrokerFailed):
            raise known
        return known  # type: ignore[return-value]  # what make returned


def _started(make: Callable[[], Node]) -> Node | BrokerFailed:
    node = make()
    try:
        node.start()
    except BrokerFailed as error:
        return error
    return node


def alive(node: _N) -> _N:
    """
    Return a node that no test kills.

    @raise BrokerFailed: it has ended by itself.
    """
    if not node.is_running:
        raise node.failure("has ended")
    return node


def revived(node: _N) -> _N:
    """Return a node; start it again if a test killed it."""
    if not node.is_running:
        node.start()
    return node


def missing(package: str) -> NoReturn:
    """
    Report that a Debian package is not installed.

    @raise SkipTest: outside CI.
    @raise BrokerFailed: in CI.
    """
    reason = f"{package} is not installed: apt-get install {package}"
    if os.environ.get("CI") == "true":
        raise BrokerFailed(reason)
    raise SkipTest(reason)
