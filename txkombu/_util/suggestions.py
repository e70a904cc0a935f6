"""Suggestions for unknown names: "did you mean ...?"."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from ..exceptions import SerializerNotInstalled
from .shown import SHOWN_MOST, shown

_LIKENESS = 0.5
"""How similar a name must be to be suggested, from 0 to 1."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return C{"did you mean 'NAME'?"} with the most similar name, or C{""}."""
    near = get_close_matches(name[:SHOWN_MOST], list(known), 1, _LIKENESS)
    return f"did you mean {near[0]!r}?" if near else ""


def known_names(name: str, known: Iterable[str]) -> str:
    """Return a suggestion, if there is one, and C{"known are ..."} with all names."""
    names = list(known)
    return f"{did_you_mean(name, names)} known are {', '.join(names)}".lstrip()


def not_installed(kind: str, name: str, known: Iterable[str]) -> SerializerNotInstalled:
    """
    Make the error for an unknown name.

    @param kind: what the name stands for, such as C{"serializer"}.
    """
    return SerializerNotInstalled(
        f"there is no {kind} {shown(name)}: {known_names(name, sorted(known))}"
    )
