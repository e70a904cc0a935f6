"""The programs of README.rst on RabbitMQ."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.processes import TWISTD, Running, run_python
from tests.support.rabbitmq import rabbitmq
from tests.support.readme import BROKER, README, write_programs


class ReadmeTests(SynchronousTestCase):
    """README.rst"""

    def test_from_publish_to_twistd(self) -> None:
        """What its program publishes is handled by the consumer that twistd hosts."""
        folder = Path(self.mktemp())
        write_programs(folder, rabbitmq().url)
        done = run_python("-W", "error", "publish.py", cwd=folder)
        self.assertEqual((done.stdout, done.stderr), ("The broker has it\n", ""))
        [command] = re.findall(
            r"^    twistd (-n .*)$", README.read_text(), re.MULTILINE
        )
        arguments = command.replace(BROKER, rabbitmq().url).split()
        service = Running("-c", TWISTD, *arguments, cwd=folder)
        self.addCleanup(service.close)
        service.wait_for("Importing http://example.org/feed")
