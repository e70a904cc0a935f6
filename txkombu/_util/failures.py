"""
Failures for the log.

Twisted keeps log events until logging begins, and observers may keep them for longer;
the frames of a Failure would keep the bodies of messages in memory.
"""

from __future__ import annotations

from typing import Final

from twisted.python.failure import Failure

_MAXIMUM_TEXT: Final = 200
"""How many characters of an error's text are logged: it may quote a body."""


class _Shortened(Exception):
    """Stands for an error whose text is too long to be logged."""


def without_frames(failure: Failure) -> Failure:
    """
    Remove the frames from a failure and its causes; the text of its traceback stays.

    @return: the same failure; or, if its text is too long for the log, another one with
        the beginning of it.  The given failure keeps its error, which a failure policy
        may still look at.
    """
    failure.cleanFailure()
    error: BaseException | None = failure.value
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
    text = failure.getErrorMessage()
    left = len(text) - _MAXIMUM_TEXT
    if left <= 0:
        return failure
    short = Failure.__new__(Failure)
    error = _Shortened(f"{text[:_MAXIMUM_TEXT]}… ({left} characters more)")
    short.__dict__.update(failure.__dict__, value=error)
    return short
