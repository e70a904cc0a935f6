"""What programs log."""

from __future__ import annotations

import json
from io import StringIO

from twisted.logger import Logger, LogPublisher
from twisted.trial.unittest import SynchronousTestCase

from txkombu.cli.logs import JSONLines


class JSONLinesTests(SynchronousTestCase):
    """A line of JSON for each event."""

    def setUp(self) -> None:
        self.file = StringIO()
        publisher = LogPublisher(JSONLines(self.file))
        self.log = Logger("some.place", observer=publisher)

    def lines(self) -> list[dict[str, str]]:
        """Return what was written."""
        return [json.loads(each) for each in self.file.getvalue().splitlines()]

    def test_event(self) -> None:
        """It has time, level, logger and message, in one line."""
        self.log.warn("{what}\nand more", what="something")
        [found] = self.lines()
        self.assertRegex(found.pop("time"), r"^20\d\d-\d\d-\d\dT.*\+00:00$")
        self.assertEqual(
            found,
            {
                "level": "warn",
                "logger": "some.place",
                "message": "something\nand more",
            },
        )

    def test_failure(self) -> None:
        """A failure has its traceback."""
        try:
            raise ValueError("no")
        except ValueError:
            self.log.failure("it failed")
        [found] = self.lines()
        self.assertEqual((found["level"], found["message"]), ("critical", "it failed"))
        self.assertIn("ValueError: no", found["traceback"])

    def test_odd(self) -> None:
        """What cannot be formatted is a line, too."""
        self.log.info("{nothing}")
        self.log.info("\ud800 {x!r}", x=object())
        self.assertEqual(len(self.lines()), 2)
