"""The states of a connection."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txkombu._util.state_machine import IllegalStep, StateMachine
from txkombu.core.lifecycle import TABLE, Event, State, new_lifecycle


class LifecycleTests(SynchronousTestCase):
    """The lifecycle takes the steps in its table, and no others."""

    def at(self, state: State) -> StateMachine[State, Event]:
        """Return a lifecycle in a state."""
        lifecycle = new_lifecycle()
        lifecycle.state = state
        return lifecycle

    def test_begins_idle(self) -> None:
        """A connection begins idle."""
        self.assertIs(new_lifecycle().state, State.IDLE)

    def test_whole_life(self) -> None:
        """A connection connects, is lost, is restored, and is closed."""
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
        """A refused first attempt leads back to idle, ready for another."""
        lifecycle = new_lifecycle()
        for event in (Event.CONNECT, Event.REFUSED, Event.CONNECT, Event.SESSION):
            lifecycle.step(event)
        self.assertIs(lifecycle.state, State.RESTORING)

    def test_close_wins(self) -> None:
        """close is possible in every state except closing and closed."""
        for state in set(State) - {State.CLOSING, State.CLOSED}:
            lifecycle = self.at(state)
            lifecycle.step(Event.CLOSE)
            self.assertIs(lifecycle.state, State.CLOSING)

    def test_closed_for_ever(self) -> None:
        """
        No event leads out of closed, and only the end of the close leads out of
        closing.
        """
        for event in Event:
            self.assertRaises(IllegalStep, self.at(State.CLOSED).step, event)
        for event in set(Event) - {Event.GONE}:
            self.assertRaises(IllegalStep, self.at(State.CLOSING).step, event)

    def test_illegal(self) -> None:
        """
        An event that the table does not have is an error that names event and state,
        and changes nothing.
        """
        for state in State:
            for event in Event:
                if (state, event) in TABLE:
                    continue
                lifecycle = self.at(state)
                error = self.assertRaises(IllegalStep, lifecycle.step, event)
                self.assertIn(state.value, str(error))
                self.assertIn(event.value, str(error))
                self.assertIs(lifecycle.state, state)
