"""
Failures that are logged.

Twisted keeps the last events until logging begins, and observers may keep more;
the frames of a Failure would keep the bodies of messages with them.
"""

from __future__ import annotations

from typing import Final

from twisted.python.failure import Failure

_MAXIMUM_TEXT: Final = 200
"""How many characters of an error's own text are logged: it may quote a body."""


class _Shortened(Exception):
    """Stands for an error whose text is too long to be logged."""


def without_frames(failure: Failure) -> Failure:
    """
    Take the frames from a failure that is to be logged, its causes included; the
    text of its traceback stays.

    @return: the same failure; or, if its text is too long to be logged, another one
        with the beginning of the text. The first keeps its error, which a failure
        policy may look at after it was logged.
    """
    failure.cleanFailure()
    error: BaseException | None = failure.value
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
    return _shortened(failure)


def _shortened(failure: Failure) -> Failure:
    text = failure.getErrorMessage()
    left = len(text) - _MAXIMUM_TEXT
    if left <= 0:
        return failure
    short = Failure.__new__(Failure)
    short.__dict__.update(failure.__dict__)
    short.value = _Shortened(f"{text[:_MAXIMUM_TEXT]}… ({left} characters more)")
    return short
