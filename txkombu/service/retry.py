"""
Trying until it works, and saying each time why it did not.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks
from twisted.logger import Logger

from .._util.awaitables import call_and_wait
from .._util.backoff import Backoff
from .._util.timeouts import sleep
from ..connection import BrokerConnection
from ..exceptions import (
    AccessRefused,
    AuthenticationFailed,
    InvalidPath,
    KombuError,
    NotAllowed,
    NotSupported,
    PreconditionFailed,
    TransportNotAvailable,
)

_PERMANENT: Final = (
    AccessRefused,
    AuthenticationFailed,
    InvalidPath,
    NotAllowed,
    NotSupported,
    PreconditionFailed,
    TransportNotAvailable,
)

_log = Logger()


def is_permanent(error: Exception) -> bool:
    """
    Whether somebody has to change something before trying again can help:
    refused credentials and rights, other properties, faults in programs.
    """
    return isinstance(error, _PERMANENT) or not isinstance(error, KombuError)


def is_hopeless(error: Exception) -> bool:
    """
    Whether nothing that may happen while this program runs can help: a library
    that the transport needs is not installed.
    """
    cause = error.__cause__
    return isinstance(error, TransportNotAvailable) and isinstance(cause, ImportError)


@inlineCallbacks
def retry_until_done(
    connection: BrokerConnection,
    what: str,
    attempt: Callable[[], object],
    on_failure: Callable[[Exception], None],
    is_wanted: Callable[[], bool],
) -> Generator[Deferred[Any], Any, None]:
    """
    Try until it works: with growing waits, slowly where the failure is
    permanent.  Each failure is one line of the log.

    @param what: what is attempted, for the log: "connecting to ...".
    @param attempt: may be a user's: what it raises or returns may be anything.
    @param on_failure: called with each error.
    @param is_wanted: whether to go on, if something was cancelled.
    @return: fires when an attempt has worked; fails only when cancelled, or with
        what is hopeless.
    """
    backoff = Backoff(policy=connection.reconnect)
    while True:
        try:
            yield call_and_wait(attempt)
            return
        except Exception as error:
            if isinstance(error, CancelledError) and not is_wanted():
                raise
            on_failure(error)
            if is_hopeless(error):
                raise
            delay = _tell(what, error, backoff)
        yield sleep(connection.clock, delay)


def _tell(what: str, error: Exception, backoff: Backoff) -> float:
    permanent = is_permanent(error)
    delay = backoff.policy.max if permanent else backoff.delay()
    (_log.critical if permanent else _log.warn)(
        "{what} failed: {kind}: {error}; next attempt in {delay:.1f} s",
        what=what,
        kind=type(error).__name__,
        error=str(error),
        delay=delay,
    )
    return delay
