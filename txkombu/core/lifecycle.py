"""
The states of a connection.

A connection begins I{idle}.  When it is asked to connect, it is I{connecting}:
it makes one attempt at each of its URLs.  With a session it is I{restoring} the
exchanges, queues and bindings that were declared before, and then I{connected}.
When the session is lost, or an attempt to get it back fails, it is I{waiting}
for the next attempt.  The first attempt leads back to idle if it fails, or if
all who waited for it cancel.  C{close()} leads from every state to I{closing},
and then to I{closed}, which is final.
"""

from __future__ import annotations

from enum import Enum

from .._util.state_machine import StateMachine


class State(Enum):
    """
    The state of a connection.

    @cvar IDLE: nothing has asked it to connect yet, or its first attempt failed.
    @cvar CONNECTING: it makes an attempt at each of its URLs.
    @cvar RESTORING: it has a session, and declares again what was declared before.
    @cvar CONNECTED: it can be used.
    @cvar WAITING: the session was lost, or could not be had again: it waits for the
        next attempt.
    @cvar CLOSING: C{close()} was called.
    @cvar CLOSED: nothing is left of it; this is final.
    """

    IDLE = "idle"
    CONNECTING = "connecting"
    RESTORING = "restoring"
    CONNECTED = "connected"
    WAITING = "waiting"
    CLOSING = "closing"
    CLOSED = "closed"


class Event(Enum):
    """An event in the life of a connection."""

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


def new_lifecycle() -> StateMachine[State, Event]:
    """Return the state machine of a new connection."""
    return StateMachine("a connection", TABLE, State.IDLE)
