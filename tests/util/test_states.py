"""
State tables.
"""

from __future__ import annotations

from enum import Enum

from twisted.trial.unittest import SynchronousTestCase

from txkombu._util.states import IllegalStep, next_state


class _State(Enum):
    SHUT = "shut"
    OPEN = "open"


class _Event(Enum):
    PUSH = "be pushed"


TABLE = {(_State.SHUT, _Event.PUSH): _State.OPEN}


class StateTests(SynchronousTestCase):
    """Steps from state to state."""

    def test_allowed(self) -> None:
        """A step that the table has leads where it says."""
        after = next_state("a door", TABLE, _State.SHUT, _Event.PUSH)
        self.assertIs(after, _State.OPEN)

    def test_illegal(self) -> None:
        """Any other step is an error that names state and event."""
        with self.assertRaisesRegex(
            IllegalStep, "a door that is open cannot be pushed"
        ):
            next_state("a door", TABLE, _State.OPEN, _Event.PUSH)
