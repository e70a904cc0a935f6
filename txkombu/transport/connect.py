"""One attempt to connect: TCP, TLS and login, in bounded time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from .._util.steady_clock import steady
from .._util.validation import check_utf8
from ..exceptions import AuthenticationFailed, OperationTimeout
from ..url.parameters import fault_of_credential
from .endpoints import connect_error, endpoint_for, place_of

if TYPE_CHECKING:
    from ..url.parameters import Parameters
    from .tls import KeptTLS


_T = TypeVar("_T")


class LogsIn(Protocol[_T]):
    """
    A Twisted protocol that logs in by itself once it is connected; see
    L{BrokerProtocol<txkombu.transport.protocol.BrokerProtocol>}.

    @ivar connected: whether it has a transport.
    """

    connected: Any

    @property
    def answered(self) -> bool:
        """Whether the broker has said anything."""

    @property
    def login(self) -> Deferred[_T]:
        """
        Fires with what was wanted, or fails with why not; does not fire after
        C{abort}.
        """

    def abort(self) -> None:
        """Drop the connection now; do nothing if there is none yet."""


def connect(
    protocol: LogsIn[_T],
    parameters: Parameters,
    endpoint: IStreamClientEndpoint | None,
    clock: IReactorTime,
    tls: KeptTLS | None = None,
) -> Deferred[_T]:
    """
    Connect a protocol, and wait for its login.

    @param endpoint: where to connect instead of the host and port of C{parameters};
        it is wrapped in TLS if they ask for that.
    @param tls: see L{endpoint_for}.
    @return: as that of L{IBrokerTransport.connect}.
    """
    place = place_of(parameters, endpoint)
    try:
        target = endpoint_for(parameters, clock, endpoint, tls)
    except Exception as error:
        return fail(connect_error(place, error))
    stomp = parameters.transport.startswith("stomp")
    others = "HTTP or AMQP" if stomp else "HTTP or STOMP"
    attempt = _Attempt(protocol, place, clock, others)
    return attempt.start(target, parameters.connect_timeout)


class _OneProtocol(Factory):
    """Makes the one protocol of one attempt."""

    noisy = False

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return self._protocol


class _Attempt(Generic[_T]):
    """
    One attempt, which ends once: with a login, with an error, by its timeout, or by
    being cancelled.
    """

    def __init__(
        self, protocol: LogsIn[_T], place: str, clock: IReactorTime, others: str
    ) -> None:
        """@param others: the protocols that may be spoken there instead."""
        self._protocol = protocol
        self._place = place
        self._others = others
        self._clock = clock
        self._connecting: Deferred[IProtocol] | None = None
        self._given_up = False
        self._result: Deferred[_T] = Deferred(lambda _: self._give_up())

    def start(self, endpoint: IStreamClientEndpoint, timeout: float) -> Deferred[_T]:
        """
        Begin to connect.

        @param timeout: seconds for all of it.
        """
        self._seconds = timeout
        self._timer = steady(self._clock).callLater(timeout, self._late)
        self._protocol.login.addCallbacks(self._logged_in, self._failed)
        connecting: Deferred[IProtocol] = maybeDeferred(
            endpoint.connect, _OneProtocol(self._protocol)
        )
        connecting.addErrback(self._refused)
        self._connecting = connecting
        if self._given_up:  # the login may fail while the endpoint connects
            connecting.cancel()
        return self._result

    def _logged_in(self, result: _T) -> None:
        self._timer.cancel()
        self._result.callback(result)

    def _refused(self, reason: Failure) -> None:
        if self._timer.active():
            cause: BaseException = reason.value  # type: ignore[assignment]  # Twisted says Exception or None
            self._failed(Failure(connect_error(self._place, cause)))

    def _failed(self, reason: Failure) -> None:
        self._give_up()
        self._result.errback(reason)

    def _late(self) -> None:
        phase = "login" if self._protocol.connected else "TCP"
        what = f"connecting to {self._place}"
        if self._protocol.connected and not self._protocol.answered:
            what += f", where nothing answers, as at a port of {self._others},"
        self._failed(Failure(OperationTimeout(what, self._seconds, phase)))

    def _give_up(self) -> None:
        if self._timer.active():
            self._timer.cancel()
        self._given_up = True
        self._protocol.abort()
        if self._connecting is not None:
            self._connecting.cancel()


def check_credentials(parameters: Parameters) -> None:
    """
    Check that a broker can be told user, password and connection name.

    @raise AuthenticationFailed: one of them cannot be sent.
    """
    for name in ("userid", "password"):
        fault = fault_of_credential(getattr(parameters, name))
        if fault:
            raise AuthenticationFailed(f"the {name} {fault}") from None
    try:
        check_utf8("connection_name", parameters.connection_name or "")
    except ValueError as error:
        raise AuthenticationFailed(str(error)) from None
