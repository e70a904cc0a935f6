"""
The RabbitMQ nodes of the test suite; each is started once per run, when a test first
asks for it.

A node needs only the rights of the user who runs the tests, unless it runs from a root
of its own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import attrs

from tests.support.broker_process import (
    HOST,
    TLS_HOST,
    BrokerFailed,
    Child,
    Node,
    Nodes,
    alive,
    free_ports,
    missing,
    revived,
)
from tests.support.certificates import Authority

__all__ = [
    "HERE",
    "HOST",
    "TLS_HOST",
    "BrokerFailed",
    "Installation",
    "RabbitMQ",
    "fragile_rabbitmq",
    "free_ports",
    "once",
    "rabbitmq",
]

_SCRIPTS = Path("/usr/lib/rabbitmq/bin")
_PREFIX = "txkombu-rabbitmq-"
_CONFIG = """\
listeners.tcp.1 = {host}:{amqp_port}
listeners.ssl.1 = {host}:{tls_port}
ssl_options.cacertfile = {cacertfile}
ssl_options.certfile = {certfile}
ssl_options.keyfile = {certfile}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = false
ssl_cert_login_from = common_name
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = EXTERNAL
stomp.listeners.tcp.1 = {host}:{stomp_port}
stomp.listeners.ssl.1 = {host}:{stomp_tls_port}
log.console = false
disk_free_limit.absolute = 1MB
{more}
"""
_PLUGINS = """\
[rabbitmq_stomp,rabbitmq_auth_mechanism_ssl,rabbitmq_consistent_hash_exchange].
"""
_USERS = "rabbit_auth_backend_internal"
_TESTS = '<<"tests">>'
"""
Who does it, for the log.
"""


_ENTER = """\
mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && exec chroot "$@"
"""


@attrs.frozen
class Installation:
    """
    An installation of RabbitMQ: in this system, or under a root of its own.

    Programs under a root have their own mounts, which end with the program.  This needs
    the rights of root.
    """

    root: Path = Path("/")

    @property
    def script(self) -> Path:
        """The program that starts a node."""
        return self.root / _SCRIPTS.relative_to("/") / "rabbitmq-server"

    def make_folder(self) -> Path:
        """Make a folder that programs of this installation can see."""
        folder = None if self.root == Path("/") else self.root / "tmp"
        return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder))

    def inside(self, path: Path | str) -> str:
        """Return the path under which programs of this installation know a file."""
        return str("/" / Path(path).relative_to(self.root))

    def command(self, *command: str) -> tuple[str, ...]:
        """
        Return the command that runs a program of this installation in the same process.
        """
        if self.root == Path("/"):
            return command
        enter = ("unshare", "--mount", "--propagation=private", "sh", "-c", _ENTER)
        return (*enter, "sh", str(self.root), *command)


HERE = Installation()


class RabbitMQ(Node):
    """
    A RabbitMQ node with the STOMP plugin; user and password are C{guest}.

    @ivar amqp_port: its port for AMQP 0-9-1.
    @ivar stomp_port: its port for STOMP.
    @ivar tls_port: its port for AMQP 0-9-1 over TLS.
    @ivar stomp_tls_port: its port for STOMP over TLS.
    @ivar authority: the authority that signed its certificate.  Clients may log in with
        certificates of this authority; their common name is the user.
    """

    product = "RabbitMQ"

    def __init__(
        self,
        installation: Installation = HERE,
        config: str = "",
        beside: RabbitMQ | None = None,
    ) -> None:
        """
        @param config: more lines for rabbitmq.conf.
        @param beside: a running node, with which this one can form a cluster.
        """
        self._installation = installation
        self.amqp_port, self.stomp_port, self._dist_port = free_ports(3)
        self.tls_port, self.stomp_tls_port = free_ports(2)
        self._shares_epmd = beside is not None
        self._epmd_port: int = beside._epmd_port if beside else free_ports(1)[0]
        cookie = f"TXKOMBU{os.urandom(12).hex()}"
        self._cookie: str = beside._cookie if beside else cookie
        super().__init__(installation.make_folder())
        self.authority = Authority(self.folder)
        self.node = f"txkombu{self.amqp_port}@localhost"
        self._log = self.folder / "node.log"
        self._environment = self._write_files(config)
        self._epmd: Child | None = None

    @property
    def url(self) -> str:
        """The URL that clients connect to."""
        return f"amqp://guest:guest@{HOST}:{self.amqp_port}"

    @property
    def tls_url(self) -> str:
        """
        The URL that clients connect to over TLS; its certificate is for this host.
        """
        ca = self.authority.cacertfile
        return f"amqps://guest:guest@{TLS_HOST}:{self.tls_port}?cacertfile={ca}"

    @property
    def stomp_url(self) -> str:
        """The URL that clients connect to over STOMP."""
        return f"stomp://guest:guest@{HOST}:{self.stomp_port}"

    @property
    def stomp_tls_url(self) -> str:
        """The URL that clients connect to over STOMP and TLS; as L{tls_url}."""
        ca = self.authority.cacertfile
        place = f"guest:guest@{TLS_HOST}:{self.stomp_tls_port}"
        return f"stomp+ssl://{place}?cacertfile={ca}"

    def ports(self) -> tuple[int, ...]:
        """Return the ports on which it listens once it runs."""
        return (self.amqp_port, self.tls_port, self.stomp_port, self.stomp_tls_port)

    def _logs(self) -> tuple[Path, ...]:
        return (*super()._logs(), self._log)

    def _write_files(self, more: str) -> dict[str, str]:
        """Write the node's configuration; return its environment."""
        inside = self._installation.inside
        (self.folder / "rabbitmq.conf").write_text(
            _CONFIG.format(
                host=HOST,
                amqp_port=self.amqp_port,
                stomp_port=self.stomp_port,
                stomp_tls_port=self.stomp_tls_port,
                tls_port=self.tls_port,
                cacertfile=inside(self.authority.cacertfile),
                certfile=inside(self.authority.sign(TLS_HOST)),
                more=more,
            )
        )
        (self.folder / "plugins").write_text(_PLUGINS)
        (self.folder / "empty.conf").write_text("")
        cookie = self.folder / ".erlang.cookie"
        cookie.write_text(self._cookie)
        cookie.chmod(0o400)
        folder = Path(inside(self.folder))
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} "
                # How often timeouts of consumers are checked; the default is 60 s.
                "-rabbit channel_tick_interval 1000 "
                # When dead letters are sent again that a quorum queue without leader
                # has refused; the default is 180 s.
                "-rabbit dead_letter_worker_publisher_confirm_timeout 5000"
            ),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "empty.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "none.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
            "RABBITMQ_SCHEMA_DIR": str(folder / "schema"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_LOGS": str(folder / self._log.name),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            # Makes the script become the node instead of its parent.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def _launch(self) -> Child:
        command = self._installation.command
        if self._epmd is None and not self._shares_epmd:
            # A port mapper of its own; the node would start one that keeps running.
            port = str(self._epmd_port)
            epmd = command("epmd", "-address", HOST, "-port", port)
            self._epmd = self._spawn(*epmd)
            self._wait_for(self._epmd, self._epmd_port)
        return self._spawn(*command(str(_SCRIPTS / "rabbitmq-server")))

    def evaluate(self, code: str) -> str:
        """
        Run code in the node; this takes a hundredth of the time that rabbitmqctl takes.

        @param code: expressions of Erlang, with commas between them.
        @return: the value of the last one, as Erlang writes it.
        """
        written = f'lists:flatten(io_lib:format("~0tp", [begin {code} end])).\n'
        done = self._run("erl_call", "-n", self.node, "-e", stdin=written)
        found = re.fullmatch(r'\{ok, "(.*)"\}\s*', done.stdout, re.DOTALL)
        if not found:
            raise BrokerFailed(f"{code}: {done.stdout}{done.stderr}")
        return found[1]

    def add_vhost(self, name: str) -> None:
        """Make a virtual host in which C{guest} may do everything."""
        self.evaluate(f"rabbit_vhost:add({_binary(name)}, {_TESTS})")
        self.permit("guest", name)

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host."""
        self.evaluate(f"rabbit_vhost:delete({_binary(name)}, {_TESTS})")

    def add_user(self, name: str, password: str) -> None:
        """Make a user without permissions."""
        words = ", ".join(map(_binary, (name, password)))
        self.evaluate(f"{_USERS}:add_user({words}, {_TESTS})")

    def change_password(self, user: str, password: str) -> None:
        """Give a user another password."""
        words = ", ".join(map(_binary, (user, password)))
        self.evaluate(f"{_USERS}:change_password({words}, {_TESTS})")

    def delete_user(self, name: str) -> None:
        """Delete a user."""
        self.evaluate(f"{_USERS}:delete_user({_binary(name)}, {_TESTS})")

    def permit(
        self,
        user: str,
        vhost: str = "/",
        configure: str = ".*",
        write: str = ".*",
        read: str = ".*",
    ) -> None:
        """Set what a user may do in a virtual host."""
        words = ", ".join(map(_binary, (user, vhost, configure, write, read)))
        self.evaluate(f"{_USERS}:set_permissions({words}, {_TESTS})")

    def allow_memory(self, share: float) -> None:
        """
        Raise the alarm for memory when more than this share is used; 0.4 is the usual.

        When this returns all connections have been told of an alarm that this raises:
        a connection that publishes before that is blocked by its next publish only.
        """
        self.evaluate(
            f"vm_memory_monitor:set_vm_memory_high_watermark({share:.6f}), "
            "rabbit_alarm:get_alarms()"  # answered after the alarm was handled
        )

    def delete_queue(self, name: str) -> None:
        """Delete a queue of the first virtual host, whoever uses it."""
        self.evaluate(
            f'{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, '
            f"{_binary(name)})), rabbit_amqqueue:delete(Q, false, false, {_TESTS})"
        )

    def ctl(self, *arguments: str) -> str:
        """
        Run rabbitmqctl, which blocks for a second or two.

        @return: what it printed.
        """
        program = str(_SCRIPTS / "rabbitmqctl")
        done = self._run(program, "-q", "-n", self.node, *arguments)
        if done.returncode:
            raise BrokerFailed(f"rabbitmqctl {arguments}: {done.stderr}")
        return done.stdout

    def _run(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._installation.command(*command),
            env=self._environment,
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    def stop(self) -> None:
        """Kill the node, and delete its files."""
        super().stop()
        if self._epmd is not None:
            self._epmd.end()
        self._epmd = None


def _binary(text: str) -> str:
    """Write a text as Erlang does."""
    return f"<<{json.dumps(text)}/utf8>>"


_nodes = Nodes()


def rabbitmq() -> RabbitMQ:
    """
    Return the RabbitMQ of this run; start it if it does not run yet.

    @raise SkipTest: it is not installed, and this is not CI.
    @raise BrokerFailed: it does not start.
    """
    return alive(_require("shared"))


def fragile_rabbitmq() -> RabbitMQ:
    """Return another node, which tests may kill or freeze; otherwise as L{rabbitmq}."""
    return revived(_require("fragile"))


def _require(which: str) -> RabbitMQ:
    if not HERE.script.exists():
        missing("rabbitmq-server")
    return once(which, RabbitMQ)


def once(which: str, make: Callable[[], RabbitMQ]) -> RabbitMQ:
    """
    Return the node of that name; make and start it at the first call.

    @raise BrokerFailed: it does not start, or did not at an earlier call.
    """
    return _nodes.once(which, make)
