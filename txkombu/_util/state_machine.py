"""State machines: a table says which event leads from which state to which."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Generic, TypeVar

from ..exceptions import KombuError

S = TypeVar("S", bound=Enum)
E = TypeVar("E", bound=Enum)


class IllegalStep(KombuError):
    """An event came in a state that has no place for it: a fault in txkombu."""


def next_state(what: str, table: Mapping[tuple[S, E], S], state: S, event: E) -> S:
    """
    Return the state that follows on an event.

    @param what: names the object in errors, such as C{"a connection"}.
    @param table: the state that follows on each possible (state, event).
    @raise IllegalStep: the table has no place for this event in this state.
    """
    after = table.get((state, event))
    if after is None:
        raise IllegalStep(f"{what} that is {state.value} cannot {event.value}")
    return after


class StateMachine(Generic[S, E]):
    """
    Follow a table of states and events.

    @param what: names the object in errors, such as C{"a connection"}.
    @param table: the state that follows on each possible (state, event).
    @param state: the first state.
    @ivar state: the current state.
    """

    __slots__ = ("_table", "_what", "state")

    def __init__(self, what: str, table: Mapping[tuple[S, E], S], state: S) -> None:
        self._what = what
        self._table = table
        self.state = state

    def step(self, event: E) -> None:
        """
        Move to the state that follows on an event.

        @raise IllegalStep: the table has no place for this event now.
        """
        self.state = next_state(self._what, self._table, self.state, event)
