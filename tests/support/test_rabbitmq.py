"""
The fixtures that start real brokers.
"""

from __future__ import annotations

import os
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.support import rabbitmq
from tests.support.broker_process import Nodes, free_ports


class PortsTests(SynchronousTestCase):
    """The ports of brokers."""

    def test_never_twice(self) -> None:
        """
        No port is given twice, though nothing listens on those given before: one of a
        node's other ports would be that of its port mapper.
        """
        given = [port for _ in range(150) for port in free_ports(2)]
        self.assertEqual(len(set(given)), 300)


class MissingTests(SynchronousTestCase):
    """A broker that is not installed, or does not start."""

    def setUp(self) -> None:
        self.patch(rabbitmq, "_nodes", Nodes())
        self.patch(rabbitmq, "_SCRIPTS", Path(self.mktemp()).absolute())

    def test_skipped(self) -> None:
        """
        If the broker is not installed its tests are skipped, and the reason says why.
        """
        self.patch(os, "environ", {**os.environ, "CI": ""})
        with self.assertRaisesRegex(SkipTest, "apt-get install rabbitmq-server"):
            rabbitmq.rabbitmq()

    def test_failed_in_ci(self) -> None:
        """If the broker is not installed its tests fail in CI."""
        self.patch(os, "environ", {**os.environ, "CI": "true"})
        with self.assertRaisesRegex(rabbitmq.BrokerFailed, "rabbitmq-server"):
            rabbitmq.rabbitmq()

    def test_does_not_start(self) -> None:
        """
        If a broker does not start its tests fail at once, with the end of its log.
        """
        scripts = Path(self.mktemp())
        scripts.mkdir()
        script = scripts / "rabbitmq-server"
        script.write_text("#!/bin/sh\necho I would rather not >&2\nexit 1\n")
        script.chmod(0o755)
        self.patch(rabbitmq, "_SCRIPTS", scripts.absolute())
        for _ in range(2):
            with self.assertRaisesRegex(rabbitmq.BrokerFailed, "I would rather not"):
                rabbitmq.rabbitmq()
