"""Endpoints of brokers, and the errors of connecting to one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from OpenSSL import SSL
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    wrapClientTLS,
)
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from zope.interface import implementer

from ..exceptions import ConnectError
from .errors import with_cause
from .tls import CertificateRefused, KeptTLS, tls_for

if TYPE_CHECKING:
    from ..url.parameters import Parameters

_NO_TLS: Final = "it does not speak TLS there"
_NO_VERSION: Final = "it speaks no version of TLS that is allowed here, 1.2 or 1.3"
_OPENSSL_HINTS: Final = {
    "wrong version number": _NO_TLS,
    "packet length": _NO_TLS,
    "http request": _NO_TLS,
    "alert protocol version": _NO_VERSION,
    "unsupported protocol": _NO_VERSION,
    "version too low": _NO_VERSION,
    "certificate required": "it wants a client certificate: give certfile",
    "alert handshake failure": "it shares no cipher with us, or wants a client "
    "certificate: give certfile",
    "alert unknown ca": "it does not trust the authority that signed our certificate",
    "alert certificate expired": "it finds that our certificate has expired",
    "alert bad certificate": "it does not accept our certificate, or wants one: give "
    "certfile",
    "alert certificate unknown": "it does not accept our certificate",
    "alert unsupported certificate": "it does not accept our certificate",
    "alert unrecognized name": "it is not known there by that name: see server_name",
}
"""What to do, by the words that OpenSSL's error holds; the first that match count."""


def place_of(parameters: Parameters, endpoint: IStreamClientEndpoint | None) -> str:
    """Return what is connected to, for errors and logs."""
    if endpoint is not None:
        return repr(endpoint)
    host = parameters.hostname
    return f"{f'[{host}]' if ':' in host else host}:{parameters.port}"


def endpoint_for(
    parameters: Parameters,
    reactor: IReactorTime,
    endpoint: IStreamClientEndpoint | None = None,
    tls: KeptTLS | None = None,
) -> IStreamClientEndpoint:
    """
    Make the endpoint of a broker, encrypted if the parameters ask for it.

    @param reactor: connects by TCP and resolves names.
    @param endpoint: what connects, without TLS, instead of host and port.
    @param tls: that of these parameters, to be used for further endpoints; C{None}
        reads the files for this one.
    @raise OSError: a file of certificates or keys cannot be read.
    @raise ValueError: such a file holds no certificate or key, or cannot be
        understood.
    """
    if endpoint is None:
        endpoint = HostnameEndpoint(
            cast("Any", reactor),
            parameters.hostname,
            parameters.port,
            timeout=parameters.connect_timeout,
        )
    if parameters.tls is None:
        return endpoint
    if tls is None:
        creator = tls_for(parameters.tls, parameters.hostname)
    else:
        creator = tls.creator()
    return wrapClientTLS(creator, endpoint)


def connect_error(
    place: str, reason: BaseException, answered: bool = True
) -> ConnectError:
    """
    Return the error for a failed attempt to connect, with its cause.

    @param place: what was connected to.
    @param answered: whether the broker had said anything.
    """
    cause: BaseException | None = reason
    if isinstance(reason, CertificateRefused):
        told = f"TLS with {place} failed: {reason.why}"
        cause = reason.__cause__ or reason
    elif isinstance(reason, SSL.Error):
        told = f"TLS with {place} failed: {_openssl(reason)}"
    elif isinstance(reason, ConnectionDone | ConnectionLost):
        told = f"{place} closed the connection before the login was over"
        if not answered:
            told += (
                "; it had answered nothing: this may be the port of another protocol, "
                "or the broker may want TLS or a client certificate"
            )
    else:
        told = f"cannot connect to {place}: {str(reason).rstrip('.')}"
    return with_cause(ConnectError(told), cause)


def _openssl(reason: SSL.Error) -> str:
    """Return what OpenSSL says, with what to do about the usual errors."""
    entries = reason.args[0] if reason.args else ()
    said = ", ".join(str(entry[-1]) for entry in entries if entry) or repr(reason)
    hints = (hint for words, hint in _OPENSSL_HINTS.items() if words in said)
    hint = next(hints, "")
    return f"{said}; {hint}" if hint else said


@implementer(IStreamClientEndpoint)
class PeerEndpoint:
    """
    One address, which is not looked up.

    TLS comes on top, as with an endpoint of the user's: the certificate has to be for
    the host's name all the same.
    """

    def __init__(
        self, parameters: Parameters, peer: IPv4Address | IPv6Address, clock: Any
    ) -> None:
        is_ipv6 = isinstance(peer, IPv6Address)
        kind: Any = TCP6ClientEndpoint if is_ipv6 else TCP4ClientEndpoint
        self._endpoint = kind(clock, peer.host, peer.port, parameters.connect_timeout)
        self._shown = f"{place_of(parameters, None)} ({peer.host})"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        connecting: Deferred[IProtocol] = self._endpoint.connect(protocolFactory)
        return connecting

    def __repr__(self) -> str:
        return self._shown
