"""
Endpoints to brokers, and what goes wrong on the way to one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IReactorTime,
    IStreamClientEndpoint,
)

from ..exceptions import ConnectError
from .tls import tls_for

if TYPE_CHECKING:
    from ..url.parameters import Parameters


def place_of(parameters: Parameters, endpoint: IStreamClientEndpoint | None) -> str:
    """What is connected to, for people."""
    if endpoint is not None:
        return repr(endpoint)
    host = parameters.hostname
    return f"{f'[{host}]' if ':' in host else host}:{parameters.port}"


def endpoint_for(
    parameters: Parameters, reactor: IReactorTime
) -> IStreamClientEndpoint:
    """
    Make the endpoint of a broker, encrypted if the parameters ask for it.

    @param reactor: one that connects by TCP and resolves names.
    @raise OSError: a file of certificates or keys cannot be read.
    @raise ValueError: one holds no certificate or key, or cannot be understood.
    """
    endpoint: IStreamClientEndpoint = HostnameEndpoint(
        cast("Any", reactor),
        parameters.hostname,
        parameters.port,
        timeout=parameters.connect_timeout,
    )
    if parameters.tls is None:
        return endpoint
    return wrapClientTLS(tls_for(parameters.tls, parameters.hostname), endpoint)


def connect_error(place: str, reason: BaseException) -> ConnectError:
    """
    The error for a connection that did not come about, with its cause.

    @param place: what was connected to.
    """
    error = ConnectError(_describe(place, reason))
    error.__cause__ = reason
    return error


def _describe(place: str, reason: BaseException) -> str:
    if isinstance(reason, VerificationError | CertificateError):
        return (
            f"TLS with {place} failed: its certificate is not for that host; if it "
            "is the right broker, name it with server_name (in a URL: "
            "server_name_indication)"
        )
    if isinstance(reason, SSL.Error):
        return f"TLS with {place} failed: {_openssl(reason)}"
    if isinstance(reason, ConnectionDone | ConnectionLost):
        return f"{place} closed the connection before the login was over"
    return f"cannot connect to {place}: {str(reason).rstrip('.')}"


def _openssl(reason: SSL.Error) -> str:
    """What OpenSSL says, and what to do about the usual."""
    entries = reason.args[0] if reason.args else ()
    said = ", ".join(str(entry[-1]) for entry in entries if entry) or repr(reason)
    if "certificate verify failed" in said:
        return f"{said}; name the authority that signed it with cacertfile"
    if "wrong version number" in said or "packet length" in said:
        return f"{said}; it does not speak TLS there"
    return said
