"""
One login: ask for the password, then connect, both within C{connect_timeout}.

Of the failures at several places, L{most_hopeful} is told.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks
from twisted.internet.interfaces import IReactorTime

from .._util.steady_clock import steady
from .._util.timeouts import with_timeout
from ..exceptions import AuthenticationFailed, TransportNotAvailable
from ..interfaces import ISession
from ..url.parameters import Parameters

_PERMANENT: Final = (AuthenticationFailed, TransportNotAvailable)
"""Failures that do not pass with time."""

_NOTICEABLE: Final = 0.1
"""
How many seconds asking takes to shorten the time for the rest.  Otherwise the transport
keeps the time, since its error says how far it came.
"""


@inlineCallbacks
def log_in(
    parameters: Parameters,
    ask: Callable[[Parameters], Deferred[Parameters]],
    connect: Callable[[Parameters], Deferred[ISession]],
    clock: IReactorTime,
    is_wanted: Callable[[], bool],
) -> Generator[Deferred[Any], Any, ISession]:
    """
    Log in at one place.

    @param ask: returns a Deferred of the parameters with the password.
    @param connect: connects with these.
    @param is_wanted: whether to go on after a wait; what is cancelled may end well
        nevertheless.
    @return: fails with CancelledError when it is not wanted any more; then no session
        is left.
    """
    began, timeout = steady(clock).seconds(), parameters.connect_timeout
    what = "asking for the password"
    login = yield with_timeout(ask(parameters), clock, timeout, what)
    if not is_wanted():
        raise CancelledError
    took = steady(clock).seconds() - began
    connecting = connect(login)
    if took >= _NOTICEABLE:
        what = f"connecting to {parameters.as_uri()}, after {took:.1f} s of {what},"
        connecting = with_timeout(connecting, clock, max(0.0, timeout - took), what)
    session: ISession = yield connecting
    if not is_wanted():
        session.abort()
        raise CancelledError
    return session


def most_hopeful(
    failed: Sequence[tuple[Parameters, Exception]],
) -> tuple[Parameters, Exception]:
    """Return the last failure that may pass, if there is one, else the last."""
    may_pass = [each for each in failed if not isinstance(each[1], _PERMANENT)]
    return (may_pass or failed)[-1]
