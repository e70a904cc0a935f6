"""--http and systemd: what programs start beside their service."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
from http.client import HTTPConnection
from importlib import import_module
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from tests.cli.test_cli import ModuleCase
from tests.support.processes import TWISTD, Running
from txkombu import Consumer, Message, Queue
from txkombu.cli.companions import Together, companions_of, endpoint_given
from txkombu.cli.systemd import SystemdNotifier
from txkombu.cli.tap import Options, PluginService, makeService
from txkombu.monitoring import MonitoringService
from txkombu.service import ConsumerService
from txkombu.testing import BrokerTestCase

ENDPOINT = "tcp:0:interface=127.0.0.1"

SERVE = """\
import os, runpy, sys
os.environ["NOTIFY_SOCKET"] = sys.argv.pop(1)
os.environ["WATCHDOG_USEC"] = "200000"
runpy.run_module("txkombu", run_name="__main__", alter_sys=True)
"""


class Worker(Consumer):
    """Handles nothing much."""

    queues = Queue("work")

    def receive(self, body: object, message: Message) -> object:
        """Acknowledge."""
        return message.ack()


def systemd(case: SynchronousTestCase, name: str) -> socket.socket:
    """Return a socket as systemd has one, which does not wait."""
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    case.addCleanup(told.close)
    told.bind(f"\0{name[1:]}" if name.startswith("@") else name)
    told.setblocking(False)
    return told


def received(told: socket.socket) -> list[str]:
    """Return the datagrams that have come."""
    found = []
    while True:
        try:
            found.append(told.recv(4096).decode())
        except BlockingIOError:
            return found


class OptionTests(ModuleCase):
    """C{--http} of the plugin."""

    def setUp(self) -> None:
        super().setUp()
        self.go_home()
        self.good = ["--broker", "memory://cli", "--consumer", f"{self.module}:Slow"]

    def options(self, *more: str) -> Options:
        options = Options()
        options.parseOptions([*self.good, *more])
        return options

    def test_name(self) -> None:
        """The connection is named by the module of the first consumer."""
        service = makeService(self.options())
        assert isinstance(service, PluginService)
        here = f"{socket.gethostname()}:{os.getpid()}"
        name = service.connection.info()["name"]
        self.assertEqual(name, f"{self.module}@{here}/consumers")
        self.good[1] = "memory://cli?name=mine"
        service = makeService(self.options())
        assert isinstance(service, PluginService)
        self.assertEqual(service.connection.info()["name"], "mine")

    def test_off(self) -> None:
        """Without it there is only the service."""
        self.assertIsNone(self.options().http)
        self.assertIsInstance(makeService(self.options()), PluginService)

    def test_on(self) -> None:
        """With it there are the service and then its endpoint."""
        together = makeService(self.options("--http", ENDPOINT))
        assert isinstance(together, Together)
        first, second = together.services
        self.assertIsInstance(first, PluginService)
        self.assertIsInstance(second, MonitoringService)

    def test_wrong(self) -> None:
        """An endpoint that cannot be one is a usage error of one line."""
        for wrong in ("8080", "tpc:8080", "tcp:80800", "tcp:http", ""):
            error = self.assertRaises(UsageError, self.options, "--http", wrong)
            self.assertIn(f"--http: {wrong!r} is no endpoint, such as tcp:", str(error))
            self.assertNotIn("\n", str(error))

    def test_not_installed(self) -> None:
        """Without prometheus_client the error says how to install it."""
        taken = import_module("prometheus_client")
        self.addCleanup(sys.modules.update, {"prometheus_client": taken})
        sys.modules["prometheus_client"] = None  # type: ignore[assignment]  # missing
        error = self.assertRaises(UsageError, endpoint_given, ENDPOINT)
        self.assertIn("pip install 'txkombu[metrics]'", str(error))
        self.assertIsNone(endpoint_given(None))


class SystemdTests(BrokerTestCase):
    """C{sd_notify}."""

    def setUp(self) -> None:
        super().setUp()
        self.service = ConsumerService(self.connect(), Worker)
        self.address = f"@txkombu-{os.getpid()}-{id(self)}"
        self.addCleanup(self.end)

    def end(self) -> None:
        self.service.stopService()
        self.flush()

    def notifier(self, **environment: str) -> SystemdNotifier | None:
        given = {"NOTIFY_SOCKET": self.address, **environment}
        found = companions_of(self.service, None, self.clock, given)
        self.assertLess(len(found), 2)
        for each in found:
            assert isinstance(each, SystemdNotifier)
            return each
        return None

    def start(self, **environment: str) -> SystemdNotifier:
        notifier = self.notifier(**environment)
        assert notifier is not None
        self.service.startService()
        notifier.startService()
        self.flush()
        return notifier

    def test_not_asked(self) -> None:
        """Without the variable, or with what is no name, nothing is told."""
        for name in ("", "relative", "vsock:1:2"):
            self.assertIsNone(self.notifier(NOTIFY_SOCKET=name))

    def test_ready(self) -> None:
        """It tells that it is ready when it consumes, and not before."""
        told = systemd(self, self.address)
        notifier = self.notifier()
        assert notifier is not None
        self.service.startService()
        notifier.startService()
        (first,) = received(told)
        self.assertIn("STATUS=", first)
        self.assertNotIn("READY", first)
        self.flush()
        self.assertEqual(received(told), ["READY=1\nSTATUS=1 consumer consumes"])
        notifier.stopService()

    def test_named_by_a_path(self) -> None:
        """The socket may be a file, too."""
        self.address = str(Path(self.mktemp()).absolute())[-100:]
        folder = Path(self.address).parent
        if not folder.is_dir():
            self.address = f"/tmp/txkombu-{os.getpid()}-{id(self)}"
        told = systemd(self, self.address)
        self.addCleanup(os.unlink, self.address)
        self.start().stopService()
        self.assertIn("READY=1", received(told)[-2])

    def test_loss(self) -> None:
        """Its status is one line, told when it has changed."""
        told = systemd(self, self.address)
        notifier = self.start()
        received(told)
        self.advance(60)
        self.assertEqual(received(told), [])
        self.service.connection.drop()
        self.clock.advance(0)
        notifier._look()
        (status,) = received(told)
        self.assertTrue(status.startswith("STATUS=consumer Worker does not consume"))
        self.assertNotIn("\n", status)
        self.advance(10)
        self.assertEqual(received(told)[-1], "STATUS=1 consumer consumes")
        notifier.stopService()

    def test_stopping(self) -> None:
        """It tells that it stops, and feeds the watchdog until it has stopped."""
        told = systemd(self, self.address)
        notifier = self.start(WATCHDOG_USEC="2000000")
        received(told)
        stopping = notifier.stopService()
        self.assertEqual(received(told), ["STOPPING=1\nSTATUS=stopping"])
        self.clock.advance(1)
        self.assertEqual(received(told), ["WATCHDOG=1"])
        self.service.stopService()
        self.flush()
        self.successResultOf(stopping)
        self.advance(10)
        self.assertEqual(received(told), [])

    def test_watchdog(self) -> None:
        """The watchdog is fed at half of its time."""
        told = systemd(self, self.address)
        notifier = self.start(WATCHDOG_USEC="4000000", WATCHDOG_PID=str(os.getpid()))
        received(told)
        for _ in range(3):
            self.clock.advance(1.9)
            self.assertEqual(received(told), [])
            self.clock.advance(0.1)
            self.assertEqual(received(told), ["WATCHDOG=1"])
        notifier.stopService()

    def test_watchdog_of_others(self) -> None:
        """The watchdog of another process is not fed, nor one without a time."""
        told = systemd(self, self.address)
        for wrong in (
            {"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"},
            {"WATCHDOG_USEC": "often"},
            {"WATCHDOG_USEC": "0"},
        ):
            notifier = self.start(**wrong)
            self.advance(20)
            self.assertNotIn("WATCHDOG=1", "\n".join(received(told)))
            notifier.stopService()
            self.end()

    def test_nobody_listens(self) -> None:
        """A socket that is not there does no harm."""
        notifier = self.start(WATCHDOG_USEC="4000000")
        self.advance(20)
        self.assertTrue(self.service.consuming)
        notifier.stopService()

    def test_told_again(self) -> None:
        """What systemd did not get is told again, once."""
        notifier = self.start()
        told = systemd(self, self.address)
        self.advance(12)
        self.assertEqual(received(told), ["READY=1\nSTATUS=1 consumer consumes"])
        notifier.stopService()

    def test_clock(self) -> None:
        """The plugin's way of making it has the global reactor."""
        environment: dict[str, str] = {"NOTIFY_SOCKET": self.address}
        (made,) = companions_of(self.service, None, Clock(), environment)
        self.assertIsInstance(made, SystemdNotifier)


