"""
The states of a connection.

A connection begins I{idle}.  Asked to, it is I{connecting}: one attempt at
each of its URLs.  With a session it is I{restoring} the exchanges, queues and
bindings that were declared before, and then I{connected}.  When the session is
lost, or an attempt to get it back fails, it is I{waiting} for the next
attempt.  An attempt that fails before there ever was a session leads back to
idle, and whoever asked is told; so does one that nobody waits for any more.
The user's close wins from every state: I{closing}, and at last I{closed}, for
ever.
"""

from __future__ import annotations

from enum import Enum

from ..exceptions import KombuError


class State(Enum):
    """Where a connection is."""

    IDLE = "idle"
    CONNECTING = "connecting"
    RESTORING = "restoring"
    CONNECTED = "connected"
    WAITING = "waiting"
    CLOSING = "closing"
    CLOSED = "closed"


class Event(Enum):
    """What happens to it."""

    CONNECT = "connect"
    """An attempt begins."""
    SESSION = "session"
    """The attempt gave a session."""
    RESTORED = "restored"
    """What had been declared stands again."""
    REFUSED = "refused"
    """The first attempt failed, or was given up."""
    LOST = "lost"
    """The session ended, or an attempt to get it back failed."""
    CLOSE = "close"
    """The user closes the connection."""
    GONE = "gone"
    """Nothing is left of it."""


class IllegalStep(KombuError):
    """An event came in a state that has no place for it: a fault in txkombu."""


TABLE: dict[tuple[State, Event], State] = {
    (State.IDLE, Event.CONNECT): State.CONNECTING,
    (State.WAITING, Event.CONNECT): State.CONNECTING,
    (State.CONNECTING, Event.SESSION): State.RESTORING,
    (State.CONNECTING, Event.REFUSED): State.IDLE,
    (State.CONNECTING, Event.LOST): State.WAITING,
    (State.RESTORING, Event.RESTORED): State.CONNECTED,
    (State.RESTORING, Event.LOST): State.WAITING,
    (State.CONNECTED, Event.LOST): State.WAITING,
    (State.CLOSING, Event.GONE): State.CLOSED,
    **{
        (state, Event.CLOSE): State.CLOSING
        for state in State
        if state not in (State.CLOSING, State.CLOSED)
    },
}


class Lifecycle:
    """Walks the table; C{state} is where it is."""

    def __init__(self) -> None:
        self.state = State.IDLE

    def step(self, event: Event) -> None:
        """
        Take one step.

        @raise IllegalStep: the table has no place for this event now.
        """
        after = TABLE.get((self.state, event))
        if after is None:
            raise IllegalStep(
                f"a connection that is {self.state.value} cannot {event.value}"
            )
        self.state = after
