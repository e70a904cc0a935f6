"""The states of a connection."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txkombu._util.state_machine import IllegalStep, StateMachine
from txkombu.core.lifecycle import TABLE, Event, State, new_lifecycle


class LifecycleTests(SynchronousTestCase):
    """Steps along the table, and no others."""

    def at(self, state: State) -> StateMachine[State, Event]:
        """Make one that is in a state."""
        lifecycle = new_lifecycle()
        lifecycle.state = state
        return lifecycle

    def test_begins_idle(self) -> None:
        """A connection begins idle."""
        self.assertIs(new_lifecycle().state, State.IDLE)

    def test_whole_life(self) -> None:
        """It connects, is lost, comes back, and is closed."""
        seen: list[State] = []
        lifecycle = new_lifecycle()
        for event in (
            Event.CONNECT,
            Event.SESSION,
            Event.RESTORED,
            Event.LOST,
            Event.CONNECT,
            Event.LOST,
            Event.CONNECT,
            Event.SESSION,
            Event.LOST,
            Event.CLOSE,
            Event.GONE,
        ):
            lifecycle.step(event)
            seen.append(lifecycle.state)
        self.assertEqual(
            seen,
            [
                State.CONNECTING,
                State.RESTORING,
                State.CONNECTED,
                State.WAITING,
                State.CONNECTING,
                State.WAITING,
                State.CONNECTING,
                State.RESTORING,
                State.WAITING,
                State.CLOSING,
                State.CLOSED,
            ],
        )

    def test_first_attempt_refused(self) -> None:
        """A first attempt that is refused leads back to idle, ready for another."""
        lifecycle = new_lifecycle()
        for event in (Event.CONNECT, Event.REFUSED, Event.CONNECT, Event.SESSION):
            lifecycle.step(event)
        self.assertIs(lifecycle.state, State.RESTORING)

    def test_close_wins(self) -> None:
        """The close is possible in every state that is not closing or closed."""
        for state in set(State) - {State.CLOSING, State.CLOSED}:
            lifecycle = self.at(state)
            lifecycle.step(Event.CLOSE)
            self.assertIs(lifecycle.state, State.CLOSING)

    def test_closed_for_ever(self) -> None:
        """Nothing leads out of closed, and only its end out of closing."""
        for event in Event:
            self.assertRaises(IllegalStep, self.at(State.CLOSED).step, event)
        for event in set(Event) - {Event.GONE}:
            self.assertRaises(IllegalStep, self.at(State.CLOSING).step, event)

    def test_illegal(self) -> None:
        """What has no place in the table is an error that names both, and no step."""
        for state in State:
            for event in Event:
                if (state, event) in TABLE:
                    continue
                lifecycle = self.at(state)
                error = self.assertRaises(IllegalStep, lifecycle.step, event)
                self.assertIn(state.value, str(error))
                self.assertIn(event.value, str(error))
                self.assertIs(lifecycle.state, state)
