"""
Wrong names: saying which right one was probably meant.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from ..exceptions import SerializerNotInstalled
from .shown import SHOWN_MOST, shown


def not_installed(kind: str, name: str, known: Iterable[str]) -> SerializerNotInstalled:
    """
    Make the error for a name that is not known, naming the nearest and all.

    @param kind: what it would be, such as C{"serializer"}.
    """
    names = sorted(known)
    near = get_close_matches(name[:SHOWN_MOST], names, 1, 0.4)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return SerializerNotInstalled(
        f"there is no {kind} {shown(name)}: {guess}known are {', '.join(names)}"
    )
