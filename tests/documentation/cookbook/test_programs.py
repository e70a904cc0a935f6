"""The recipes that have to run in processes of their own."""

from __future__ import annotations

import importlib.util
import re
import sys
from typing import Any

from twisted.trial.reporter import TestResult

from tests.documentation.cookbook.recipe import RecipeCase, recipe_text
from tests.support.broker_process import free_ports
from tests.support.paths import TREE
from tests.support.processes import run_python
from txkombu.testing import RecordingBroker


class AsyncioTests(RecipeCase):
    """asyncio.rst; a broker in memory does not show that a program hangs."""

    page = "asyncio.rst"

    def test_handlers(self) -> None:
        """A handler awaits what is asyncio's."""
        [closed] = free_ports(1)
        done = run_python("ports.py", str(closed), cwd=self.home)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, f"port {closed} is closed\n")


class TestingTests(RecipeCase):
    """tests.rst"""

    page = "tests.rst"

    def test_trial(self) -> None:
        """The test case of the page passes, and finds a fault."""
        case = self.load("test_bill").BillTests
        self.assertEqual(self.outcome(case), (3, 0))
        source = self.files["reports.py"]
        forgetful, count = re.subn(r"await publisher\.publish\(.*\)", "pass", source)
        self.assertEqual(count, 1)
        self.home.joinpath("reports.py").write_text(forgetful)
        for name in ("reports", "test_bill"):
            sys.modules.pop(name)
        passed, failed = self.outcome(self.load("test_bill").BillTests)
        self.assertEqual((passed, failed), (1, 2))

    def test_trial_command(self) -> None:
        """The command of the page finds the module under test, beside the test."""
        text = recipe_text(self.page)
        [command] = re.findall(r"^   python (-m .+)$", text, re.MULTILINE)
        done = run_python(*command.split(), cwd=self.home)
        self.assertIn("PASSED (successes=3)", done.stdout)

    def outcome(self, case: Any) -> tuple[int, int]:
        """Run a test case; return how many passed and failed."""
        result = TestResult()
        for name in dir(case):
            if name.startswith("test_"):
                case(name).run(result)
        return result.successes, len(result.errors) + len(result.failures)

    def test_pytest(self) -> None:
        """The functions pass, run as pytest does."""
        fixtures: list[Any] = []
        source = self.files["test_bill_functions.py"].replace("import pytest\n", "")
        shown: dict[str, Any] = {"pytest": Pytest(fixtures)}
        exec(compile(source, "test_bill_functions.py", "exec"), shown)
        shown["test_alone"]()
        [fixture] = fixtures
        set_up = fixture()
        broker = next(set_up)
        self.assertIsInstance(broker, RecordingBroker)
        shown["test_invoice"](broker)
        self.assertRaises(StopIteration, next, set_up)


class Pytest:
    """What the page uses of pytest, which need not be installed."""

    def __init__(self, fixtures: list[Any]) -> None:
        self.fixtures = fixtures

    def fixture(self, function: Any) -> Any:
        """Note a fixture."""
        self.fixtures.append(function)
        return function


class TypedTests(RecipeCase):
    """mypy.rst"""

    page = "mypy.rst"

    def test_checked(self) -> None:
        """The program is the module that mypy checks with the other tests."""
        module = "tests.documentation.cookbook.typed_feeds"
        self.assertIsNotNone(importlib.util.find_spec(module))
        checked = TREE.joinpath(*module.split(".")).with_suffix(".py").read_text()
        _, _, checked = checked.partition('"""\n\n')
        self.assertEqual(self.files["typed_feeds.py"].strip(), checked.strip())
