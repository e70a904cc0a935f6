"""Events for debugging are logged only where somebody asks for them."""

from __future__ import annotations

import ast
from pathlib import Path

from twisted.logger import ILogObserver, LogEvent, Logger, LogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider

import txkombu
from txkombu._util.debug_log import DebugLog


def _keeping(events: list[LogEvent]) -> ILogObserver:
    @provider(ILogObserver)
    def keep(event: LogEvent) -> None:
        events.append(event)

    return ILogObserver(keep)


class DebugLogTests(SynchronousTestCase):
    """C{debug_log}"""

    def test_silent(self) -> None:
        """Nothing is logged, in whatever observer, before somebody wants it."""
        events: list[LogEvent] = []
        log = Logger("some.place", observer=LogPublisher(_keeping(events)))
        debug_log = DebugLog()
        debug_log.tell(log, "{what}", what="first")
        debug_log.want()
        debug_log.tell(log, "{what}", what="second")
        debug_log.want(False)
        debug_log.tell(log, "{what}", what="third")
        (event,) = events
        self.assertEqual(event["what"], "second")
        self.assertEqual(event["log_level"].name, "debug")

    def test_all(self) -> None:
        """No module of the library logs events of that level otherwise."""
        library = Path(txkombu.__file__).parent
        found = [
            f"{path.relative_to(library)}:{node.lineno}"
            for path in sorted(library.rglob("*.py"))
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Attribute) and node.attr == "debug"
        ]
        modules = [each.partition(":")[0] for each in found]
        self.assertEqual(modules, ["_util/debug_log.py"])
