"""
The states of a session, and of a channel.

Either is I{open} at first.  The broker is done with it when its owner closes it, when
the broker refuses an operation, or when the connection is cut: from then on it is
I{released}, and what it held has gone back.  If its owner closes it, it is I{closing}
until the broker's answer has arrived.  Once its owner knows of the end it is I{over}.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from ..._util.state_machine import StateMachine


class State(Enum):
    """The state of a session or channel."""

    OPEN = "open"
    RELEASED = "released"
    """The broker is done with it; its owner does not know yet."""
    CLOSING = "closing"
    """Its owner has closed it, and the answer is on its way."""
    OVER = "over"


class Event(Enum):
    """An event in the life of a session or channel."""

    RELEASE = "be released"
    CLOSE = "be closed"
    END = "end"


TABLE: Final = {
    (State.OPEN, Event.RELEASE): State.RELEASED,
    (State.RELEASED, Event.CLOSE): State.CLOSING,
    (State.RELEASED, Event.END): State.OVER,
    (State.CLOSING, Event.END): State.OVER,
}


def new_life(what: str) -> StateMachine[State, Event]:
    """
    Return the state machine of a new session or channel.

    @param what: what it is, with its article, for errors.
    """
    return StateMachine(what, TABLE, State.OPEN)
