"""
Failures that are logged.

Twisted keeps the last events until logging begins, and observers may keep more;
the frames of a Failure would keep the bodies of messages with them.
"""

from __future__ import annotations

from typing import Final

from twisted.python.failure import Failure

_TEXT_MOST: Final = 1000
"""How many characters of an error's own text are logged: it may quote a body."""


class _Shortened(Exception):
    """Stands for an error whose text is too long to be logged."""


def without_frames(failure: Failure) -> Failure:
    """
    Take the frames from a failure that is to be logged, its causes included, and the
    end of a text that is too long; the text of its traceback stays.

    @return: the same failure.
    """
    failure.cleanFailure()
    error: BaseException | None = failure.value
    text = failure.getErrorMessage()
    if len(text) > _TEXT_MOST:
        left = len(text) - _TEXT_MOST
        failure.value = _Shortened(f"{text[:_TEXT_MOST]}… ({left} characters more)")
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
    return failure
