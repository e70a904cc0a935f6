"""
State tables that are enforced.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

from ..exceptions import KombuError

_State = TypeVar("_State", bound=Enum)
_Event = TypeVar("_Event", bound=Enum)


class IllegalStep(KombuError):
    """An event came in a state that has no place for it: a fault in txkombu."""


def next_state(
    what: str,
    table: Mapping[tuple[_State, _Event], _State],
    state: _State,
    event: _Event,
) -> _State:
    """
    Look up the state that follows an event.

    @param what: whose states these are, with its article, for the error.
    @param table: the next state, by the present one and the event.
    @raise IllegalStep: the table has no place for this event in this state.
    """
    after = table.get((state, event))
    if after is None:
        raise IllegalStep(f"{what} that is {state.value} cannot {event.value}")
    return after
