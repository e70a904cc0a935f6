"""Retries without end, with a log line for each failure."""

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
    Return whether somebody has to change something before a retry can succeed:
    credentials, permissions, properties of queues, faults in programs.
    """
    return isinstance(error, _PERMANENT) or not isinstance(error, KombuError)


def is_hopeless(error: Exception) -> bool:
    """
    Return whether no retry of this process can succeed: a library that the transport
    needs is not installed.
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
    Try until an attempt succeeds, with growing waits; slowly if a failure is permanent.

    @param what: the name of the attempt, for the log: "connecting to ...".
    @param attempt: may be a user's function, and so return or raise anything.
    @param on_failure: called with each error.
    @param is_wanted: returns whether to go on after a cancellation.
    @return: fires when an attempt has succeeded; fails when it is cancelled, or if it
        is hopeless.
    """
    backoff = Backoff(policy=connection.reconnect)
    while True:
        try:
            yield call_and_wait(attempt)
            return
        except Exception as error:
            if not is_wanted():  # the attempt was cancelled, whatever it made of that
                raise CancelledError from error
            on_failure(error)
            if is_hopeless(error):
                raise
            permanent = is_permanent(error)
            delay = backoff.policy.max if permanent else backoff.delay()
            (_log.critical if permanent else _log.warn)(
                "{what} failed: {kind}: {error}; next attempt in {delay:.1f} s",
                what=what,
                kind=type(error).__name__,
                error=str(error),
                delay=delay,
            )
        yield sleep(connection.clock, delay)
