"""
Failures that are logged.

Twisted keeps the last events until logging begins, and observers may keep more;
the frames of a Failure would keep the bodies of messages with them.
"""

from __future__ import annotations

from twisted.python.failure import Failure


def without_frames(failure: Failure) -> Failure:
    """
    Take the frames from a failure, its causes included; the text of its
    traceback stays.

    @return: the same failure.
    """
    failure.cleanFailure()
    error: BaseException | None = failure.value
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
    return failure
