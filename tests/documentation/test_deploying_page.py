"""docs/howto/deploying.rst and the files in docs/howto/deploy are right."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.paths import DOCS
from txkombu.cli.command import DONE, FAILED, WRONG_USAGE

UNIT = DOCS / "howto" / "deploy" / "feeds.service"
CONTAINER = DOCS / "howto" / "deploy" / "Containerfile"
PROGRAM = "/opt/feeds/bin/txkombu"
INSTRUCTIONS = {
    *("FROM", "RUN", "COPY", "WORKDIR", "USER", "ENV", "EXPOSE", "STOPSIGNAL"),
    *("HEALTHCHECK", "ENTRYPOINT"),
}


class UnitTests(SynchronousTestCase):
    """The unit for systemd."""

    def setUp(self) -> None:
        self.text = UNIT.read_text(encoding="utf-8")

    def test_verified(self) -> None:
        """systemd finds nothing to complain of, where it is installed."""
        program = shutil.which("systemd-analyze")
        if program is None:
            return  # test_keys looks at the rest
        unit = Path(self.mktemp()).with_suffix(".service")
        unit.write_text(self.text.replace(PROGRAM, sys.executable))
        done = subprocess.run(
            [program, "verify", "--man=no", unit.absolute()],
            capture_output=True,
            text=True,
            check=False,
        )
        own = [line for line in done.stderr.splitlines() if unit.name in line]
        self.assertEqual((done.returncode, own), (0, []))

    def test_keys(self) -> None:
        """It has what the page says of it."""
        page = (DOCS / "howto" / "deploying.rst").read_text(encoding="utf-8")
        prevented = f"RestartPreventExitStatus={WRONG_USAGE}"
        for key in (prevented, "Type=notify", "WatchdogSec", "LoadCredential"):
            self.assertIn(f"``{key}``", page)
            self.assertIn(f"\n{key}", self.text)
        # Its exit status would not prevent a restart.
        self.assertNotIn("\nExecStartPre", self.text)
        self.assertIn("``TimeoutStopSec``", page)
        stop = re.search(r"TimeoutStopSec=(\d+)", self.text)
        assert stop is not None
        self.assertGreaterEqual(int(stop[1]), 60 + 15)
        for command in re.findall(rf"(?m)^Exec\w+={PROGRAM} (.*)$", self.text):
            self.assertTrue(command.startswith("serve --config /etc/feeds/"), command)


class ContainerTests(SynchronousTestCase):
    """The file that builds an image."""

    def setUp(self) -> None:
        text = CONTAINER.read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if line and line[0] != "#"]
        self.steps = [line.split(" ", 1) for line in lines]

    def test_instructions(self) -> None:
        """It begins with FROM, and has only instructions that exist."""
        self.assertEqual(self.steps[0][0], "FROM")
        self.assertLessEqual({name for name, _ in self.steps}, INSTRUCTIONS)
        for name, arguments in self.steps:
            if arguments.startswith("["):
                self.assertIsInstance(json.loads(arguments), list, name)

    def test_process(self) -> None:
        """Its process is txkombu itself, without a shell, and not root's."""
        found = dict(self.steps)
        self.assertEqual(json.loads(found["ENTRYPOINT"]), [PROGRAM, "serve"])
        self.assertNotIn(found["USER"], ("0", "root"))
        told = CONTAINER.read_text(encoding="utf-8").splitlines()[0]
        self.assertIn("--format docker", told)  # others have no HEALTHCHECK
        probe = json.loads(found["HEALTHCHECK"].removeprefix("CMD "))
        compile(probe[-1], "probe", "exec")


class PageTests(SynchronousTestCase):
    """The page."""

    def test_exit_codes(self) -> None:
        """The codes are those of the programs."""
        self.assertEqual((DONE, FAILED, WRONG_USAGE), (0, 1, 2))
