"""The benchmark of growth does each kind of work."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.growth import KINDS


class GrowthTests(SynchronousTestCase):
    """The kinds of work."""

    def test_each_works(self) -> None:
        """Each kind of work can be prepared and done, in any amount."""
        for kind in KINDS:
            for count in (1, 60):
                kind.prepare(count)()
