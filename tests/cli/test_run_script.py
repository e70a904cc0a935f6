"""
The commands of a checkout: C{run}, C{.ci/run}, and the runner of the tests.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import yaml
from twisted.trial.unittest import SynchronousTestCase

from tests import run_lanes, run_trial
from tests.support.paths import CHECKOUT


class ScriptTests(SynchronousTestCase):
    """C{run}, with a plain C{sh}."""

    def setUp(self) -> None:
        """Copy the script to a folder of its own, where it may make things."""
        self.home = Path(self.mktemp()).absolute()
        self.home.mkdir(parents=True)
        shutil.copy(CHECKOUT / "run", self.home)
        self.tools = self.home / "bin"
        self.tools.mkdir()
        for tool in ("sh", "cat", "dirname", "env", "mktemp", "printf", "rm"):
            found = shutil.which(tool)
            if found is not None:
                self.tools.joinpath(tool).symlink_to(found)

    def tool(self, name: str, text: str) -> None:
        """Put a program into the only folder that the script finds programs in."""
        path = self.tools / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def run_script(
        self, *arguments: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", str(self.home / "run"), *arguments],
            env={"PATH": str(self.tools), **environment},
            cwd=self.home.parent,
            capture_output=True,
            text=True,
            check=False,
        )

    def test_syntax(self) -> None:
        """Both scripts can be parsed by sh, start with it, and are executable."""
        for name in ("run", ".ci/run"):
            path = CHECKOUT / name
            subprocess.run(["sh", "-n", str(path)], check=True)
            self.assertTrue(path.read_text().startswith("#!/bin/sh\n"))
            self.assertTrue(os.access(path, os.X_OK), name)

    def test_usage(self) -> None:
        """C{help} explains each command that there is."""
        done = self.run_script("help")
        self.assertEqual(done.returncode, 0)
        for command in (
            "demo",
            "check",
            "test",
            "test-latest",
            "bench",
            "soak",
            "coverage",
            "docs",
            "pins",
        ):
            self.assertRegex(done.stdout, rf"(?m)^  {command} +\w")

    def test_no_such_command(self) -> None:
        """No command, or an unknown one, shows the usage as an error."""
        for arguments in ([], ["frobnicate"]):
            done = self.run_script(*arguments)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn("usage: ./run COMMAND", done.stderr)

    def test_docs(self) -> None:
        """C{docs} takes C{--serve} and nothing else."""
        for arguments in (["--frob"], ["--serve", "more"]):
            done = self.run_script("docs", *arguments)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn("docs --serve", done.stderr)

    def test_old_python(self) -> None:
        """A Python that is too old is refused by a line that says so."""
        self.tool("python3", "exit 1")
        done = self.run_script("demo")
        self.assertEqual(done.returncode, 1)
        self.assertIn("Python 3.10 or later is needed", done.stderr)

    def test_line_to_paste(self) -> None:
        """
        Without python3-venv, and without the right to install it, the one line
        that does is printed, and that is all.
        """
        self.tool("python3", 'case "$2" in *ensurepip*) exit 1;; esac')
        self.tool("id", "echo 1000")
        self.tool("apt-get", "touch called")
        done = self.run_script("demo")
        self.assertEqual(done.returncode, 1)
        self.assertIn(
            "sudo apt-get update && sudo apt-get install -y "
            "--no-install-recommends python3-venv\n",
            done.stderr,
        )
        self.assertFalse(self.home.joinpath("called").exists())

    def test_python_is_chosen(self) -> None:
        """C{PYTHON} names another Python."""
        self.tool("python9", "echo python9 was asked >&2; exit 1")
        done = self.run_script("demo", PYTHON="python9")
        self.assertIn("python9 was asked", done.stderr)


class HooksTests(SynchronousTestCase):
    """C{.pre-commit-config.yaml}"""

    def test_local(self) -> None:
        """Each hook runs a tool of this checkout, so that its version is ours."""
        text = CHECKOUT.joinpath(".pre-commit-config.yaml").read_text(encoding="utf-8")
        repositories = yaml.safe_load(text)["repos"]
        self.assertEqual([each["repo"] for each in repositories], ["local"])
        programs = {hook["entry"].split()[0] for hook in repositories[0]["hooks"]}
        self.assertEqual(programs, {".venv/bin/ruff", "./run"})


BROKER_FOLDERS = ("brokers", "further_brokers")

SUITE = """
import os, warnings
from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase, TestCase

