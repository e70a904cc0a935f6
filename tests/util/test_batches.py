"""How many operations are begun at once."""

from __future__ import annotations

from collections import deque

from twisted.trial.unittest import SynchronousTestCase

from txkombu._util.batches import LEAST, Batches


class BatchesTests(SynchronousTestCase):
    """The sizes of batches."""

    def test_all_at_once(self) -> None:
        """While nothing fails, all are begun at once."""
        waiting = deque(range(1000))
        self.assertEqual(Batches().take_next(waiting), list(range(1000)))
        self.assertFalse(waiting)

    def begun(self, count: int, refused: set[int]) -> int:
        """Return how many operations are begun in all if some are refused."""
        waiting, batches, begun = deque(range(count)), Batches(), 0
        while waiting:
            batch = batches.take_next(waiting)
            begun += len(batch)
            at = next((n for n, each in enumerate(batch) if each in refused), None)
            again = [] if at is None else batch[at + 1 :]
            waiting.extendleft(reversed(again))
            batches.batch_over(len(batch) - len(again), len(again))
        return begun

    def test_one_refused(self) -> None:
        """One refusal has those behind it begun once more."""
        self.assertLessEqual(self.begun(1000, {500}), 2 * 1000)

    def test_all_refused(self) -> None:
        """If all are refused, what is begun in vain stays in proportion."""
        self.assertLessEqual(self.begun(1000, set(range(1000))), (LEAST + 1) * 1000)
