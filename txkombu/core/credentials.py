"""Passwords that are asked for at each attempt to connect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.python.failure import Failure

from .._util.awaitables import as_exception, call_and_wait
from .._util.waiters import Waiters
from ..exceptions import ConnectError
from ..url.parameters import Parameters, fault_of_credential

PasswordSource = Callable[[], object] | Deferred[str]
"""Returns the password, or a Deferred or coroutine of it; or a Deferred of it."""


@attrs.frozen
class _NotHad:
    """
    Says why there is no password.

    It stays in the program's Deferred in place of the failure, which Twisted would log
    as not handled.

    @ivar error: what asking failed with.
    """

    error: Exception


class AskedPassword:
    """
    Ask for the password before each login.

    A Deferred keeps its result, so that other connections can be given the same one.

    @param source: a callable is called for each login; a Deferred gives the one
        password for all.
    """

    def __init__(self, source: PasswordSource) -> None:
        self._waiters: Waiters[Any] = Waiters()
        self._known: list[Any] = []
        if isinstance(source, Deferred):
            _follow(source).addCallback(self._found)
            self._ask: Callable[[], object] = self._when_found
        else:
            self._source = source
            self._ask = self._call

    def _found(self, password: object) -> None:
        self._known.append(password)
        self._waiters.fire(password)

    def _when_found(self) -> Deferred[Any]:
        return succeed(self._known[0]) if self._known else self._waiters.wait()

    def _call(self) -> object:
        answer = self._source()
        return _follow(answer) if isinstance(answer, Deferred) else answer

    @inlineCallbacks
    def login_at(self, parameters: Parameters) -> Any:
        """
        Return a Deferred of the parameters with the password.

        @return: fails with L{ConnectError} if the password cannot be had.  Cancelling
            ends it, whatever the program's function does then.
        """
        password = yield _follow(call_and_wait(self._ask))
        if isinstance(password, _NotHad):
            error = password.error
            why = str(error) or type(error).__name__
            raise ConnectError(f"asking for the password failed: {why}") from error
        if not isinstance(password, str):
            kind = type(password).__name__
            raise ConnectError(f"the password asked for must be a str, not {kind}")
        fault = fault_of_credential(password)
        if fault:
            raise ConnectError(f"the password asked for {fault}")
        return attrs.evolve(parameters, password=password)


def _follow(asked: Deferred[Any]) -> Deferred[Any]:
    """
    Return a Deferred of what another one finds, and leave it there for others.

    @return: fires with a L{_NotHad} in place of a failure.  When it is cancelled it
        cancels the other one, and does not wait for the end of that.
    """

    def found(result: object) -> object:
        if isinstance(result, Failure):
            error: BaseException = result.value  # type: ignore[assignment]  # never None
            result = _NotHad(as_exception(error, "the program"))
        if not follower.called:
            follower.callback(result)
        return result

    follower: Deferred[Any] = Deferred(lambda _: asked.cancel())
    asked.addBoth(found)
    return follower
