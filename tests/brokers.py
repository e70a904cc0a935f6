"""
The real brokers of the test suite, each started once per run, when first asked for.

A broker listens on free ports of the loopback interface, keeps its data in a
temporary folder, and needs no rights beyond those of the user who runs the
tests.  It ends with the process that started it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from unittest import SkipTest

HOST = "127.0.0.1"
_BOOT_SECONDS = 60.0
_SCRIPTS = Path("/usr/lib/rabbitmq/bin")
_CONFIG = """\
listeners.tcp.1 = {host}:{amqp_port}
stomp.listeners.tcp.1 = {host}:{stomp_port}
log.console = false
disk_free_limit.absolute = 1MB
"""


class BrokerFailed(Exception):
    """A broker did not start; the text ends with the tail of its log."""


def free_ports(count: int) -> list[int]:
    """Find ports of the loopback interface on which nothing listens."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), 1).close()
    except OSError:
        return False
    return True


class RabbitMQ:
    """
    A RabbitMQ node with the STOMP plugin, user and password C{guest}.

    @ivar amqp_port: where it speaks AMQP 0-9-1.
    @ivar stomp_port: where it speaks STOMP.
    @ivar pid: the process of the node.
    """

    def __init__(self) -> None:
        self.amqp_port, self.stomp_port, self._dist_port, self._epmd_port = free_ports(
            4
        )
        self.folder = Path(tempfile.mkdtemp(prefix="txkombu-rabbitmq-"))
        self.node = f"txkombu{self.amqp_port}@localhost"
        self._log = self.folder / "node.log"
        self._environment = self._write_files()
        self._processes: list[subprocess.Popen[bytes]] = []
        atexit.register(self.stop)

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"amqp://guest:guest@{HOST}:{self.amqp_port}"

    @property
    def pid(self) -> int:
        return self._processes[-1].pid

    def _write_files(self) -> dict[str, str]:
        """Write the node's configuration; return its environment."""
        (self.folder / "rabbitmq.conf").write_text(
            _CONFIG.format(
                host=HOST, amqp_port=self.amqp_port, stomp_port=self.stomp_port
            )
        )
        (self.folder / "plugins").write_text("[rabbitmq_stomp].\n")
        (self.folder / "empty.conf").write_text("")
        cookie = self.folder / ".erlang.cookie"
        cookie.write_text(f"TXKOMBU{os.urandom(12).hex()}")
        cookie.chmod(0o400)
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1}"
            ),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "empty.conf"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "none.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(self.folder / "generated"),
            "RABBITMQ_SCHEMA_DIR": str(self.folder / "schema"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_LOGS": str(self._log),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            # Makes the script become the node instead of its parent.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def start(self) -> None:
        """
        Start the node and wait until it takes connections, which blocks.

        @raise BrokerFailed: it does not.
        """
        # Our own port mapper, or the node would start one that stays.
        self._spawn("epmd", "-address", HOST, "-port", str(self._epmd_port))
        self._spawn(str(_SCRIPTS / "rabbitmq-server"))
        limit = time.monotonic() + _BOOT_SECONDS
        while not (_listens(self.amqp_port) and _listens(self.stomp_port)):
            if self._processes[-1].poll() is not None or time.monotonic() > limit:
                tail = self._tail()
                self.stop()
                raise BrokerFailed(f"RabbitMQ did not start; its log ends:\n{tail}")
            time.sleep(0.1)

    def _spawn(self, *command: str) -> None:
        with (self.folder / "output").open("ab") as output:
            self._processes.append(
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=self._environment,
                    cwd=self.folder,
                    start_new_session=True,
                )
            )

    def _tail(self) -> str:
        texts = [
            path.read_text("utf-8", "replace")
            for path in (self.folder / "output", self._log)
            if path.exists()
        ]
        return "\n".join("\n".join(texts).splitlines()[-30:])

    def ctl(self, *arguments: str) -> str:
        """
        Run rabbitmqctl, which blocks for a second or two.

        @return: what it printed.
        """
        done = subprocess.run(
            [str(_SCRIPTS / "rabbitmqctl"), "-q", "-n", self.node, *arguments],
            env=self._environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise BrokerFailed(f"rabbitmqctl {arguments}: {done.stderr.decode()}")
        return done.stdout.decode()

    def stop(self) -> None:
        """Kill what was started; nothing it kept is of use to anyone."""
        atexit.unregister(self.stop)
        for process in reversed(self._processes):
            process.kill()
            process.wait()
        self._processes.clear()
        shutil.rmtree(self.folder, ignore_errors=True)


_running: RabbitMQ | BrokerFailed | None = None


def rabbitmq() -> RabbitMQ:
    """
    The RabbitMQ of this run, started if it is not running yet.

    @raise SkipTest: it is not installed, and this is not CI.
    @raise BrokerFailed: it does not start.
    """
    global _running
    if _running is None:
        _require(_SCRIPTS / "rabbitmq-server", "rabbitmq-server")
        broker = RabbitMQ()
        try:
            broker.start()
            _running = broker
        except BrokerFailed as error:
            _running = error
    if isinstance(_running, BrokerFailed):
        raise _running
    return _running


def _require(program: Path, package: str) -> None:
    if program.exists():
        return
    reason = f"{package} is not installed: apt-get install {package}"
    if os.environ.get("CI") == "true":
        raise BrokerFailed(reason)
    raise SkipTest(reason)
