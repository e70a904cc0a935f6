"""Passwords that are asked for at each attempt to connect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, inlineCallbacks, succeed

from .._util.awaitables import call_and_wait
from .._util.waiters import Waiters
from ..exceptions import ConnectError
from ..url.parameters import Parameters, fault_of_credential

PasswordSource = Callable[[], object] | Deferred[str]
"""Returns the password, or a Deferred or coroutine of it; or a Deferred of it."""


class AskedPassword:
    """
    Ask for the password before each login.

    @param source: a callable is called for each login; a Deferred gives the one
        password for all.
    """

    def __init__(self, source: PasswordSource) -> None:
        self._waiters: Waiters[Any] = Waiters()
        self._known: list[Any] = []
        if isinstance(source, Deferred):
            source.addBoth(self._found)
            self._ask: Callable[[], object] = self._when_found
        else:
            self._ask = source

    def _found(self, password: object) -> None:
        self._known.append(password)
        self._waiters.fire(password)

    def _when_found(self) -> Deferred[Any]:
        return succeed(self._known[0]) if self._known else self._waiters.wait()

    @inlineCallbacks
    def login_at(self, parameters: Parameters) -> Any:
        """
        Return a Deferred of the parameters with the password.

        @return: fails with L{ConnectError} if the password cannot be had.
        """
        try:
            password = yield call_and_wait(self._ask)
        except Exception as error:
            raise ConnectError(f"asking for the password failed: {error}") from error
        if not isinstance(password, str):
            kind = type(password).__name__
            raise ConnectError(f"the password asked for must be a str, not {kind}")
        fault = fault_of_credential(password)
        if fault:
            raise ConnectError(f"the password asked for {fault}")
        return attrs.evolve(parameters, password=password)
