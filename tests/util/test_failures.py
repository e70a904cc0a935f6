"""
Failures that are logged.
"""

from __future__ import annotations

import gc
from weakref import ref

from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txkombu._util.failures import without_frames


class Body:
    """What a frame holds."""


def failed(text: str) -> tuple[Failure, ref[Body]]:
    """Fail with a text, in a frame that holds a body."""
    body = Body()
    try:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError(text) from error
    except ValueError:
        return Failure(), ref(body)


class WithoutFramesTests(SynchronousTestCase):
    """What is left of a failure."""

    def test_frames(self) -> None:
        """It keeps nothing alive; its traceback can still be read."""
        failure, body = failed("so it is")
        failure = without_frames(failure)
        gc.collect()
        self.assertIsNone(body())
        self.assertIn("so it is", failure.getTraceback())
        self.assertIn("in failed", failure.getTraceback())

    def test_long_text(self) -> None:
        """A text that may quote a body is cut; it is still known by its kind."""
        failure = without_frames(failed("x" * 50_000)[0])
        self.assertLess(len(failure.getTraceback()), 3000)
        self.assertIn("49800 characters more", failure.getTraceback())
        self.assertIn("ValueError", failure.getTraceback())
        self.assertIs(failure.check(ValueError), ValueError)

    def test_error_kept(self) -> None:
        """A failure policy finds the whole error after it was logged."""
        failure, _ = failed("x" * 50_000)
        logged = without_frames(failure)
        self.assertIsNot(logged, failure)
        self.assertIsInstance(failure.value, ValueError)
        self.assertEqual(failure.getErrorMessage(), "x" * 50_000)

    def test_short_text(self) -> None:
        """Another one stays as it is."""
        failure = without_frames(failed("short")[0])
        self.assertIsInstance(failure.value, ValueError)