class Good(SynchronousTestCase):
    def test_one(self):
        pass
    def test_two(self):
        pass

class Skipped(SynchronousTestCase):
    def test_one(self):
        self.skipTest("no broker here")

class Failing(SynchronousTestCase):
    def test_fails(self):
        self.fail("so it is")
    def test_fails_twice(self):
        self.addCleanup(self.fail, "again")
        raise RuntimeError("and again")

class Alike(SynchronousTestCase):
    def setUp(self):
        raise RuntimeError("no broker today")
    def test_one(self):
        pass
    def test_two(self):
        pass

class Warning(SynchronousTestCase):
    def test_warns(self):
        warnings.warn("old", DeprecationWarning)

class Unhandled(SynchronousTestCase):
    def test_forgets(self):
        fail(RuntimeError("forgotten"))

class Late(SynchronousTestCase):
    kept = []
    def test_keeps(self):
        self.kept.append(fail(RuntimeError("kept")))
        self.kept.append(self.kept)
        type(self).kept = []

class Dying(SynchronousTestCase):
    def test_dies(self):
        os._exit(3)
"""


class RunnerTests(SynchronousTestCase):
    """C{tests.run_trial}"""

    def setUp(self) -> None:
        self.home = Path(self.mktemp()).absolute()
        self.home.mkdir(parents=True)
        self.home.joinpath("samples.py").write_text(dedent(SUITE))

    def run_tests(self, *names: str, ci: str = "") -> tuple[int, list[str]]:
        """Run these; gives the exit code and the lines that were printed."""
        path = os.pathsep.join([str(self.home), str(CHECKOUT), *sys.path])
        own = {key: each for key, each in os.environ.items() if "TXKOMBU" not in key}
        done = subprocess.run(
            [sys.executable, str(run_trial.__file__)]
            + [f"samples.{name}" for name in names],
            env={**own, "PYTHONPATH": path, "CI": ci},
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.stderr, "")
        return done.returncode, done.stdout.splitlines()

    def test_good(self) -> None:
        """The last line counts the tests that passed, and the exit code is 0."""
        code, lines = self.run_tests("Good")
        self.assertEqual((code, lines[-1]), (0, "2 passed, 0 failed, 0 skipped"))

    def test_failing(self) -> None:
        """A test that fails counts once, whatever else breaks in it."""
        code, lines = self.run_tests("Good", "Failing")
        self.assertEqual((code, lines[-1]), (1, "2 passed, 2 failed, 0 skipped"))

    def test_reasons(self) -> None:
        """Each reason to fail stands at the end, once."""
        _, lines = self.run_tests("Failing", "Alike")
        self.assertEqual(
            sorted(lines[-5:-1]),
            [
                "failed: samples.Alike.test_one and 1 more: no broker today",
                "failed: samples.Failing.test_fails: so it is",
                "failed: samples.Failing.test_fails_twice: again",
                "failed: samples.Failing.test_fails_twice: and again",
            ],
        )

    def test_no_such_test(self) -> None:
        """What cannot be loaded is a failure."""
        code, lines = self.run_tests("Nothing")
        self.assertEqual((code, lines[-1]), (1, "0 passed, 1 failed, 0 skipped"))

    def test_skipped(self) -> None:
        """A skip is no failure, and its reason stands at the end."""
        code, lines = self.run_tests("Good", "Skipped")
        self.assertEqual(code, 0)
        self.assertEqual(lines[-2], "skipped 1: no broker here")
        self.assertEqual(lines[-1], "2 passed, 0 failed, 1 skipped")

    def test_skipped_in_ci(self) -> None:
        """With C{CI=true} a skip fails the run."""
        code, lines = self.run_tests("Good", "Skipped", ci="true")
        self.assertEqual((code, lines[-1]), (1, "2 passed, 0 failed, 1 skipped"))
        self.assertIn("with CI=true no test may be skipped", lines)

    def test_warning(self) -> None:
        """A warning that a test leaves behind is an error."""
        code, lines = self.run_tests("Warning")
        self.assertEqual((code, lines[-1]), (1, "0 passed, 1 failed, 0 skipped"))

    def test_unhandled(self) -> None:
        """An error of a Deferred that nobody handles fails the run."""
        code, lines = self.run_tests("Unhandled")
        self.assertEqual((code, lines[-1]), (1, "0 passed, 1 failed, 0 skipped"))

    def test_unhandled_late(self) -> None:
        """So does one that is found only after the last test."""
        code, lines = self.run_tests("Late")
        self.assertEqual(code, 1)
        self.assertIn("Unhandled error in Deferred:", lines)


class LanesTests(SynchronousTestCase):
    """C{tests.run_lanes}"""

    def test_every_test_in_one_lane(self) -> None:
        """Each module of tests is in one lane, but those for further brokers."""
        names = [
            ".".join(path.relative_to(CHECKOUT).with_suffix("").parts)
            for path in sorted(CHECKOUT.glob("tests/**/test_*.py"))
        ]
        for name in names:
            found = [
                lane
                for lane, members in run_lanes.LANES.items()
                for each in members
                if name == each or name.startswith(f"{each}.")
            ]
            further = name.startswith("tests.further_brokers.")
            self.assertEqual(len(found), 0 if further else 1, f"{name}: {found}")

    def test_only_brokers_need_one(self) -> None:
        """Only what is in tests/brokers asks for a broker."""
        asks = re.compile(r"\b(?:fragile_)?(?:rabbitmq|activemq)\(\)")
        for path in CHECKOUT.glob("tests/**/test_*.py"):
            folder = path.relative_to(CHECKOUT / "tests").parts[0]
            if asks.search(path.read_text()) and folder not in BROKER_FOLDERS:
                self.assertEqual(path.name, "test_rabbitmq.py")  # of the fixture

    def run_lanes(
        self, lanes: Mapping[str, tuple[str, ...]], name: str, **environment: str
    ) -> list[str]:
        """Run these lanes; give the lines that were printed."""
        home = Path(self.mktemp()).absolute()
        home.mkdir(parents=True)
        home.joinpath("samples.py").write_text(dedent(SUITE))
        home.joinpath("lanes.py").write_text(
            "import sys\nfrom tests import run_lanes\n"
            f"run_lanes.LANES = {lanes!r}\n"
            f"run_lanes.GROUPS = { ({name: list(lanes)})!r}\n"
            f"sys.exit(run_lanes.main([{name!r}]))\n"
        )
        path = os.pathsep.join([str(home), str(CHECKOUT), *sys.path])
        own = {key: each for key, each in os.environ.items() if "TXKOMBU" not in key}
        done = subprocess.run(
            [sys.executable, "lanes.py"],
            env={**own, "PYTHONPATH": path, "CI": "", **environment},
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.stderr, "")
        return [*done.stdout.splitlines(), str(done.returncode)]

    def test_counted_together(self) -> None:
        """The last line counts the tests of all lanes, the reasons stand before it."""
        lanes = {"a": ("samples.Good",), "b": ("samples.Failing", "samples.Skipped")}
        lines = self.run_lanes(lanes, "both")
        self.assertEqual(lines[-2:], ["2 passed, 2 failed, 1 skipped", "1"])
        self.assertIn("skipped 1: no broker here", lines[lines.index("=== all") :])

    def test_all_good(self) -> None:
        """With no failure the exit code is 0."""
        lanes = {"a": ("samples.Good",), "b": ("samples.Good",)}
        lines = self.run_lanes(lanes, "both")
        self.assertEqual(lines[-2:], ["4 passed, 0 failed, 0 skipped", "0"])

    def test_lane_that_dies(self) -> None:
        """A lane whose process ends without a report has failed."""
        lines = self.run_lanes({"a": ("samples.Good",), "b": ("samples.Dying",)}, "x")
        self.assertEqual(lines[-2:], ["2 passed, 1 failed, 0 skipped", "1"])
        self.assertIn("lane b: the process ended with 3, without a report", lines[-3])

    def test_measured(self) -> None:
        """A lane leaves a file of what it reached, if a configuration is named."""
        data = Path(self.mktemp()).absolute()
        lines = self.run_lanes(
            {"a": ("tests.test_message",)},
            "x",
            TXKOMBU_TEST_COVERAGE=str(CHECKOUT / "pyproject.toml"),
            COVERAGE_FILE=str(data),
        )
        self.assertEqual(lines[-1], "0")
        self.assertEqual(len(list(data.parent.glob(f"{data.name}.*"))), 1)
