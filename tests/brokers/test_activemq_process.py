"""
The fixture that starts real ActiveMQs.
"""

from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.support import activemq as fixture
from tests.support.activemq import STRANGER, USER, ActiveMQ, activemq, fragile_activemq
from tests.support.broker_process import HOST, TLS_HOST, BrokerFailed, Nodes


def login(
    port: int, password: str = USER, context: ssl.SSLContext | None = None
) -> str:
    """Log in over a socket of its own; return what the broker says first."""
    plain = socket.create_connection((HOST, port), 10)
    sock = context.wrap_socket(plain, server_hostname=TLS_HOST) if context else plain
    with sock:
        sock.sendall(login_frame(password))
        return sock.recv(4096).decode().partition("\n")[0]


def login_frame(password: str = USER) -> bytes:
    """Return the frame that logs in."""
    text = f"STOMP\naccept-version:1.2\nlogin:{USER}\npasscode:{password}\n\n\0"
    return text.encode()


class ActiveMQTests(SynchronousTestCase):
    """The fixture."""

    def test_password(self) -> None:
        """It lets those in who know the password, and nobody else."""
        port = activemq().stomp_port
        self.assertEqual(login(port), "CONNECTED")
        self.assertEqual(login(port, STRANGER), "ERROR")

    def test_tls(self) -> None:
        """It speaks TLS, with a certificate of the tests' authority."""
        broker = activemq()
        context = ssl.create_default_context(cafile=broker.authority.cacertfile)
        self.assertEqual(login(broker.tls_port, context=context), "CONNECTED")

    def test_once(self) -> None:
        """There is one per run, and another one to be killed."""
        self.assertIs(activemq(), activemq())
        self.assertIs(fragile_activemq(), fragile_activemq())
        self.assertNotEqual(activemq().pid, fragile_activemq().pid)

    def test_killed(self) -> None:
        """One that was killed is started again where it was."""
        broker = fragile_activemq()
        port = broker.stomp_port
        broker.kill()
        self.assertRaises(ConnectionRefusedError, login, port)
        self.assertIs(fragile_activemq(), broker)
        self.assertEqual(login(port), "CONNECTED")

    def test_frozen(self) -> None:
        """A frozen one says nothing until it is thawed."""
        broker = fragile_activemq()
        broker.freeze()
        self.addCleanup(broker.thaw)
        with socket.create_connection((HOST, broker.stomp_port), 10) as sock:
            sock.settimeout(0.05)
            sock.sendall(login_frame())
            self.assertRaises(TimeoutError, sock.recv, 1)
            broker.thaw()
            sock.settimeout(10)
            self.assertEqual(sock.recv(9), b"CONNECTED")


class MissingTests(SynchronousTestCase):
    """A broker that is not there."""

    def setUp(self) -> None:
        self.patch(fixture, "_nodes", Nodes())

    def test_skipped(self) -> None:
        """Without the package its tests are skipped, and the reason says why."""
        self.patch(fixture, "_LIBRARIES", Path(self.mktemp()))
        self.patch(os, "environ", {**os.environ, "CI": ""})
        with self.assertRaisesRegex(SkipTest, "apt-get install activemq"):
            activemq()

    def test_failed_in_ci(self) -> None:
        """In CI they fail."""
        self.patch(fixture, "_LIBRARIES", Path(self.mktemp()))
        self.patch(os, "environ", {**os.environ, "CI": "true"})
        with self.assertRaisesRegex(BrokerFailed, "apt-get install activemq"):
            activemq()

    def test_does_not_start(self) -> None:
        """One that does not start fails its tests at once, with its log's end."""
        self.patch(fixture, "_XML", "<a>{folder}</b>")
        for _ in range(2):
            with self.assertRaisesRegex(BrokerFailed, "declaration of element 'a'"):
                activemq()

    def test_stopped(self) -> None:
        """One that was stopped leaves no process and no file."""
        broker = ActiveMQ()
        broker.start()
        broker.stop()
        self.assertFalse(broker.is_running)
        self.assertFalse(broker.folder.exists())