class ProcessTests(ModuleCase):
    """In processes of their own."""

    def start(self, *program: str, http: str, consumer: str = "slow") -> Running:
        running = Running(
            *program,
            *("--broker", "memory://cli", "--consumer", f"{self.module}:{consumer}"),
            *("--http", http),
            cwd=self.home,
        )
        self.addCleanup(running.close)
        return running

    def ask(self, running: Running, path: str) -> tuple[int, str]:
        """Return the status and the body of an answer."""
        running.wait_for("Health and metrics are told at ")
        (port,) = re.findall(r"told at 127\.0\.0\.1:(\d+)", running.output)
        connection = HTTPConnection("127.0.0.1", int(port), timeout=30)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body

    def test_serve(self) -> None:
        """serve answers while it works, and tells systemd of its life."""
        address = f"@txkombu-{os.getpid()}-serve"
        told = systemd(self, address)
        told.settimeout(60)
        running = self.start("-c", SERVE, address, "serve", http=ENDPOINT)
        running.wait_for("begin 1")
        self.assertEqual(self.ask(running, "/ready"), (200, "ready\n"))
        status: Any = json.loads(self.ask(running, "/status")[1])
        self.assertEqual(status["consumers"][0]["running"], 1)
        self.assertIn("txkombu_in_process", self.ask(running, "/metrics")[1])
        lines: list[str] = []
        while "READY=1" not in lines or "WATCHDOG=1" not in lines:
            lines += told.recv(4096).decode().splitlines()
        running.process.terminate()
        running.wait_for("Received SIGTERM")
        while "STOPPING=1" not in lines:
            lines += told.recv(4096).decode().splitlines()
        self.assertEqual(self.ask(running, "/ready")[0], 503)
        self.home.joinpath("enough").touch()
        self.assertEqual(running.wait(), 0)
        self.assertIn("end 1", running.output)
        self.assertNotIn("Traceback", running.output)

    def test_not_bound(self) -> None:
        """A port that is taken halts the service, with one clear error."""
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        port = taken.getsockname()[1]
        http = f"tcp:{port}:interface=127.0.0.1"
        running = self.start("-m", "txkombu", "serve", http=http)
        self.assertEqual(running.wait(), 1)
        self.assertIn(f"the endpoint '{http}' of http cannot be bound", running.output)

    def test_twistd(self) -> None:
        """
        twistd answers, too, and ends in order; with asyncio's reactor its handlers may
        await what asyncio has.
        """
        self.write(
            "awaits",
            f"""
            import asyncio
            from {self.module} import Slow, publish, reactor

            class Awaits(Slow):
                async def receive(self, number, message):
                    print("slept", await asyncio.create_task(asyncio.sleep(0.01, 1)))
                    await super().receive(number, message)

            def awaits(channel):
                reactor.callWhenRunning(publish)
                return Awaits(channel)
            """,
        )
        self.module = "awaits"
        program = ("-c", TWISTD, "--reactor=asyncio", "-n", "kombu")
        running = self.start(*program, http=ENDPOINT, consumer="awaits")
        running.wait_for("slept 1")
        running.wait_for("begin 1")
        self.assertEqual(self.ask(running, "/live"), (200, "live\n"))
        running.process.terminate()
        running.wait_for("Received SIGTERM")
        self.home.joinpath("enough").touch()
        self.assertIn(running.wait(), (0, -signal.SIGTERM))
        self.assertIn("end 1", running.output)
        self.assertNotIn("Traceback", running.output)
        self.assertNotIn("debug", running.output)
