"""Delivery tags up to one, which are found without a search."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support.steps import steps_of
from txkombu._util.tags import TagsUpTo

_steps = st.lists(
    st.tuples(
        st.sampled_from(["deliver", "skip", "settle", "up to"]), st.integers(0, 30)
    ),
    max_size=80,
)


class TagsUpToTests(SynchronousTestCase):
    """The tags that an acknowledgement of several settles."""

    @given(_steps)
    def test_same_as_search(self, steps: list[tuple[str, int]]) -> None:
        """Whatever was settled before, those that are left up to a tag are found."""
        tags, left, tag = TagsUpTo(), dict[int, None](), 0
        for what, number in steps:
            if what == "deliver":
                left[tag := tag + 1] = None
            elif what == "skip":
                tag += 1
            elif what == "settle":
                left.pop(number, None)
            else:
                wanted = [each for each in left if each <= number or not number]
                self.assertEqual(tags.find(number, left), wanted)
                for each in wanted:
                    del left[each]

    def test_beyond_what_came(self) -> None:
        """A tag that no message has yet does not hide those that come later."""
        tags, left = TagsUpTo(), {1: None}
        self.assertEqual(tags.find(100, left), [1])
        self.assertEqual(tags.find(100, {2: None}), [2])

    def test_few_left(self) -> None:
        """Long after the last time, only the few that are left are looked at."""
        tags, left = TagsUpTo(), {999_999: None, 1_000_000: None}
        steps = steps_of(lambda: tags.find(1_000_000, left))
        self.assertLess(steps, 50)

    def test_many_left(self) -> None:
        """While many are left, only those up to the tag are looked at."""
        tags, left = TagsUpTo(), dict.fromkeys(range(1, 10_001))

        def settle() -> None:
            for last in range(100, 10_001, 100):
                for each in tags.find(last, left):
                    del left[each]

        self.assertLess(steps_of(settle), 10 * 10_000)
        self.assertEqual(left, {})
