"""
C{amqp://} and C{amqps://}: connecting to a broker that speaks AMQP 0-9-1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from zope.interface import implementer

from ...exceptions import ConnectError, KombuError, OperationTimeout
from ...interfaces import IBrokerTransport, ISession, ISessionListener
from ..endpoints import connect_error, endpoint_for, place_of
from .login import check_credentials
from .protocol import AmqpSession

if TYPE_CHECKING:
    from ...url import Parameters


@implementer(IBrokerTransport)
class AmqpTransport:
    """The native transport; see L{IBrokerTransport}."""

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def connect(
        self,
        parameters: Parameters,
        endpoint: IStreamClientEndpoint | None,
        clock: IReactorTime,
        listener: ISessionListener,
    ) -> Deferred[ISession]:
        place = place_of(parameters, endpoint)
        try:
            check_credentials(parameters)
            target = endpoint or endpoint_for(parameters, clock)
        except ConnectError as error:
            return fail(error)
        except Exception as error:
            return fail(connect_error(place, error))
        session = AmqpSession(parameters, place, clock, listener, self._warned)
        attempt = _Attempt(session, place, clock)
        return attempt.start(target, parameters.connect_timeout)


class _OneSession(Factory):
    """Makes the one protocol of one attempt."""

    noisy = False

    def __init__(self, session: AmqpSession) -> None:
        self._session = session

    def buildProtocol(self, addr: IAddress | None) -> AmqpSession:
        return self._session


class _Attempt:
    """
    One attempt to connect, which ends once: with a session, with an error, by
    its timeout, or by being cancelled.
    """

    def __init__(self, session: AmqpSession, place: str, clock: IReactorTime) -> None:
        self._session = session
        self._place = place
        self._clock = clock
        self._result: Deferred[ISession] = Deferred(self._cancelled)

    def start(
        self, endpoint: IStreamClientEndpoint, timeout: float
    ) -> Deferred[ISession]:
        """
        @param timeout: seconds for all of it.
        """
        self._seconds = timeout
        self._timer = self._clock.callLater(timeout, self._late)
        self._session.login.addCallbacks(self._logged_in, self._failed)
        self._connecting: Deferred[IProtocol] = maybeDeferred(
            endpoint.connect, _OneSession(self._session)
        )
        self._connecting.addErrback(self._refused)
        return self._result

    def _logged_in(self, session: ISession) -> None:
        self._timer.cancel()
        self._result.callback(session)

    def _refused(self, reason: Failure) -> None:
        if self._timer.active():
            cause: BaseException = reason.value  # type: ignore[assignment]
            self._failed(Failure(connect_error(self._place, cause)))

    def _failed(self, reason: Failure) -> None:
        self._give_up()
        self._result.errback(reason)

    def _late(self) -> None:
        self._failed(Failure(self._timeout()))

    def _timeout(self) -> KombuError:
        phase = "login" if self._session.connected else "TCP"
        return OperationTimeout(f"connecting to {self._place}", self._seconds, phase)

    def _cancelled(self, _: Deferred[ISession]) -> None:
        self._give_up()

    def _give_up(self) -> None:
        if self._timer.active():
            self._timer.cancel()
        self._session.abort()
        self._connecting.cancel()
